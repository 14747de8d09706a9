"""What a document says, in any shape that people or programs write it, made into a canonical answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from data_tools.sources.field_names import field_named
from data_tools.sources.flat_fields import changed, read_fields, with_known_names
from data_tools.sources.generator_form import is_generator_form, read_generator_form
from data_tools.sources.nested_fields import flattened, has_known_field, named
from data_tools.sources.reading import parse_value, shown, unused
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.shapes.shape import Shape
from data_tools.sources.truth import DEFAULT, ReadSettings, Truth
from erniekit_adapter.invoice.answer import Answer, StructuredData, read_answer

_ROW_KEYS = frozenset({"field_name", "value", "confidence", "bbox"})
_BLOCKS = frozenset(StructuredData.model_fields)
# Blocks that only a canonical answer has under these names, even without its wrapper.
_SIGNS = frozenset({"vendor_block", "client_info"})
_BESIDE = frozenset({"structured_data", "validation_summary", "confidence_scores", "fault", "complete", "language"})
_OF_ANSWER = frozenset({"structured_data", "validation_summary", "confidence_scores"})
# The fields of a generator under its own names, and those that have no single value.
_GENERATED = {
    "vendor_name": "vendor", "client_name": "client", "invoice_number": "invoice_id", "invoice_date": "issue_date",
    "tax_amount": "tax_total", "discount": "discount_total",
}  # fmt: skip
_NOT_BESIDE = frozenset({"line_items", "taxes", "discounts", "charges", "charge", "tax_rate", "tax_type"})
_HINT = "docs/formats.md lists what a ground truth file may contain"


def read_ground_truth(value: object, settings: ReadSettings = DEFAULT) -> Truth:
    """Read what a document says: canonical, generated, flat or nested fields, or a shape of the registry.

    Args:
        value: an object, a list of `field_name` and `value`, or one of these as JSON in a string.
        settings: what the project states about the source.

    Raises:
        ValueError: nothing of an invoice in it, or values that cannot be read; the message names each.
    """
    value = unquoted(value)
    if shape := recognise(value):
        return with_currency(_read_shape(shape, value, settings), settings.currency)
    if isinstance(value, list):
        return _from_rows(value, settings)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object and no list of fields")
    read = next(read for matches, read in _READERS if matches(value))
    answer, kind, keys = read(value, settings)
    truth = Truth(
        answer,
        kind,
        keys,
        fault=_fault(value.get("fault")),
        complete=value.get("complete") is True,
        language=_language(value.get("language")),
    )
    return with_currency(truth, settings.currency)


def _read_shape(shape: Shape, value: object, settings: ReadSettings) -> Truth:
    try:
        return shape.read(value, settings)
    except (AttributeError, KeyError, TypeError) as error:
        # Readers follow a family's form; what has another type somewhere is none of it.
        raise ValueError(f"{shape.name}: a part of it has another form than this family's: {error}"[:300]) from error


def with_currency(truth: Truth, currency: str | None) -> Truth:
    """The truth, whose amounts are in the source's currency where they name none."""
    if currency is None:
        return truth
    summary = truth.answer.structured_data.financial_summary
    if summary is None or summary.currency is not None:
        return truth
    data = truth.answer.structured_data.model_copy(
        update={"financial_summary": summary.model_copy(update={"currency": currency})}
    )
    return replace(truth, answer=truth.answer.model_copy(update={"structured_data": data}))


def unquoted(value: object) -> object:
    """A value, or what it holds as JSON in a string.

    Raises:
        ValueError: a string that is no JSON.
    """
    return parse_value(value.encode()) if isinstance(value, str) else value


def is_canonical(value: object) -> bool:
    """Whether an object is a canonical answer, with or without its wrapper."""
    return isinstance(value, dict) and ("structured_data" in value or _is_unwrapped(value))


def flat_pairs(value: object, settings: ReadSettings = DEFAULT) -> tuple[list[tuple[str, Any]], list[str]]:
    """Flat fields with their values, out of an object or a list of fields, and what has no place in an answer.

    Raises:
        ValueError: neither of them.
    """
    if isinstance(value, list):
        return named((_row_field(row) for row in value), settings.labels)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object and no list of fields")
    return flattened(value, settings.labels)


