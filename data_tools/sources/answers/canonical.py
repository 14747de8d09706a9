"""Canonical answers that are already written as such, in ready training examples and reviewed logs."""

from __future__ import annotations

from data_tools.sources.files.json_values import parse_value, shown
from erniekit_adapter.documents.invoice.answer import Answer, read_answer


def unquoted(value: object) -> object:
    """Return a value, parsed if it is JSON in a string.

    Raises:
        ValueError: the string is not JSON.
    """
    return parse_value(value.encode()) if isinstance(value, str) else value


def read_written_answer(value: object) -> Answer:
    """Read a canonical answer that is an object, or JSON in a string.

    Raises:
        ValueError: the value is not a canonical answer; the message lists every key with its problem.
    """
    value = unquoted(value)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not an object")
    return read_answer(value)


def declared_fault(answer: Answer) -> str | None:
    """Return the fault of the printed page that a reviewed answer states; None if it states none."""
    summary = answer.validation_summary
    if summary is None or summary.is_valid or not summary.issues:
        return None
    return "; ".join(summary.issues)
