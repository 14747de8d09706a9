"""Right answers as JSON objects: a canonical answer, a generated invoice, or flat fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from data_tools.sources.answers.field_names import field_named
from data_tools.sources.answers.flat_fields import read_fields, with_changes, with_known_names
from data_tools.sources.answers.generated_invoice import is_generated_invoice, read_generated_invoice
from data_tools.sources.answers.nested_fields import flat_fields, has_known_field, with_field_names
from data_tools.sources.answers.truth import DEFAULT, GroundTruth, ReadSettings
from data_tools.sources.files.json_values import shown, unused
from erniekit_adapter.documents.invoice.answer import Answer, StructuredData, read_answer

_ROW_KEYS = frozenset({"field_name", "value", "confidence", "bbox"})
_BLOCKS = frozenset(StructuredData.model_fields)
# Blocks that only a canonical answer has, with or without its wrapper.
_CANONICAL_KEYS = frozenset({"vendor_block", "client_info"})
_BESIDE = frozenset({"structured_data", "validation_summary", "confidence_scores", "fault", "complete", "language"})
_OF_ANSWER = frozenset({"structured_data", "validation_summary", "confidence_scores"})
# Names of fields in a generated invoice, and fields without a single value.
_GENERATED = {
    "vendor_name": "vendor", "client_name": "client", "invoice_number": "invoice_id", "invoice_date": "issue_date",
    "tax_amount": "tax_total", "discount": "discount_total",
}  # fmt: skip
_NOT_BESIDE = frozenset({"line_items", "taxes", "discounts", "charges", "charge", "tax_rate", "tax_type"})
_HINT = "docs/formats.md lists what a ground truth file may contain"


def read_object(value: dict[str, Any], settings: ReadSettings = DEFAULT) -> GroundTruth:
    """Read the right answer in an object: a canonical answer, a generated invoice, or flat or nested fields.

    Raises:
        ValueError: the object has no field of an invoice, or values that cannot be read; the message names each.
    """
    read = next(read for matches, read in _READERS if matches(value))
    answer, kind, keys = read(value, settings)
    return GroundTruth(
        answer,
        kind,
        keys,
        fault=fault_of(value.get("fault")),
        complete=value.get("complete") is True,
        language=language_of(value.get("language")),
    )


def is_canonical(value: object) -> bool:
    """Return whether an object is a canonical answer, with or without its wrapper."""
    return isinstance(value, dict) and ("structured_data" in value or _is_unwrapped(value))


def flat_pairs(value: object, settings: ReadSettings = DEFAULT) -> tuple[list[tuple[str, Any]], list[str]]:
    """Return the fields of an object or a list of fields with their values, and the keys without a place in an answer.

    Raises:
        ValueError: the value is neither an object nor a list of fields.
    """
    if isinstance(value, list):
        return with_field_names((row_field(row) for row in value), settings.labels)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not an object or a list of fields")
    return flat_fields(value, settings.labels)


def row_field(row: object) -> tuple[str, Any]:
    """Return the name and the value in an entry of a list of fields.

    Raises:
        ValueError: the entry has no name or no value, or other keys.
    """
    if not isinstance(row, dict) or not isinstance(row.get("field_name"), str):
        raise ValueError(f"{shown(row)} has no field_name")
    if "value" not in row:
        raise ValueError(f"{shown(row)} has no value")
    if unknown := sorted(row.keys() - _ROW_KEYS):
        raise ValueError(f"{shown(row)} has keys without a place in the answer: {', '.join(unknown)}"[:400])
    return row["field_name"], row["value"]


_Read = tuple[Answer, str, tuple[str, ...]]


def _is_unwrapped(value: dict[str, Any]) -> bool:
    return bool(_CANONICAL_KEYS & value.keys()) and not is_generated_invoice(value)


def _read_canonical(value: dict[str, Any], settings: ReadSettings) -> _Read:
    if "structured_data" in value:
        wrapped, known = value, _BESIDE
    else:
        wrapped, known = {"structured_data": _only(value, _BLOCKS), **_only(value, _BESIDE)}, _BLOCKS | _BESIDE
    beside: tuple[str, ...] = unused(value, known) if value.keys() - known else ()
    try:
        answer = read_answer(wrapped if wrapped.keys() <= _OF_ANSWER else _only(wrapped, _OF_ANSWER))
    except ValueError as error:
        answer, keys = _read_renamed(wrapped, settings, error)
        beside += keys
    if answer.structured_data.document_type == "invoice":
        data = answer.structured_data.model_copy(update={"document_type": None})
        answer = answer.model_copy(update={"structured_data": data})
    return answer, "canonical answer", beside


def _read_renamed(value: dict[str, Any], settings: ReadSettings, error: ValueError) -> tuple[Answer, tuple[str, ...]]:
    """Return the answer of a canonical answer with other names of fields, or other spellings of dates and amounts."""
    data = value["structured_data"]
    if not isinstance(data, dict):
        raise error
    answer, keys = _read_flat(data, settings)
    if summary := value.get("validation_summary"):
        whole = {"structured_data": answer.structured_data.model_dump(exclude_none=True), "validation_summary": summary}
        answer = read_answer(whole)
    return answer, keys


def _read_generated(value: dict[str, Any], settings: ReadSettings) -> _Read:
    answer, keys = read_generated_invoice(value, settings)
    flat = {name: value[key] for key in keys if (name := _extra_field(key, value, settings)) is not None}
    if flat:
        answer = with_changes(answer, flat, settings)
        keys = tuple(key for key in keys if _extra_field(key, value, settings) is None)
    return answer, "generated invoice", keys


def _extra_field(key: str, value: dict[str, Any], settings: ReadSettings) -> str | None:
    """Return the flat field of a key that a generated invoice does not have, if it adds information."""
    name = field_named(key, settings.labels)
    if key not in value or isinstance(value[key], (dict, list)) or name is None:
        return None
    own = _GENERATED.get(name, name)
    return None if name in _NOT_BESIDE or (own != key and own in value) else name


def _read_fields(value: dict[str, Any], settings: ReadSettings) -> _Read:
    if not has_known_field(value, settings.labels):
        names = ", ".join(sorted(value))[:300] or "none"
        raise ValueError(
            f"no ground truth of an invoice: its keys are {names}; {_HINT}, and labels: maps your own names"
        )
    answer, keys = _read_flat(value, settings)
    return answer, "flat fields", keys


def _read_flat(value: dict[str, Any], settings: ReadSettings) -> tuple[Answer, tuple[str, ...]]:
    pairs, keys = flat_fields(value, settings.labels)
    if not pairs:
        raise ValueError(f"{shown(value)} has no field")
    answer, more = read_fields(with_known_names(pairs), settings)
    return answer, (*keys, *more)


def _only(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if name in names}


def fault_of(value: object) -> str | None:
    """Return the fault of the printed page that a ground truth states; None without one."""
    if value in (None, False, ""):
        return None
    return value[:200] if isinstance(value, str) else "declared"


def language_of(value: object) -> str | None:
    """Return the ISO 639-1 code of a language, also from a code with a region; None for other values."""
    code = value[:2].lower() if isinstance(value, str) else ""
    return code if re.fullmatch("[a-z]{2}", code) else None


_ObjectReader = Callable[[dict[str, Any], ReadSettings], _Read]
_READERS: tuple[tuple[Callable[[dict[str, Any]], bool], _ObjectReader], ...] = (
    (is_canonical, _read_canonical),
    (is_generated_invoice, _read_generated),
    (lambda value: True, _read_fields),
)
