"""XLSX files as rows of cells: untrusted zip files, whose size and entries are checked before they are read.

Formulas are never calculated, links to other workbooks never followed, macros never loaded.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from data_tools.sources.tables.cells import (
    HEADER_WITHIN_ROWS,
    Cell,
    CellFault,
    CellRow,
    CellTable,
    Score,
    below_header,
    check_size,
)
from erniekit_adapter.errors import AdapterError, failure, usage_error

MAX_UNPACKED_BYTES = 128 * 1024 * 1024
MAX_ENTRIES = 1_000
# Parts that openpyxl turns into objects with many times their size.
MAX_PART_BYTES = 8 * 1024 * 1024
_PARTS = ("xl/styles.xml", "xl/workbook.xml", "[Content_Types].xml")
# The last row that a sheet can have; empty rows before it cost nothing.
_LAST_ROW = 1_048_576
# Minimum number of known column names of a header.
_NAMED_COLUMNS = 2
_CHUNK_BYTES = 1024 * 1024
_DOCTYPES = tuple("<!DOCTYPE".encode(codec) for codec in ("ascii", "utf-16-le", "utf-16-be"))
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
# Decimals that a number format always shows: two in `#,##0.00`.
_DECIMALS = re.compile(r"0\.(0{1,6})(?![0#?])")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_LEADING_ZEROS = re.compile(r"0{2,18}")


def read_xlsx(path: Path, score: Score, sheet: str | None) -> CellTable:
    """Read one sheet of an XLSX file.

    Raises:
        AdapterError: the file is damaged, too large or not XLSX, or several sheets have a table.
    """
    has_formulas = _check_archive(path)
    try:
        return _read(path, score, sheet, has_formulas)
    except (AdapterError, MemoryError):
        raise
    except Exception as error:  # openpyxl raises many types of errors for damaged files
        reason = f"{type(error).__name__}: {error}"[:200]
        raise failure(path, f"cannot be read as XLSX ({reason})", "save it again as .xlsx, or as CSV UTF-8") from error


def _check_archive(path: Path) -> bool:
    """Check the entries of a workbook, and return whether any cell has a formula.

    Raises:
        AdapterError: the file is not XLSX, encrypted, damaged, too large, or has a document type declaration.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            found = [_check_entry(path, archive, entry) for entry in entries]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise failure(path, f"a damaged XLSX: {error}"[:300], "save it again as .xlsx, or as CSV UTF-8") from error
    return any(found)


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    names = {entry.filename for entry in entries}
    unpacked_bytes = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or unpacked_bytes > MAX_UNPACKED_BYTES:
        raise failure(
            path,
            f"unpacks to {unpacked_bytes:,} bytes in {len(entries):,} entries, more than the limit of "
            f"{MAX_UNPACKED_BYTES:,} in {MAX_ENTRIES:,}",
            "split the table into several, or save it as CSV",
        )
    for entry in entries:
        is_part = entry.filename in _PARTS or entry.filename.endswith(".rels")
        if is_part and entry.file_size > MAX_PART_BYTES:
            found = f"{entry.filename} has {entry.file_size:,} bytes, more than the limit of {MAX_PART_BYTES:,}"
            raise failure(path, found, "save the table as CSV")
    if len(names) < len(entries):
        raise failure(path, "a damaged XLSX: two entries have the same name", "save it again as .xlsx, or as CSV UTF-8")
    if "[Content_Types].xml" not in names or "xl/workbook.bin" in names:
        raise failure(path, "a zip file, but not XLSX (.ods, .xlsb?)", "save the table as .xlsx or .csv")


