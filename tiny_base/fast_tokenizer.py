"""The tokenizer.json that Hugging Face's libraries read, built from tokenizer.model alone; both give the same ids."""

from __future__ import annotations

from typing import Any

from erniekit_adapter.workers.erniekit_tiny_model import PIECES

_BLANK = "▁"  # what sentencepiece writes for one


def fast_tokenizer(model: bytes) -> dict[str, Any]:
    """The content of tokenizer.json; the same model gives the same content.

    It says what TOKENIZER_OPTIONS say: BPE over the whole text, bytes for what no piece covers, nothing put in front
    and nothing normalised but blanks.

    Args:
        model: the content of tokenizer.model.
    """
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    names: list[str] = [pieces.id_to_piece(token) for token in range(pieces.get_piece_size())]
    marks = [token for token, name in enumerate(names) if _is_mark(pieces, token) or name in PIECES]
    apart = {*marks, *(token for token in range(len(names)) if pieces.is_byte(token))}
    return {
        "version": "1.0",
        # A line's end is found by the vocabulary: as a special token it would be lost where those are skipped.
        "added_tokens": [_added_token(token, names[token]) for token in marks if names[token] != "\n"],
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
            "merges": merges([name for token, name in enumerate(names) if token not in apart]),
        },
    }


def merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Every way to put a piece together from two others, in the order of preference.

    sentencepiece merges whatever gives the earliest piece, from whichever halves.

    Args:
        pieces: in the order of their ids, without marks and bytes.
    """
    known = set(pieces)
    halves = ((piece[:cut], piece[cut:]) for piece in pieces for cut in range(len(piece) - 1, 0, -1))
    return [(left, right) for left, right in halves if left in known and right in known]


def _is_mark(pieces: Any, token: int) -> bool:
    return bool(pieces.is_control(token) or pieces.is_unknown(token))


def _added_token(token: int, name: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": name, **flags, "special": True}
