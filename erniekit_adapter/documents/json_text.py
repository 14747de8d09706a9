"""JSON of documents and answers, with exact numbers: 3025.00 is parsed as Decimal("3025.00") and written as 3025.00.

`erniekit_adapter.strict_json` is for files of other programs (configurations, manifests): it returns floats, limits
depth and integers, and raises an error that names the file.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import simplejson


def parse(text: str | bytes) -> Any:
    """Parse JSON strictly; numbers with a decimal point become Decimal, others int.

    Raises:
        ValueError: not UTF-8, not JSON, NaN or Infinity, a repeated key, or nesting beyond the recursion limit.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        # json.loads creates a decoder for every call. Like json.loads, reject a byte order mark.
        if text.startswith("\ufeff"):
            raise ValueError("a byte order mark before the JSON text")
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def compose(value: object) -> str:
    """Return JSON in one line without spaces; Decimal keeps its digits, text its characters."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def compose_parsed(value: object) -> str:
    """Return the same text as `compose`, three times as fast, for values of `parse` or of an answer.

    The value must not contain floats: their digits would differ, and NaN would become null.
    """
    try:
        return orjson.dumps(value, default=_digits).decode()
    except orjson.JSONEncodeError:
        return compose(value)  # whole numbers of more than 64 bits


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def decimal(text: str) -> Decimal:
    """Return a number with its digits.

    Raises:
        ValueError: the exponent is out of range.
    """
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:40]} is out of range") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _object_with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        # A name can contain half a surrogate pair, but the message must be encodable.
        shown = ", ".join(twice)[:200].encode(errors="backslashreplace").decode()
        raise ValueError(f"repeated keys: {shown}")
    return found


_DECODER = json.JSONDecoder(
    parse_float=decimal, parse_constant=_refuse_constant, object_pairs_hook=_object_with_unique_keys
)
