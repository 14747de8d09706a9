"""Logits of models in ERNIEKit's layout, for parity checks: `PYTHON …/workers/start.py erniekit_probe --help`."""

from __future__ import annotations

from pathlib import Path

from erniekit_adapter.workers.erniekit_generate import PaddleGenerator
from erniekit_adapter.workers.erniekit_model import load_model, load_tokenizer, prompt_token_ids
from erniekit_adapter.workers.probes import ModelReader, read_all


def load(folder: Path, adapter: Path | None, device: str) -> ModelReader:
    """Load a model with a native adapter, if given.

    Raises:
        SystemExit: a tensor is missing or unmatched.
    """
    tokenizer = load_tokenizer(folder)
    generator = PaddleGenerator(load_model(folder, adapter, device), tokenizer.eos_token_id, tokenizer.pad_token_id)
    return ModelReader(
        prompt_ids=lambda text: prompt_token_ids(tokenizer, text, None),
        logits=lambda ids, page: generator.logits([ids])[0],
        greedy=lambda ids, page, limit: generator.generate([ids], limit)[0].ids,
    )


def main() -> None:
    """Run the command line."""
    read_all(load, "Logits and answers of models in ERNIEKit's layout.")


if __name__ == "__main__":
    main()
