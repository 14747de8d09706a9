"""E-invoices of EN 16931, in any of its syntaxes, alone or inside a PDF; what they are is told by their content."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass

from data_tools.sources import cii, pdf_attachments, ubl
from data_tools.sources.xmltree import MAX_XML_BYTES, Element, parse_xml
from erniekit_adapter.invoice.einvoice import EInvoice

_PREFIXES = {**ubl.PREFIXES, **cii.PREFIXES}
_UBL_CREDIT_NOTE = "UBL credit note"
_SYNTAXES: dict[str, tuple[str, Callable[[Element], EInvoice]]] = {
    "ubl:Invoice": ("UBL invoice", ubl.read_ubl),
    "cn:CreditNote": (_UBL_CREDIT_NOTE, ubl.read_ubl),
    "rsm:CrossIndustryInvoice": ("CII invoice", cii.read_cii),
}
_PDF = b"%PDF-"
# Readers of PDF accept what stands before its first line, up to so many bytes.
_PDF_BEGINS_WITHIN = 1024
_XML_BEGINNINGS = (b"<", b"\xfe\xff", b"\xff\xfe", b"\0<")


@dataclass(frozen=True)
class FoundInvoice:
    """An e-invoice and the kind of document that it was: `UBL invoice`, `CII invoice in a PDF`."""

    kind: str
    invoice: EInvoice

    @property
    def is_ubl_credit_note(self) -> bool:
        """Whether the syntax itself says that money flows back, whatever the invoice's type code."""
        return self.kind.startswith(_UBL_CREDIT_NOTE)


def is_xml(raw: bytes) -> bool:
    """Whether a document begins as XML does, in UTF-8 or UTF-16."""
    return raw.removeprefix(BOM_UTF8)[:256].lstrip().startswith(_XML_BEGINNINGS)


def is_pdf(raw: bytes) -> bool:
    """Whether a document begins as PDF does."""
    return _PDF in raw[:_PDF_BEGINS_WITHIN]


def read_einvoice(raw: bytes) -> FoundInvoice:
    """Read a UBL or CII document.

    Raises:
        ValueError: no XML, none of these documents, or values that cannot be read.
    """
    root = parse_xml(raw, _PREFIXES)
    if root.name not in _SYNTAXES:
        raise ValueError(f"XML of {root.name[:120]!r}, which is no e-invoice: neither UBL 2.1 nor CII")
    kind, read = _SYNTAXES[root.name]
    return FoundInvoice(kind, read(root))


def read_pdf(raw: bytes) -> FoundInvoice:
    """Read the e-invoice that a PDF/A-3 (ZUGFeRD, Factur-X) carries as an attachment.

    Raises:
        ValueError: no PDF, none or several e-invoices in it, more than 16 MiB of XML, or values that cannot be read.
        AdapterError: there is no process to read it in.
    """
    attached = pdf_attachments.read_attachments(raw, MAX_XML_BYTES)
    texts = [content for _, content in attached if content is not None and is_xml(content)]
    if sum(map(len, texts)) > MAX_XML_BYTES:
        raise ValueError(f"a PDF with more than {MAX_XML_BYTES:,} bytes of XML attached")
    invoice: Element | None = None
    count = 0
    for text in texts:
        # Of several only one is kept: a tree may take eighty times the memory of its text.
        if root := _einvoice_in(text):
            invoice, count = root, count + 1
    if not invoice or count > 1:
        names = ", ".join(repr(name[:60]) for name, _ in attached[:10]) or "none"
        raise ValueError(f"a PDF with {count} e-invoices, expected one; its attachments: {names}")
    kind, read = _SYNTAXES[invoice.name]
    return FoundInvoice(f"{kind} in a PDF", read(invoice))


def _einvoice_in(raw: bytes) -> Element | None:
    """The root of an e-invoice; None where the XML is anything else."""
    try:
        root = parse_xml(raw, _PREFIXES)
    except ValueError:
        return None
    return root if root.name in _SYNTAXES else None
