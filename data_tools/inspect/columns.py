"""Show how the columns of a table would be read, so that a person can check it before a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from data_tools.sources.tables.cells import Cell, CellFault
from data_tools.sources.tables.columns import Question
from data_tools.sources.tables.documents import LoadedTable, load_table
from data_tools.sources.tables.names import LINE_ITEM_PREFIX
from data_tools.sources.tables.values import read_cell
from erniekit_adapter.errors import usage_error
from erniekit_adapter.project.table_source import LineItemColumns, TableColumns, TableSource

_EXAMPLES = 3
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
    path: Path, mapped: Sequence[str], ignore: Sequence[str], sheet: str | None, decimal_mark: str | None
) -> TableSource:
    """Make a source from a table and mappings such as `grand_total=Betrag`.

    Raises:
        UsageError: a mapping has another form, or names an unknown field.
    """
    columns: dict[str, Any] = {"line_items": {}}
    for item in mapped:
        name, sign, column = (part.strip() for part in item.partition("="))
        if not sign:
            raise usage_error("--map", f"{item!r} is not field=column", "write it as --map grand_total=Betrag")
        inner = columns["line_items"] if name.startswith(LINE_ITEM_PREFIX) else columns
        inner[name.removeprefix(LINE_ITEM_PREFIX)] = column
    given = {"kind": "table", "path": path, "columns": columns, "ignore": [*ignore]}
    try:
        return TableSource.model_validate({**given, "sheet": sheet, "decimal_mark": decimal_mark})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        fields = [name for name in TableColumns.model_fields if name != "line_items"]
        fields += [f"{LINE_ITEM_PREFIX}{name}" for name in LineItemColumns.model_fields]
        raise usage_error("columns", "; ".join(problems)[:500], f"the fields are {', '.join(fields)}") from error


def find_mapping(source: TableSource) -> Mapping:
    """Find the mapping of a table's columns, without looking for its pages.

    Raises:
        AdapterError: the table cannot be read, or a column that the source names is missing.
    """
    loaded = load_table(source)
    columns = loaded.columns
    matched = sorted(columns.fields.items(), key=lambda item: item[1])
    return Mapping(
        kind=loaded.table.kind,
        rows=len(loaded.table.rows),
        row_is="a line item" if loaded.has_line_items else "a document",
        matched=tuple(_use(loaded, place, name) for name, place in matched),
        unmatched=tuple(_use(loaded, place, "") for place in columns.unmatched),
        questions=tuple(loaded.questions),
        notes=loaded.table.notes,
        yaml=_yaml(source, loaded, [name for name, _ in matched]),
    )


def _use(loaded: LoadedTable, place: int, name: str) -> ColumnUse:
    cells = [row.cells[place] for row in loaded.table.rows if not row.fault]
    filled = dict.fromkeys(cell for cell in cells if cell is not None and str(cell).strip())
    examples = list(filled)[:_EXAMPLES]
    read = tuple(_read_as(name, cell, loaded) for cell in examples) if name else ()
    return ColumnUse(loaded.columns.name(place), name, tuple(map(_shown, examples)), read)


def _read_as(name: str, cell: Cell, loaded: LoadedTable) -> str:
    if name == "file":
        return _shown(cell)
    try:
        return _shown(read_cell(name.removeprefix(LINE_ITEM_PREFIX), cell, loaded.conventions))
    except (ValueError, ArithmeticError) as error:
        return f"not read: {error}"


def _shown(value: object) -> str:
    text = f"{value.cell_name}: {value.reason}" if isinstance(value, CellFault) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _yaml(source: TableSource, loaded: LoadedTable, names: list[str]) -> str:
    """Return the source with its complete mapping as YAML for a project file."""
    written = {name: _quoted(loaded, loaded.columns.fields[name]) for name in names}
    lines = ["data:", "  sources:", "    - kind: table", f"      path: {_text(str(source.path))}"]
    if source.documents is not None:
        lines.append(f"      documents: {_text(str(source.documents))}")
    if source.sheet is not None:
        lines.append(f"      sheet: {_text(source.sheet)}")
    if written:
        lines.append("      columns:")
    lines += [f"        {name}: {column}" for name, column in written.items() if not name.startswith(LINE_ITEM_PREFIX)]
    inner = {name.removeprefix(LINE_ITEM_PREFIX): name for name in written if name.startswith(LINE_ITEM_PREFIX)}
    if inner:
        lines.append("        line_items:")
    lines += [f"          {short}: {written[name]}" for short, name in inner.items()]
    return "\n".join(lines)


def _quoted(loaded: LoadedTable, place: int) -> str:
    name = loaded.columns.header[place]
    return _text(name if loaded.columns.header.count(name) == 1 else f"column {place + 1}")


def _text(text: str) -> str:
    """Return a text in double quotes as YAML."""
    return orjson.dumps(text.encode("utf-8", "replace").decode()).decode()
