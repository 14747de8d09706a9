"""Write logits of PaddleOCR-VL: base model, with an adapter, and merged. For PaddleFormers or transformers 5.

Usage: paddleocr_vl_logits.py paddle|torch MODEL_DIR ADAPTER_DIR MERGED_DIR OUT.npz. The requests are a text, and a page
of noise with a question.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

QUESTION = [40, 41, 42, 50, 51, 52, 60]
# 4 x 4 patches; each 2 x 2 patches are one token of the language model.
GRID, TOKENS = [[1, 4, 4]], 4
PATCHES = np.random.default_rng(0).normal(0, 1, (16, 3, 14, 14)).astype(np.float32)

Arrays = dict[str, np.ndarray]


def prompts(folder: str) -> tuple[list[int], list[int], int]:
    config = json.loads((Path(folder) / "config.json").read_text())
    image = config["image_token_id"]
    return [5, *QUESTION], [5, config["vision_start_token_id"], *[image] * TOKENS, *QUESTION], image


def with_paddle(folder: str, adapter: str | None) -> Arrays:
    import paddle
    from paddleformers.peft import LoRAModel
    from paddleformers.transformers.paddleocr_vl import PaddleOCRVLForConditionalGeneration

    paddle.set_device("cpu")
    model: Any = PaddleOCRVLForConditionalGeneration.from_pretrained(folder, dtype="float32")
    if adapter:
        model = LoRAModel.from_pretrained(model, adapter)
    model.eval()
    text, page, _ = prompts(folder)
    images = {"pixel_values": paddle.to_tensor(PATCHES), "image_grid_thw": paddle.to_tensor(GRID)}
    with paddle.no_grad():
        return {
            "text": model(input_ids=paddle.to_tensor([text]), return_dict=True).logits[0].numpy(),
            "page": model(input_ids=paddle.to_tensor([page]), **images, return_dict=True).logits[0].numpy(),
        }


def with_torch(folder: str, adapter: str | None) -> Arrays:
    import torch
    from transformers import PaddleOCRVLForConditionalGeneration

    model: Any
    model, report = PaddleOCRVLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, attn_implementation="eager"
    )
    if problems := {kind: sorted(names) for kind, names in report.items() if names}:
        raise SystemExit(f"{folder}: unmatched or missing tensors: {problems}")
    if adapter:
        from peft import PeftModel
        from safetensors import safe_open

        model = PeftModel.from_pretrained(model, adapter)
        with safe_open(f"{adapter}/adapter_model.safetensors", framework="np") as tensors:
            stored = set(tensors.keys())
        if stored != {name.replace(".default.", ".") for name in model.state_dict() if ".lora_" in name}:
            raise SystemExit(f"{adapter}: unmatched or missing tensors")
    model.eval()
    text, page, image = prompts(folder)
    ids = torch.tensor([page])
    images = {"pixel_values": torch.from_numpy(PATCHES), "image_grid_thw": torch.tensor(GRID)}
    kinds = {"attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == image).int()}
    with torch.no_grad():
        return {
            "text": model(input_ids=torch.tensor([text])).logits[0].numpy(),
            "page": model(input_ids=ids, **images, **kinds).logits[0].numpy(),
        }


def main() -> None:
    library, folder, adapter, merged, output = sys.argv[1:]
    compute = {"paddle": with_paddle, "torch": with_torch}[library]
    arrays = {}
    for name, model, loaded in (("base", folder, None), ("adapted", folder, adapter), ("merged", merged, None)):
        arrays |= {f"{name} {kind}": logits for kind, logits in compute(model, loaded).items()}
    np.savez(output, **arrays)


main()
