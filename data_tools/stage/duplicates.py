"""Pages that were stored twice: they look alike and have one answer, whatever their files are called."""

from __future__ import annotations

from data_tools.pages.images import near
from data_tools.records import Rejection
from data_tools.stage.documents import Documents
from data_tools.stage.rows import Spool


def note_equal_pages(documents: Documents, spool: Spool) -> None:
    """Note in `documents.first` each row whose pages look like those of a row before it with the same answer.

    Invoices of one template look alike as well, so looks alone tell nothing. Copies that were made to look different on
    purpose have no hashes, and are none.
    """
    asked = {int(row) for rows in documents.same_answer for row in rows if documents.first[row] == row}
    if not asked:
        return
    hashes = {
        number: [bytes.fromhex(page) for page in row.page_hashes]
        for number, _, row in spool.rows()
        if number in asked and not isinstance(row, Rejection)
    }
    for rows in documents.same_answer:
        kept: list[int] = []
        for row in (int(row) for row in rows if int(row) in hashes):
            same = next((other for other in kept if _look_alike(hashes[other], hashes[row])), None)
            if same is None:
                kept.append(row)
            else:
                documents.first[row] = same


def _look_alike(left: list[bytes], right: list[bytes]) -> bool:
    return len(left) == len(right) > 0 and all(near(a, b) for a, b in zip(left, right, strict=True))
