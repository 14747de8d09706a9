"""Logits of models in Hugging Face transformers, for parity checks: `PYTHON …/workers/start.py transformers_probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.workers.exchange import Logits, WorkerRequest
from erniekit_adapter.workers.probes import ModelReader, NoisePage, greedy_by_logits, read_all
from erniekit_adapter.workers.transformers_generate import TorchGenerator, load_model, prompt_token_ids


def load(folder: Path, adapter: Path | None, device: str) -> ModelReader:
    """Load a model with a PEFT adapter, if given.

    Raises:
        SystemExit: a tensor is missing or unmatched.
    """
    from transformers import AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), load_model(folder, adapter, device)
    generator = TorchGenerator(model, tokenizer.eos_token_id, tokenizer.pad_token_id)
    config = model.config
    reads_images = hasattr(config, "vision_config")

    def logits(ids: list[int], page: NoisePage | None) -> Logits:
        return _logits_with_page(model, ids, page) if page else generator.logits([ids])[0]

    def greedy(ids: list[int], page: NoisePage | None, limit: int) -> list[int]:
        if page is None:
            return generator.generate([ids], limit)[0].ids
        return greedy_by_logits(logits, ids, page, limit, tokenizer.eos_token_id)

    def prompt_ids(text: str) -> list[int]:
        if reads_images:  # its template also places images, and here the page is placed by `probes`
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])
        return prompt_token_ids(tokenizer, WorkerRequest("", text))

    return ModelReader(
        prompt_ids=prompt_ids,
        logits=logits,
        greedy=greedy,
        image_ids=(config.vision_start_token_id, config.image_token_id) if reads_images else None,
        vision_config=config.vision_config.to_dict() if reads_images else None,
    )


def _logits_with_page(model: Any, ids: list[int], page: NoisePage) -> Logits:
    import torch

    tokens = torch.tensor([ids], device=model.device)
    images = {
        "pixel_values": torch.from_numpy(page.patches).to(model.device, model.dtype),
        "image_grid_thw": torch.tensor([page.grid], device=model.device),
    }
    kinds = {
        "attention_mask": torch.ones_like(tokens),
        "mm_token_type_ids": (tokens == model.config.image_token_id).int(),
    }
    with torch.no_grad():
        logits: Logits = model(input_ids=tokens, **images, **kinds).logits[0].float().cpu().numpy().astype(np.float32)
    return logits


def main() -> None:
    """Run the command line."""
    read_all(load, "Logits and answers of models in Hugging Face's layout.")


if __name__ == "__main__":
    main()
