"""Ground truth files in every known shape, read as an answer of the project's document type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_tools.sources.answers.canonical import unquoted
from data_tools.sources.answers.field_names import check_labels
from data_tools.sources.answers.flat_fields import read_fields, with_known_names
from data_tools.sources.answers.objects import flat_pairs, read_object
from data_tools.sources.answers.truth import DEFAULT, GroundTruth, ReadSettings
from data_tools.sources.declared.objects import read_declared
from data_tools.sources.files.json_values import shown
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.shapes.shape import Shape
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import field_list, unknown_labels
from erniekit_adapter.documents.invoice.answer import Answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import usage_error


def read_ground_truth(value: object, settings: ReadSettings = DEFAULT) -> GroundTruth:
    """Read the right answer of a document: a whole answer, flat or nested fields, or a shape of the registry.

    Args:
        value: an object, a list of `field_name` and `value`, or one of these as JSON in a string.
        settings: statements of the project about the source.

    Raises:
        ValueError: the value has no field of the document type, or values that cannot be read; the message names each.
    """
    value = unquoted(value)
    if settings.document_type is not INVOICE:
        shape = recognise(value, settings.document_type)
        return _read_shape(shape, value, settings) if shape else read_declared(value, settings)
    if shape := recognise(value):
        return with_currency(_read_shape(shape, value, settings), settings.currency)
    if isinstance(value, list):
        return _from_rows(value, settings)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not an object or a list of fields")
    return with_currency(read_object(value, settings), settings.currency)


def check_source_labels(labels: Mapping[str, str], path: Path, document_type: DocumentType) -> None:
    """Check that the labels of a source name fields of the document type.

    Raises:
        UsageError: a label names no field.
    """
    if document_type is INVOICE:
        check_labels(labels, path)
    elif unknown := unknown_labels(document_type, labels):
        hint = f"the fields are {field_list(document_type.fields.values())}"
        raise usage_error(f"labels of {path}", f"no such field: {', '.join(unknown)[:300]}", hint)


def _read_shape(shape: Shape, value: object, settings: ReadSettings) -> GroundTruth:
    try:
        return shape.read(value, settings)
    except (AttributeError, KeyError, TypeError) as error:
        # The functions of a shape rely on the types of its values.
        raise ValueError(f"{shape.name}: a part does not have the type that this shape has: {error}"[:300]) from error


def with_currency(truth: GroundTruth, currency: str | None) -> GroundTruth:
    """Return the ground truth with the currency of the source, if its amounts have none."""
    if currency is None:
        return truth
    if not isinstance(truth.answer, Answer):
        return truth
    summary = truth.answer.structured_data.financial_summary
    if summary is None or summary.currency is not None:
        return truth
    data = truth.answer.structured_data.model_copy(
        update={"financial_summary": summary.model_copy(update={"currency": currency})}
    )
    return replace(truth, answer=truth.answer.model_copy(update={"structured_data": data}))


def _from_rows(rows: list[Any], settings: ReadSettings) -> GroundTruth:
    if len(rows) == 1 and isinstance(rows[0], dict) and "field_name" not in rows[0]:
        return read_ground_truth(rows[0], settings)
    pairs, keys = flat_pairs(rows, settings)
    if not pairs:
        raise ValueError(f"{shown(rows)} has no field")
    answer, more = read_fields(with_known_names(pairs), settings)
    return GroundTruth(answer, "list of fields", (*keys, *more))
