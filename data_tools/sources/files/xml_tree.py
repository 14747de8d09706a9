"""Untrusted XML as a small tree of limited size, without document type declarations, and so without entities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from xml.parsers import expat

from erniekit_adapter.documents.money import MAX_TEXT_CHARACTERS, parse_amount

MAX_XML_BYTES = 16 * 1024 * 1024
MAX_ELEMENTS = 500_000
MAX_DEPTH = 64
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
# The four values of xs:boolean.
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_DECLARED_ENCODING = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([^"']{1,40})["']""")
_INVALID_TOKEN = 4  # XML_ERROR_INVALID_TOKEN of expat


@dataclass(frozen=True)
class Element:
    """An element with its content.

    Attributes:
        name: prefix and local name, `cbc:ID`; `{namespace}ID` if the namespace has no known prefix.
        line: line of its start tag, from 1.
        attributes: by local name.
        children: child elements in order.
        pieces: its own text in pieces, as the parser returned it.
    """

    name: str
    line: int
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """Its text with single blanks; None without text."""
        return " ".join("".join(self.pieces).split()) or None

    def all(self, path: str) -> list[Element]:
        """Return the elements at a path such as `cac:Party/cbc:Name`."""
        found = [self]
        for name in path.split("/"):
            found = [child for element in found for child in element.children if child.name == name]
        return found

    def one(self, path: str) -> Element | None:
        """Return the element at a path; None without one.

        Raises:
            ValueError: there are several elements.
        """
        found = self.all(path)
        if len(found) > 1:
            raise ValueError(f"line {found[1].line}: {path} is given twice")
        return found[0] if found else None

    def marks(self, attribute: str, besides: str) -> frozenset[str]:
        """Return the values of an attribute on all descendants, without elements named `besides` and their content."""
        found = {child.attributes.get(attribute) for child in self.children if child.name != besides}
        below = (child.marks(attribute, besides) for child in self.children)
        return frozenset(value for value in found if value is not None).union(*below)

    def text_at(self, path: str) -> str | None:
        """Return the text of the only element at a path."""
        element = self.one(path)
        return element.text if element else None

    def decimal_at(self, path: str) -> Decimal | None:
        """Return the number in the only element at a path; None without one.

        Raises:
            ValueError: there are several elements, or one without a decimal number.
        """
        element = self.one(path)
        return decimal_in(element) if element else None

    def flag_at(self, path: str) -> bool:
        """Return the xs:boolean in the only element at a path: `true`, `1`, `false` or `0`, surrounding blanks ignored.

        Raises:
            ValueError: the value is not an xs:boolean, or the element is missing.
        """
        text = self.text_at(path)
        if text not in _FLAGS:
            child = path.partition("/")[0]
            found = "missing" if text is None else repr(text[:40])
            raise ValueError(f"line {self.line}: {self.name}: {child} is {found}, expected true, false, 1 or 0")
        return _FLAGS[text]


def only_decimal(elements: Sequence[Element], finding: str) -> Decimal | None:
    """Return the number in the only one of some elements; None without any.

    Args:
        elements: the elements.
        finding: their name, for the message.

    Raises:
        ValueError: there are several elements, or one without a decimal number.
    """
    if len(elements) > 1:
        raise ValueError(f"line {elements[1].line}: {finding} is given twice")
    return decimal_in(elements[0]) if elements else None


def decimal_in(element: Element) -> Decimal:
    """Return the number in an element.

    Raises:
        ValueError: the element has no decimal number, or one beyond the limits of an amount.
    """
    text = element.text or ""
    if len(text) > MAX_TEXT_CHARACTERS or not _DECIMAL.fullmatch(text):
        raise ValueError(f"line {element.line}: {element.name} {text[:MAX_TEXT_CHARACTERS]!r} is not a decimal number")
    try:
        return parse_amount(Decimal(text))
    except ValueError as error:
        raise ValueError(f"line {element.line}: {element.name}: {error}") from error


def parse_xml(raw: bytes, prefixes: Mapping[str, str]) -> Element:
    """Parse an XML document.

    Args:
        raw: the document, in the encoding that it declares.
        prefixes: prefix by namespace; the prefixes of the document itself are ignored.

    Raises:
        ValueError: the XML is not well-formed, has an unknown or wrong encoding or a document type declaration, or is
            beyond the limits; the message begins with the line.
    """
    if len(raw) > MAX_XML_BYTES:
        raise ValueError(f"{len(raw):,} bytes of XML, more than the limit of {MAX_XML_BYTES:,}")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    tree = _TreeBuilder(parser, prefixes)
    parser.StartDoctypeDeclHandler = tree.refuse_document_type
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise ValueError(f"line {error.lineno}: {_problem(raw, error)}") from error
    except _RefusedXmlError:
        raise
    except (LookupError, ValueError) as error:
        # Codecs of Python, which expat uses for encodings that it does not know.
        raise ValueError(
            f"line 1: encoding {_declared(raw)!r} is unknown or not supported: save it as UTF-8"
        ) from error
    return tree.top.children[0]


def _declared(raw: bytes) -> str:
    """Return the encoding that a document declares; UTF-8 if it declares none."""
    match = _DECLARED_ENCODING.search(raw[:500])
    return match[1].decode("ascii", errors="replace") if match else "UTF-8"


def _problem(raw: bytes, error: expat.ExpatError) -> str:
    """Return the problem that expat found; for bytes in another encoding expat only reports `invalid token`."""
    if error.code == _INVALID_TOKEN and _declared(raw).lower() in ("utf-8", "utf8"):
        try:
            raw.decode()
        except UnicodeDecodeError as wrong:
            byte = raw[wrong.start]
            return f"byte 0x{byte:02x} is not UTF-8, the document's encoding: declare its encoding, or save it as UTF-8"
    text = expat.ErrorString(error.code)
    return text if "encoding" in text else f"not well-formed XML: {text}"


class _RefusedXmlError(ValueError):
    """Well-formed XML that is not accepted."""


class _TreeBuilder:
    """The tree while it is built, with the handlers of the parser."""

    def __init__(self, parser: expat.XMLParserType, prefixes: Mapping[str, str]) -> None:
        self.parser, self.prefixes = parser, prefixes
        self.top = Element("", 0, {})
        self.open = [self.top]
        self.elements = 0

    def refuse_document_type(self, *declared: object) -> None:
        # Only a document type declaration can declare entities; an e-invoice has none.
        raise _RefusedXmlError(
            f"line {self.parser.CurrentLineNumber}: a document type declaration (DOCTYPE), which e-invoices never have"
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        line = self.parser.CurrentLineNumber
        if self.elements > MAX_ELEMENTS or len(self.open) > MAX_DEPTH:
            raise _RefusedXmlError(
                f"line {line}: more than {MAX_ELEMENTS:,} elements, or nested deeper than {MAX_DEPTH}"
            )
        element = Element(self._short(name), line, {key.rpartition(" ")[2]: attributes[key] for key in attributes})
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, name: str) -> None:
        self.open.pop()

    def text(self, text: str) -> None:
        self.open[-1].pieces.append(text)

    def _short(self, name: str) -> str:
        namespace, _, local = name.rpartition(" ")
        if namespace in self.prefixes:
            return f"{self.prefixes[namespace]}:{local}"
        return f"{{{namespace}}}{local}" if namespace else local
