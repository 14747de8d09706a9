"""PDF pages: words in reading order with their boxes, page images within limits, and rejected hostile files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from einvoice_examples import CII, Line, pdf, text_pdf, with_attachments
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_tools.pages import pdf_content
from data_tools.pages.pdf import render_pages, text_layer
from data_tools.pages.pdf_content import MAX_PAGES, read_text

TOTAL: Line = (50, 700, 10, "Gesamt EUR 119.00")
A4 = "/MediaBox [0 0 595 842]"
LOCKED = f"/ID [<00> <00>] /Encrypt <</Filter /Standard /V 1 /R 2 /P -4 /O <{'00' * 32}> /U <{'00' * 32}>>>"


def tokens(*lines: Line, page: str = "/MediaBox [0 0 600 800]") -> list[str]:
    (found,) = text_layer(text_pdf(lines, page=page)) or []
    return found["tokens"]


def image(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_adjacent_words_form_one_token() -> None:
    row: list[Line] = [(50, 700, 10, "Stuhl,"), (79, 700, 10, "blau"), (300, 700, 10, "2 x"), (450, 700, 10, "100.00")]
    assert tokens(*row) == ["Stuhl, blau", "2 x", "100.00"]


def test_reads_from_top_to_bottom_and_left_to_right() -> None:
    written: list[Line] = [
        (50, 100, 10, "Fuss"),
        (300, 700, 10, "Datum"),
        (50, 699, 10, "Kunde"),
        (50, 750, 10, "Kopf"),
    ]
    assert tokens(*written) == ["Kopf", "Kunde", "Datum", "Fuss"]


def test_letters_of_different_size_stay_in_one_row() -> None:
    assert tokens((50, 700, 20, "Rechnung"), (145, 700, 10, "RE-1"), (50, 686, 10, "Seite 1")) == [
        "Rechnung RE-1",
        "Seite 1",
    ]


def test_single_placed_letters_form_one_word() -> None:
    assert tokens((50, 700, 10, "1"), (55.6, 700, 10, "1"), (61.2, 700, 10, "9")) == ["119"]


def test_boxes_are_thousandths_from_the_top_left() -> None:
    (page,) = text_layer(text_pdf([(60, 720, 10, "x"), (300, 80, 10, "y")])) or []
    (left, top, right, bottom), (middle, low, _, _) = page["bboxes"]
    assert (left, middle) == (100, 500)
    assert 80 < top < 100 < bottom < 110
    assert left < right
    assert 880 < low < 900
    assert all(isinstance(place, int) for box in page["bboxes"] for place in box)


@pytest.mark.parametrize("turn", ["", "/Rotate 90", "/Rotate 180", "/Rotate 270", "/CropBox [40 600 500 842]"])
def test_boxes_match_the_ink_of_turned_and_cropped_pages(turn: str) -> None:
    raw = text_pdf([(60, 700, 30, "H")], page=f"{A4} {turn}")
    (page,) = text_layer(raw) or []
    ink = np.asarray(image(next(render_pages(raw, 72)))) < 128
    rows, columns = np.nonzero(ink)
    x0, y0, x1, y1 = np.array(page["bboxes"][0]) / 1000 * np.tile(ink.shape[::-1], 2)
    assert x0 - 1 <= columns.min() <= columns.max() <= x1 + 1
    assert y0 - 1 <= rows.min() <= rows.max() <= y1 + 1


def test_every_page_has_its_own_tokens() -> None:
    pages = text_layer(text_pdf([TOTAL], [], [TOTAL, (50, 600, 10, "Ende")])) or []
    assert [page["tokens"] for page in pages] == [["Gesamt EUR 119.00"], [], ["Gesamt EUR 119.00", "Ende"]]
    assert [len(page["bboxes"]) for page in pages] == [1, 0, 2]


def test_ignores_text_outside_the_page() -> None:
    assert tokens(TOTAL, (50, 900, 10, "over the top"), (-200, 700, 10, "left of it")) == ["Gesamt EUR 119.00"]


@pytest.mark.parametrize(
    "written",
    [
        "Seen)Tj 1 g 1 0 0 1 50 650 Tm (Hidden",
        "Seen)Tj 3 Tr 1 0 0 1 50 650 Tm (Hidden",
        "Seen)Tj /F 0.02 Tf 1 0 0 1 50 650 Tm (Hidden",
        "Hidden)Tj ET 1 g 0 600 600 200 re f 0 g BT /F 9 Tf 1 0 0 1 50 500 Tm (Seen",
        "Hidden)Tj ET 0 600 600 200 re f BT /F 9 Tf 1 0 0 1 50 500 Tm (Seen",
    ],
    ids=["white", "invisible", "tiny", "covered", "blackened"],
)
def test_ignores_text_that_is_not_rendered(written: str) -> None:
    [page] = text_layer(text_pdf([(50, 700, 9, written)])) or ()
    assert page["tokens"] == ["Seen"]


def test_reads_invisible_text_over_its_picture() -> None:
    marks = " ".join(f"{x} 698 2 8 re f" for x in range(50, 100, 5))
    [page] = text_layer(text_pdf([(50, 700, 9, f"x)Tj ET {marks} BT 3 Tr /F 9 Tf 1 0 0 1 50 700 Tm (Scanned")])) or ()
    assert "Scanned" in " ".join(page["tokens"])


def test_a_scan_has_no_text_layer() -> None:
    assert text_layer(text_pdf([], [])) is None


def test_renders_each_page_at_the_resolution() -> None:
    raw = text_pdf([TOTAL], [], page=A4)
    assert [image(png).size for png in render_pages(raw, 72)] == [(595, 842)] * 2
    assert [(image(png).format, image(png).mode) for png in render_pages(raw)] == [("PNG", "L")] * 2


def test_reads_and_renders_an_e_invoice_pdf() -> None:
    raw = with_attachments(text_pdf([TOTAL]), invoice=CII.encode())
    assert [page["tokens"] for page in text_layer(raw) or []] == [["Gesamt EUR 119.00"]]
    assert len(list(render_pages(raw))) == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not a readable PDF"),
        (b"%PDF-1.7 and nothing else", "not a readable PDF"),
        (text_pdf([TOTAL])[:500], "not a readable PDF"),
        (text_pdf([TOTAL], trailer=LOCKED), "needs a password"),
        (text_pdf(*[[TOTAL]] * (MAX_PAGES + 1)), "a PDF with 51 pages, expected 1 to 50"),
        (text_pdf([]).replace(b"/Kids [4 0 R]", b"/Kids [9 0 R]"), "broken"),
    ],
    ids=["empty", "no pdf", "cut off", "encrypted", "too many pages", "a page is missing"],
)
def test_rejects_unusable_pdfs_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        text_layer(raw)
    with pytest.raises(ValueError, match=reason):
        list(render_pages(raw))


def test_rejects_a_huge_page_before_rendering() -> None:
    raw = text_pdf([TOTAL], page="/MediaBox [0 0 14400 14400]")
    pages = render_pages(raw)
    with pytest.raises(ValueError, match=r"page 1 has 200\.0 × 200\.0 inches: more than 50,000,000 pixels"):
        next(pages)
    assert image(next(render_pages(raw, 30))).size == (6000, 6000)


def test_rejects_a_page_with_too_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_content, "MAX_PAGE_CHARACTERS", 10)
    with pytest.raises(ValueError, match="page 2 has 17 characters, more than the limit of 10"):
        read_text(text_pdf([], [TOTAL]))


def test_rejects_pages_with_too_many_characters_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_content, "MAX_CHARACTERS", 50)
    assert len(read_text(text_pdf([TOTAL], [TOTAL])) or []) == 2
    with pytest.raises(ValueError, match="a PDF with more than 50 characters"):
        read_text(text_pdf([TOTAL], [TOTAL], [TOTAL]))


def test_stopping_early_leaves_nothing_open() -> None:
    pages = render_pages(text_pdf([TOTAL], [TOTAL]))
    next(pages)
    pages.close()
    assert list(pages) == []


PLACES = st.floats(-1000, 2000, allow_nan=False) | st.sampled_from([1e30, -1e30])
LINES = st.tuples(PLACES, PLACES, PLACES, st.text("aZ09 .,-€ß", max_size=12))


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=8), st.sampled_from(["", "/Rotate 90", "/Rotate 270", "/CropBox [0 0 9 9]"]))
def test_boxes_are_on_the_page_for_any_text(lines: list[Line], turn: str) -> None:
    for page in text_layer(text_pdf(lines, page=f"{A4} {turn}")) or []:
        assert len(page["tokens"]) == len(page["bboxes"])
        assert all(token.split(" ") == token.split() for token in page["tokens"])
        assert all(0 <= x0 <= x1 <= 1000 and 0 <= y0 <= y1 <= 1000 for x0, y0, x1, y1 in page["bboxes"])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1100), st.binary(max_size=12))
def test_a_damaged_pdf_gives_pages_or_a_reason(place: int, put: bytes) -> None:
    raw = pdf(invoice=b"<a/>") if place % 2 else text_pdf([TOTAL])
    damaged = raw[:place] + put + raw[place + len(put) :]
    assert pages_or_reason(damaged)


def pages_or_reason(raw: bytes) -> str:
    """Return the number of pages read and rendered, or the error."""
    try:
        found, drawn = text_layer(raw), list(render_pages(raw, 30))
    except ValueError as reason:
        return str(reason)
    assert found is None or len(found) == len(drawn)
    return f"{len(drawn)} pages"
