"""Tables as rows of cells: CSV in any usual dialect here, XLSX in `table_xlsx`; what a file is, its content tells."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from data_tools.sources.reading import as_text, is_text
from erniekit_adapter.errors import fail
from erniekit_adapter.files import read_bytes

MAX_TABLE_BYTES = 64 * 1024 * 1024
MAX_ROWS = 200_000
MAX_CELLS = 5_000_000
# What Excel allows in a cell.
MAX_CELL_CHARACTERS = 32_767
# Above the header stand a title, the period of an export, or what made it.
HEADER_WITHIN_ROWS = 20
# A quote that is never closed would take the rest of the file into one cell.
MAX_LINES_OF_A_ROW = 200
MAX_ROW_CHARACTERS = 1024 * 1024
# Added to the name of an encoding if half a character is somewhere in the file.
_BROKEN = " with broken characters"
_DELIMITERS = (";", ",", "\t", "|")
_SNIFFED_LINES = 500
_SEPARATOR_LINE = re.compile(r"(?:sep|SEP)=(.)\r?\n?")
_SPREADSHEETS = {
    b"PK\x03\x04": "",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class CellFault:
    """A cell without a value that could be read; `place` is its name in the sheet, `B7`."""

    place: str
    reason: str


Cell = str | Decimal | date | CellFault | None


@dataclass(frozen=True)
class TableRow:
    """A row with the number of its first line in a CSV, or its number in a sheet.

    Attributes:
        line: from 1.
        cells: one for each column of the header.
        fault: why the row cannot be read; None if it can. Its cells are then what could be made out.
    """

    line: int
    cells: tuple[Cell, ...]
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A table's header and the rows below it, blank ones left out.

    Attributes:
        header: name of each column; empty for a column without one.
        header_line: line of the header.
        rows: the rows below it.
        kind: what the file is, for people: `CSV, UTF-8, delimiter ;`.
        notes: what a person should know about how it was read.
    """

    header: tuple[str, ...]
    header_line: int
    rows: tuple[TableRow, ...]
    kind: str
    notes: tuple[str, ...] = ()


# How many columns of a row have a name that is known.
Score = Callable[[Sequence[Cell]], int]


def read_table(path: Path, score: Score, sheet: str | None = None) -> Table:
    """Read a CSV or XLSX file.

    Args:
        path: the file.
        score: tells how much a row looks like the header.
        sheet: which sheet of an XLSX; None if there is one table only.

    Raises:
        AdapterError: the file cannot be read, is too large, or is something else.
    """
    raw = read_bytes(path, MAX_TABLE_BYTES)
    if raw.startswith(b"PK\x03\x04"):
        from data_tools.sources.table_xlsx import read_xlsx

        return read_xlsx(path, score, sheet)
    for magic, name in _SPREADSHEETS.items():
        if raw.startswith(magic):
            raise fail(path, f"{name}, not a CSV or XLSX table", "save the table as .xlsx without a password, or .csv")
    if sheet is not None:
        raise fail(path, f"sheet {sheet!r} is asked for, and a CSV has no sheets", "remove sheet from the source")
    return _read_csv(path, raw, score)


def _read_csv(path: Path, raw: bytes, score: Score) -> Table:
    text, encoding = _decoded(path, raw)
    lines = list(io.StringIO(text, newline=""))
    marked = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    first = 1 if marked else 0
    delimiter, widths = _dialect(lines[first:_SNIFFED_LINES], score, marked[1] if marked else _DELIMITERS)
    rows: list[TableRow] = []
    cells = 0
    for row in parse_rows(lines, delimiter, first, widths):
        if encoding.endswith(_BROKEN):
            row = _without_halves(row)
        cells += len(row.cells)
        check_size(path, len(rows), cells)
        if any(row.cells) or row.fault:
            rows.append(row)
    notes = [f"{path.name} is not UTF-8, read as Windows-1252"] if encoding == "Windows-1252" else []
    shown = {"\t": "tab"}.get(delimiter, delimiter)
    return below_header(path, rows, score, f"CSV, {encoding}, delimiter {shown}", notes)


def _without_halves(row: TableRow) -> TableRow:
    """The row, with a fault if there is half a character in it."""
    if all(not isinstance(cell, str) or is_text(cell) for cell in row.cells):
        return row
    cells = tuple(as_text(cell) if isinstance(cell, str) else cell for cell in row.cells)
    return TableRow(row.line, cells, row.fault or "half a character (a lone surrogate), which is not text")


def check_size(path: Path, rows: int, cells: int) -> None:
    """Refuse a table beyond the limits.

    Raises:
        AdapterError: more rows or cells than allowed.
    """
    if rows > MAX_ROWS or cells > MAX_CELLS:
        raise fail(path, f"more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells", "split the table into several")


