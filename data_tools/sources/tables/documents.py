"""Documents of a table: rows grouped by document, with their pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.files.json_values import shown
from data_tools.sources.tables.cells import Cell, CellRow, is_filled
from data_tools.sources.tables.loaded_table import FILE, LoadedTable, cell_text, check_columns, load_table
from data_tools.sources.tables.names import LINE_ITEM_PREFIX
from data_tools.sources.tables.pages import PageFolder, find_by_number, find_files, list_pages
from data_tools.sources.tables.values import Conventions
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.table_source import TableSource

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

    @property
    def line(self) -> int:
        """Line of its first row."""
        return self.rows[0].line

    def record(
        self, source: Path, pages: tuple[tuple[Path, ...], Path | None], answer: AnyAnswer, unused: Iterable[str]
    ) -> DocumentRecord:
        """Return the record of the document.

        Args:
            source: the table.
            pages: its images and its PDF, as from `as_pages`.
            answer: the answer read from its rows.
            unused: columns with a value and without a place in the answer, and notes about the table.
        """
        images, pdf = pages
        return DocumentRecord(
            document_id=self.document_id,
            source=str(source),
            line=self.line,
            images=images,
            ocr=None,
            answer=answer,
            reviewed=True,
            group=self.document_id,
            unused_keys=tuple(sorted(unused)),
            pdf=pdf,
        )

    def rejection(self, source: Path, reason: str, error: Exception) -> Rejection:
        """Return the rejection of the document because of an error."""
        return Rejection(str(source), self.line, self.document_id, reason, str(error))


def read_table_documents(
    source: TableSource, date_order: DateOrder | None = None, document_type: DocumentType = INVOICE
) -> tuple[Conventions, list[TableDocument | Rejection]]:
    """Return the documents of a table in order of their first rows, and a rejection for each row or file without one.

    Raises:
        AdapterError: the table or the folder of pages cannot be read, or a column has several meanings.
    """
    loaded = load_table(source, date_order, document_type)
    check_columns(source, loaded)
    pages = list_pages(source.documents or source.path.parent)
    return loaded.conventions, sorted(_DocumentGroups(source, loaded, pages).found(), key=_line_order)


def _line_order(found: TableDocument | Rejection) -> tuple[bool, int]:
    """Return the sort key of a document: its first line; files without a row come last."""
    line = found.line if isinstance(found, Rejection) else found.rows[0].line
    return line is None, line or 0


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

    @property
    def _keys(self) -> tuple[str | None, ...]:
        return FILE, self.loaded.identity.number

    @property
    def _nameless(self) -> str:
        return f"has no file and no {self.loaded.identity.number_name}: give one of them in every row"

    def found(self) -> Iterator[TableDocument | Rejection]:
        """Yield documents and rejections of rows, then a rejection of each page without a row."""
        refused: dict[str, Rejection] = {}
        for row in self.loaded.table.rows:
            file, number = ("", "") if row.fault else (cell_text(row, self.columns, name) for name in self._keys)
            if not file and not number:
                self.without_document.append((row, self.last_files))
                yield self._rejected(row, "source", row.fault or self._nameless)
                continue
            try:
                name = self.loaded.identity.number_name
                files = tuple(find_files(self.pages, file) if file else find_by_number(self.pages, number, name))
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
        name = next(filter(None, (cell_text(row, self.columns, name) for name in self._keys)), "")
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
            if not name.startswith(LINE_ITEM_PREFIX) and name != FILE
        }
        return DocumentRow(row.line, fields, line_item)

    def _unused(self, rows: Sequence[CellRow]) -> tuple[str, ...]:
        filled = (index for index in self.columns.unmatched if any(is_filled(row.cells[index]) for row in rows))
        return (*(f"column {self.columns.name(index)}" for index in filled), *self.loaded.table.notes)


def agreed_values(
    rows: Sequence[DocumentRow], read: Callable[[str, Cell, int], Any], problems: list[str]
) -> dict[str, Any]:
    """Return the values that the rows of a document agree on, by field; blank cells are ignored.

    Args:
        rows: the rows of the document.
        read: returns the value of a field's cell in a line; None if it is blank.
        problems: gets each contradiction.
    """
    found: dict[str, tuple[Any, int]] = {}
    for row in rows:
        for name, cell in row.fields.items():
            value = read(name, cell, row.line)
            if value is None:
                continue
            known, line = found.setdefault(name, (value, row.line))
            if known != value:
                problems.append(
                    f"{name}: {shown(str(known))} in line {line}, {shown(str(value))} in line {row.line}; rows of one "
                    "document must agree"
                )
    return {name: value for name, (value, _) in found.items()}
