"""Answers that match a JSON Schema: of the likeliest tokens, the first one that the schema allows is chosen.

The package llguidance compiles the schema and knows which tokens may follow. It is imported only for a schema, so an
environment without it answers as before.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LIBRARY = "llguidance"
Row = npt.NDArray[np.float32]

# Taught answers have no blanks between tokens of JSON.
_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
# Schemas of one worker; a service has one for each task of a document type.
_MAX_COMPILED = 16
# Blanks, escapes, digits, and characters that need one, two, three and four bytes.
_TRIED_TEXT = '{"a b":"Ä€税 😀\\n \\"x\\"","发票号码":[-1.50,null]}'
_CONTROL_PIECE = re.compile(r"<[^<>]+>")
_BLANK = "▁"


def sentencepiece_tokenizer(pieces: Any, control_ids: Sequence[int], end_id: int, size: int) -> Any:
    """Return the library's tokenizer for a sentencepiece model with byte fallback.

    Args:
        pieces: the SentencePieceProcessor.
        control_ids: tokens that no answer contains, beside those that the model marks, such as <|IMAGE_START|>.
        end_id: the token that ends an answer.
        size: number of the model's logits, which may be larger than the vocabulary.
    """
    import llguidance

    names = [pieces.id_to_piece(token) for token in range(pieces.get_piece_size())]
    unused = [f"<no piece {token}>" for token in range(len(names), size)]
    controls = {*control_ids, *(token for token in range(len(names)) if _is_control(pieces, token, names[token]))}
    controls |= set(range(len(names), size))
    found = [
        name.encode() if token in controls else _bytes_of(name, pieces.is_byte(token))
        for token, name in enumerate(names)
    ]

    class Tokenizer:
        """The attributes that the library reads."""

        eos_token_id, bos_token_id = end_id, None
        tokens, special_token_ids = [*found, *(name.encode() for name in unused)], sorted(controls)

        def __call__(self, text: str) -> list[int]:
            return list(pieces.encode(text))

    slices = llguidance.LLTokenizer.json_slices()
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokenizer()), slices=slices)


def _bytes_of(name: str, is_byte: bool) -> bytes:
    return bytes([int(name[3:5], 16)]) if is_byte else name.replace(_BLANK, " ").encode()


def _is_control(pieces: Any, token: int, name: str) -> bool:
    if pieces.is_control(token) or pieces.is_unknown(token) or pieces.is_unused(token):
        return True
    # Pieces that were added by hand have no rank among the others.
    return bool(_CONTROL_PIECE.fullmatch(name)) and not pieces.is_byte(token) and pieces.get_score(token) == 0


def fast_tokenizer(tokenizer: Any, end_id: int, size: int) -> Any:
    """Return the library's tokenizer for a fast tokenizer of Hugging Face.

    Raises:
        ValueError: the tokenizer is a slow one.
    """
    import llguidance

    if not tokenizer.is_fast:
        raise ValueError(f"{LIBRARY} reads fast tokenizers only, and the model's folder lacks tokenizer.json")
    content = tokenizer.backend_tokenizer.to_str()
    size = max(size, len(tokenizer))
    slices = llguidance.LLTokenizer.json_slices()
    return llguidance.LLTokenizer(content, n_vocab=size, eos_token=end_id, slices=slices)


class AnswerConstraint:
    """The schema's part in one answer."""

    def __init__(self, matcher: Any, end_id: int) -> None:
        self._matcher, self._end_id = matcher, end_id
        self.ended = False

    def choose(self, likeliest: int, logits: Callable[[], Row]) -> int:
        """Return the likeliest token that the schema allows, and continue after it; the end token once it has ended.

        Most tokens of a trained model are allowed, so the logits are read only for the others.

        Args:
            likeliest: the token with the highest logit.
            logits: returns the logits of all tokens.
        """
        if self.ended:
            return self._end_id
        token = likeliest if self._allows(likeliest) else self._best_allowed(logits())
        if token == self._end_id or not self._matcher.consume_token(token):
            self.ended = True
            return self._end_id
        self.ended = bool(self._matcher.is_stopped())
        return token

    @property
    def finished(self) -> bool:
        """True if the tokens so far are a whole answer of the schema, which has ended."""
        return self.ended and self._is_complete()

    def _is_complete(self) -> bool:
        return bool(self._matcher.is_accepting()) and not self._matcher.is_error()

    def _allows(self, token: int) -> bool:
        if token == self._end_id:
            return self._is_complete()
        return bool(self._matcher.validate_tokens([token]))

    def _best_allowed(self, logits: Row) -> int:
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(logits)])
        return int(allowed[logits[allowed].argmax()]) if len(allowed) else self._end_id


class Constraints:
    """Compiled schemas for the tokenizer of one model.

    Args:
        tokenizer: returns the library's tokenizer; called for the first schema.
        encode: returns the token ids of a text, as in training.
        end_id: the token that ends an answer.
    """

    def __init__(self, tokenizer: Callable[[], Any], encode: Callable[[str], list[int]], end_id: int) -> None:
        self._load, self._encode, self._end_id = tokenizer, encode, end_id
        self._tokenizer: Any = None
        self._may_begin_with_blank = False
        self._compiled: dict[str, Any] = {}

    def start(self, schema: str) -> AnswerConstraint:
        """Return the constraint of a new answer.

        Args:
            schema: a JSON Schema, as text.

        Raises:
            ValueError: the library is missing, does not support the schema, or does not read the tokenizer exactly.
        """
        if schema not in self._compiled:
            if len(self._compiled) == _MAX_COMPILED:
                self._compiled.clear()
            self._compiled[schema] = self._compile(schema)
        return AnswerConstraint(self._compiled[schema].deep_copy(), self._end_id)

    def _compile(self, schema: str) -> Any:
        if importlib.util.find_spec(LIBRARY) is None:
            raise ValueError(f"a schema needs the package {LIBRARY}, which this environment lacks")
        import llguidance

        if self._tokenizer is None:
            self._read_tokenizer()
        value = json.loads(schema)
        if not isinstance(value, dict):
            raise ValueError("the schema is not a JSON object")
        begin = '" "? ' if self._may_begin_with_blank else ""
        grammar = f"start: {begin}answer\nanswer: %json {json.dumps(value | {'x-guidance': _COMPACT})}"
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(f"{LIBRARY} does not support the schema: {matcher.get_error().splitlines()[0]}")
        if warnings := matcher.get_grammar_warnings():
            raise ValueError(f"{LIBRARY} ignores a part of the schema: {'; '.join(map(str, warnings))[:500]}")
        return matcher

    def _read_tokenizer(self) -> None:
        """Load the tokenizer, and compare its bytes with a text.

        Raises:
            ValueError: they differ.
        """
        tokenizer, tried = self._load(), _TRIED_TEXT.encode()
        found = tokenizer.decode_bytes(self._encode(_TRIED_TEXT))
        # Some tokenizers put a blank before a text, and remove it again from the decoded text.
        if found not in (tried, b" " + tried):
            raise ValueError(f"{LIBRARY} reads the tokens of {_TRIED_TEXT} as {found.decode(errors='replace')}")
        self._tokenizer, self._may_begin_with_blank = tokenizer, found != tried
