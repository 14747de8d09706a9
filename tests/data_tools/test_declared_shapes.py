"""Public data sets, annotation tools and services, read into a declared type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receipt_type_examples import content, receipt_type, truth_of
from shape_examples import FILES, broken, example
from type_examples import write_type

from data_tools.sources.answers.truth import GroundTruth
from data_tools.sources.shapes.registry import recognise
from erniekit_adapter.documents.document_type import DocumentType


@pytest.fixture(scope="module")
def slip(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return receipt_type(tmp_path_factory.mktemp("slip"))


MENU = [
    {"nm": ["Es Teh", "Manis"], "cnt": "2 x", "unitprice": "@4.000", "price": "8.000"},
    {"nm": "Kopi", "price": "6,000", "sub": [{"nm": "less ice"}, {"nm": "Extra shot", "price": "1.000"}]},
]
SUB_TOTAL = {"subtotal_price": "15,000", "service_price": "1,500", "tax_price": "1.650", "etc": "3"}
TOTAL = {"total_price": "Rp 18.150", "cashprice": "20,000", "changeprice": "1,850", "menuqty_cnt": "4"}
CORD = {"gt_parse": {"menu": MENU, "sub_total": SUB_TOTAL, "total": TOTAL}}


def test_reads_cord_with_its_payments(slip: DocumentType) -> None:
    assert content(CORD, slip) == {
        "items": [
            {"name": "Es Teh Manis", "qty": "2", "each": "4000", "sum": "8000"},
            {"name": "Kopi", "sum": "6000"},
            {"name": "Extra shot", "sum": "1000"},
        ],
        "subtotal": "15000",
        "service": "1500",
        "tax": "1650",
        "total": "18150",
        "cash": "20000",
        "change": "1850",
        "currency": "IDR",
    }
    assert truth_of(CORD, slip).unused_keys == ("menu[].sub", "sub_total.etc", "total.menuqty_cnt")


def test_reads_the_discount_of_an_item_of_cord(slip: DocumentType) -> None:
    value = {"gt_parse": {"menu": {"nm": "Kopi", "price": "9.00", "discountprice": "-1.00"}}}
    assert content(value, slip) == {"items": [{"name": "Kopi", "off": "1.00"}]}
    assert truth_of(value, slip).unused_keys == ("menu[].price",)


def test_the_price_of_cord_is_no_unit_price(tmp_path: Path) -> None:
    row = {"name": {"type": "string"}, "price": {"type": "number", "x-kind": "amount", "x-role": "unit_price"}}
    kind = write_type(tmp_path / "till", {"items": {"type": "array", "items": {"type": "object", "properties": row}}})
    assert content({"gt_parse": {"menu": {"nm": "Kopi", "cnt": "2", "price": "9.00"}}}, kind) == {
        "items": [{"name": "Kopi"}]
    }


@pytest.mark.parametrize(
    "value",
    [
        {"gt_parse": {"Total": "5.00", "merchant": "Kiosk"}},
        {"ground_truth": '{"gt_parse": {"total": "5.00", "store": {"name": "Kiosk"}}}'},
    ],
)
def test_reads_other_fields_of_donut(slip: DocumentType, value: Any) -> None:
    assert content(value, slip) == {"store": {"name": "Kiosk"}, "total": "5.00"}


def test_reads_sroie(slip: DocumentType) -> None:
    value = {"company": "KEDAI SDN BHD", "date": "25/12/2018", "address": "NO 1\nJOHOR", "total": "RM9.00"}
    assert content(value, slip) == {
        "store": {"name": "KEDAI SDN BHD", "address": "NO 1, JOHOR"},
        "date": "2018-12-25",
        "total": "9.00",
        "currency": "MYR",
    }


def text(label: str, words: str, top: int, left: int = 0) -> dict[str, Any]:
    return {"label": label, "text": words, "box": [left, top, left + 40, top, left + 40, top + 10, left, top + 10]}


def test_reads_wildreceipt(slip: DocumentType) -> None:
    texts = [
        text("Store_name_value", "Kiosk", 0), text("Date_value", "2020-01-02", 20), text("Time_value", "12:30", 40),
        text("Prod_item_value", "Tea", 60), text("Prod_quantity_value", "1", 60, 50),
        text("Prod_price_value", "2.50", 60, 90), text("Tips_value", "1.00", 90), text("Total_value", "3.50", 110),
    ]  # fmt: skip
    value = {"file_name": "a.jpg", "height": 200, "width": 200, "annotations": texts}
    assert content(value, slip) == {
        "store": {"name": "Kiosk"},
        "date": "2020-01-02",
        "time": "12:30",
        "items": [{"name": "Tea", "qty": "1", "sum": "2.50"}],
        "total": "3.50",
    }
    assert truth_of(value, slip).unused_keys == ("annotations: Tips_value",)


def form(*pairs: tuple[str, str]) -> dict[str, Any]:
    items = []
    for number, (question, answer) in enumerate(pairs):
        first, second = 2 * number, 2 * number + 1
        items.append({"id": first, "label": "question", "text": question, "linking": [[first, second]], "box": [0] * 4})
        items.append({"id": second, "label": "answer", "text": answer, "linking": [[first, second]], "box": [0] * 4})
    return {"form": items}


def test_reads_questions_of_funsd(slip: DocumentType) -> None:
    value = form(("GRAND TOTAL:", "$ 5.00"), ("Merchant", "Kiosk"), ("Shoe size", "43"), ("Qty", "1"))
    assert content(value, slip) == {"store": {"name": "Kiosk"}, "total": "5.00"}
    assert truth_of(value, slip).unused_keys == ("form: Shoe size", "form: Qty")


def region(label: str, words: str, top: int, left: int, number: int) -> list[dict[str, Any]]:
    box = {"x": left, "y": top, "width": 10, "height": 2}
    return [
        {"id": str(number), "type": "rectanglelabels", "value": {**box, "rectanglelabels": [label]}},
        {"id": str(number), "type": "textarea", "value": {**box, "text": [words]}},
    ]


def task(*labels: tuple[str, str, int, int]) -> dict[str, Any]:
    results = [part for number, each in enumerate(labels) for part in region(*each, number)]
    return {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": results}]}


def test_reads_labels_of_label_studio(slip: DocumentType) -> None:
    value = task(
        ("merchant", "Kiosk", 1, 0), ("Summe", "5.00", 50, 0), ("item_name", "Tea", 10, 0), ("qty", "2", 10, 20),
        ("items.sum", "4.00", 10, 40), ("nm", "Bun", 20, 0), ("items.sum", "1.00", 20, 40), ("logo", "K", 1, 50),
    )  # fmt: skip
    found = {"items": [{"name": "Tea", "qty": "2", "sum": "4.00"}, {"name": "Bun", "sum": "1.00"}], "total": "5.00"}
    assert content(value, slip, labels={"Summe": "total"}) == {"store": {"name": "Kiosk"}, **found}
    assert truth_of(value, slip).unused_keys == ("label Summe", "label logo")


def test_own_keys_are_no_output_of_a_service(tmp_path: Path) -> None:
    own = write_type(
        tmp_path / "bill", {"issuer": {"type": "string"}, "amount": {"type": "number", "x-kind": "amount"}}
    )
    assert recognise({"issuer": "A", "amount": 5})
    assert recognise({"issuer": "A", "amount": 5}, own) is None
    assert truth_of({"issuer": "A", "amount": 5}, own).model is None


@pytest.mark.parametrize("name", sorted(FILES))
def test_reads_every_shape_into_a_receipt(slip: DocumentType, name: str) -> None:
    found = truth_of(example(FILES[name]), slip)
    assert not slip.is_empty(found.answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_broken_parts_give_an_answer_or_an_error(slip: DocumentType, data: st.DataObject) -> None:
    values = [CORD, {"total": 5, "items": [{"name": "a"}]}, *(example(FILES[name]) for name in sorted(FILES))]
    value = broken(data.draw(st.sampled_from(values)), data)
    try:
        assert isinstance(truth_of(value, slip), GroundTruth)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer
