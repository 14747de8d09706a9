"""A table as rows of cells, with its header found: the content of a CSV or XLSX file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from erniekit_adapter.errors import failure

MAX_ROWS = 200_000
MAX_CELLS = 5_000_000
# Rows above the header can be a title, the period of an export, or the name of the program that wrote it.
HEADER_WITHIN_ROWS = 20


@dataclass(frozen=True)
class CellFault:
    """A cell whose value cannot be read.

    Attributes:
        cell_name: its name in the sheet, such as `B7`.
        reason: why it cannot be read.
    """

    cell_name: str
    reason: str


Cell = str | Decimal | date | CellFault | None


@dataclass(frozen=True)
class CellRow:
    """A row of cells.

    Attributes:
        line: number of its first line in a CSV, or of the row in a sheet, from 1.
        cells: one for each column of the header.
        fault: why the row cannot be read, with the readable part in `cells`; None if it can be read.
    """

    line: int
    cells: tuple[Cell, ...]
    fault: str | None = None


@dataclass(frozen=True)
class CellTable:
    """The header of a table and the rows below it, without blank rows.

    Attributes:
        header: name of each column; empty for a column without a name.
        header_line: line of the header.
        rows: the rows below it.
        kind: file type for messages: `CSV, UTF-8, delimiter ';'`.
        notes: remarks for the user about how the file was read.
    """

    header: tuple[str, ...]
    header_line: int
    rows: tuple[CellRow, ...]
    kind: str
    notes: tuple[str, ...] = ()


# Returns the number of cells in a row that are known column names.
Score = Callable[[Sequence[Cell]], int]


def check_size(path: Path, rows: int, cells: int) -> None:
    """Check the size of a table.

    Raises:
        AdapterError: more rows or cells than allowed.
    """
    if rows > MAX_ROWS or cells > MAX_CELLS:
        raise failure(path, f"more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells", "split the table into several")


def below_header(
    path: Path, rows: Sequence[CellRow], score: Score, kind: str, notes: Iterable[str], *, padded: bool = False
) -> CellTable:
    """Find the header among the first rows and return the rows below it, each with a cell for every column.

    Args:
        path: the file.
        rows: its rows that are not blank.
        score: function that counts the known column names in a row.
        kind: file type for messages.
        notes: remarks for the user.
        padded: whether rows may have fewer cells than the header, as in a sheet.

    Raises:
        AdapterError: the table has no rows.
    """
    if not rows:
        raise failure(path, "has no rows", "give a table whose first row has the names of the columns")
    # Of rows with the same score the first: a row below the header never wins.
    index = max(range(min(len(rows), HEADER_WITHIN_ROWS)), key=lambda n: (score(rows[n].cells), -n))
    header = rows[index]
    names = [_name(cell) for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    above = [f"above the header in line {header.line}: {index} rows, not read"] if index else []
    fitted = tuple(_fitted(row, len(names), padded=padded) for row in rows[index + 1 :])
    return CellTable(tuple(names), header.line, fitted, kind, (*notes, *above))


def _name(cell: Cell) -> str:
    return "" if cell is None or isinstance(cell, CellFault) else " ".join(str(cell).split())


def _fitted(row: CellRow, columns: int, *, padded: bool) -> CellRow:
    """Return the row with one cell for each column; a row with more or fewer cells gets a fault."""
    if row.fault:
        return row
    cells = row.cells + (None,) * (columns - len(row.cells) if padded else 0)
    beyond = max((number for number, cell in enumerate(cells, start=1) if is_filled(cell)), default=0)
    if len(cells) < columns or beyond > columns:
        return CellRow(row.line, cells, f"{max(len(cells), beyond)} cells, and the header has {columns}")
    return CellRow(row.line, cells[:columns])


def is_filled(cell: Cell) -> bool:
    """Return whether a cell has more than blanks."""
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None
