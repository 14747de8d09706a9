"""Canonical answers that are already written as such, in ready training examples and reviewed logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from data_tools.sources.files.json_values import parse_value, shown
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType


def unquoted(value: object) -> object:
    """Return a value, parsed if it is JSON in a string.

    Raises:
        ValueError: the string is not JSON.
    """
    return parse_value(value.encode()) if isinstance(value, str) else value


@contextmanager
def errors_named(name: str) -> Iterator[None]:
    """Add the name of a value to error messages about it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def read_written_answer(document_type: DocumentType, value: object) -> AnyAnswer:
    """Read an answer that is written as the model must write it: an object, or JSON in a string.

    Raises:
        ValueError: the value is not a canonical answer; the message lists every key with its problem.
    """
    value = unquoted(value)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not an object")
    return document_type.read(value)


def declared_fault(document_type: DocumentType, answer: AnyAnswer) -> str | None:
    """Return the fault of the printed page that a reviewed answer states; None if it states none."""
    summary = document_type.claimed_summary(answer)
    if summary is None or summary.is_valid or not summary.issues:
        return None
    return "; ".join(summary.issues)
