"""A table with the meaning of its columns, for invoices and for declared document types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from data_tools.sources.tables.cells import Cell, CellFault, CellRow, CellTable, is_filled
from data_tools.sources.tables.columns import Columns, Question, header_score, match_columns
from data_tools.sources.tables.names import LINE_ITEM_PREFIX, column_key, strong_names
from data_tools.sources.tables.table_file import read_table
from data_tools.sources.tables.type_columns import (
    column_name,
    fields_of_columns,
    match_type_columns,
    type_header_score,
)
from data_tools.sources.tables.type_values import names_by_notation
from data_tools.sources.tables.values import Conventions, find_conventions
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import shown_path, table_of
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.money import parse_amount
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.table_source import TableSource

# The column with the document's page, which is not part of the answer.
FILE = "file"
# Fields of a document that line items have too.
_MOVABLE = ("tax_rate", "tax_amount")
# Fields without a place in a line item, although tables often have them beside one.
_DROPPED = ("tax_type", "discount", "charge")
_TOTALS = ("subtotal", "grand_total")


# Share of the documents; a smaller number of exceptions is treated as typing mistakes.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class KeyColumns:
    """Fields that identify a document.

    Attributes:
        number: field with its number; None without one.
        issuer: field with its issuer; None without one.
        number_name: name of the number in messages.
        number_key: key of the number in the project file.
    """

    number: str | None = "invoice_number"
    issuer: str | None = "vendor_name"
    number_name: str = "invoice number"
    number_key: str = "invoice_number"


@dataclass
class LoadedTable:
    """A table with the meaning of its columns.

    Attributes:
        table: the rows.
        columns: the columns by field.
        conventions: how dates and amounts are written.
        has_line_items: whether its rows are line items.
        questions: questions for the user about the columns.
        identity: the fields that identify a document.
    """

    table: CellTable
    columns: Columns
    conventions: Conventions
    has_line_items: bool = False
    questions: list[Question] = field(default_factory=list)
    identity: KeyColumns = KeyColumns()


def load_table(
    source: TableSource, date_order: DateOrder | None = None, document_type: DocumentType = INVOICE
) -> LoadedTable:
    """Read a table and find the meaning of its columns.

    Args:
        source: the table.
        date_order: order of dates in the project; a column that proves its own order has priority.
        document_type: the type of the documents.

    Raises:
        AdapterError: the table cannot be read, or a column of the project file is not in it.
        UsageError: the project file names a column for an unknown field.
    """
    if document_type is not INVOICE:
        return _load_typed(source, date_order, document_type)
    table = read_table(source.path, partial(header_score, source), source.sheet)
    columns = match_columns(table, source)
    questions = [*_nameless(columns, KeyColumns()), *columns.questions]
    groups = _same_documents(table, columns, KeyColumns())
    has_line_items = _has_line_items(columns, groups)
    if has_line_items:
        questions += _settle_line_columns(columns, groups)
    else:
        columns.fields = {
            name: index for name, index in columns.fields.items() if not name.startswith(LINE_ITEM_PREFIX)
        }
    values: dict[str, list[Cell]] = defaultdict(list)
    for name, index in columns.fields.items():
        values[name.removeprefix(LINE_ITEM_PREFIX)] += [row.cells[index] for row in table.rows if not row.fault]
    conventions = find_conventions(values, source.decimal_mark, date_order)
    return LoadedTable(table, columns, conventions, has_line_items, questions)


def _load_typed(source: TableSource, date_order: DateOrder | None, document_type: DocumentType) -> LoadedTable:
    """Read a table of a declared document type."""
    table = read_table(source.path, partial(type_header_score, source, document_type), source.sheet)
    columns = match_type_columns(table, source, document_type)
    identity = _identity(document_type)
    groups = _same_documents(table, columns, identity)
    found = columns.line_fields
    is_given = any(name.startswith(LINE_ITEM_PREFIX) for name in columns.given)
    has_line_items = bool(found) and (is_given or len(found) > 1 or _several_rows(columns, groups))
    if not has_line_items:
        columns.fields = {
            name: index for name, index in columns.fields.items() if not name.startswith(LINE_ITEM_PREFIX)
        }
    values = {name: [row.cells[index] for row in table.rows if not row.fault] for name, index in columns.fields.items()}
    names = names_by_notation(fields_of_columns(document_type))
    conventions = find_conventions(values, source.decimal_mark, date_order, names)
    questions = [*_nameless(columns, identity), *columns.questions]
    return LoadedTable(table, columns, conventions, has_line_items, questions, identity)


def _identity(document_type: DocumentType) -> KeyColumns:
    number, issuer = (document_type.by_role.get(role) for role in ("number", "issuer"))
    if number is None or table_of(number) is not None:
        return KeyColumns(None, None, "number", "")
    path = shown_path(number)
    return KeyColumns(column_name(number), column_name(issuer) if issuer else None, number.title or path, path)


def _same_documents(table: CellTable, columns: Columns, identity: KeyColumns) -> list[list[CellRow]]:
    """Return the rows grouped by document, in the order of their first rows."""
    groups: dict[tuple[str, ...], list[CellRow]] = defaultdict(list)
    for row in table.rows:
        if not row.fault and (key := _key(row, columns, identity)):
            groups[key].append(row)
    return list(groups.values())


def _key(row: CellRow, columns: Columns, identity: KeyColumns) -> tuple[str, ...]:
    """Return the key of a row's document: its file, otherwise its number and vendor; empty without both."""
    file, number, vendor = (cell_text(row, columns, name) for name in (FILE, identity.number, identity.issuer))
    if file:
        return (FILE, file.casefold())
    return ("number", number, vendor.casefold()) if number else ()


