"""Documents of a table: rows grouped by document, with their pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from data_tools.records import Rejection
from data_tools.sources.tables.cells import Cell, CellFault, CellRow, CellTable, is_filled
from data_tools.sources.tables.columns import Columns, Question, header_score, match_columns
from data_tools.sources.tables.names import LINE_ITEM_PREFIX, column_key, strong_names
from data_tools.sources.tables.pages import PageFolder, find_by_number, find_files, list_pages
from data_tools.sources.tables.table_file import read_table
from data_tools.sources.tables.values import Conventions, find_conventions
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.money import parse_amount
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.table_source import TableSource

# Columns that identify a document; the file is not part of the answer.
_FILE = "file"
_KEYS = (_FILE, "invoice_number")
# Fields of a document that line items have too.
_MOVABLE = ("tax_rate", "tax_amount")
# Fields without a place in a line item, although tables often have them beside one.
_DROPPED = ("tax_type", "discount", "charge")
_TOTALS = ("subtotal", "grand_total")


# Share of the documents; a smaller number of exceptions is treated as typing mistakes.
_LEAST_SHARE = 0.1
_NAMELESS = "has no file and no invoice number: give one of them in every row"
# The pages of a document, as paths relative to their folder.
Files = tuple[str, ...]


@dataclass(frozen=True)
class DocumentRow:
    """A row of a document: its cells by field, those of line items without their prefix."""

    line: int
    fields: Mapping[str, Cell]
    line_item: Mapping[str, Cell]


@dataclass(frozen=True)
class TableDocument:
    """The rows of one document, with its pages.

    Attributes:
        document_id: path of its first page relative to the folder, or its number.
        rows: its rows in order.
        folder: folder of its pages.
        files: its pages, as paths relative to the folder.
        unused: columns with a value and without a place in the answer, and notes about the table.
    """

    document_id: str
    rows: tuple[DocumentRow, ...]
    folder: Path
    files: Files
    unused: tuple[str, ...]


@dataclass
class LoadedTable:
    """A table with the meaning of its columns.

    Attributes:
        table: the rows.
        columns: the columns by field.
        conventions: how dates and amounts are written.
        has_line_items: whether its rows are line items.
        questions: questions for the user about the columns.
    """

    table: CellTable
    columns: Columns
    conventions: Conventions
    has_line_items: bool = False
    questions: list[Question] = field(default_factory=list)


def load_table(source: TableSource, date_order: DateOrder | None = None) -> LoadedTable:
    """Read a table and find the meaning of its columns.

    Args:
        source: the table.
        date_order: order of dates in the project; a column that proves its own order has priority.

    Raises:
        AdapterError: the table cannot be read, or a column of the project file is not in it.
    """
    table = read_table(source.path, partial(header_score, source), source.sheet)
    columns = match_columns(table, source)
    questions = [*_nameless(columns), *columns.questions]
    groups = _same_documents(table, columns)
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


def _same_documents(table: CellTable, columns: Columns) -> list[list[CellRow]]:
    """Return the rows grouped by document, in the order of their first rows."""
    groups: dict[tuple[str, ...], list[CellRow]] = defaultdict(list)
    for row in table.rows:
        if not row.fault and (key := _key(row, columns)):
            groups[key].append(row)
    return list(groups.values())


def _key(row: CellRow, columns: Columns) -> tuple[str, ...]:
    """Return the key of a row's document: its file, otherwise its number and vendor; empty without both."""
    file, number, vendor = (_text(row, columns, name) for name in (*_KEYS, "vendor_name"))
    if file:
        return (_FILE, file.casefold())
    return ("number", number, vendor.casefold()) if number else ()


def _text(row: CellRow, columns: Columns, name: str) -> str:
    index = columns.fields.get(name)
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
    indexes = found.values()
    several = [rows for rows in groups if len({tuple(row.cells[index] for index in indexes) for row in rows}) > 1]
    return bool(found) and len(several) >= len(groups) * _LEAST_SHARE and bool(several)


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


def read_table_documents(
    source: TableSource, date_order: DateOrder | None = None
) -> tuple[Conventions, list[TableDocument | Rejection]]:
    """Return the documents of a table in order of their first rows, and a rejection for each row or file without one.

    Raises:
        AdapterError: the table or the folder of pages cannot be read, or a column has several meanings.
    """
    loaded = load_table(source, date_order)
    check_columns(source, loaded)
    pages = list_pages(source.documents or source.path.parent)
    return loaded.conventions, sorted(_DocumentGroups(source, loaded, pages).found(), key=_line_order)


def _line_order(found: TableDocument | Rejection) -> tuple[bool, int]:
    """Return the sort key of a document: its first line; files without a row come last."""
    line = found.line if isinstance(found, Rejection) else found.rows[0].line
    return line is None, line or 0