def below_header(
    path: Path, rows: Sequence[TableRow], score: Score, kind: str, notes: Iterable[str], *, padded: bool = False
) -> Table:
    """Find the header among the first rows, and give the rows below it, each with a cell for every column.

    Args:
        path: the file.
        rows: its rows that are not blank.
        score: tells how much a row looks like the header.
        kind: what the file is.
        notes: what a person should know.
        padded: whether rows may end before the header does, as those of a sheet.

    Raises:
        AdapterError: there is no row at all.
    """
    if not rows:
        raise fail(path, "no row in it", "give a table whose first row names the columns")
    # Of equally good rows the first: it is never a row below the header.
    place = max(range(min(len(rows), HEADER_WITHIN_ROWS)), key=lambda n: (score(rows[n].cells), -n))
    header = rows[place]
    names = [_name(cell) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    above = [f"above the header in line {header.line}: {place} rows, not read"] if place else []
    fitted = tuple(_fitted(row, len(names), padded=padded) for row in rows[place + 1 :])
    return Table(tuple(names), header.line, fitted, kind, (*notes, *above))


def _name(cell: Cell) -> str:
    return "" if cell is None or isinstance(cell, CellFault) else " ".join(str(cell).split())


def _fitted(row: TableRow, columns: int, *, padded: bool) -> TableRow:
    """The row with a cell for each column; one with more or fewer cells gets that as its fault."""
    if row.fault:
        return row
    cells = row.cells + (None,) * (columns - len(row.cells) if padded else 0)
    beyond = max((place for place, cell in enumerate(cells, start=1) if is_filled(cell)), default=0)
    if len(cells) < columns or beyond > columns:
        return TableRow(row.line, cells, f"{max(len(cells), beyond)} cells, and the header has {columns}")
    return TableRow(row.line, cells[:columns])


def is_filled(cell: Cell) -> bool:
    """Whether a cell holds more than blanks."""
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None


def _decoded(path: Path, raw: bytes) -> tuple[str, str]:
    """The text and the name of its encoding.

    Raises:
        AdapterError: none of the encodings fits, or there are control characters that no text has.
    """
    text, encoding = None, ""
    for name, codec in _codecs(raw):
        try:
            errors = "surrogatepass" if name.endswith(_BROKEN) else "strict"
            text, encoding = raw.decode(codec, errors), name
            break
        except UnicodeDecodeError:
            continue
    if text is None or "\0" in text:
        raise fail(path, "is no text in UTF-8, UTF-16 or Windows-1252", "save the table as CSV UTF-8, or as .xlsx")
    return text.removeprefix("\ufeff"), encoding


def _codecs(raw: bytes) -> list[tuple[str, str]]:
    """Names and codecs to try; a file with half a character in some rows is still in its encoding."""
    utf_8, utf_16 = ("UTF-8", "UTF-8" + _BROKEN), ("UTF-16", "UTF-16" + _BROKEN)
    if raw.startswith(BOM_UTF8):
        return [(name, "utf-8") for name in utf_8]
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return [(name, "utf-16") for name in utf_16]
    # Without its mark, UTF-16 is known by the zero bytes of its ASCII characters.
    if raw[1:200:2].count(0) > len(raw[:200]) // 4:
        return [(name, "utf-16-le") for name in utf_16]
    if raw[0:200:2].count(0) > len(raw[:200]) // 4:
        return [(name, "utf-16-be") for name in utf_16]
    return [*((name, "utf-8") for name in utf_8), ("Windows-1252", "cp1252")]


def _dialect(lines: Sequence[str], score: Score, delimiters: Sequence[str]) -> tuple[str, range]:
    """The delimiter with which the header names most columns or most rows are equally long, and how many cells fit."""

    def fitness(delimiter: str) -> tuple[int, int, int]:
        rows = [row for row in parse_rows(lines, delimiter) if any(row.cells)]
        named = max((score(row.cells) for row in rows[:HEADER_WITHIN_ROWS]), default=0)
        lengths = Counter(len(row.cells) for row in rows if len(row.cells) > 1)
        length, equal = max(lengths.items(), key=lambda item: item[1], default=(1, 0))
        return named, equal, length

    best = max(delimiters, key=fitness)
    rows = [row for row in parse_rows(lines, best) if any(row.cells)][:HEADER_WITHIN_ROWS]
    header = max(rows, key=lambda row: score(row.cells), default=TableRow(0, ()))
    names = [place for place, cell in enumerate(header.cells, start=1) if is_filled(cell)]
    return best, range(max(names, default=0), len(header.cells) + 1)


def parse_rows(lines: Sequence[str], delimiter: str, first: int = 0, widths: range | None = None) -> Iterator[TableRow]:
    """The rows of a CSV, from the line `first` (from 0) on; a broken quote spoils its own line, not what follows.

    Args:
        lines: the file's lines with their ends.
        delimiter: what separates cells.
        first: where to begin.
        widths: how many cells a row may have; None if that is not known.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    place = first
    while place < len(lines):
        if len(lines[place]) > MAX_ROW_CHARACTERS:
            yield TableRow(place + 1, (), f"longer than {MAX_ROW_CHARACTERS:,} characters")
            place += 1
            continue
        reader = csv.reader(_lines_of_a_row(lines, place), delimiter=delimiter, strict=True)
        fault = None
        try:
            cells = next(reader, [])
            # A quote that is never closed takes the next lines into its cell.
            if reader.line_num > 1 and widths is not None and len(cells) not in widths:
                fault = "a quote is opened and not closed in its line"
        except csv.Error as error:
            fault = f"not CSV: {error} (a quote inside a quoted cell is written twice)"
        if fault:
            yield TableRow(place + 1, tuple(lines[place].strip().split(delimiter)), fault)
            place += 1
            continue
        yield TableRow(place + 1, tuple(cells))
        place += max(1, reader.line_num)


def _lines_of_a_row(lines: Sequence[str], place: int) -> Iterator[str]:
    """The lines that a row may take, beginning at `place`."""
    characters = 0
    for line in lines[place : place + MAX_LINES_OF_A_ROW]:
        characters += len(line)
        if characters > MAX_ROW_CHARACTERS:
            return
        yield line
