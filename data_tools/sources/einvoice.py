"""Source `einvoice`: UBL or CII in an XML file, with its pages in a PDF of the same name, or inside a PDF."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_tools.pages.pdf import MAX_PDF_BYTES
from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.einvoices.answer import einvoice_answer
from data_tools.sources.einvoices.parse import FoundInvoice, is_pdf, is_xml, read_einvoice, read_pdf
from data_tools.sources.files.paths import is_folder, refuse_folder
from data_tools.sources.files.xml_tree import MAX_XML_BYTES
from data_tools.sources.source import Source, in_groups
from erniekit_adapter.documents.invoice.einvoice import EInvoice
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.errors import failure
from erniekit_adapter.files import is_inside, read_bytes
from erniekit_adapter.project.schema import EInvoiceSource

_XML, _PDF = ".xml", ".pdf"
_PAGES = (".pdf", ".PDF")


@dataclass(frozen=True)
class EInvoiceShard:
    """Some e-invoices; `first` is the number of the first one in the source, from 1."""

    first: int
    paths: tuple[Path, ...]


class EInvoiceFiles(Source[EInvoiceSource, EInvoiceShard]):
    """An e-invoice or a folder of them; a shard is some of the files."""

    # Their unused keys are documented in docs/einvoices.md.
    warns_of_unused_keys = False

    def shards(self) -> Iterator[EInvoiceShard]:
        """Yield the e-invoices in groups.

        Raises:
            AdapterError: the path does not exist, or a folder cannot be read.
        """
        first = 1
        for paths in in_groups(iter(self.inputs())):
            yield EInvoiceShard(first, paths)
            first += len(paths)

    def read(self, shard: EInvoiceShard) -> Iterator[RecordOrRejection]:
        """Yield a record or rejection for each e-invoice.

        The group of a record is the seller and the number of the invoice, in both syntaxes.

        Raises:
            AdapterError: a file cannot be read from the disk, or the process that reads PDF does not start.
        """
        for number, path in enumerate(shard.paths, start=shard.first):
            yield _read(path, self.path, number)

    def inputs(self) -> list[Path]:
        """Return the file itself, or each `.xml` and `.pdf` in a folder and its subfolders, sorted.

        A PDF with the name of an XML beside it contains the pages of that XML and is not listed. Links are listed, so
        that `read` can reject those that lead to a folder or out of this one; links to folders are not followed.

        Raises:
            AdapterError: the path does not exist, or a folder cannot be read.
        """
        if not is_folder(self.path, "give an e-invoice (XML or PDF), or a folder of them"):
            return [self.path]
        files: list[Path] = []
        linked_folders: list[Path] = []
        for folder, subfolders, names in os.walk(self.path, onerror=refuse_folder):
            files += (Path(folder, name) for name in names if Path(name).suffix.lower() in (_XML, _PDF))
            linked_folders += (Path(folder, name) for name in subfolders if Path(folder, name).is_symlink())
        pages = {_pages_of(file, self.path) for file in files if file.suffix.lower() == _XML}
        return sorted([*(file for file in files if file not in pages), *linked_folders])


def _pages_of(xml: Path, folder: Path) -> Path | None:
    """Return the PDF with the name of an XML beside it; None if it does not exist or is outside the folder."""
    beside = (xml.with_suffix(suffix) for suffix in _PAGES)
    return next((pdf for pdf in beside if _is_file_in(folder, pdf)), None)


def _is_file_in(folder: Path, path: Path) -> bool:
    try:
        return path.is_file() and is_inside(folder, path)
    except (OSError, RuntimeError):
        # Links that lead to each other.
        return False


def _read(path: Path, source: Path, number: int) -> RecordOrRejection:
    """Read one file of a source; `number` is its place in `inputs`, from 1."""
    document_id = _document_id(path, source)

    def rejected(filter_name: str, reason: str) -> Rejection:
        return Rejection(str(source), number, document_id, filter_name, reason[:2000])

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
        # Without line items, as in the profiles MINIMUM and BASIC WL, the page has more values than the XML.
        complete=bool(found.invoice.lines),
    )


def _document_id(path: Path, source: Path) -> str:
    name = path.relative_to(source).as_posix() if source in path.parents else path.name
    # A file name on disk may not be UTF-8, and JSON cannot contain such a name.
    return os.fsencode(name).decode(errors="replace")


def _content(path: Path, source: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        AdapterError: the file cannot be read from the disk.
        ValueError: the file is too large, not a regular file, or outside the source.
    """
    limit_bytes = MAX_XML_BYTES if path.suffix.lower() == _XML else MAX_PDF_BYTES
    try:
        if path.is_dir():
            raise ValueError("a link to a folder, which is not followed: name that folder as another source")
        if not path.is_file():
            raise ValueError("not a regular file" if path.exists() else "no such file, or a broken link")
        if path != source and path.is_symlink() and not _is_file_in(source, path):
            raise ValueError(f"a link that leaves the folder {source}")
        size_bytes = path.stat().st_size
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error
    if size_bytes > limit_bytes:
        raise ValueError(f"{size_bytes:,} bytes, more than the limit of {limit_bytes:,}")
    return read_bytes(path, limit_bytes)


def _einvoice_in(raw: bytes) -> FoundInvoice:
    """Return the e-invoice in a file; its first bytes decide the type, not its name."""
    if is_pdf(raw):
        return read_pdf(raw)
    if is_xml(raw):
        return read_einvoice(raw)
    raise ValueError("neither XML nor PDF")


def _group(invoice: EInvoice) -> str:
    """Return seller and number, equal in every syntax; empty if the invoice lacks one of them."""
    vat_identifier = "".join((invoice.seller.vat_identifier or "").split()).upper()
    seller = vat_identifier or (invoice.seller.name or "").casefold()
    return f"{seller} {invoice.number}" if seller and invoice.number else ""
