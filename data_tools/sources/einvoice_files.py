"""E-invoices as files: UBL or CII alone, with its pages in a PDF of the same name, or inside a PDF."""

from __future__ import annotations

import os
from pathlib import Path

from data_tools.pages.pdf import MAX_PDF_BYTES
from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.einvoice import FoundInvoice, is_pdf, is_xml, read_einvoice, read_pdf
from data_tools.sources.einvoice_answer import einvoice_answer
from data_tools.sources.reading import is_folder, refuse_folder
from data_tools.sources.xmltree import MAX_XML_BYTES
from erniekit_adapter.errors import fail
from erniekit_adapter.files import is_inside, read_bytes
from erniekit_adapter.invoice.einvoice import EInvoice
from erniekit_adapter.invoice.einvoice_rules import check_einvoice

_XML, _PDF = ".xml", ".pdf"
_PAGES = (".pdf", ".PDF")


def einvoice_files(path: Path) -> list[Path]:
    """List the documents of a source: the file itself, or every `.xml` and `.pdf` below a folder, sorted.

    An XML stands for the PDF of its name beside it, which holds its pages and is not listed. Links are listed, for
    read_einvoice_file to refuse those that lead to a folder, which are not followed, or out of this one.

    Raises:
        AdapterError: there is no such file or folder, or a folder cannot be read.
    """
    if not is_folder(path, "give an e-invoice (XML or PDF), or a folder of them"):
        return [path]
    files: list[Path] = []
    linked_folders: list[Path] = []
    for place, folders, names in os.walk(path, onerror=refuse_folder):
        files += (Path(place, name) for name in names if Path(name).suffix.lower() in (_XML, _PDF))
        linked_folders += (Path(place, name) for name in folders if Path(place, name).is_symlink())
    pages = {_pages_of(file, path) for file in files if file.suffix.lower() == _XML}
    return sorted([*(file for file in files if file not in pages), *linked_folders])


def _pages_of(xml: Path, folder: Path) -> Path | None:
    """The PDF beside an XML that has its name; None where there is none, or where it lies outside the folder."""
    beside = (xml.with_suffix(suffix) for suffix in _PAGES)
    return next((pdf for pdf in beside if _is_file_in(folder, pdf)), None)


def _is_file_in(folder: Path, path: Path) -> bool:
    try:
        return path.is_file() and is_inside(folder, path)
    except (OSError, RuntimeError):
        # Links that lead to each other.
        return False


def read_einvoice_file(path: Path, source: Path, number: int) -> Reading:
    """Read one of a source's documents.

    Args:
        path: one that einvoice_files listed.
        source: what einvoice_files listed it for.
        number: its place in that list, from 1.

    Returns:
        A record, whose group is the seller and the number of the invoice, whatever its syntax; or a rejection.

    Raises:
        AdapterError: the disk does not let the file be read, or there is no process to read a PDF in.
    """
    document_id = _document_id(path, source)

    def rejected(gate: str, reason: str) -> Rejection:
        return Rejection(str(source), number, document_id, gate, reason[:2000])

    try:
        raw = _content(path, source)
        found = _einvoice_in(raw)
    except (ValueError, RecursionError) as error:
        return rejected("source", str(error) or "nested too deeply")
    try:
        answer, unused_keys = einvoice_answer(found.invoice)
    except ValueError as error:
        return rejected("canonical", str(error))
    return DocumentRecord(
        document_id=document_id,
        source=str(source),
        line=number,
        images=(),
        ocr=None,
        answer=answer,
        reviewed=True,
        group=_group(found.invoice),
        unused_keys=unused_keys,
        pdf=path if is_pdf(raw) else _pages_of(path, path.parent if path == source else source),
        findings=check_einvoice(found.invoice),
        # Without lines, as in the profiles MINIMUM and BASIC WL, the page says more than the XML.
        complete=bool(found.invoice.lines),
    )


def _document_id(path: Path, source: Path) -> str:
    name = path.relative_to(source).as_posix() if source in path.parents else path.name
    # A name on disk may be no UTF-8, which no line of JSON can hold.
    return os.fsencode(name).decode(errors="replace")


def _content(path: Path, source: Path) -> bytes:
    """The bytes of a file.

    Raises:
        AdapterError: they cannot be read.
        ValueError: they are not to be read.
    """
    limit_bytes = MAX_XML_BYTES if path.suffix.lower() == _XML else MAX_PDF_BYTES
    try:
        if path.is_dir():
            raise ValueError("a link to a folder, which is not followed: name that folder as a source of its own")
        if not path.is_file():
            raise ValueError("no regular file" if path.exists() else "no such file, or a link to none")
        if path != source and path.is_symlink() and not _is_file_in(source, path):
            raise ValueError(f"a link that leaves the folder {source}")
        size_bytes = path.stat().st_size
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error
    if size_bytes > limit_bytes:
        raise ValueError(f"{size_bytes:,} bytes, more than the limit of {limit_bytes:,}")
    return read_bytes(path, limit_bytes)


def _einvoice_in(raw: bytes) -> FoundInvoice:
    """What a file is, is told by how it begins and not by its name."""
    if is_pdf(raw):
        return read_pdf(raw)
    if is_xml(raw):
        return read_einvoice(raw)
    raise ValueError("neither XML nor PDF")


def _group(invoice: EInvoice) -> str:
    """Seller and number, the same in every syntax; empty where the invoice does not say both."""
    vat_identifier = "".join((invoice.seller.vat_identifier or "").split()).upper()
    seller = vat_identifier or (invoice.seller.name or "").casefold()
    return f"{seller} {invoice.number}" if seller and invoice.number else ""
