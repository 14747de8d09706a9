"""Reads models in ERNIEKit's layout for a proof: `python -m erniekit_adapter.workers.erniekit_probe --help`."""

from __future__ import annotations

from pathlib import Path

from erniekit_adapter.workers.erniekit_generate import Generator
from erniekit_adapter.workers.erniekit_model import load_model, load_tokenizer, prompt_token_ids
from erniekit_adapter.workers.probes import Reader, read_all


def load(folder: Path, adapter: Path | None, device: str) -> Reader:
    """Load a model, and a native adapter onto it.

    Raises:
        SystemExit: a tensor has no place, or one is missing.
    """
    tokenizer = load_tokenizer(folder)
    generator = Generator(load_model(folder, adapter, device), tokenizer.eos_token_id, tokenizer.pad_token_id)
    return Reader(
        prompt_ids=lambda text: prompt_token_ids(tokenizer, text, None),
        logits=lambda ids, page: generator.logits([ids])[0],
        greedy=lambda ids, page, limit: generator.generate([ids], limit)[0].ids,
    )


if __name__ == "__main__":
    read_all(load, "Logits and answers of models in ERNIEKit's layout.")