_Found = tuple[Answer, str, tuple[str, ...]]


def _is_unwrapped(value: dict[str, Any]) -> bool:
    return bool(_SIGNS & value.keys()) and not is_generator_form(value)


def _read_canonical(value: dict[str, Any], settings: ReadSettings) -> _Found:
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
    """A canonical answer with other names, dates or amounts inside."""
    data = value["structured_data"]
    if not isinstance(data, dict):
        raise error
    answer, keys = _read_flat(data, settings)
    if summary := value.get("validation_summary"):
        whole = {"structured_data": answer.structured_data.model_dump(exclude_none=True), "validation_summary": summary}
        answer = read_answer(whole)
    return answer, keys


def _read_generated(value: dict[str, Any], settings: ReadSettings) -> _Found:
    answer, keys = read_generator_form(value, settings)
    flat = {name: value[key] for key in keys if (name := _beside_generated(key, value, settings)) is not None}
    if flat:
        answer = changed(answer, flat, settings)
        keys = tuple(key for key in keys if _beside_generated(key, value, settings) is None)
    return answer, "generated invoice", keys


def _beside_generated(key: str, value: dict[str, Any], settings: ReadSettings) -> str | None:
    """The flat field that a key beside a generator's own is, where it says something that these do not."""
    name = field_named(key, settings.labels)
    if key not in value or isinstance(value[key], (dict, list)) or name is None:
        return None
    own = _GENERATED.get(name, name)
    return None if name in _NOT_BESIDE or (own != key and own in value) else name


def _read_fields(value: dict[str, Any], settings: ReadSettings) -> _Found:
    if not has_known_field(value, settings.labels):
        names = ", ".join(sorted(value))[:300] or "none"
        raise ValueError(
            f"no ground truth of an invoice: its keys are {names}; {_HINT}, and labels: maps names of your own"
        )
    answer, keys = _read_flat(value, settings)
    return answer, "flat fields", keys


def _read_flat(value: dict[str, Any], settings: ReadSettings) -> tuple[Answer, tuple[str, ...]]:
    pairs, keys = flattened(value, settings.labels)
    if not pairs:
        raise ValueError(f"{shown(value)} holds no field")
    answer, more = read_fields(with_known_names(pairs), settings)
    return answer, (*keys, *more)


def _from_rows(rows: list[Any], settings: ReadSettings) -> Truth:
    if len(rows) == 1 and isinstance(rows[0], dict) and "field_name" not in rows[0]:
        return read_ground_truth(rows[0], settings)
    pairs, keys = flat_pairs(rows, settings)
    if not pairs:
        raise ValueError(f"{shown(rows)} holds no field")
    answer, more = read_fields(with_known_names(pairs), settings)
    return Truth(answer, "list of fields", (*keys, *more))


def _row_field(row: object) -> tuple[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("field_name"), str):
        raise ValueError(f"{shown(row)} has no field_name")
    if "value" not in row:
        raise ValueError(f"{shown(row)} has no value")
    if unknown := sorted(row.keys() - _ROW_KEYS):
        raise ValueError(f"{shown(row)} has keys without a place in the answer: {', '.join(unknown)}"[:400])
    return row["field_name"], row["value"]


def _only(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if name in names}


def _fault(value: object) -> str | None:
    if value in (None, False, ""):
        return None
    return value[:200] if isinstance(value, str) else "declared"


def _language(value: object) -> str | None:
    """An ISO 639-1 code, also where a region stands behind it; None for anything else."""
    code = value[:2].lower() if isinstance(value, str) else ""
    return code if re.fullmatch("[a-z]{2}", code) else None


_Reader = Callable[[dict[str, Any], ReadSettings], _Found]
_READERS: tuple[tuple[Callable[[dict[str, Any]], bool], _Reader], ...] = (
    (is_canonical, _read_canonical),
    (is_generator_form, _read_generated),
    (lambda value: True, _read_fields),
)
