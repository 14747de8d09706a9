"""Documents of a table: its rows with their pages, and what they say as a canonical answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from data_tools.records import Rejection
from data_tools.sources.table import Cell, CellFault, Table, TableRow, is_filled, read_table
from data_tools.sources.table_columns import Columns, Question, header_score, match_columns
from data_tools.sources.table_names import LINE_PREFIX, column_key, strong_names
from data_tools.sources.table_pages import PageFolder, find_by_number, find_files, list_pages
from data_tools.sources.table_values import Conventions, find_conventions
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.invoice.dates import DateOrder
from erniekit_adapter.invoice.money import parse_amount
from erniekit_adapter.project.table_source import TableSource

# Columns that tell documents apart and are no part of what a page says.
_FILE = "file"
_KEYS = (_FILE, "invoice_number")
# Fields that exist both for a document and for a line item.
_MOVABLE = ("tax_rate", "tax_amount")
# Fields that have no place in a line item, and are often beside one.
_DROPPED = ("tax_type", "discount", "charge")
_TOTALS = ("subtotal", "grand_total")


# Of documents: fewer that are unlike the others are mistakes of whoever entered them.
_LEAST_SHARE = 0.1
_NAMELESS = "names no document: fill in its file or its invoice number, in every row"
# The pages of a document, as paths below their folder.
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
        document_id: path of its first page below its folder, or its number.
        rows: its rows in their order.
        folder: where its pages are.
        files: its pages, as paths below the folder.
        unused: columns that hold something of it without a place in the answer, and notes about the table.
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
        columns: which column holds which field.
        conventions: how dates and amounts are written.
        has_line_items: whether its rows are line items.
    """

    table: Table
    columns: Columns
    conventions: Conventions
    has_line_items: bool = False
    questions: list[Question] = field(default_factory=list)


def load_table(source: TableSource, date_order: DateOrder | None = None) -> LoadedTable:
    """Read a table and find out what its columns mean.

    Args:
        source: the table.
        date_order: how the project says that dates are written; a column that proves its own order goes before it.

    Raises:
        AdapterError: the table cannot be read, or a column that the project file names is not there.
    """
    table = read_table(source.path, partial(header_score, source), source.sheet)
    columns = match_columns(table, source)
    questions = [*_nameless(columns), *columns.questions]
    groups = _same_documents(table, columns)
    has_line_items = _has_line_items(columns, groups)
    if has_line_items:
        questions += _settle_line_columns(columns, groups)
    else:
        columns.fields = {name: place for name, place in columns.fields.items() if not name.startswith(LINE_PREFIX)}
    values: dict[str, list[Cell]] = defaultdict(list)
    for name, place in columns.fields.items():
        values[name.removeprefix(LINE_PREFIX)] += [row.cells[place] for row in table.rows if not row.fault]
    conventions = find_conventions(values, source.decimal_mark, date_order)
    return LoadedTable(table, columns, conventions, has_line_items, questions)


def _same_documents(table: Table, columns: Columns) -> list[list[TableRow]]:
    """Rows that name the same document, in the order of their first rows."""
    groups: dict[tuple[str, ...], list[TableRow]] = defaultdict(list)
    for row in table.rows:
        if not row.fault and (key := _key(row, columns)):
            groups[key].append(row)
    return list(groups.values())


def _key(row: TableRow, columns: Columns) -> tuple[str, ...]:
    """What names the document of a row: its file, else its number and vendor; empty if nothing does."""
    file, number, vendor = (_text(row, columns, name) for name in (*_KEYS, "vendor_name"))
    if file:
        return (_FILE, file.casefold())
    return ("number", number, vendor.casefold()) if number else ()


def _text(row: TableRow, columns: Columns, name: str) -> str:
    place = columns.fields.get(name)
    cell = row.cells[place] if place is not None and place < len(row.cells) else None
    return "" if cell is None or isinstance(cell, CellFault) else " ".join(str(cell).split())


def _has_line_items(columns: Columns, groups: Sequence[Sequence[TableRow]]) -> bool:
    """Whether rows are line items: the project file says so, the columns do, or documents have several of them.

    A description alone may be a note about the whole document; then one row that was entered twice proves nothing.
    """
    found = columns.line_fields
    if any(name.startswith(LINE_PREFIX) for name in columns.given):
        return True
    if "description" in found and {"unit_price", "total"} & found.keys():
        return True
    places = found.values()
    several = [rows for rows in groups if len({tuple(row.cells[place] for place in places) for row in rows}) > 1]
    return bool(found) and len(several) >= len(groups) * _LEAST_SHARE and bool(several)


