"""Show how the columns of a table would be read, so that a person can check it before a build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as FieldsByName
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from data_tools.sources.tables.cells import Cell, CellFault
from data_tools.sources.tables.columns import Question
from data_tools.sources.tables.loaded_table import LoadedTable, load_table
from data_tools.sources.tables.names import LINE_ITEM_PREFIX
from data_tools.sources.tables.type_columns import fields_of_columns
from data_tools.sources.tables.type_values import read_type_cell
from data_tools.sources.tables.values import read_cell
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import inner_path, shown_path, table_of
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import usage_error
from erniekit_adapter.project.table_source import LineItemColumns, TableColumns, TableSource

# Fields of a declared type by their names among the columns; empty for invoices.
Fields = FieldsByName[str, Field]
_EXAMPLES = 3
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z_.]*")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class ColumnUse:
    """A column with the field it fills, examples of its cells, and the values read from them."""

    column: str
    field: str
    examples: tuple[str, ...]
    read_as: tuple[str, ...]


@dataclass(frozen=True)
class Mapping:
    """The mapping of a table's columns.

    Attributes:
        kind: kind of the file.
        rows: number of rows below the header.
        row_is: meaning of a row.
        matched: columns that map to a field.
        unmatched: columns that are not used, with examples.
        questions: questions that only a person can answer.
        notes: notes on how the file was read.
        yaml: the mapping as YAML for the project file.
    """

    kind: str
    rows: int
    row_is: str
    matched: tuple[ColumnUse, ...]
    unmatched: tuple[ColumnUse, ...]
    questions: tuple[Question, ...]
    notes: tuple[str, ...]
    yaml: str


def table_source(
    path: Path,
    mapped: Sequence[str],
    ignore: Sequence[str],
    sheet: str | None,
    decimal_mark: str | None,
    document_type: DocumentType = INVOICE,
) -> TableSource:
    """Make a source from a table and mappings such as `grand_total=Betrag`.

    Raises:
        UsageError: a mapping has another form, or names an unknown field.
    """
    is_invoice = document_type is INVOICE
    columns: dict[str, Any] = {"line_items": {}} if is_invoice else {}
    for item in mapped:
        name, sign, column = (part.strip() for part in item.partition("="))
        if not sign:
            raise usage_error("--map", f"{item!r} is not field=column", "write it as --map grand_total=Betrag")
        is_inner = is_invoice and name.startswith(LINE_ITEM_PREFIX)
        inner = columns["line_items"] if is_inner else columns
        inner[name.removeprefix(LINE_ITEM_PREFIX) if is_inner else name] = column
    given = {"kind": "table", "path": path, "columns": columns, "ignore": [*ignore]}
    try:
        source = TableSource.model_validate({**given, "sheet": sheet, "decimal_mark": decimal_mark})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise usage_error("columns", "; ".join(problems)[:500], _fields_hint()) from error
    if is_invoice and (unknown := source.columns.unknown()):
        raise usage_error("columns", f"no such field: {', '.join(unknown)}"[:500], _fields_hint())
    return source


def _fields_hint() -> str:
    fields = [name for name in TableColumns.model_fields if name != "line_items"]
    fields += [f"{LINE_ITEM_PREFIX}{name}" for name in LineItemColumns.model_fields]
    return f"the fields are {', '.join(fields)}"


def find_mapping(source: TableSource, document_type: DocumentType = INVOICE) -> Mapping:
    """Find the mapping of a table's columns, without looking for its pages.

    Args:
        source: the table.
        document_type: the type of its documents.

    Raises:
        AdapterError: the table cannot be read, or a column that the source names is missing.
        UsageError: the source names a column for an unknown field.
    """
    loaded = load_table(source, document_type=document_type)
    fields = {} if document_type is INVOICE else fields_of_columns(document_type)
    columns = loaded.columns
    matched = sorted(columns.fields.items(), key=lambda item: item[1])
    return Mapping(
        kind=loaded.table.kind,
        rows=len(loaded.table.rows),
        row_is="a line item" if loaded.has_line_items else "a document",
        matched=tuple(_use(loaded, place, name, fields) for name, place in matched),
        unmatched=tuple(_use(loaded, place, "", fields) for place in columns.unmatched),
        questions=tuple(loaded.questions),
        notes=loaded.table.notes,
        yaml=_yaml(source, loaded, [name for name, _ in matched], fields),
    )


def _use(loaded: LoadedTable, place: int, name: str, fields: Fields) -> ColumnUse:
    cells = [row.cells[place] for row in loaded.table.rows if not row.fault]
    filled = dict.fromkeys(cell for cell in cells if cell is not None and str(cell).strip())
    examples = list(filled)[:_EXAMPLES]
    read = tuple(_read_as(name, cell, loaded, fields.get(name)) for cell in examples) if name else ()
    shown_name = shown_path(fields[name]) if name in fields else name
    return ColumnUse(loaded.columns.name(place), shown_name, tuple(map(_shown, examples)), read)


def _read_as(name: str, cell: Cell, loaded: LoadedTable, field: Field | None) -> str:
    if name == "file":
        return _shown(cell)
    try:
        if field is not None:
            return _shown(read_type_cell(field, cell, loaded.conventions, name))
        return _shown(read_cell(name.removeprefix(LINE_ITEM_PREFIX), cell, loaded.conventions))
    except (ValueError, ArithmeticError) as error:
        return f"not read: {error}"


def _shown(value: object) -> str:
    text = f"{value.cell_name}: {value.reason}" if isinstance(value, CellFault) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _yaml(source: TableSource, loaded: LoadedTable, names: list[str], fields: Fields) -> str:
    """Return the source with its complete mapping as YAML for a project file."""
    if fields:
        return "\n".join([*_yaml_head(source), *_yaml_of_type(loaded, names, fields)])
    written = {name: _quoted(loaded, loaded.columns.fields[name]) for name in names}
    lines = _yaml_head(source)
    if written:
        lines.append("      columns:")
    lines += [f"        {name}: {column}" for name, column in written.items() if not name.startswith(LINE_ITEM_PREFIX)]
    inner = {name.removeprefix(LINE_ITEM_PREFIX): name for name in written if name.startswith(LINE_ITEM_PREFIX)}
    if inner:
        lines.append("        line_items:")
    lines += [f"          {short}: {written[name]}" for short, name in inner.items()]
    return "\n".join(lines)


def _yaml_head(source: TableSource) -> list[str]:
    lines = ["data:", "  sources:", "    - kind: table", f"      path: {_text(str(source.path))}"]
    if source.documents is not None:
        lines.append(f"      documents: {_text(str(source.documents))}")
    if source.sheet is not None:
        lines.append(f"      sheet: {_text(source.sheet)}")
    return lines


def _yaml_of_type(loaded: LoadedTable, names: Iterable[str], fields: Fields) -> Iterator[str]:
    """Yield the columns of a declared type's fields, those of rows below the key of their table."""
    columns = [(fields.get(name), name, _quoted(loaded, loaded.columns.fields[name])) for name in names]
    if columns:
        yield "      columns:"
    for field, name, column in columns:
        if field is None or table_of(field) is None:
            yield f"        {_key(shown_path(field) if field else name)}: {column}"
    rows = [(field, column) for field, _, column in columns if field is not None and table_of(field) is not None]
    if rows:
        yield f"        {_key(str(table_of(rows[0][0])))}:"
    for field, column in rows:
        yield f"          {_key(inner_path(field))}: {column}"


def _quoted(loaded: LoadedTable, place: int) -> str:
    name = loaded.columns.header[place]
    return _text(name if loaded.columns.header.count(name) == 1 else f"column {place + 1}")


def _key(name: str) -> str:
    """Return a key as YAML, in quotes if it has other characters than ASCII letters, underscores and points."""
    return name if _PLAIN_KEY.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """Return a text in double quotes as YAML."""
    return orjson.dumps(text.encode("utf-8", "replace").decode()).decode()
