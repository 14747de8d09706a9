"""How long a text is for the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from erniekit_adapter.errors import fail

_FIRST_BOUND_TOKENS = 256


def token_counter(tokenizer: Path) -> Callable[[str], int]:
    """A function that counts a text's tokens with a model's `tokenizer.model`.

    Raises:
        AdapterError: the file is missing or no sentencepiece model.
    """
    from sentencepiece import SentencePieceProcessor

    if not tokenizer.is_file():
        raise fail(tokenizer, "no such file", "give the tokenizer.model of the base model")
    try:
        processor = SentencePieceProcessor(model_file=str(tokenizer))
    except (RuntimeError, OSError) as error:
        raise fail(tokenizer, f"no sentencepiece model: {error}"[:300]) from error
    return lambda text: len(processor.encode(text))


def histogram(tokens: Mapping[int, int]) -> dict[str, int]:
    """How many lines have up to 256, 512, 1024, ... tokens; empty where none were counted."""
    found: Counter[int] = Counter()
    for length, lines in tokens.items():
        bound = _FIRST_BOUND_TOKENS
        while bound < length:
            bound *= 2
        found[bound] += lines
    return {f"up to {bound}": found[bound] for bound in sorted(found)}
