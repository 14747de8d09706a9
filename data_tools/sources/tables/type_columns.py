"""Columns of a table and the fields of a declared document type, by the project file and then by names of fields."""

from __future__ import annotations

from collections.abc import Sequence

from data_tools.sources.declared.signs import is_mark, may_mean_direction, side
from data_tools.sources.tables.cells import Cell, CellTable
from data_tools.sources.tables.columns import Columns, Question, take_given, written_column
from data_tools.sources.tables.names import LINE_ITEM_PREFIX, column_key, strong_names
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import (
    FieldNames,
    inner_path,
    may_be_unit_price,
    name_key,
    shown_path,
    table_of,
)
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.table_source import TableSource
from erniekit_adapter.project.type_sources import FILE_COLUMN, column_problem, columns_hint

_SCORED_COLUMNS = 1_000
_MAX_NAME_CHARACTERS = 200


def column_name(field: Field) -> str:
    """Return the name of a field among the columns of a table: its path, or `line_items.total` for one of a row."""
    return f"{LINE_ITEM_PREFIX}{inner_path(field)}" if table_of(field) else field.path


def fields_of_columns(document_type: DocumentType) -> dict[str, Field]:
    """Return the fields that a table can have, by their names among its columns."""
    tables = (None, document_type.line_items)
    return {column_name(each): each for each in document_type.fields.values() if table_of(each) in tables}


def type_header_score(source: TableSource, document_type: DocumentType, cells: Sequence[Cell]) -> int:
    """Return the number of cells in a row that name a column, by the project file or by the names of fields."""
    given = {name_key(name) for name in (*source.columns.given().values(), *source.ignore)}
    names = {cell for cell in cells[:_SCORED_COLUMNS] if isinstance(cell, str) and cell.strip()}
    finder = _Finder(document_type)
    return sum(
        name_key(name) in given or finder.is_file(name) or any(finder.found(name))
        for name in names
        if len(name) <= _MAX_NAME_CHARACTERS
    )


def match_type_columns(table: CellTable, source: TableSource, document_type: DocumentType) -> Columns:
    """Find the column of each field of a declared type.

    Returns:
        The columns, with a question for each column with several meanings and each field with several columns.

    Raises:
        AdapterError: a column of the project file is not in the table.
        UsageError: the project file names an unknown field.
    """
    columns = Columns(table.header)
    take_given(columns, source, _given_fields(source, document_type))
    finder = _Finder(document_type)
    found: dict[str, list[int]] = {}
    either: list[tuple[int, Field, Field]] = []
    for index in columns.unmatched:
        name = columns.header[index]
        if not name:
            continue
        of_document, of_row = finder.found(name)
        if len(of_document) == 1 and len(of_row) == 1:
            either.append((index, of_document[0], of_row[0]))
        elif len(of_document) + len(of_row) > 1:
            columns.questions.append(_question(columns, index, [*of_document, *of_row]))
        elif of_document or of_row:
            found.setdefault(column_name((*of_document, *of_row)[0]), []).append(index)
        elif finder.is_file(name):
            found.setdefault(FILE_COLUMN, []).append(index)
    _take_named(columns, found, document_type)
    for index, document_field, row_field in either:
        _settle(columns, index, document_field, row_field)
    _ask_about_rows(columns, document_type)
    _ask_about_price(columns, document_type)
    _ask_about_signs(columns, document_type, table)
    return columns


class _Finder:
    """Finds the fields that a header can mean, in the document and in its rows."""

    def __init__(self, document_type: DocumentType) -> None:
        self.names = FieldNames(document_type)
        self.table = document_type.line_items

    def found(self, name: str) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        of_document = self.names.find(name)
        of_row = self.names.find(name, self.table) if self.table is not None else ()
        if not of_document and not of_row:
            of_row = tuple(each for each in self.names.qualified(name) if table_of(each) == self.table)
        return of_document, of_row

    def is_file(self, name: str) -> bool:
        return strong_names().get(column_key(name)) == FILE_COLUMN


def _given_fields(source: TableSource, document_type: DocumentType) -> dict[str, str]:
    names = FieldNames(document_type)
    fields: dict[str, str] = {}
    problems = []
    for name in source.columns.given():
        if finding := column_problem(document_type, name):
            problems.append(Problem(f"{source.path}: columns.{name}", finding, columns_hint(document_type)))
        else:
            fields[name] = name if name == FILE_COLUMN else column_name(names.by_path(name)[0])
    if problems:
        raise UsageError(problems)
    return fields


