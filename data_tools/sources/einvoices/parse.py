"""E-invoices of EN 16931 in every syntax, in an XML file or inside a PDF; the content decides the type."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass

from data_tools.sources.einvoices import cii, pdf_attachments, ubl
from data_tools.sources.files.xml_tree import MAX_XML_BYTES, Element, parse_xml
from erniekit_adapter.documents.invoice.einvoice import EInvoice

_PREFIXES = {**ubl.PREFIXES, **cii.PREFIXES}
_SYNTAXES: dict[str, tuple[str, Callable[[Element], EInvoice]]] = {
    "ubl:Invoice": ("UBL invoice", ubl.read_ubl),
    "cn:CreditNote": ("UBL credit note", ubl.read_ubl),
    "rsm:CrossIndustryInvoice": ("CII invoice", cii.read_cii),
}
_PDF = b"%PDF-"
# PDF readers accept this number of bytes before the first line of a PDF.
_PDF_BEGINS_WITHIN = 1024
_XML_BEGINNINGS = (b"<", b"\xfe\xff", b"\xff\xfe", b"\0<")
# The root of ZUGFeRD 1, which differs from ZUGFeRD 2 and Factur-X: `…:invoice:1p0`.
_ZUGFERD_1 = re.compile(r"\{(urn:ferd:CrossIndustryDocument:invoice:([0-9]{1,3})p([0-9]{1,3}))\}CrossIndustryDocument")
_SHOWN_ATTACHMENTS = 10
_NOT_XML = "not XML"


@dataclass(frozen=True)
class FoundInvoice:
    """An e-invoice and its kind: `UBL invoice`, `CII invoice in a PDF`."""

    kind: str
    invoice: EInvoice


def is_xml(raw: bytes) -> bool:
    """Return whether a document begins as XML does, in UTF-8 or UTF-16."""
    return raw.removeprefix(BOM_UTF8)[:256].lstrip().startswith(_XML_BEGINNINGS)


def is_pdf(raw: bytes) -> bool:
    """Return whether a document begins as PDF does."""
    return _PDF in raw[:_PDF_BEGINS_WITHIN]


def read_einvoice(raw: bytes) -> FoundInvoice:
    """Read a UBL or CII document.

    Raises:
        ValueError: the document is not XML or not one of these documents, or has values that cannot be read.
    """
    root = _einvoice_root(raw)
    kind, read = _SYNTAXES[root.name]
    return FoundInvoice(kind, read(root))


def _einvoice_root(raw: bytes) -> Element:
    """Return the root of an e-invoice.

    Raises:
        ValueError: the XML is not well-formed, or is another document, which the message names.
    """
    root = parse_xml(raw, _PREFIXES)
    if root.name not in _SYNTAXES:
        raise ValueError(_other_document(root.name))
    return root


def _other_document(root_name: str) -> str:
    if match := _ZUGFERD_1.fullmatch(root_name):
        version = f"{match[2]}.{match[3]}"
        return f"ZUGFeRD {version} ({match[1]}), which is not read: convert it to ZUGFeRD 2 or Factur-X, UBL or CII"
    return f"XML of {root_name[:120]!r}, which is not an e-invoice: neither UBL 2.1 nor CII"


def read_pdf(raw: bytes) -> FoundInvoice:
    """Read the e-invoice that is attached to a PDF/A-3 (ZUGFeRD, Factur-X).

    Raises:
        ValueError: the file is not PDF, has more than 16 MiB of XML, several e-invoices, or none (with the reason for
            each attachment); or the e-invoice has values that cannot be read.
        AdapterError: the process that reads PDF does not start.
    """
    attached = pdf_attachments.read_attachments(raw, MAX_XML_BYTES)
    xml_bytes = sum(len(content) for _, content in attached if content is not None and is_xml(content))
    if xml_bytes > MAX_XML_BYTES:
        raise ValueError(f"a PDF with more than {MAX_XML_BYTES:,} bytes of XML attached")
    invoice: Element | None = None
    names: list[str] = []
    problems: list[tuple[str, str]] = []
    for name, content in attached:
        try:
            # Only one of several is kept: a tree may take eighty times the memory of its text.
            invoice = _attached_invoice(content)
            names.append(name)
        except (ValueError, RecursionError) as error:
            problems.append((name, str(error) or "nested too deeply"))
    if invoice is None:
        raise ValueError(_no_invoice(problems))
    if len(names) > 1:
        shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN_ATTACHMENTS])
        raise ValueError(f"a PDF with {len(names)} e-invoices, expected one: {shown}")
    kind, read = _SYNTAXES[invoice.name]
    return FoundInvoice(f"{kind} in a PDF", read(invoice))


def _attached_invoice(content: bytes | None) -> Element:
    """Return the root of an e-invoice that is attached to a PDF.

    Raises:
        ValueError: the attachment is not an e-invoice.
    """
    if content is None:
        raise ValueError(f"empty, damaged, or more than {MAX_XML_BYTES:,} bytes")
    if not is_xml(content):
        raise ValueError(_NOT_XML)
    return _einvoice_root(content)


def _no_invoice(problems: list[tuple[str, str]]) -> str:
    """Return the reason why a PDF has no e-invoice: that of each attachment, XML files first."""
    if not problems:
        return "a PDF without attachments, and so without an e-invoice"
    ordered = sorted(problems, key=lambda problem: problem[1] == _NOT_XML and not _is_named_xml(problem[0]))
    shown = [f"{name[:60]!r}: {reason[:400]}" for name, reason in ordered[:_SHOWN_ATTACHMENTS]]
    more = len(ordered) - len(shown)
    return f"a PDF without an e-invoice that can be read: {'; '.join(shown)}" + (f"; and {more} more" if more else "")


def _is_named_xml(name: str) -> bool:
    return name.lower().endswith(".xml")
