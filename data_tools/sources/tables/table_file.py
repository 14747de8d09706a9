"""Table files: the content decides whether a file is CSV or XLSX, not its name."""

from __future__ import annotations

from pathlib import Path

from data_tools.sources.tables.cells import CellTable, Score
from data_tools.sources.tables.csv_rows import read_csv
from erniekit_adapter.errors import failure
from erniekit_adapter.files import read_bytes

MAX_TABLE_BYTES = 64 * 1024 * 1024
_XLSX_MAGIC = b"PK\x03\x04"
_OTHER_FILES = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password",
    b"%PDF": "a PDF",
}


def read_table(path: Path, score: Score, sheet: str | None = None) -> CellTable:
    """Read a CSV or XLSX file.

    Args:
        path: the file.
        score: function that counts the known column names in a row.
        sheet: the sheet of an XLSX; None if only one has a table.

    Raises:
        AdapterError: the file cannot be read, is too large, or is neither CSV nor XLSX.
    """
    raw = read_bytes(path, MAX_TABLE_BYTES)
    if raw.startswith(_XLSX_MAGIC):
        from data_tools.sources.tables.xlsx import read_xlsx

        return read_xlsx(path, score, sheet)
    for magic, name in _OTHER_FILES.items():
        if raw.startswith(magic):
            raise failure(
                path, f"{name}, not a CSV or XLSX table", "save the table as .xlsx without a password, or .csv"
            )
    if sheet is not None:
        raise failure(path, f"has no sheets, and the source names sheet {sheet!r}", "remove sheet from the source")
    return read_csv(path, raw, score)