def _check_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Read an entry once, which checks its size and checksum, and return whether it has formulas.

    Raises:
        AdapterError: the entry has a document type declaration (DOCTYPE), which could declare entities.
    """
    is_xml = not entry.filename.startswith("xl/media/")
    formulas, before = False, b""
    with archive.open(entry) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            text = before + chunk
            if is_xml and any(mark in text for mark in _DOCTYPES):
                raise failure(path, f"{entry.filename} has a document type declaration (DOCTYPE), which XLSX never has")
            formulas = formulas or bool(_FORMULA.search(text))
            before = text[-32:]
    return formulas and entry.filename.startswith("xl/worksheets/")


def _read(path: Path, score: Score, sheet: str | None, has_formulas: bool) -> CellTable:
    import openpyxl

    content = path.read_bytes()
    with ExitStack() as stack:
        # openpyxl warns of features that it does not know (validation lists, styles), which do not change values.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")

        def workbook(data_only: bool) -> Any:
            book = openpyxl.load_workbook(
                io.BytesIO(content), read_only=True, data_only=data_only, keep_links=False, keep_vba=False
            )
            return stack.enter_context(closing(book))

        values = workbook(True)
        name, notes = _choose_sheet(path, values, score, sheet)
        formulas = workbook(False)[name] if has_formulas else None
        rows: list[CellRow] = []
        cells = 0
        for row in _rows(path, values[name], formulas):
            cells += len(row.cells)
            check_size(path, len(rows), cells)
            rows.append(row)
    return below_header(path, rows, score, f"XLSX, sheet {name}", notes, padded=True)


def _choose_sheet(path: Path, book: Any, score: Score, sheet: str | None) -> tuple[str, list[str]]:
    """Return the name of the sheet with the table, and a note for each other sheet that is not empty."""
    sheets = {found.title: found for found in book.worksheets}
    hidden = [name for name, found in sheets.items() if found.sheet_state != "visible"]
    if sheet is not None:
        if sheet not in sheets:
            raise usage_error(path, f"has no sheet {sheet!r}, but {_named(sheets)}", f"sheet: {next(iter(sheets), '')}")
        return sheet, []
    scores: dict[str, int] = {}
    for name, found in sheets.items():
        if name in hidden:
            continue
        first = [row for row, _ in zip(_rows(path, found, None), range(HEADER_WITHIN_ROWS), strict=False)]
        if first:
            scores[name] = max(score(row.cells) for row in first)
    tables = [name for name, columns in scores.items() if columns >= _NAMED_COLUMNS] or list(scores)
    if not tables:
        raise failure(path, "has no rows", "give a table whose first row has the names of the columns")
    if len(tables) > 1:
        raise usage_error(path, f"several sheets have a table: {_named(tables)}", f"sheet: {tables[0]}")
    return tables[0], [f"sheet {name} is not read" for name in (*scores, *hidden) if name != tables[0]]


def _named(names: Any) -> str:
    return ", ".join(repr(name) for name in names)[:300]


def _rows(path: Path, sheet: Any, formulas: Any | None) -> Iterator[CellRow]:
    """Yield the rows of a sheet that are not blank; the size that the sheet declares is ignored."""
    sheet.reset_dimensions()
    rows = sheet.iter_rows()
    formula_rows: Iterator[Any] = iter(())
    if formulas is not None:
        formulas.reset_dimensions()
        formula_rows = formulas.iter_rows()
    cells = 0
    for number, row in enumerate(rows, start=1):
        cells += len(row)
        if number > _LAST_ROW:
            raise failure(path, f"a row beyond {_LAST_ROW:,}, the last of a sheet")
        check_size(path, 0, cells)
        formula_row = next(formula_rows, ())
        found = [
            _cell(cell, formula_row[index] if index < len(formula_row) else None) for index, cell in enumerate(row)
        ]
        while found and found[-1] is None:
            found.pop()
        if found:
            yield CellRow(number, tuple(found))


def _cell(cell: Any, formula: Any | None) -> Cell:
    """Return a cell's value as text, number or date; `formula` is the same cell with its formula."""
    value = cell.value
    if value is None:
        if formula is not None and formula.data_type == "f":
            return CellFault(
                formula.coordinate, "a formula without a stored result: open the file in a spreadsheet and save it"
            )
        return None
    if cell.data_type == "e":
        return CellFault(cell.coordinate, f"the error {value}")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return _whole(value, cell.number_format)
    if isinstance(value, float):
        number = _number(value, cell.coordinate)
        is_result = formula is not None and formula.data_type == "f"
        return _as_shown(number, cell.number_format) if is_result and isinstance(number, Decimal) else number
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, (time, timedelta)):
        return CellFault(cell.coordinate, f"a time ({value}), not a date")
    try:
        text = _unescaped(str(value))
    except UnicodeError:
        return CellFault(cell.coordinate, "a lone surrogate (half a character), which is not text")
    return text if text.strip() else None


def _unescaped(text: str) -> str:
    """Return the text of a cell without escapes: `_x000D_` is the character with that hexadecimal number.

    Raises:
        UnicodeError: the text has a lone surrogate.
    """
    if not _ESCAPED.search(text):
        return text
    found = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return found.encode("utf-16", "surrogatepass").decode("utf-16")


def _whole(value: int, number_format: str) -> Cell:
    """Return a whole number; as text if its format shows leading zeros, as for an invoice number 00042."""
    if _LEADING_ZEROS.fullmatch(number_format) and value >= 0:
        return str(value).zfill(len(number_format))
    return Decimal(value)


def _as_shown(number: Decimal, number_format: str) -> Decimal:
    """Return the result of a formula with the decimals that its cell shows, because the page has no others."""
    shown = _DECIMALS.search(number_format.partition(";")[0])
    if not shown or "%" in number_format or "E" in number_format:
        return number
    return number.quantize(Decimal(1).scaleb(-len(shown[1])), rounding=ROUND_HALF_UP)


def _number(value: float, index: str) -> Cell:
    """Return a number with the 15 digits that a spreadsheet keeps: 0.1 + 0.2 is 0.3, and 238.0 is 238."""
    number = Decimal(repr(float(f"{value:.15g}")))
    if not number.is_finite():
        return CellFault(index, f"{value} is not a number")
    return Decimal(int(number)) if number == number.to_integral_value() and abs(number) < 10**15 else number