def _take_named(columns: Columns, found: dict[str, list[int]], document_type: DocumentType) -> None:
    """Assign each column whose name means one field; two columns for one field are a question."""
    fields = fields_of_columns(document_type)
    for name, indexes in found.items():
        if name in columns.fields:
            continue
        if len(indexes) == 1:
            columns.fields[name] = indexes[0]
            continue
        path = shown_path(fields[name]) if name in fields else name
        listed = [written_column(columns, index) for index in indexes]
        finding = f"{path}: {len(indexes)} columns have names of this field, {' and '.join(listed)}"
        columns.questions.append(Question(finding, f'columns: {{{path}: "{listed[0]}"}}'))


def _settle(columns: Columns, index: int, document_field: Field, row_field: Field) -> None:
    """Assign a column whose name means a field of the document and one of its rows, if other columns decide it."""
    names = column_name(document_field), column_name(row_field)
    free = [name for name in names if name not in columns.fields]
    if len(free) == 2 and columns.line_fields:
        columns.questions.append(_question(columns, index, [document_field, row_field]))
    elif free and (free[0] == names[0] or columns.line_fields):
        columns.fields[free[0]] = index


def _ask_about_rows(columns: Columns, document_type: DocumentType) -> None:
    """Ask about amounts of rows without a description: a list of documents has their sums under the same names."""
    description = document_type.by_role.get("description")
    names = {"description", "quantity", "unit_price"}
    if description is None or any(
        each.role in names and column_name(each) in columns.fields for each in document_type.fields.values()
    ):
        return
    for name, each in fields_of_columns(document_type).items():
        if each.kind == "amount" and table_of(each) and name in columns.fields and name not in columns.given:
            column = written_column(columns, columns.fields[name])
            finding = f"column {column!r} can be {shown_path(each)}, or the sum of a document: no column has its rows"
            hint = f'columns: {{{shown_path(each)}: "{column}"}} or another field, or ignore: ["{column}"]'
            columns.questions.append(Question(finding, hint))


def _ask_about_price(columns: Columns, document_type: DocumentType) -> None:
    """Ask whether a column of prices beside one of quantities has prices of one piece or of all."""
    quantity, price, total = (document_type.by_role.get(role) for role in ("quantity", "unit_price", "line_total"))
    if quantity is None or price is None or total is None or column_name(total) in columns.given:
        return
    index = columns.fields.get(column_name(total))
    others = column_name(quantity) in columns.fields and column_name(price) not in columns.fields
    if index is not None and others and may_be_unit_price(document_type, total, columns.header[index]):
        columns.questions.append(_question(columns, index, [price, total]))


def _ask_about_signs(columns: Columns, document_type: DocumentType, table: CellTable) -> None:
    """Ask about columns that have the direction of signed amounts: without it, money paid out is read as paid in."""
    amount = document_type.by_role.get("line_total")
    if amount is None or not amount.is_signed or not columns.line_fields:
        return
    index = columns.fields.get(column_name(amount))
    if index is not None and any(_is_negative(row.cells[index]) for row in table.rows if not row.fault):
        return
    totals = {
        index for name, index in columns.fields.items() if name not in columns.given and side(columns.header[index])
    }
    for column in sorted({*columns.unmatched, *totals}):
        name = columns.header[column]
        cells = (row.cells[column] for row in table.rows if not row.fault)
        if side(name) or (is_mark(name) and any(map(may_mean_direction, cells))):
            written = written_column(columns, column)
            finding = f"column {written!r} has the direction of {shown_path(amount)}, which is negative if paid out"
            hint = f'write signed amounts in one column of the table, and ignore: ["{written}"]'
            columns.questions.append(Question(finding, hint))


def _is_negative(cell: Cell) -> bool:
    return str(cell).strip().startswith(("-", "−", "(")) or str(cell).strip().endswith("-")


def _question(columns: Columns, index: int, fields: Sequence[Field]) -> Question:
    column = written_column(columns, index)
    paths = [shown_path(each) for each in fields]
    choices = " or ".join(f'columns: {{{path}: "{column}"}}' for path in paths)
    return Question(f"column {column!r} can mean {' or '.join(paths)}", f'{choices} or ignore: ["{column}"]')
