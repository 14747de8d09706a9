"""JSON that every parser reads in the same way: UTF-8, unique keys, no NaN.

RFC 8259 does not define repeated keys. A check that takes the last value and a server that takes the first would see
two different files, so such a file is refused. This module reads files of other programs (configurations, manifests):
numbers become floats, and errors name the file. `documents.json_text` reads documents and answers with exact numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.errors import failure

_MAX_DEPTH = 64
_MAX_DIGITS = 40
_HINT = "copy the file again from its source"


def parse_strict(location: Path | str, content: bytes) -> Any:
    """Parse JSON that has a single meaning.

    Args:
        location: the file, for messages.
        content: its bytes.

    Raises:
        AdapterError: the content is not UTF-8 or not JSON, repeats a key, holds NaN, an infinity, half a surrogate pair
            or an integer of more than 40 digits, or is nested more than 64 levels deep.
    """
    try:
        orjson.loads(content)
        value = json.loads(
            content.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_int=_integer
        )
    except orjson.JSONDecodeError as error:
        raise failure(location, f"not JSON: {error}", _HINT) from error
    except RecursionError as error:
        raise failure(location, f"nested more than {_MAX_DEPTH} levels deep", _HINT) from error
    except ValueError as error:
        raise failure(location, str(error), _HINT) from error
    if _deeper_than(value, _MAX_DEPTH):
        raise failure(location, f"nested more than {_MAX_DEPTH} levels deep", _HINT)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"repeats the key {repeated[:80]!r}")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which is not JSON")


def _integer(digits: str) -> int:
    # Tokenizers use 10**30 as model_max_length.
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"holds an integer of {len(digits):,} digits")
    return int(digits)


def _deeper_than(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested deeper; without recursion, which could overflow."""
    nested = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        nested = [
            inner
            for outer in nested
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(nested)