def cell_text(row: CellRow, columns: Columns, name: str | None) -> str:
    """Return the text of a cell by the name of its field; empty without one."""
    index = None if name is None else columns.fields.get(name)
    cell = row.cells[index] if index is not None and index < len(row.cells) else None
    return "" if cell is None or isinstance(cell, CellFault) else " ".join(str(cell).split())


def _has_line_items(columns: Columns, groups: Sequence[Sequence[CellRow]]) -> bool:
    """Return whether rows are line items: by the project file, by the columns, or because documents have several rows.

    A description without other columns may be a note about the document; then one row entered twice proves nothing.
    """
    found = columns.line_fields
    if any(name.startswith(LINE_ITEM_PREFIX) for name in columns.given):
        return True
    if "description" in found and {"unit_price", "total"} & found.keys():
        return True
    return _several_rows(columns, groups)


def _several_rows(columns: Columns, groups: Sequence[Sequence[CellRow]]) -> bool:
    """Return whether documents have several rows that differ in the columns of line items."""
    indexes = columns.line_fields.values()
    several = [rows for rows in groups if len({tuple(row.cells[index] for index in indexes) for row in rows}) > 1]
    return bool(indexes) and len(several) >= len(groups) * _LEAST_SHARE and bool(several)


def _settle_line_columns(columns: Columns, groups: Sequence[Sequence[CellRow]]) -> list[Question]:
    """Find the columns whose values differ between the rows of one document: those of line items.

    A tax that differs becomes that of line items; a discount or charge is dropped, because the answer has no place
    for it. A total that differs is a question, as is a tax that differs in fewer than half of the documents. A
    difference in very few documents is treated as a mistake.
    """
    several = [rows for rows in groups if len(rows) > 1]
    questions = []
    for name in (*_MOVABLE, *_DROPPED, *_TOTALS):
        index = columns.fields.get(name)
        if index is None or name in columns.given:
            continue
        varying = [
            rows
            for rows in several
            if len({_compared(row.cells[index]) for row in rows if is_filled(row.cells[index])}) > 1
        ]
        if not varying or len(varying) < len(several) * _LEAST_SHARE:
            continue
        inner = f"{LINE_ITEM_PREFIX}{name}"
        if name in _MOVABLE and inner not in columns.fields and len(varying) * 2 >= len(several):
            columns.fields[inner] = columns.fields.pop(name)
            continue
        if name not in _DROPPED:
            questions.append(_line_question(columns, name, index, varying[0]))
        del columns.fields[name]
    if f"{LINE_ITEM_PREFIX}tax_amount" in columns.fields and "tax_rate" in columns.fields:
        # If amounts belong to line items, their rates do too.
        columns.fields.setdefault(f"{LINE_ITEM_PREFIX}tax_rate", columns.fields.pop("tax_rate"))
    return questions


def _compared(cell: Cell) -> object:
    """Return a cell for comparison: 238 and 238,00 are equal."""
    try:
        return parse_amount(cell)
    except ValueError:
        return str(cell).strip()


def _line_question(columns: Columns, name: str, index: int, rows: Sequence[CellRow]) -> Question:
    column = columns.name(index)
    seen: dict[object, CellRow] = {}
    for row in rows:
        if is_filled(row.cells[index]):
            seen.setdefault(_compared(row.cells[index]), row)
    first, second = list(seen.values())[:2]
    one, other = first.cells[index], second.cells[index]
    hint = f'ignore: ["{column}"], or correct one of the lines'
    # A total with tax is never the net amount of a line item.
    may_be_line_total = name != "grand_total" or strong_names().get(column_key(column)) != name
    if may_be_line_total and f"{LINE_ITEM_PREFIX}total" not in columns.fields:
        hint = f'columns: {{line_items: {{total: "{column}"}}}} or {hint}'
    return Question(
        f"column {column!r} was matched to {name}, and differs between rows of one document: {one} in line "
        f"{first.line}, {other} in line {second.line}",
        hint,
    )


def check_columns(source: TableSource, loaded: LoadedTable) -> None:
    """Check that the columns of a table leave no question open.

    Raises:
        UsageError: the questions, each with the line of the project file that answers it.
    """
    location = f"{source.path}:{loaded.table.header_line}"
    if loaded.questions:
        raise UsageError(Problem(location, each.finding, f"in the source: {each.hint}") for each in loaded.questions)


def _nameless(columns: Columns, identity: KeyColumns) -> list[Question]:
    """Return the question which column identifies a document, if none does."""
    if columns.fields.keys() & {FILE, identity.number}:
        return []
    names = ", ".join(repr(name) for name in columns.header if name)[:600]
    finding = f"no column with the file or the {identity.number_name} of the document; the columns are: {names}"
    hint = 'columns: {file: "…"}'
    if identity.number_key:
        hint += f' or columns: {{{identity.number_key}: "…"}}'
    if not columns.fields:
        hint += "; or, if that row is not a header, add one above it in the table"
    return [Question(finding, hint)]
