"""Conversion of tokenizer.model to the tokenizer.json of Hugging Face's libraries; both give the same ids."""

from __future__ import annotations

from typing import Any

from erniekit_adapter.workers.erniekit_tiny_model import PIECES

_BLANK = "▁"  # as in sentencepiece


def fast_tokenizer(model: bytes) -> dict[str, Any]:
    """Return the content of tokenizer.json; the same model gives the same content.

    It follows TOKENIZER_OPTIONS: BPE over the whole text, bytes for characters without a piece, no prefix, and no
    normalisation except of blanks.

    Args:
        model: content of tokenizer.model.
    """
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    names: list[str] = [pieces.id_to_piece(token) for token in range(pieces.get_piece_size())]
    special = [token for token, name in enumerate(names) if _is_special(pieces, token) or name in PIECES]
    excluded = {*special, *(token for token in range(len(names)) if pieces.is_byte(token))}
    return {
        "version": "1.0",
        # The line end is not a special token, because it would be lost when special tokens are skipped.
        "added_tokens": [_added_token(token, names[token]) for token in special if names[token] != "\n"],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": _BLANK},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _BLANK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": names[pieces.unk_id()],
            "byte_fallback": True,
            "vocab": {name: token for token, name in enumerate(names)},
            "merges": merges([name for token, name in enumerate(names) if token not in excluded]),
        },
    }


def merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Return every pair of pieces that forms a piece, in the order of preference.

    sentencepiece prefers the earliest piece, from any two halves.

    Args:
        pieces: in the order of their ids, without special tokens and bytes.
    """
    known = set(pieces)
    halves = ((piece[:cut], piece[cut:]) for piece in pieces for cut in range(len(piece) - 1, 0, -1))
    return [(left, right) for left, right in halves if left in known and right in known]


def _is_special(pieces: Any, token: int) -> bool:
    return bool(pieces.is_control(token) or pieces.is_unknown(token))


def _added_token(token: int, name: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": name, **flags, "special": True}
