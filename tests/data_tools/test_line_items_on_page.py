"""Line items: values are searched in the row of their description and in their column."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from data_tools.visibility import drop_unseen, page_text
from data_tools.visibility.boxes import lies_on_its_side, read_lines
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

CHAIR = {"description": "Oak chair", "quantity": 2, "unit_price": Decimal("50.00"), "total": Decimal("100.00")}
TABLE = {"description": "Pine table", "quantity": 3, "unit_price": Decimal("70.00"), "total": Decimal("210.00")}
HEAD = ("Description", "Qty", "Unit price", "Total")
LEFT = (100, 500, 650, 850)


def boxed(*rows: tuple[str | None, ...], left: tuple[int, ...] = LEFT) -> dict[str, Any]:
    """Return the cells of a table with their boxes; None is an empty cell."""
    tokens, boxes = [], []
    for number, row in enumerate(rows):
        for x, cell in zip(left, row, strict=False):
            if cell is not None:
                tokens.append(cell)
                boxes.append([x, 100 + 20 * number, x + 10 * len(cell), 115 + 20 * number])
    return {"tokens": tokens, "bboxes": boxes}


def left_of(ocr: Any, *items: dict[str, Any], **summary: Any) -> list[dict[str, Any]]:
    """Return the line items after removal of values not on the page."""
    value = as_json(read_answer({"structured_data": {"line_items": list(items), "financial_summary": summary}}))
    drop_unseen(INVOICE, value["structured_data"], page_text(ocr))
    found: list[dict[str, Any]] = value["structured_data"].get("line_items", [])
    return found


@pytest.mark.parametrize(
    "ocr",
    [
        "Oak chair 2 50.00 100.00",
        "Oak chair 2 x 50,00 EUR = 100,00 EUR",
        "1 | Oak chair | 2 Stk | 50,00 | 19 % | 100,00",
        "Oak chair\n2 x 50.00 100.00",
        ["Oak", "chair", "2", "50.00", "100.00"],
        ["Oak chair", "Pine table", "2", "3", "50.00", "70.00", "100.00", "210.00"],
        boxed(HEAD, ("Oak chair", "2", "50.00", "100.00")),
        boxed(HEAD, ("Oak", None, None, None), ("chair", "2", "50.00", "100.00")),
        boxed(HEAD, ("Oak chair", None, None, None), (None, "2", "50.00", "100.00"), ("oiled", None, None, None)),
        boxed(("Total", "Unit price", "Qty", "Description"), ("100.00", "50.00", "2", "Oak chair")),
    ],
)
def test_keeps_a_row_that_the_page_prints(ocr: Any) -> None:
    assert left_of(ocr, CHAIR) == [CHAIR]


@pytest.mark.parametrize("page", ["A2 50.00 100.00", "R-2 50.00 100.00", "2 % 50.00 100.00", "1002 50.00 100.00",
                                  "2.50 50.00 100.00", "2nd 50.00 100.00", "2:30 50.00 100.00"])  # fmt: skip
def test_does_not_find_a_quantity_in_other_values(page: str) -> None:
    assert left_of(f"Oak chair {page}", CHAIR) == [{name: CHAIR[name] for name in CHAIR if name != "quantity"}]


@pytest.mark.parametrize("page", ["2 Jan 2025", "Jan 2, 2025", "2. Januar 2025", "02.02.2025", "2025-02-02", "2月2日"])
def test_does_not_find_a_quantity_in_a_date(page: str) -> None:
    assert not {"quantity"} & set(left_of(f"{page}\nOak chair 50.00 100.00", CHAIR)[0])


def test_does_not_find_a_number_of_another_row() -> None:
    ocr = boxed(HEAD, ("Oak chair", "5", "50.00", "250.00"), ("Pine table", "2", "70.00", "100.00"))
    assert left_of(ocr, CHAIR) == [{"description": "Oak chair", "unit_price": Decimal("50.00")}]


@pytest.mark.parametrize(
    "ocr",
    [
        boxed(HEAD, ("Oak chair", "1", "50.00", "59.50")),
        "Description Qty Unit price Total\nOak chair 1 50.00 59.50",
        "Bezeichnung Menge Einzelpreis Gesamt\nOak chair 1 50,00 59,50",
        "Désignation Qté Prix unitaire Montant\nOak chair 1 50,00 59,50",
    ],
)
def test_does_not_find_a_total_in_the_unit_price(ocr: Any) -> None:
    item = {**CHAIR, "quantity": 1, "total": Decimal("50.00")}
    assert left_of(ocr, item) == [{"description": "Oak chair", "quantity": 1, "unit_price": Decimal("50.00")}]


def test_does_not_find_a_quantity_in_the_description() -> None:
    item = {**CHAIR, "description": "Cable 2 m"}
    assert left_of("Cable 2 m 50.00 100.00", item)[0].keys() == {"description", "unit_price", "total"}
    assert left_of("Cable 2 m 2 50.00 100.00", item) == [item]


@pytest.mark.parametrize(
    ("page", "items"),
    [
        ("Sum 100.00", [CHAIR]),
        ("2 days net, subtotal 100.00", [CHAIR]),
        ("Subtotal 100.00\n2 items", [CHAIR]),
        (["100.00", "50.00"], [CHAIR]),
    ],
)
def test_does_not_teach_fragments_of_a_row(page: Any, items: list[dict[str, Any]]) -> None:
    others = {"subtotal": Decimal("100.00"), "grand_total": Decimal("50.00")}
    assert left_of(page, *items, **others) == []


def test_keeps_two_numbers_of_a_row_without_its_description() -> None:
    assert left_of("Oak cha1r 2 50.00 100.00", CHAIR) == [CHAIR]
    assert left_of("Something else 2 50.00 100.00", CHAIR) == [
        {"quantity": 2, "unit_price": Decimal("50.00"), "total": Decimal("100.00")}
    ]


def test_equal_descriptions_have_separate_rows() -> None:
    other = {**CHAIR, "quantity": 4, "total": Decimal("200.00")}
    ocr = boxed(HEAD, ("Oak chair", "2", "50.00", "100.00"), ("Oak chair", "4", "50.00", "200.00"))
    assert left_of(ocr, CHAIR, other) == [CHAIR, other]
    assert left_of(ocr, other, CHAIR) == [other, CHAIR]


BOXES: list[Any] = [
    {"tokens": ["Oak", "2"], "bboxes": [[0, 0, 30, 10], [50, 1, 60, 11]]},
    {"texts": ["Oak", "2"], "boxes": [[[0, 0], [30, 0], [30, 10], [0, 10]], [[50, 1], [60, 1], [60, 11], [50, 11]]]},
    [{"text": "2", "bbox": [50, 1, 60, 11]}, {"text": "Oak", "bbox": [0, 0, 30, 10]}],
    [{"text": "Oak", "x": 0, "y": 0, "width": 30, "height": 10}, {"text": "2", "x": 50, "y": 1, "w": 10, "h": 10}],
    [[[[0, 0], [30, 0], [30, 10], [0, 10]], ["Oak", 0.9]], [[[50, 1], [60, 1], [60, 11], [50, 11]], ["2", 0.9]]],
    [[[[0, 0], [30, 0], [30, 10], [0, 10]], "Oak", 0.9], [[[50, 1], [60, 1], [60, 11], [50, 11]], "2", 0.9]],
    {"tokens": ["Oak", "2"], "bboxes": [[0, 0, 30, 10], [50, 1, 10, 10]]},
    {"pages": [{"lines": [{"content": "Oak", "polygon": [0, 0, 30, 0, 30, 10, 0, 10]},
                          {"content": "2", "polygon": [50, 1, 60, 1, 60, 11, 50, 11]}]}]},
]  # fmt: skip


@pytest.mark.parametrize("ocr", BOXES)
def test_reads_rows_from_every_usual_box_format(ocr: Any) -> None:
    (line,) = read_lines(ocr)
    assert (line.text, len(line.cells)) == ("Oak 2", 2)


@pytest.mark.parametrize(
    "ocr",
    [
        None, "", [], {}, 7, [[]], {"tokens": ["a"], "bboxes": [["x"]]}, {"tokens": ["a"], "bboxes": [[10**400] * 4]},
        {"tokens": ["a"], "bboxes": []}, [{"text": "a", "bbox": None}], [{"text": "a", "bbox": {"vertices": [None]}}],
        {"pages": [None, 1, "a"]}, [[["a"]]], [[[1, 2], 3]],
    ],
)  # fmt: skip
def test_ignores_unknown_box_formats(ocr: Any) -> None:
    assert all(not line.cells for line in read_lines(ocr))


def test_pages_have_separate_rows() -> None:
    page = {"tokens": ["Oak"], "bboxes": [[0, 0, 30, 10]]}
    assert [line.page for line in read_lines([page, page])] == [0, 1]


def test_page_with_tall_boxes_lies_on_its_side() -> None:
    assert lies_on_its_side({"tokens": ["Oak chair", "2"], "bboxes": [[0, 0, 10, 90], [20, 0, 30, 10]]})
    assert not lies_on_its_side(boxed(HEAD))
    assert not lies_on_its_side("Oak chair")


@pytest.mark.parametrize(
    "line", ["Drill bit set 2 25.00 50.00", "Drill bit, 2 set 25.00 50.00", "Drill out 2 25.00 50.00"]
)
def test_finds_a_quantity_next_to_a_foreign_month_name(line: str) -> None:
    description = line.partition(" 2")[0].rstrip(",")
    items = [
        {"description": description, "quantity": Decimal(2), "unit_price": Decimal("25.0"), "total": Decimal("50.0")}
    ]
    value: dict[str, Any] = {"structured_data": {"line_items": items}}
    assert (
        drop_unseen(INVOICE, value["structured_data"], page_text({"tokens": ["Description Qty Price Amount", line]}))
        == ()
    )


def test_lines_of_one_box_use_the_column_order() -> None:
    tokens = ["Description Qty Price Amount", "Drill bit case 2 25.00 50.00", "Bench vise 1 150.00 150.00"]
    boxes = [[60, 420, 420, 450], [60, 480, 388, 510], [60, 540, 404, 570]]
    items = [{"description": "Bench vise", "quantity": Decimal(1), "total": Decimal("150.00")}]
    value: dict[str, Any] = {"structured_data": {"line_items": items}}
    assert drop_unseen(INVOICE, value["structured_data"], page_text({"tokens": tokens, "bboxes": boxes})) == ()
