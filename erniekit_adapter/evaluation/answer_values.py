"""Comparable values of an answer: fields by path, lists of values, and rows of tables.

The places of the values in an answer's model are found once for each document type, so that reading an answer only
follows attributes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel

from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.fields import Field

Value = str | Decimal | date | bool
Cells = tuple[Value | None, ...]
# Attributes from a part of an answer to a value in it.
_Steps = tuple[str, ...]


@dataclass(frozen=True)
class ValuePlace:
    """Place of a value, or of a list of values: its name in scores, the attributes that lead to it, its default."""

    name: str
    steps: _Steps
    default: str | None = None


@dataclass(frozen=True)
class TablePlace:
    """Place of a table: its path, the attributes that lead to its rows, and the places of the values in a row."""

    path: str
    steps: _Steps
    columns: tuple[ValuePlace, ...]


@dataclass(frozen=True)
class AnswerPlaces:
    """Places of everything that is scored in the answers of a document type."""

    fields: tuple[ValuePlace, ...]
    lists: tuple[ValuePlace, ...]
    tables: tuple[TablePlace, ...]


@dataclass(frozen=True)
class AnswerValues:
    """Values of one answer in normal form, without missing ones.

    Attributes:
        fields: values outside of lists, by name.
        lists: lists of values, by name, in any order.
        tables: rows that are not empty, by table, sorted: their order in the answer must not change a figure.
    """

    fields: Mapping[str, Value] = field(default_factory=dict)
    lists: Mapping[str, list[Value]] = field(default_factory=dict)
    tables: Mapping[str, list[Cells]] = field(default_factory=dict)


def scored_name(path: str) -> str:
    """Return the name of a field in scores: `items.total` for `items[].total`."""
    return path.replace("[]", "")


def is_scored(field: Field) -> bool:
    """Return whether the values of a field are scored: those that a page can show, and few others."""
    return field.is_printed or field.is_scored


@lru_cache(maxsize=64)
def answer_places(document_type: DocumentType) -> AnswerPlaces:
    """Return the places of all scored values in the answers of a type."""
    prefix = "" if document_type.content_key is None else f"{document_type.content_key}."
    fields, lists = [], []
    columns: dict[str, list[ValuePlace]] = {table: [] for table in document_type.tables}
    tables = {table: _steps(document_type.model, f"{prefix}{table}[]")[0] for table in document_type.tables}
    for each in filter(is_scored, document_type.fields.values()):
        steps, of_row = _steps(document_type.model, f"{prefix}{each.path}")
        name = scored_name(each.path)
        if each.table is None:
            fields.append(ValuePlace(name, steps, each.default))
        elif each.table in columns:
            columns[each.table].append(ValuePlace(name, of_row, each.default))
        else:
            lists.append(ValuePlace(name, steps))
    places = (TablePlace(table, tables[table], tuple(found)) for table, found in columns.items())
    return AnswerPlaces(tuple(fields), tuple(lists), tuple(places))


def answer_values(document_type: DocumentType, answer: AnyAnswer | None) -> AnswerValues:
    """Return the values of an answer; without an answer, none."""
    if answer is None:
        return AnswerValues()
    places = answer_places(document_type)
    fields, lists = {}, {}
    for place in places.fields:
        if (value := _normal_at(answer, place)) is not None:
            fields[place.name] = value
    for place in places.lists:
        found = [normal for value in _at(answer, place.steps) or () if (normal := normalized(value)) is not None]
        if found:
            lists[place.name] = found
    tables = {table.path: _rows(_at(answer, table.steps) or (), table.columns) for table in places.tables}
    return AnswerValues(fields, lists, tables)


def normalized(value: object) -> Value | None:
    """Return a value for comparison: numbers by value, text in NFKC with single blanks; None for blank text."""
    if isinstance(value, str):
        text = value if value.isascii() else unicodedata.normalize("NFKC", value)
        return " ".join(text.split()) or None
    if isinstance(value, Decimal):
        return value.normalize()
    if value is None or isinstance(value, (bool, date)):
        return value
    raise TypeError(f"cannot compare a field of type {type(value).__name__}")


def _rows(rows: Any, columns: tuple[ValuePlace, ...]) -> list[Cells]:
    cells = [tuple(_normal_at(row, column) for column in columns) for row in rows]
    filled = [row for row in cells if any(cell is not None for cell in row)]
    return sorted(filled, key=lambda row: [(cell is not None, str(cell)) for cell in row])


def _normal_at(part: BaseModel, place: ValuePlace) -> Value | None:
    found = _at(part, place.steps)
    if found is None or (normal := normalized(found)) == place.default:
        return None
    return normal


def _at(part: object, steps: _Steps) -> Any:
    for step in steps:
        if part is None:
            return None
        part = getattr(part, step)
    return part


def _steps(model: type[BaseModel], path: str) -> tuple[_Steps, _Steps]:
    """Return the attributes that lead to a path: those before the rows of a list, and those in a row."""
    steps: tuple[list[str], list[str]] = ([], [])
    in_row, part = 0, model
    for key in path.split("."):
        name = key.removesuffix("[]")
        found = next(attribute for attribute, info in part.model_fields.items() if name == (info.alias or attribute))
        steps[in_row].append(found)
        part = _inner_model(part.model_fields[found].annotation) or part
        in_row += key.endswith("[]")
    return tuple(steps[0]), tuple(steps[1])


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as `list[Row] | None`; None for values."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _inner_model(inner))), None)