def _settle_line_columns(columns: Columns, groups: Sequence[Sequence[TableRow]]) -> list[Question]:
    """Find the columns whose values differ between the rows of one document: they belong to the line items.

    Tax beside each line is a line item's; a discount or a charge is as well, and has no place in the answer. What a
    total is, and a tax that differs in fewer than half of the documents, is asked. Where very few differ, they are
    mistakes.
    """
    several = [rows for rows in groups if len(rows) > 1]
    questions = []
    for name in (*_MOVABLE, *_DROPPED, *_TOTALS):
        place = columns.fields.get(name)
        if place is None or name in columns.given:
            continue
        varying = [
            rows
            for rows in several
            if len({_compared(row.cells[place]) for row in rows if is_filled(row.cells[place])}) > 1
        ]
        if not varying or len(varying) < len(several) * _LEAST_SHARE:
            continue
        inner = f"{LINE_PREFIX}{name}"
        if name in _MOVABLE and inner not in columns.fields and len(varying) * 2 >= len(several):
            columns.fields[inner] = columns.fields.pop(name)
            continue
        if name not in _DROPPED:
            questions.append(_line_question(columns, name, place, varying[0]))
        del columns.fields[name]
    if f"{LINE_PREFIX}tax_amount" in columns.fields and "tax_rate" in columns.fields:
        # Where amounts are beside line items, their rates are as well.
        columns.fields.setdefault(f"{LINE_PREFIX}tax_rate", columns.fields.pop("tax_rate"))
    return questions


def _compared(cell: Cell) -> object:
    """A cell as it is compared with others: 238 and 238,00 are equal."""
    try:
        return parse_amount(cell)
    except ValueError:
        return str(cell).strip()


def _line_question(columns: Columns, name: str, place: int, rows: Sequence[TableRow]) -> Question:
    column = columns.name(place)
    seen: dict[object, TableRow] = {}
    for row in rows:
        if is_filled(row.cells[place]):
            seen.setdefault(_compared(row.cells[place]), row)
    first, second = list(seen.values())[:2]
    one, other = first.cells[place], second.cells[place]
    remedy = f'ignore: ["{column}"], or correct one of the lines'
    # A total with tax is never a line item's net amount.
    may_be_line_total = name != "grand_total" or strong_names().get(column_key(column)) != name
    if may_be_line_total and f"{LINE_PREFIX}total" not in columns.fields:
        remedy = f'columns: {{line_items: {{total: "{column}"}}}} or {remedy}'
    return Question(
        f"column {column!r} was taken for {name}, and differs between rows of one document: {one} in line "
        f"{first.line}, {other} in line {second.line}",
        remedy,
    )


def read_table_documents(
    source: TableSource, date_order: DateOrder | None = None
) -> tuple[Conventions, list[TableDocument | Rejection]]:
    """The documents of a table in the order of their first rows, and a rejection for whatever makes none.

    Raises:
        AdapterError: the table or the folder of pages cannot be read, or a column can mean several fields.
    """
    loaded = load_table(source, date_order)
    check_columns(source, loaded)
    pages = list_pages(source.documents or source.path.parent)
    return loaded.conventions, sorted(_Documents(source, loaded, pages).found(), key=_place)


def _place(found: TableDocument | Rejection) -> tuple[bool, int]:
    """Where a document stands in the table; files that no row names come last."""
    line = found.line if isinstance(found, Rejection) else found.rows[0].line
    return line is None, line or 0


def check_columns(source: TableSource, loaded: LoadedTable) -> None:
    """Refuse a table whose columns leave a question open.

    Raises:
        UsageError: each question, with the line of the project file that answers it.
    """
    where = f"{source.path}:{loaded.table.header_line}"
    if loaded.questions:
        raise UsageError(Problem(where, each.finding, f"in the source: {each.remedy}") for each in loaded.questions)


def _nameless(columns: Columns) -> list[Question]:
    """The question how rows name their documents, if no column does."""
    if columns.fields.keys() & set(_KEYS):
        return []
    names = ", ".join(repr(name) for name in columns.header if name)[:600]
    finding = f"no column names the document, neither its file nor its invoice number; the columns are: {names}"
    remedy = 'columns: {file: "…"} or columns: {invoice_number: "…"}'
    if not columns.fields:
        remedy += "; or, if that row is no header, write one above it in the table"
    return [Question(finding, remedy)]


