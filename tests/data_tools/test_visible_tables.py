"""Tables of other programs: wrapped cells, extra columns, article codes, amounts with blanks."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from data_tools.visibility import drop_unseen, page_mismatch, page_text
from data_tools.visibility.boxes import read_lines
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

Cell = tuple[float, str]
LETTER_WIDTH, LINE_HEIGHT = 5.0, 12.0


def boxes(*rows: list[Cell]) -> dict[str, Any]:
    """Return a page whose cells begin at the given x positions, one row below the other."""
    cells = [(text, x, 14.0 * number) for number, row in enumerate(rows) for x, text in row]
    sides = [[x, y, x + LETTER_WIDTH * len(text), y + LINE_HEIGHT - 2] for text, x, y in cells]
    return {"tokens": [text for text, _, _ in cells], "bboxes": sides}


def as_text(*rows: list[Cell]) -> str:
    return "\n".join(" ".join(text for _, text in row) for row in rows)


def shown(items: list[dict[str, Any]], page: Any) -> list[dict[str, Any]]:
    value = as_json(read_answer({"structured_data": {"line_items": items}}))
    drop_unseen(INVOICE, value["structured_data"], page_text(page))
    return value["structured_data"].get("line_items", [])


def item(description: str, quantity: str, unit_price: str, total: str) -> dict[str, Any]:
    return {"description": description, "quantity": quantity, "unit_price": unit_price, "total": total}


LONG = "Restoring a double oak door with wrought fittings, linseed oil and two coats of varnish inside and outside"
# Four lines of one cell, each with less than a third of its words; `Code` and `Disc.` have no value of the answer.
ROWS: list[list[Cell]] = [
    [(0, "Code"), (60, "Description"), (250, "Qty"), (300, "Unit price"), (370, "Disc."), (430, "Amount")],
    [(0, "10-7"), (60, "Restoring a double oak"), (250, "3 u"), (300, "480.00"), (370, "5"), (430, "1368.00")],
    [(0, "2281"), (60, "door with wrought")],
    [(60, "fittings, linseed oil and two")],
    [(60, "coats of varnish inside and")],
    [(60, "outside")],
    [(0, "20-8"), (60, "Glazing"), (250, "2 m²"), (300, "112.50"), (430, "225.00")],
]
DOOR, GLAZING = item(LONG, "3", "480.00", "1368.00"), item("Glazing", "2", "112.50", "225.00")


@pytest.mark.parametrize("page", [boxes(*ROWS), as_text(*ROWS)], ids=["boxes", "lines"])
def test_finds_every_value_of_wrapped_rows(page: Any) -> None:
    found = shown([DOOR, GLAZING], page)
    assert [len(row) for row in found] == [4, 4]


@pytest.mark.parametrize("page", [boxes(*ROWS), as_text(*ROWS)], ids=["boxes", "lines"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity", "2"), ("quantity", "10"), ("unit_price", "112.50"), ("unit_price", "1368.00"), ("total", "480.00"),
     ("total", "225.00")],
)  # fmt: skip
def test_does_not_find_values_of_another_cell(field: str, value: str, page: Any) -> None:
    assert field not in shown([{**DOOR, field: value}, GLAZING], page)[0]


def test_unknown_column_does_not_replace_another() -> None:
    rows: list[list[Cell]] = [
        [(0, "Work"), (200, "Qty"), (260, "Zzz"), (340, "Amount")],
        [(0, "Cleaning the front"), (200, "3"), (260, "4.80"), (340, "14.40")],
    ]
    assert shown([item("Cleaning the front", "3", "4.80", "14.40")], boxes(*rows))[0].keys() >= {"unit_price", "total"}
    assert "total" not in shown([item("Cleaning the front", "3", "4.80", "4.80")], boxes(*rows))[0]


def test_wrapped_amount_belongs_to_its_row() -> None:
    rows: list[list[Cell]] = [
        [(0, "Code"), (60, "Description"), (250, "Qty"), (300, "P. unitario"), (430, "Total")],
        [(0, "978-"), (60, "Returned: tales of the shore"), (250, "(3)"), (300, "9850.50"), (430, "($")],
        [(0, "951"), (430, "29551.50)")],
    ]
    assert len(shown([item("Returned: tales of the shore", "-3", "9850.50", "-29551.50")], boxes(*rows))[0]) == 4


def test_adjacent_cells_are_separate_numbers() -> None:
    rows: list[list[Cell]] = [
        [(0, "品名"), (200, "数量"), (260, "単価"), (340, "金額")],
        [(0, "会社案内パンフレットA4"), (200, "3,000"), (260, "38"), (340, "114,000")],
        [(0, "三つ折り")],
    ]
    brochure = item("会社案内パンフレット A4 三つ折り", "3000", "38", "114000")
    assert len(shown([brochure], boxes(*rows))[0]) == 4
    assert "total" not in shown([{**brochure, "total": "38"}], boxes(*rows))[0]


@pytest.mark.parametrize(
    ("printed", "quantity", "is_shown"),
    [("2½", "2.5", True), ("½ day", "0.5", True), ("5 m²", "2", False), ("5 m²", "5", True), ("8 cm3", "3", False)],
)
def test_fractions_and_powers(printed: str, quantity: str, is_shown: bool) -> None:
    page = as_text([(0, "Half a wall"), (1, printed), (2, "48.00"), (3, "240.00")])
    assert ("quantity" in shown([item("Half a wall", quantity, "48.00", "240.00")], page)[0]) is is_shown


@pytest.mark.parametrize(
    ("text", "name", "is_shown"),
    [
        ("Cascade Valley Growers\n4 Sandy Boulevard Suite Cooperative\nPortland", "Valley Growers Cooperative", True),
        ("Cascade Ltd Valley Growers\n44 Sandy Boulevard Suite West\nCooperative", "Valley Growers Cooperative", False),
        ("Firewood dry 3,5 98,00\n07 33 cm", "Firewood dry 33 cm", True),
        ("Firewood dry 3,5 98,00\n07 34 cm", "Firewood dry 33 cm", False),
    ],
)  # fmt: skip
def test_finds_wrapped_text_with_numbers(text: str, name: str, is_shown: bool) -> None:
    value = as_json(read_answer({"structured_data": {"client_info": {"name": name, "invoice_number": "R-1"}}}))
    drop_unseen(INVOICE, value["structured_data"], page_text(f"{text}\nR-1"))
    assert ("name" in value["structured_data"]["client_info"]) is is_shown


def test_finds_a_wrapped_date() -> None:
    page = boxes([(0, "Holzhof"), (300, "Datum: 3. September")], [(0, "Tel. 44 72"), (300, "2024")])
    value = as_json(read_answer({"structured_data": {"client_info": {"invoice_date": "2024-09-03"}}}))
    assert drop_unseen(INVOICE, value["structured_data"], page_text(page)) == ()


SUMMARY = {"subtotal": "2879.84", "taxes": [{"rate": "0.2", "amount": "564.97"}], "grand_total": "3444.81"}
PAID = {**SUMMARY, "amount_paid": "1000.00", "amount_due": "2444.81"}
TOTALS = "Total HT 2 879,84 €\nTVA 564,97 €\nTotal TTC 3 444,81 €\nAcompte 1 000,00 €\nNet à payer 2 444,81 €"


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        (PAID, None),
        ({**PAID, "grand_total": "2879.84"}, "Total TTC 3 444,81; the ground truth has 2879.84"),
        ({**PAID, "grand_total": "2444.81"}, "Total TTC 3 444,81; the ground truth has 2444.81"),
        # Included taxes: nothing on the page contradicts the total.
        ({"subtotal": "3444.81", "taxes": [{"amount": "564.97"}], "grand_total": "3444.81"}, None),
    ],
)
def test_subtotal_and_amount_due_are_not_the_total(summary: dict[str, Any], reason: str | None) -> None:
    truth = as_json(read_answer({"structured_data": {"financial_summary": summary}}))
    value, page = copy.deepcopy(truth), page_text(TOTALS)
    drop_unseen(INVOICE, value["structured_data"], page)
    found = page_mismatch(INVOICE, truth["structured_data"], value["structured_data"], page, 0.5)
    assert (found is None) if reason is None else (found is not None and reason in found)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda pages: pages,
        lambda pages: {"pages": pages},
        lambda pages: {f"page_{number}": page for number, page in enumerate(pages, start=1)},
        lambda pages: {"pages": {str(number): page for number, page in enumerate(pages, start=1)}},
        lambda pages: {"status": "ok", "analyzeResult": {"version": "3", "readResults": pages}},
    ],
    ids=["list", "pages", "object of pages", "pages as an object", "in a result"],
)
def test_does_not_join_rows_of_two_pages(wrapped: Any) -> None:
    first = boxes([(0, "Anvil"), (200, "2"), (260, "10.00"), (340, "20.00")])
    second = boxes([(0, "Bellows"), (200, "3"), (260, "11.00"), (340, "33.00")])
    rows = [line.text for line in read_lines(wrapped([first, second]))]
    assert rows == ["Anvil 2 10.00 20.00", "Bellows 3 11.00 33.00"]
