"""OCR of a page in the formats of OCR engines: JSON, plain text, hOCR, ALTO and TSV of Tesseract, by content."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from statistics import median
from typing import Any

from data_tools.sources.files.json_values import parse_value
from data_tools.sources.files.xml_tree import Element, parse_xml
from data_tools.sources.shapes.boxes import ocr_of
from data_tools.sources.shapes.rows import Box
from erniekit_adapter.files import read_bytes

MAX_OCR_BYTES = 16 * 1024 * 1024
# The hOCR of a dense page has less than a megabyte.
MAX_HOCR_BYTES = 4 * 1024 * 1024
_MAX_ELEMENTS = 500_000
_TSV_COLUMNS = ("level", "page_num", "block_num", "par_num", "line_num", "word_num", "left", "top", "width", "height")
_WORD_LEVEL, _PAGE_LEVEL = "5", "1"
_HOCR = re.compile(rb"class=[\"']?ocr", re.IGNORECASE)
_ALTO = re.compile(rb"<(?:\w+:)?alto[\s>/]", re.IGNORECASE)
_BBOX = re.compile(r"\bbbox\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)")
# A tag, its end, or the text up to the next tag: each character is examined a bounded number of times.
_TAG_OR_TEXT = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][\w:-]{0,30})(?P<attributes>[^<>]*)>|(?P<text>[^<]+)")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_MAX_TAG_CHARACTERS = 4000
_EMPTY_TAGS = frozenset({"br", "hr", "img", "link", "meta", "wbr"})
_HOCR_LINES = frozenset({"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat"})
_BOX_SIDES = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
# Words of a line with a larger distance, in line heights, are in two columns.
_COLUMN_GAP = 1.5


@dataclass
class _OcrPage:
    """The words of a page, line by line.

    Attributes:
        size: width and height in the unit of the boxes; None if unknown.
        lines: for each line its words with their boxes.
    """

    size: tuple[float, float] | None = None
    lines: list[list[tuple[str, Box | None]]] = field(default_factory=list)

    @property
    def has_words(self) -> bool:
        """True if any text has a box."""
        return any(box is not None for line in self.lines for _, box in line)

    def as_ocr(self) -> Any:
        """Return the page as OCR output of the service: lines cut into pieces at the gaps between columns."""
        return ocr_of([piece for line in self.lines for piece in _pieces(line)], self.size)


def read_ocr(path: Path) -> Any:
    """Read the OCR output for a page or a document.

    Returns:
        JSON unchanged; plain text as a string; from the other formats `tokens` and `bboxes` (thousandths of the page's
        width and height) of the page, or a list of them if the file has several pages.

    Raises:
        AdapterError: the file cannot be read or is too large.
        ValueError: the JSON, hOCR or ALTO is broken, or the bytes are not text.
    """
    raw = read_bytes(path, MAX_OCR_BYTES).removeprefix(BOM_UTF8)
    start = raw[:4096].lstrip()
    if path.suffix.lower() == ".json" or start[:1] in (b"{", b"["):
        try:
            return parse_value(raw)
        except ValueError:
            if path.suffix.lower() == ".json":
                raise
            # The text of a page may begin with a bracket.
            return _text(raw)
    if start.startswith(b"<") and _ALTO.search(raw[:4096]):
        return _of_pages(_alto_pages(raw), "ALTO")
    if start.startswith(b"<") and _HOCR.search(raw):
        return _of_pages(_hocr_pages(raw), "hOCR")
    text = _text(raw)
    if tuple(text.partition("\n")[0].strip().split("\t")[: len(_TSV_COLUMNS)]) == _TSV_COLUMNS:
        return _of_pages(_tsv_pages(text), "TSV")
    return text


def _of_pages(pages: Sequence[_OcrPage], finding: str) -> Any:
    if not pages:
        raise ValueError(f"{finding} without a page")
    found = [page.as_ocr() or {"tokens": []} for page in pages]
    return found[0] if len(found) == 1 else found


def _text(raw: bytes) -> str:
    """Return plain text in UTF-8 or Windows-1252.

    Raises:
        ValueError: the bytes are not text in either encoding.
    """
    if b"\0" in raw:
        raise ValueError("not text: it contains NUL bytes")
    for encoding in ("utf-8", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text.replace("\r\n", "\n").replace("\f", "\n").strip()
    raise ValueError("not text in UTF-8 or Windows-1252: save it as UTF-8")


def _pieces(line: Sequence[tuple[str, Box | None]]) -> list[tuple[str, Box | None]]:
    """Return the words of a line joined to pieces, cut at the gaps between columns."""
    words = [(word.strip(), box) for word, box in line if word.strip()]
    if any(box is None for _, box in words):
        return [(" ".join(word for word, _ in words), None)]
    boxed = [(word, box) for word, box in words if box is not None]
    if not boxed:
        return []
    height = median(box[3] - box[1] for _, box in boxed) or 1.0
    found: list[tuple[str, Box | None]] = []
    text, around = boxed[0]
    for word, box in boxed[1:]:
        if box[0] - around[2] > _COLUMN_GAP * height or box[2] < around[0]:
            found.append((text, around))
            text, around = word, box
        else:
            text = f"{text} {word}"
            around = (
                min(around[0], box[0]), min(around[1], box[1]), max(around[2], box[2]), max(around[3], box[3])
            )  # fmt: skip
    return [*found, (text, around)]


class _HocrReader:
    """The pages of an hOCR file, tag by tag; Python's HTML parser takes minutes on hostile megabytes."""

    def __init__(self) -> None:
        self.pages: list[_OcrPage] = []
        self._elements = 0
        self._word: tuple[str, Box | None] | None = None
        self._open_in_word = 0

    def read(self, text: str) -> list[_OcrPage]:
        """Read a whole file.

        Raises:
            ValueError: more elements than any page has.
        """
        for token in _TAG_OR_TEXT.finditer(_without_comments(text)):
            if token["text"]:
                self._text(unescape(token["text"]))
            elif token["end"]:
                self._end()
            else:
                self._start(token["name"].lower(), token["attributes"][:_MAX_TAG_CHARACTERS])
        return self.pages

    def _start(self, tag: str, attributes: str) -> None:
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            raise ValueError(f"hOCR with more than {_MAX_ELEMENTS:,} elements")
        if tag in _EMPTY_TAGS or attributes.endswith("/"):
            return
        if self._word is not None:
            self._open_in_word += 1
            return
        given = {name.lower(): unescape(value.strip("\"'")) for name, value in _ATTRIBUTE.findall(attributes)}
        kinds, box = set(given.get("class", "").split()), _hocr_box(given.get("title", ""))
        if "ocr_page" in kinds:
            self.pages.append(_OcrPage((box[2], box[3]) if box else None))
        elif kinds & _HOCR_LINES and self.pages:
            self.pages[-1].lines.append([])
        elif "ocrx_word" in kinds and self.pages:
            self._word, self._open_in_word = ("", box), 1

    def _end(self) -> None:
        if self._word is None:
            return
        self._open_in_word -= 1
        if self._open_in_word <= 0:
            page = self.pages[-1]
            if not page.lines:
                page.lines.append([])
            page.lines[-1].append(self._word)
            self._word = None

    def _text(self, text: str) -> None:
        if self._word is not None:
            self._word = (self._word[0] + text, self._word[1])
        elif text.strip() and self.pages and self.pages[-1].lines and not self.pages[-1].has_words:
            # Lines without word elements contain their text directly.
            self.pages[-1].lines[-1].append((text, None))


