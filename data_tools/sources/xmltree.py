"""XML of strangers as a small tree: no document type, hence no entities and nothing fetched, and everything limited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from xml.parsers import expat

from erniekit_adapter.invoice.money import MAX_TEXT_CHARACTERS, parse_amount

MAX_XML_BYTES = 16 * 1024 * 1024
MAX_ELEMENTS = 500_000
MAX_DEPTH = 64
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
# The four spellings of xs:boolean.
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_DECLARED_ENCODING = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([^"']{1,40})["']""")
_INVALID_TOKEN = 4  # XML_ERROR_INVALID_TOKEN of expat


@dataclass(frozen=True)
class Element:
    """An element with what stands in it.

    Attributes:
        name: prefix and local name, `cbc:ID`; `{namespace}ID` where the reader knows no prefix for the namespace.
        line: where it begins, from 1.
        attributes: by local name.
        children: the elements in it, in their order.
        pieces: its own text, as the parser gave it.
    """

    name: str
    line: int
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str | None:
        """Its text with single blanks; None where there is none."""
        return " ".join("".join(self.pieces).split()) or None

    def all(self, path: str) -> list[Element]:
        """The elements at a path such as `cac:Party/cbc:Name`."""
        found = [self]
        for name in path.split("/"):
            found = [child for element in found for child in element.children if child.name == name]
        return found

    def one(self, path: str) -> Element | None:
        """The element at a path; None where there is none.

        Raises:
            ValueError: there are several, and nothing says which one counts.
        """
        found = self.all(path)
        if len(found) > 1:
            raise ValueError(f"line {found[1].line}: {path} is given twice")
        return found[0] if found else None

    def marks(self, attribute: str, besides: str) -> frozenset[str]:
        """The values of an attribute on everything in this element, elements of one name aside."""
        found = {child.attributes.get(attribute) for child in self.children if child.name != besides}
        below = (child.marks(attribute, besides) for child in self.children)
        return frozenset(value for value in found if value is not None).union(*below)

    def text_at(self, path: str) -> str | None:
        """The text of the one element at a path."""
        element = self.one(path)
        return element.text if element else None

    def decimal_at(self, path: str) -> Decimal | None:
        """The number in the one element at a path; None where there is no such element.

        Raises:
            ValueError: several elements, or one without a decimal number.
        """
        element = self.one(path)
        return decimal_in(element) if element else None

    def flag_at(self, path: str) -> bool:
        """The xs:boolean in the one element at a path: `true`, `1`, `false` or `0`, with blanks around it or without.

        Raises:
            ValueError: it is none of these, or there is no such element.
        """
        text = self.text_at(path)
        if text not in _FLAGS:
            child = path.partition("/")[0]
            found = "missing" if text is None else repr(text[:40])
            raise ValueError(f"line {self.line}: {self.name}: {child} is {found}, expected true, false, 1 or 0")
        return _FLAGS[text]


def only_decimal(elements: Sequence[Element], what: str) -> Decimal | None:
    """The number in the only one of some elements; None where there is none.

    Raises:
        ValueError: several elements, of which `what` says what they are; or one without a decimal number.
    """
    if len(elements) > 1:
        raise ValueError(f"line {elements[1].line}: {what} is given twice")
    return decimal_in(elements[0]) if elements else None


def decimal_in(element: Element) -> Decimal:
    """The number in an element.

    Raises:
        ValueError: it holds no decimal number, or one beyond the limits of an amount.
    """
    text = element.text or ""
    if len(text) > MAX_TEXT_CHARACTERS or not _DECIMAL.fullmatch(text):
        raise ValueError(f"line {element.line}: {element.name} {text[:MAX_TEXT_CHARACTERS]!r} is no decimal number")
    try:
        return parse_amount(Decimal(text))
    except ValueError as error:
        raise ValueError(f"line {element.line}: {element.name}: {error}") from error


def parse_xml(raw: bytes, prefixes: Mapping[str, str]) -> Element:
    """Read an XML document.

    Args:
        raw: the document, in the encoding that it declares.
        prefixes: prefix by namespace, whatever prefixes the document uses.

    Raises:
        ValueError: not well-formed, an encoding that is unknown or wrong, a document type, or beyond the limits; the
            message begins with the line.
    """
    if len(raw) > MAX_XML_BYTES:
        raise ValueError(f"{len(raw):,} bytes of XML, more than the limit of {MAX_XML_BYTES:,}")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    tree = _Tree(parser, prefixes)
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
        # Python's codecs, which expat asks for an encoding that it does not know.
        raise ValueError(
            f"line 1: encoding {_declared(raw)!r} is unknown or not supported: save it as UTF-8"
        ) from error
    return tree.top.children[0]


def _declared(raw: bytes) -> str:
    """The encoding that a document declares; UTF-8 if it declares none."""
    match = _DECLARED_ENCODING.search(raw[:500])
    return match[1].decode("ascii", errors="replace") if match else "UTF-8"


def _problem(raw: bytes, error: expat.ExpatError) -> str:
    """The problem that expat found; of bytes that are not in the declared encoding it only says `invalid token`."""
    if error.code == _INVALID_TOKEN and _declared(raw).lower() in ("utf-8", "utf8"):
        try:
            raw.decode()
        except UnicodeDecodeError as wrong:
            byte = raw[wrong.start]
            return f"byte 0x{byte:02x} is not UTF-8, the document's encoding: declare its encoding, or save it as UTF-8"
    text = expat.ErrorString(error.code)
    return text if "encoding" in text else f"not well-formed XML: {text}"


class _RefusedXmlError(ValueError):
    """XML that is well-formed and not read."""


class _Tree:
    """The tree while it grows, as the parser's handlers."""

    def __init__(self, parser: expat.XMLParserType, prefixes: Mapping[str, str]) -> None:
        self.parser, self.prefixes = parser, prefixes
        self.top = Element("", 0, {})
        self.open = [self.top]
        self.elements = 0

    def refuse_document_type(self, *declared: object) -> None:
        # Entities are declared there and nowhere else; an e-invoice has none.
        raise _RefusedXmlError(
            f"line {self.parser.CurrentLineNumber}: a document type (DOCTYPE), which no e-invoice has"
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