def check_columns(source: TableSource, loaded: LoadedTable) -> None:
    """Check that the columns of a table leave no question open.

    Raises:
        UsageError: the questions, each with the line of the project file that answers it.
    """
    location = f"{source.path}:{loaded.table.header_line}"
    if loaded.questions:
        raise UsageError(Problem(location, each.finding, f"in the source: {each.hint}") for each in loaded.questions)


def _nameless(columns: Columns) -> list[Question]:
    """Return the question which column identifies a document, if none does."""
    if columns.fields.keys() & set(_KEYS):
        return []
    names = ", ".join(repr(name) for name in columns.header if name)[:600]
    finding = f"no column with the file or the invoice number of the document; the columns are: {names}"
    hint = 'columns: {file: "…"} or columns: {invoice_number: "…"}'
    if not columns.fields:
        hint += "; or, if that row is not a header, add one above it in the table"
    return [Question(finding, hint)]


class _DocumentGroups:
    """Rows grouped into documents, each with its pages."""

    def __init__(self, source: TableSource, loaded: LoadedTable, pages: PageFolder) -> None:
        self.source, self.loaded, self.pages = source, loaded, pages
        self.columns = loaded.columns
        self.rows: dict[Files, list[CellRow]] = defaultdict(list)
        self.files_by_name: dict[str, Files] = {}
        self.named_files: set[str] = set()
        # Rows without a document, each with the document of the row above it.
        self.without_document: list[tuple[CellRow, Files]] = []
        self.last_files: Files = ()

    def found(self) -> Iterator[TableDocument | Rejection]:
        """Yield documents and rejections of rows, then a rejection of each page without a row."""
        refused: dict[str, Rejection] = {}
        for row in self.loaded.table.rows:
            file, number = ("", "") if row.fault else (_text(row, self.columns, name) for name in _KEYS)
            if not file and not number:
                self.without_document.append((row, self.last_files))
                yield self._rejected(row, "source", row.fault or _NAMELESS)
                continue
            try:
                files = tuple(find_files(self.pages, file) if file else find_by_number(self.pages, number))
            except ValueError as error:
                # One rejection for a document, not one for each of its line items.
                key = (file or number) if self.loaded.has_line_items else str(row.line)
                refused.setdefault(key, self._rejected(row, "image", str(error)))
                self.last_files = ()
                continue
            self._put(files, row, file, number)
        yield from refused.values()
        incomplete = self._incomplete() if self.loaded.has_line_items else {}
        for files, rows in self.rows.items():
            yield from self._made(rows, files, incomplete.get(files))
        for name in self.pages.files:
            if name not in self.named_files:
                path = self.pages.folder / name
                yield Rejection(str(path), None, name, "source", f"no row of {self.source.path} names this file")

    def _put(self, files: Files, row: CellRow, *names: str) -> None:
        """Add a row to its document; rows that name one file in two ways are of one document."""
        self.rows[files].append(row)
        self.named_files.update(files)
        self.files_by_name |= {name.casefold(): files for name in names if name}
        self.last_files = files

    def _incomplete(self) -> dict[Files, str]:
        """Return the documents that may have lost a line item with a rejected row, each with the reason."""
        found: dict[Files, str] = {}
        for row, above in self.without_document:
            cells = [str(cell).strip().casefold() for cell in row.cells if cell is not None]
            files = next((self.files_by_name[cell] for cell in cells if cell in self.files_by_name), above)
            if files:
                found.setdefault(files, f"line {row.line}, which may be its line item, is rejected: correct it")
        return found

    def _rejected(self, row: CellRow, filter_name: str, reason: str) -> Rejection:
        name = _text(row, self.columns, _FILE) or _text(row, self.columns, "invoice_number")
        return Rejection(str(self.source.path), row.line, name[:200] or None, filter_name, reason)

    def _made(
        self, rows: Sequence[CellRow], files: Sequence[str], incomplete: str | None
    ) -> Iterator[TableDocument | Rejection]:
        if incomplete:
            yield self._rejected(rows[0], "source", incomplete)
            return
        folder = self.pages.folder
        name = f"{folder.name}/{files[0]}" if folder.name else files[0]
        document = TableDocument(name, tuple(map(self._row, rows)), folder, tuple(files), self._unused(rows))
        if self.loaded.has_line_items:
            yield document
            return
        # Rows that repeat a document are read one by one; the filter `duplicate` removes the copies.
        for row in document.rows:
            yield replace(document, rows=(row, *(each for each in document.rows if each is not row)))

    def _row(self, row: CellRow) -> DocumentRow:
        line_item = {name: row.cells[index] for name, index in self.columns.line_fields.items()}
        fields = {
            name: row.cells[index]
            for name, index in self.columns.fields.items()
            if not name.startswith(LINE_ITEM_PREFIX) and name != _FILE
        }
        return DocumentRow(row.line, fields, line_item)

    def _unused(self, rows: Sequence[CellRow]) -> tuple[str, ...]:
        filled = (index for index in self.columns.unmatched if any(is_filled(row.cells[index]) for row in rows))
        return (*(f"column {self.columns.name(index)}" for index in filled), *self.loaded.table.notes)