def _without_comments(text: str) -> str:
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        kept.append(text[position:start])
        end = text.find("-->", start)
        if end < 0:
            return "".join(kept)
        position = end + 3
    return "".join([*kept, text[position:]])


def _hocr_pages(raw: bytes) -> list[_OcrPage]:
    if len(raw) > MAX_HOCR_BYTES:
        raise ValueError(f"{len(raw):,} bytes of hOCR, more than the limit of {MAX_HOCR_BYTES:,}")
    return _HocrReader().read(_text(raw))


def _hocr_box(title: str) -> Box | None:
    found = _BBOX.search(title[:1000])
    return (float(found[1]), float(found[2]), float(found[3]), float(found[4])) if found else None


def _alto_pages(raw: bytes) -> list[_OcrPage]:
    pages = []
    for page in _below(parse_xml(raw, {}), "Page"):
        width, height = _number(page, "WIDTH"), _number(page, "HEIGHT")
        size = (width, height) if width and height else None
        pages.append(_OcrPage(size, [_alto_words(line) for line in _below(page, "TextLine")]))
    return pages


def _alto_words(line: Element) -> list[tuple[str, Box | None]]:
    """Return the words of a line; a word hyphenated into the next line is returned whole with its first part."""
    words: list[tuple[str, Box | None]] = []
    for part in line.children:
        if _local(part.name) != "String":
            continue
        kind, whole = part.attributes.get("SUBS_TYPE"), part.attributes.get("SUBS_CONTENT")
        if kind == "HypPart2" and whole:
            continue
        text = whole if kind == "HypPart1" and whole else part.attributes.get("CONTENT", "")
        words.append((text, _alto_box(part)))
    return words


def _alto_box(part: Element) -> Box | None:
    left, top, width, height = (_number(part, side) for side in _BOX_SIDES)
    if left is None or top is None or width is None or height is None:
        return None
    return left, top, left + width, top + height


def _number(element: Element, name: str) -> float | None:
    try:
        number = float(element.attributes[name])
    except (KeyError, ValueError):
        return None
    return number if -1e9 < number < 1e9 else None


def _below(element: Element, name: str) -> list[Element]:
    """Return all descendants with a local name, in order."""
    found: list[Element] = []
    pending = [element]
    while pending:
        part = pending.pop()
        if _local(part.name) == name:
            found.append(part)
        else:
            pending += reversed(part.children)
    return found


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2]


def _tsv_pages(text: str) -> list[_OcrPage]:
    pages: dict[str, _OcrPage] = {}
    lines: dict[tuple[str, ...], list[tuple[str, Box | None]]] = {}
    for row in text.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) < len(_TSV_COLUMNS) + 2:
            continue
        level, number, *indexes = cells[:5]
        page = pages.setdefault(number, _OcrPage())
        box = _tsv_box(cells)
        if level == _PAGE_LEVEL and box:
            page.size = (box[2], box[3])
        elif level == _WORD_LEVEL:
            key = (number, *indexes)
            if key not in lines:
                page.lines.append(lines.setdefault(key, []))
            lines[key].append((cells[-1], box))
    return list(pages.values())


def _tsv_box(cells: Sequence[str]) -> Box | None:
    try:
        left, top, width, height = (float(cell) for cell in cells[6:10])
    except ValueError:
        return None
    return left, top, left + width, top + height
