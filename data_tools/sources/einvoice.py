"""E-invoices of EN 16931, in any of its syntaxes, alone or inside a PDF; what they are is told by their content."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass

from data_tools.sources import cii, pdf_attachments, ubl
from data_tools.sources.xmltree import MAX_XML_BYTES, Element, parse_xml
from erniekit_adapter.invoice.einvoice import EInvoice

_PREFIXES = {**ubl.PREFIXES, **cii.PREFIXES}
_SYNTAXES: dict[str, tuple[str, Callable[[Element], EInvoice]]] = {
    "ubl:Invoice": ("UBL invoice", ubl.read_ubl),
    "cn:CreditNote": ("UBL credit note", ubl.read_ubl),
    "rsm:CrossIndustryInvoice": ("CII invoice", cii.read_cii),
}
_XML_BEGINNINGS = (b"<", b"\xfe\xff", b"\xff\xfe", b"\0<")


@dataclass(frozen=True)
class FoundInvoice:
    """An e-invoice and the kind of document that it was: `UBL invoice`, `CII invoice in a PDF`."""

    kind: str
    invoice: EInvoice


def is_xml(raw: bytes) -> bool:
    """Whether a document begins as XML does, in UTF-8 or UTF-16."""
    return raw.removeprefix(BOM_UTF8)[:256].lstrip().startswith(_XML_BEGINNINGS)


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
        ValueError: no PDF, none or several e-invoices in it, or values that cannot be read.
    """
    attached = pdf_attachments.read_attachments(raw, MAX_XML_BYTES)
    found = [root for _, content in attached if content is not None and (root := _einvoice_in(content))]
    if len(found) != 1:
        names = ", ".join(repr(name[:60]) for name, _ in attached[:10]) or "none"
        raise ValueError(f"a PDF with {len(found)} e-invoices, expected one; its attachments: {names}")
    kind, read = _SYNTAXES[found[0].name]
    return FoundInvoice(f"{kind} in a PDF", read(found[0]))


def _einvoice_in(raw: bytes) -> Element | None:
    """The root of an e-invoice; None where the bytes are anything else."""
    try:
        root = parse_xml(raw, _PREFIXES) if is_xml(raw) else None
    except ValueError:
        return None
    return root if root and root.name in _SYNTAXES else None
