"""CSV files as rows of cells, in each common encoding and with each common delimiter."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_tools.sources.files.json_values import as_text, is_text
from data_tools.sources.tables.cells import (
    HEADER_WITHIN_ROWS,
    CellRow,
    CellTable,
    Score,
    below_header,
    check_size,
    is_filled,
)
from erniekit_adapter.errors import failure

# The limit of Excel.
MAX_CELL_CHARACTERS = 32_767
# A quote without its closing quote would put the rest of the file into one cell.
MAX_LINES_OF_A_ROW = 200
MAX_ROW_CHARACTERS = 1024 * 1024
# Added to the name of an encoding if the file contains a lone surrogate.
_BROKEN = " with broken characters"
_DELIMITERS = (";", ",", "\t", "|")
_SNIFFED_LINES = 500
_SEPARATOR_LINE = re.compile(r"(?:sep|SEP)=(.)\r?\n?")


def read_csv(path: Path, raw: bytes, score: Score) -> CellTable:
    """Read a CSV file.

    Args:
        path: the file, for messages.
        raw: its content.
        score: function that counts the known column names in a row.

    Raises:
        AdapterError: the encoding is unknown, the table has no rows, or it is too large.
    """
    text, encoding = _decoded(path, raw)
    lines = list(io.StringIO(text, newline=""))
    marked = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    first = 1 if marked else 0
    delimiter, widths = _dialect(lines[first:_SNIFFED_LINES], score, marked[1] if marked else _DELIMITERS)
    rows: list[CellRow] = []
    cells = 0
    for row in parse_rows(lines, delimiter, first, widths):
        if encoding.endswith(_BROKEN):
            row = _without_halves(row)
        cells += len(row.cells)
        check_size(path, len(rows), cells)
        if any(row.cells) or row.fault:
            rows.append(row)
    notes = [f"{path.name} is not UTF-8, read as Windows-1252"] if encoding == "Windows-1252" else []
    shown = {"\t": "tab"}.get(delimiter, f"'{delimiter}'")
    return below_header(path, rows, score, f"CSV, {encoding}, delimiter {shown}", notes)


def _without_halves(row: CellRow) -> CellRow:
    """Return the row, with a fault if it contains a lone surrogate."""
    if all(not isinstance(cell, str) or is_text(cell) for cell in row.cells):
        return row
    cells = tuple(as_text(cell) if isinstance(cell, str) else cell for cell in row.cells)
    return CellRow(row.line, cells, row.fault or "a lone surrogate (half a character), which is not text")


def _decoded(path: Path, raw: bytes) -> tuple[str, str]:
    """Return the text and the name of its encoding.

    Raises:
        AdapterError: the file is in none of the known encodings, or contains NUL.
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
        raise failure(path, "is not text in UTF-8, UTF-16 or Windows-1252", "save the table as CSV UTF-8, or as .xlsx")
    return text.removeprefix("\ufeff"), encoding


def _codecs(raw: bytes) -> list[tuple[str, str]]:
    """Return names and codecs to try, in order; a lone surrogate in some rows does not rule out an encoding."""
    utf_8, utf_16 = ("UTF-8", "UTF-8" + _BROKEN), ("UTF-16", "UTF-16" + _BROKEN)
    if raw.startswith(BOM_UTF8):
        return [(name, "utf-8") for name in utf_8]
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return [(name, "utf-16") for name in utf_16]
    # Without a byte order mark, UTF-16 is recognised by the zero bytes of its ASCII characters.
    if raw[1:200:2].count(0) > len(raw[:200]) // 4:
        return [(name, "utf-16-le") for name in utf_16]
    if raw[0:200:2].count(0) > len(raw[:200]) // 4:
        return [(name, "utf-16-be") for name in utf_16]
    return [*((name, "utf-8") for name in utf_8), ("Windows-1252", "cp1252")]


def _dialect(lines: Sequence[str], score: Score, delimiters: Sequence[str]) -> tuple[str, range]:
    """Return the best delimiter and the numbers of cells that a row may have with it.

    The best delimiter gives the header the most known names, then the most rows the same number of cells.
    """

    def fitness(delimiter: str) -> tuple[int, int, int]:
        rows = [row for row in parse_rows(lines, delimiter) if any(row.cells)]
        named = max((score(row.cells) for row in rows[:HEADER_WITHIN_ROWS]), default=0)
        lengths = Counter(len(row.cells) for row in rows if len(row.cells) > 1)
        length, equal = max(lengths.items(), key=lambda item: item[1], default=(1, 0))
        return named, equal, length

    best = max(delimiters, key=fitness)
    rows = [row for row in parse_rows(lines, best) if any(row.cells)][:HEADER_WITHIN_ROWS]
    header = max(rows, key=lambda row: score(row.cells), default=CellRow(0, ()))
    names = [index for index, cell in enumerate(header.cells, start=1) if is_filled(cell)]
    return best, range(max(names, default=0), len(header.cells) + 1)


def parse_rows(lines: Sequence[str], delimiter: str, first: int = 0, widths: range | None = None) -> Iterator[CellRow]:
    """Yield the rows of a CSV; a broken quote makes its own line faulty, and no later one.

    Args:
        lines: the file's lines with their line ends.
        delimiter: the character between cells.
        first: index of the first line to read, from 0.
        widths: the numbers of cells that a row may have; None if unknown.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    index = first
    while index < len(lines):
        if len(lines[index]) > MAX_ROW_CHARACTERS:
            yield CellRow(index + 1, (), f"longer than {MAX_ROW_CHARACTERS:,} characters")
            index += 1
            continue
        reader = csv.reader(_lines_of_a_row(lines, index), delimiter=delimiter, strict=True)
        fault = None
        try:
            cells = next(reader, [])
            # A quote without its closing quote takes the next lines into its cell.
            if reader.line_num > 1 and widths is not None and len(cells) not in widths:
                fault = "a quote is opened and not closed in this line"
        except csv.Error as error:
            fault = f"not CSV: {error} (a quote inside a quoted cell is written twice)"
        if fault:
            yield CellRow(index + 1, tuple(lines[index].strip().split(delimiter)), fault)
            index += 1
            continue
        yield CellRow(index + 1, tuple(cells))
        index += max(1, reader.line_num)


def _lines_of_a_row(lines: Sequence[str], index: int) -> Iterator[str]:
    """Yield the lines that a row may take, beginning at `index`."""
    characters = 0
    for line in lines[index : index + MAX_LINES_OF_A_ROW]:
        characters += len(line)
        if characters > MAX_ROW_CHARACTERS:
            return
        yield line
