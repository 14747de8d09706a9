"""Count the tokens of a text."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path

from erniekit_adapter.errors import failure

FIRST_BOUND = 256
_BLANK = "▁"


@cache
def token_counter(tokenizer: Path, constant_part: Callable[[str], str]) -> Callable[[str], int]:
    """Return a function that counts a text's tokens with a model's `tokenizer.model`.

    Args:
        tokenizer: the file.
        constant_part: returns the constant part of a request, which is counted once.

    Raises:
        AdapterError: the file is missing or not a SentencePiece model.
    """
    from sentencepiece import SentencePieceProcessor

    if not tokenizer.is_file():
        raise failure(tokenizer, "no such file", "give the tokenizer.model of the base model")
    try:
        processor = SentencePieceProcessor(model_file=str(tokenizer))
    except (RuntimeError, OSError) as error:
        raise failure(tokenizer, f"not a SentencePiece model: {error}"[:300]) from error

    def count(text: str) -> int:
        return len(processor.encode(text))

    pieces = (processor.id_to_piece(place) for place in range(processor.get_piece_size()))
    if any(_BLANK in piece.lstrip(_BLANK) for piece in pieces) or count("a: b") != count("a:") + count("b"):
        return count
    # No piece crosses a blank, so the texts before and after one can be counted separately, the constant part once.
    count_constant = lru_cache(maxsize=64)(count)

    def count_in_parts(text: str) -> int:
        constant = constant_part(text)
        return count_constant(constant[:-1]) + count(text[len(constant) :]) if constant else count(text)

    return count_in_parts


def most_tokens(text: str) -> int:
    """Return an upper bound of a text's tokens: a token is at least one character, or one byte of a rare character.

    A tokenizer may normalise characters (NFKC), which makes some longer, and may insert one blank at the start.
    """
    if text.isascii():
        return len(text) + 1
    written_out = unicodedata.normalize("NFKC", text)
    return max(len(text.encode()), len(written_out.encode())) + 1


def histogram(values: Mapping[int, int]) -> dict[str, int]:
    """Count values up to 256, 320, 384, 448, 512, 640, …: in quarters of doublings; empty without values."""
    found: Counter[int] = Counter()
    for value, count in values.items():
        step = step_below(value)
        found[FIRST_BOUND if value <= FIRST_BOUND else -(-value // step) * step] += count
    return {f"up to {bound}": found[bound] for bound in sorted(found)}


def step_below(bound: int) -> int:
    """Return the distance from a bound of `histogram` to the next lower one; the first bin is half its bound wide."""
    if bound <= FIRST_BOUND:
        return FIRST_BOUND // 2
    return 1 << ((bound - 1).bit_length() - 3)
