"""Find pages that were stored twice: they look alike and have the same answer, under any file name."""

from __future__ import annotations

from data_tools.pages.images import near
from data_tools.pipeline.document_groups import DocumentGroups
from data_tools.pipeline.spool import Spool
from data_tools.records import Rejection


def note_equal_pages(documents: DocumentGroups, spool: Spool) -> None:
    """Set `documents.first` of each row whose pages look like those of an earlier row with the same answer.

    Invoices of one template look alike, so looking alike is not enough. Augmented copies have no hashes and are not
    duplicates.
    """
    candidates = {int(row) for rows in documents.same_answer for row in rows if documents.first[row] == row}
    if not candidates:
        return
    hashes = {
        number: [bytes.fromhex(page) for page in row.page_hashes]
        for number, _, row in spool.rows()
        if number in candidates and not isinstance(row, Rejection)
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
