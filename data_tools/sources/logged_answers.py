"""Answers as logs hold them, in each form that a writer gives them, made into the canonical answer."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

from data_tools.sources.flat_fields import answer_of, canonically_named, changed, with_known_names
from data_tools.sources.reading import parse_value, shown
from data_tools.sources.receipts import is_receipt, receipt_fields
from erniekit_adapter.invoice.answer import Answer, read_answer

_ROW_KEYS = frozenset({"field_name", "value", "confidence", "bbox"})


def read_written_answer(value: object) -> Answer:
    """Read a canonical answer that is an object, or JSON in a string.

    Raises:
        ValueError: no canonical answer; the message lists every key with its problem.
    """
    value = _unquoted(value)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object")
    return read_answer(value)


def read_logged_answer(value: object) -> Answer:
    """Read a whole answer in any form: canonical, flat fields, a list of fields, a receipt; also as JSON in a string.

    Raises:
        ValueError: none of them, or one that does not map without loss; the message lists what has no place.
    """
    value = _unquoted(value)
    if _is_canonical(value):
        return read_answer(canonically_named(value))
    fields = _fields(value)
    if not fields:
        raise ValueError(f"{shown(value)} holds no field")
    return answer_of(fields)


def read_corrected_answer(output: object, correction: object, names: tuple[str, str]) -> Answer:
    """Read what a person made of an output: the correction wins, and what it leaves alone was looked at too.

    Args:
        output: what a model gave, in any form.
        correction: a whole answer, or the fields that were changed.
        names: what the log calls the two, for messages.

    Raises:
        ValueError: one of them cannot be read; the message says which.
    """
    output_name, correction_name = names
    with _named(correction_name):
        correction = _unquoted(correction)
        if _is_canonical(correction) or is_receipt(correction):
            return read_logged_answer(correction)
        changes = _fields(correction)
    with _named(output_name):
        output = _unquoted(output)
        before = read_logged_answer(output) if _is_canonical(output) else _fields(output, changes)
    if isinstance(before, Answer):
        with _named(correction_name):
            return changed(before, changes)
    return answer_of({**before, **changes})


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say in every message what was being read."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def declared_fault(answer: Answer) -> str | None:
    """What a reviewed answer itself says is wrong with the printed page; None where it says nothing."""
    summary = answer.validation_summary
    if summary is None or summary.is_valid or not summary.issues:
        return None
    return "; ".join(summary.issues)


def _unquoted(value: object) -> object:
    return parse_value(value.encode()) if isinstance(value, str) else value


def _is_canonical(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and "structured_data" in value


def _fields(value: object, corrected: Container[str] = ()) -> dict[str, Any]:
    """Flat fields under their known names, out of an object, a list of fields, or a receipt."""
    if isinstance(value, list):
        return with_known_names((_row_field(row) for row in value), corrected)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object and no list of fields")
    return with_known_names(_pairs(value), corrected)


def _pairs(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from receipt_fields(value) if is_receipt(value) else value.items()


def _row_field(row: object) -> tuple[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("field_name"), str):
        raise ValueError(f"{shown(row)} has no field_name")
    if "value" not in row:
        raise ValueError(f"{shown(row)} has no value")
    if unknown := sorted(row.keys() - _ROW_KEYS):
        raise ValueError(f"{shown(row)} has keys without a place in the answer: {', '.join(unknown)}"[:400])
    return row["field_name"], row["value"]