class _Documents:
    """Rows put together into documents, each with its pages."""

    def __init__(self, source: TableSource, loaded: LoadedTable, pages: PageFolder) -> None:
        self.source, self.loaded, self.pages = source, loaded, pages
        self.columns = loaded.columns
        self.rows: dict[Files, list[TableRow]] = defaultdict(list)
        self.called: dict[str, Files] = {}
        self.named: set[str] = set()
        # Rows that name no document, each with the document of the row above it.
        self.lost: list[tuple[TableRow, Files]] = []
        self.last: Files = ()

    def found(self) -> Iterator[TableDocument | Rejection]:
        """Documents and rejections of rows; then a rejection of each page that no row names."""
        refused: dict[str, Rejection] = {}
        for row in self.loaded.table.rows:
            file, number = ("", "") if row.fault else (_text(row, self.columns, name) for name in _KEYS)
            if not file and not number:
                self.lost.append((row, self.last))
                yield self._rejected(row, "source", row.fault or _NAMELESS)
                continue
            try:
                files = tuple(find_files(self.pages, file) if file else find_by_number(self.pages, number))
            except ValueError as error:
                # One rejection for a document, however many line items it has.
                key = (file or number) if self.loaded.has_line_items else str(row.line)
                refused.setdefault(key, self._rejected(row, "image", str(error)))
                self.last = ()
                continue
            self._put(files, row, file, number)
        yield from refused.values()
        spoilt = self._spoilt() if self.loaded.has_line_items else {}
        for files, rows in self.rows.items():
            yield from self._made(rows, files, spoilt.get(files))
        for name in self.pages.files:
            if name not in self.named:
                path = self.pages.folder / name
                yield Rejection(str(path), None, name, "source", f"no row of {self.source.path} names this file")

    def _put(self, files: Files, row: TableRow, *names: str) -> None:
        """Put a row to its document; rows that name one file in two ways are of one document."""
        self.rows[files].append(row)
        self.named.update(files)
        self.called |= {name.casefold(): files for name in names if name}
        self.last = files

    def _spoilt(self) -> dict[Files, str]:
        """Documents of which a line item may be lost with a row that was rejected, each with the reason."""
        found: dict[Files, str] = {}
        for row, above in self.lost:
            cells = [str(cell).strip().casefold() for cell in row.cells if cell is not None]
            meant = next((self.called[cell] for cell in cells if cell in self.called), above)
            if meant:
                found.setdefault(meant, f"line {row.line}, which may be its line item, is rejected: correct it")
        return found

    def _rejected(self, row: TableRow, gate: str, reason: str) -> Rejection:
        name = _text(row, self.columns, _FILE) or _text(row, self.columns, "invoice_number")
        return Rejection(str(self.source.path), row.line, name[:200] or None, gate, reason)

    def _made(
        self, rows: Sequence[TableRow], files: Sequence[str], spoilt: str | None
    ) -> Iterator[TableDocument | Rejection]:
        if spoilt:
            yield self._rejected(rows[0], "source", spoilt)
            return
        folder = self.pages.folder
        name = f"{folder.name}/{files[0]}" if folder.name else files[0]
        document = TableDocument(name, tuple(map(self._row, rows)), folder, tuple(files), self._unused(rows))
        if self.loaded.has_line_items:
            yield document
            return
        # Rows that repeat a document are read one by one: what they share, the gate `duplicate` finds.
        for row in document.rows:
            yield replace(document, rows=(row, *(each for each in document.rows if each is not row)))

    def _row(self, row: TableRow) -> DocumentRow:
        places = self.columns.fields.items()
        inner = {name.removeprefix(LINE_PREFIX): row.cells[at] for name, at in places if name.startswith(LINE_PREFIX)}
        fields = {name: row.cells[at] for name, at in places if not name.startswith(LINE_PREFIX) and name != _FILE}
        return DocumentRow(row.line, fields, inner)

    def _unused(self, rows: Sequence[TableRow]) -> tuple[str, ...]:
        filled = (at for at in self.columns.unmatched if any(is_filled(row.cells[at]) for row in rows))
        return (*(f"column {self.columns.name(at)}" for at in filled), *self.loaded.table.notes)
