"""Right answers of a declared document type in JSON: whole answers, contents, and flat or nested fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.canonical import unquoted
from data_tools.sources.answers.objects import fault_of, language_of, row_field
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.declared.content import GivenFields, GivenRow, nothing_found
from data_tools.sources.declared.signed_rows import with_sign
from data_tools.sources.declared.values import is_absent
from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.field_names import FieldNames, name_key
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.rules.context import values_at

# Keys about the answer itself.
_BESIDE = frozenset({"fault", "complete", "language", "confidence_scores"})
_WRAPPED_VALUE = frozenset({
    "value", "text", "content", "confidence", "score", "bbox", "box", "page", "polygon", "field_name", "amount",
    "currency", "currency_code", "data", "confidenceLevel", "confidence_level", "regions",
})  # fmt: skip
_VALUES = ("value", "amount", "text", "content", "data")
_CURRENCIES = ("currency", "currency_code")
_Pairs = Iterator[tuple[tuple[str, ...], Any]]


def read_declared(value: object, settings: ReadSettings) -> GroundTruth:
    """Read the right answer of a document of a declared type.

    Args:
        value: the whole answer, its content, fields under other names, a list of `field_name` and `value`, or one of
            these as JSON in a string.
        settings: statements of the project about the source, with the type.

    Raises:
        ValueError: the value has no field of the type, or values that cannot be read; the message names each.
    """
    value = unquoted(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "field_name" not in value[0]:
        value = value[0]
    if isinstance(value, list):
        given = given_fields(value, settings)
        answer, unused = _read(given, settings, [row["field_name"] for row in value])
        return GroundTruth(answer, "list of fields", unused)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not an object or a list of fields")
    answer, kind, unused = _whole_or_fields(value, settings)
    own = FieldNames(settings.document_type).is_own
    stated = {name: part for name, part in value.items() if name in _BESIDE and not own(name)}
    return GroundTruth(
        answer,
        kind,
        unused,
        fault=fault_of(stated.get("fault")),
        complete=stated.get("complete") is True,
        language=language_of(stated.get("language")),
    )


def given_fields(value: object, settings: ReadSettings) -> GivenFields:
    """Return the fields in an object or a list of fields.

    Raises:
        ValueError: the value is neither.
    """
    given = GivenFields(FieldNames(settings.document_type, settings.labels))
    if isinstance(value, list):
        for row in value:
            name, part = row_field(row)
            _add(given, _pairs({name: part}, given.names), given.values)
    elif isinstance(value, dict):
        _add(given, _pairs(value, given.names), given.values)
    else:
        raise ValueError(f"{shown(value)} is not an object or a list of fields")
    return given


def is_envelope(value: object, document_type: DocumentType) -> bool:
    """Return whether an object is a whole answer: with the key of the content or of the verdict."""
    if not isinstance(value, dict):
        return False
    key, verdict = document_type.content_key, document_type.verdict
    return isinstance(value.get(key), dict) if key is not None else verdict is not None and verdict.key in value


def is_own_structure(value: object, document_type: DocumentType) -> bool:
    """Return whether an object is an answer of the type, or has only keys of its content."""
    names = FieldNames(document_type)
    return is_envelope(value, document_type) or (
        isinstance(value, dict) and bool(value) and all(names.is_own(name) or name in _BESIDE for name in value)
    )


def content_in(value: Any, document_type: DocumentType) -> Any:
    """Return the content in a whole answer; other values unchanged."""
    if not isinstance(value, dict) or not is_envelope(value, document_type):
        return value
    if document_type.content_key is not None:
        return value[document_type.content_key]
    return {name: part for name, part in value.items() if name != _verdict_key(document_type)}


def _whole_or_fields(value: dict[str, Any], settings: ReadSettings) -> tuple[AnyAnswer, str, tuple[str, ...]]:
    document_type = settings.document_type
    own = FieldNames(document_type).is_own
    known = {name: part for name, part in value.items() if own(name) or not _is_beside(name, part, document_type)}
    content, verdict, beside = known, None, []
    if is_envelope(value, document_type):
        if document_type.content_key is not None:
            beside = [name for name in known if name not in (document_type.content_key, _verdict_key(document_type))]
        content = content_in(known, document_type)
        verdict = value.get(_verdict_key(document_type))
        whole = _wrapped(document_type, content, verdict)
        if _is_in_notation(content, document_type):
            try:
                return document_type.read(whole), f"answer of {document_type.name}", tuple(beside)
            except ValueError:
                # Other names or spellings inside the answer.
                pass
    given = given_fields(content, settings)
    answer, unused = _read(given, settings, content)
    if verdict is not None:
        answer = document_type.read(_wrapped(document_type, document_type.content_of(answer), verdict))
    return answer, "fields", (*beside, *unused)


def _is_beside(name: str, value: object, document_type: DocumentType) -> bool:
    """Return whether a key is about the answer, or names the type of the document."""
    if name == "document_type" and isinstance(value, str):
        return name_key(value) in (name_key(document_type.name), name_key(document_type.title))
    return name in _BESIDE


def _verdict_key(document_type: DocumentType) -> str:
    return document_type.verdict.key if document_type.verdict else ""


def _wrapped(document_type: DocumentType, content: Mapping[str, Any], verdict: Any) -> dict[str, Any]:
    whole = document_type.wrapped(content)
    return whole if verdict is None else {**whole, _verdict_key(document_type): verdict}


def _is_in_notation(content: Mapping[str, Any], document_type: DocumentType) -> bool:
    """Return whether every number is written as the type writes it; a text could have other decimal marks."""
    for each in document_type.fields.values():
        if each.kind in NUMBER_KINDS and not each.is_text:
            for value in values_at(content, each.path):
                if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
                    return False
    return True


def _read(given: GivenFields, settings: ReadSettings, keys: Any) -> tuple[AnyAnswer, tuple[str, ...]]:
    if given.is_empty:
        raise nothing_found(settings, keys)
    return given.answer(settings)


def _pairs(
    value: Mapping[str, Any], names: FieldNames, table: str | None = None, parents: tuple[str, ...] = ()
) -> _Pairs:
    """Yield each value of an object or a row with the keys that lead to it; lists are not entered."""
    for key, part in value.items():
        path = (*parents, key)
        if not isinstance(part, dict) or not part or _is_wrapped_value(part, path, names, table):
            yield path, part
        elif table is None and _table_named(names, path) is not None:
            yield path, [part]
        else:
            yield from _pairs(part, names, table, path)


def _is_wrapped_value(part: Mapping[str, Any], path: tuple[str, ...], names: FieldNames, table: str | None) -> bool:
    """Return whether an object is one value with its confidence, position or currency."""
    has_value = any(name in part for name in _VALUES)
    return has_value and part.keys() <= _WRAPPED_VALUE and len(_named(names, path, table)) == 1


def _named(names: FieldNames, path: tuple[str, ...], table: str | None) -> tuple[Field, ...]:
    """Return the field that the keys leading to a value name; several if they can mean each of them.

    An object whose name is neutral, such as `data`, may be left out. Other objects change the meaning: the name of a
    customer is not that of a vendor.
    """
    for start in range(len(path)):
        if found := names.find(".".join(path[start:]), table):
            return found
        if not names.is_neutral(path[start]):
            break
    return ()


def _table_named(names: FieldNames, path: tuple[str, ...]) -> str | None:
    for start in range(len(path)):
        if (table := names.table(".".join(path[start:]))) is not None:
            return table
        if not names.is_neutral(path[start]):
            break
    return None


def _add(given: GivenFields, pairs: _Pairs, values: GivenRow, table: str | None = None) -> None:
    """Add values to the document, or to a row of a table."""
    for path, value in pairs:
        location = ".".join(path) if table is None else f"{table}[].{'.'.join(path)}"
        found, rows = _named(given.names, path, table), _rows(value)
        inner = _table_named(given.names, path) if table is None and rows is not None else None
        if inner is not None and rows is not None:
            given.rows.setdefault(inner, []).append([_row(given, row, inner) for row in rows])
        elif isinstance(value, dict) and len(found) == 1:
            _add_wrapped(given, values, found, value, location)
        else:
            given.put_found(values, found, value, location)


def _rows(value: Any) -> list[dict[str, Any]] | None:
    """Return the rows in a list of objects, also in an empty one; None for other values."""
    return value if isinstance(value, list) and all(isinstance(row, dict) for row in value) else None


def _row(given: GivenFields, row: Mapping[str, Any], table: str) -> GivenRow:
    found: GivenRow = {}
    _add(given, _pairs(with_sign(row, given.names, table), given.names, table), found, table)
    return found


def _add_wrapped(
    given: GivenFields, values: GivenRow, found: tuple[Field, ...], value: Mapping[str, Any], location: str
) -> None:
    """Add the value in an object with its confidence, and the currency of an amount."""
    name = next((name for name in _VALUES if name in value), None)
    given.put_found(values, found, None if name is None else value[name], location)
    for key in _CURRENCIES:
        if (currency := given.names.with_role("currency")) is not None and not is_absent(value.get(key)):
            given.put(given.values, currency, value[key], f"{location}.{key}")
