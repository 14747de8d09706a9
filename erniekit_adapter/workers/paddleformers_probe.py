"""Logits of models in PaddleFormers 1.2, for parity checks: `PYTHON …/workers/start.py paddleformers_probe --help`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.workers.erniekit_model import check_tensors, stored_types
from erniekit_adapter.workers.exchange import Logits
from erniekit_adapter.workers.probes import ModelReader, NoisePage, greedy_by_logits, read_all


def load(folder: Path, adapter: Path | None, device: str) -> ModelReader:
    """Load a model in Hugging Face's layout, with a native adapter if given: float32 on CPU, bfloat16 on GPU.

    Raises:
        SystemExit: a tensor of the adapter is missing or unmatched.
    """
    import paddle
    from paddleformers.transformers import AutoTokenizer

    paddle.set_device(device)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reads_images = config["model_type"] == "paddleocr_vl"
    model = _model(folder, reads_images, "float32" if device == "cpu" else "bfloat16")
    model = _with_adapter(model, adapter) if adapter else model
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))

    def logits(ids: list[int], page: NoisePage | None) -> Logits:
        images = {} if page is None else _images(page)
        with paddle.no_grad():
            values = model(input_ids=paddle.to_tensor([ids]), **images, return_dict=True).logits[0]
        found: Logits = values.astype("float32").numpy().astype(np.float32)
        return found

    def prompt_ids(text: str) -> list[int]:
        if not reads_images:  # its template also places images, and here the page is placed by `probes`
            messages = [{"role": "user", "content": text.strip()}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    return ModelReader(
        prompt_ids=prompt_ids,
        logits=logits,
        greedy=lambda ids, page, limit: greedy_by_logits(logits, ids, page, limit, tokenizer.eos_token_id),
        image_ids=(config["vision_start_token_id"], config["image_token_id"]) if reads_images else None,
        vision_config=config["vision_config"] if reads_images else None,
    )


def _model(folder: Path, reads_images: bool, dtype: str) -> Any:
    if reads_images:
        from paddleformers.transformers.paddleocr_vl import PaddleOCRVLForConditionalGeneration

        return PaddleOCRVLForConditionalGeneration.from_pretrained(str(folder), dtype=dtype)
    from paddleformers.transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)


def _with_adapter(model: Any, adapter: Path) -> Any:
    from paddleformers.peft import LoRAModel

    wrapped = LoRAModel.from_pretrained(model, str(adapter))
    expected = {name for name in wrapped.model.state_dict() if name.endswith((".lora_A", ".lora_B"))}
    check_tensors(adapter, expected, set(stored_types(adapter, "peft_model")), set())
    return wrapped


def _images(page: NoisePage) -> dict[str, Any]:
    import paddle

    return {"pixel_values": paddle.to_tensor(page.patches), "image_grid_thw": paddle.to_tensor([list(page.grid)])}


def main() -> None:
    """Run the command line."""
    read_all(load, "Logits and answers of models that PaddleFormers reads.")


if __name__ == "__main__":
    main()
