"""Shapes of ground truth: their fields in the answer, and values that are left out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from format_examples import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st
from shape_examples import FILES, broken, example

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.shapes.registry import recognise

RUPIAH = ReadSettings(currency="IDR")


def task(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a task of Label Studio with one annotation."""
    return {"id": 1, "data": {"image": "a.png"}, "annotations": [{"completed_by": 1, "result": list(results)}], **more}


def labelled(label: str, text: str | None, x: int = 5, y: int = 5, **more: Any) -> dict[str, Any]:
    """Return a rectangle with its label and with its text in `meta`."""
    value = {"x": x, "y": y, "width": 20, "height": 3, "rectanglelabels": [label]}
    meta = {"meta": {"text": [text]}} if text is not None else {}
    return {"id": f"{label}-{x}-{y}", "type": "rectanglelabels", "from_name": "label", "value": value, **meta, **more}


def cord(*items: dict[str, Any], **total: Any) -> dict[str, Any]:
    return {"gt_parse": {"menu": list(items), "total": total or {"total_price": "1.00"}}}


def lines(truth: GroundTruth) -> list[tuple[Any, ...]]:
    return [(line.description, line.quantity, line.unit_price, line.total) for line in truth.answer.lines]


@pytest.mark.parametrize("name", FILES)
def test_recognises_a_shape_by_content(name: str) -> None:
    shape = recognise(example(FILES[name]))
    assert shape
    assert shape.name == name


@pytest.mark.parametrize(
    "value", [{}, [], [1], None, 5, "x", {"structured_data": {}}, {"vendor": "x"}, {"documents": []}]
)
def test_recognises_no_shape_in_other_values(value: Any) -> None:
    assert recognise(value) is None


@given(data=st.data())
def test_any_broken_part_gives_an_answer_or_an_error(data: st.DataObject) -> None:
    value = broken(example(FILES[data.draw(st.sampled_from(sorted(FILES)))]), data)
    try:
        assert isinstance(read_ground_truth(value), GroundTruth)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer


# CORD


def test_reads_a_single_item_of_cord() -> None:
    value = {"gt_parse": {"menu": {"nm": "Kopi", "cnt": "1 x", "price": "12.00"}}}
    assert lines(read_ground_truth(value)) == [("Kopi", 1, None, 12)]


def test_reads_an_amount_with_rp_as_rupiah() -> None:
    found = read_ground_truth(
        cord({"nm": "Teh", "cnt": "2", "unitprice": "@5.000", "price": "10,000"}, total_price="Rp 10.000")
    )
    assert (found.answer.summary.currency, found.answer.summary.grand_total) == ("IDR", 10000)
    assert lines(found) == [("Teh", 2, 5000, 10000)]


def test_amount_without_a_currency_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="'10,000' is ambiguous"):
        read_ground_truth(cord(total_price="10,000"))
    assert read_ground_truth(cord(total_price="10,000"), RUPIAH).answer.summary.grand_total == 10000


def test_reads_only_choices_with_a_price_as_rows() -> None:
    item = {"nm": "Kopi", "price": "9.00", "sub": [{"nm": "no ice"}, {"nm": "Extra shot", "price": "1.00"}]}
    found = read_ground_truth(cord(item))
    assert [line.description for line in found.answer.lines] == ["Kopi", "Extra shot"]
    assert found.unused_keys == ("menu[].sub",)


def test_leaves_out_the_total_of_an_item_with_a_discount() -> None:
    found = read_ground_truth(cord({"nm": "Kopi", "price": "9.00", "discountprice": "-1.00"}))
    assert lines(found) == [("Kopi", None, None, None)]
    assert "menu[].price" in found.unused_keys


def test_reads_a_discount_of_cord_with_either_sign() -> None:
    for amount in ("-2.00", "2.00"):
        value = {"gt_parse": {"sub_total": {"discount_price": amount}, "total": {"total_price": "8.00"}}}
        (discount,) = read_ground_truth(value).answer.summary.discounts or []
        assert discount.amount == 2


def test_reads_donut_metadata_as_object() -> None:
    found = read_ground_truth({"file_name": "a.png", "ground_truth": cord(total_price="12.00")})
    assert found.answer.summary.grand_total == 12


def test_reports_broken_json_of_donut() -> None:
    with pytest.raises(ValueError, match="ground_truth: not JSON"):
        read_ground_truth({"file_name": "a.png", "ground_truth": '{"gt_parse": ['})


def test_reads_another_schema_of_donut() -> None:
    item = {
        "item_desc": "Pen",
        "item_qty": "3,00",
        "item_net_price": "2,00",
        "item_net_worth": "6,00",
        "item_vat": "10%",
    }
    parsed = {
        "header": {"invoice_no": "B-7", "invoice_date": "04/13/2013", "iban": "GB00"},
        "items": [item, {"item_gross_worth": "6,60"}],
        "summary": {"total_net_worth": "$6,00", "total_vat": "$0,60", "total_gross_worth": "$6,60"},
    }
    found = read_ground_truth({"file_name": "a.png", "ground_truth": json.dumps({"gt_parse": parsed})})
    assert lines(found) == [("Pen", 3, 2, 6)]
    (tax,) = found.answer.summary.taxes or []
    assert (tax.rate, tax.amount, found.answer.summary.grand_total) == (
        Decimal("0.1"),
        Decimal("0.60"),
        Decimal("6.60"),
    )
    assert found.unused_keys == ("header.iban", "line_items[].item_gross_worth")


# Label Studio


def test_reads_text_of_rectangles_in_meta() -> None:
    found = read_ground_truth(task(labelled("Vendor Name", "Acme"), labelled("Gesamtbetrag", "€ 119,00", y=50)))
    assert found.answer.structured_data.vendor_block
    assert (found.answer.structured_data.vendor_block.name, found.answer.summary.grand_total) == ("Acme", 119)


def test_reports_a_rectangle_without_text() -> None:
    found = read_ground_truth(task(labelled("total", "5.00"), labelled("vendor", None)))
    assert found.unused_keys == ("label vendor (not transcribed)",)


def test_maps_an_unknown_label() -> None:
    value = task(labelled("total", "5.00"), labelled("Absender", "Acme"))
    assert read_ground_truth(value).unused_keys == ("label Absender",)
    mapped = read_ground_truth(value, ReadSettings(labels={"absender": "vendor_name"}))
    assert mapped.answer.structured_data.vendor_block
    assert mapped.unused_keys == ()


def test_leaves_out_a_field_with_two_values() -> None:
    found = read_ground_truth(
        task(labelled("total", "5.00"), labelled("total", "6.00", y=9), labelled("vendor", "Acme"))
    )
    assert found.answer.summary.grand_total is None
    assert found.unused_keys == ("label total (given twice with different values)",)


def test_groups_labels_of_line_items_by_position() -> None:
    cells = [("item_description", "Pen", 5, 30), ("item_total", "2.00", 70, 31), ("item_description", "Ink", 5, 40),
             ("item_total", "7.00", 70, 39), ("item_qty", "3", 50, 40)]  # fmt: skip
    found = read_ground_truth(task(*(labelled(*cell) for cell in cells)))
    assert lines(found) == [("Pen", None, None, 2), ("Ink", 3, None, 7)]


def test_leaves_out_uncertain_rows() -> None:
    cells = [("item_description", "Pen", 5, 30), ("item_total", "2.00", 70, 60)]
    found = read_ground_truth(task(labelled("vendor", "Acme"), *(labelled(*cell) for cell in cells)))
    assert found.answer.lines == []
    assert "label total (which row is not certain)" in found.unused_keys


def test_uses_the_annotation_marked_as_ground_truth() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"].append({"completed_by": 2, "ground_truth": True, "result": [labelled("total", "6.00")]})
    assert read_ground_truth(value).answer.summary.grand_total == 6


def test_rejects_several_unmarked_annotations() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"] *= 2
    with pytest.raises(ValueError, match="2 annotations of one task: mark the right one as ground truth"):
        read_ground_truth(value)


def test_ignores_a_cancelled_annotation() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"][0]["was_cancelled"] = True
    with pytest.raises(ValueError, match="has no annotation"):
        read_ground_truth(value)


def test_treats_predictions_as_model_output() -> None:
    value = task() | {"predictions": [{"model_version": "m", "result": [labelled("total", "5.00")]}]}
    assert read_ground_truth(value).model == "Label Studio predictions"
    assert read_ground_truth(task(labelled("total", "5.00")) | {"predictions": []}).model is None


# Others


def test_accepts_a_total_with_two_boxes() -> None:
    value = json.loads((EXAMPLES / "wildreceipt/train.txt").read_text())
    again = {**value["annotations"][-2], "box": [4, 60, 16, 60, 16, 63, 4, 63]}
    assert read_ground_truth({**value, "annotations": [*value["annotations"], again]}).answer.summary.grand_total == 119
    other = {**again, "text": "120.00"}
    found = read_ground_truth({**value, "annotations": [*value["annotations"], other]})
    assert found.answer.summary.grand_total is None


def test_prices_of_several_pieces_must_add_up() -> None:
    value = json.loads((EXAMPLES / "wildreceipt/train.txt").read_text())
    for part in value["annotations"]:
        part["text"] = "2" if part["label"] == 13 else part["text"]
    assert [line.total for line in read_ground_truth(value).answer.lines] == [45, 55]
    for part in value["annotations"]:
        part["text"] = "90.00" if part["label"] == 17 else part["text"]
    assert [line.total for line in read_ground_truth(value).answer.lines] == [None, None]


def test_assigns_names_of_textract_by_group() -> None:
    value = example("textract/p1.json")
    fields = value["ExpenseDocuments"][0]["SummaryFields"]
    fields[1]["GroupProperties"][0]["Types"] = ["RECEIVER_SHIP_TO"]
    found = read_ground_truth(value)
    assert found.answer.structured_data.vendor_block
    assert found.answer.structured_data.vendor_block.address is None
    assert "SummaryFields: ADDRESS" in found.unused_keys


def test_reads_a_discount_of_a_service_with_either_sign() -> None:
    value = example("textract/p1.json")
    discount = {"Type": {"Text": "DISCOUNT"}, "ValueDetection": {"Text": "-5.00"}}
    value["ExpenseDocuments"][0]["SummaryFields"].append(discount)
    (found,) = read_ground_truth(value).answer.summary.discounts or []
    assert found.amount == 5


def test_reads_a_credit_note_of_mindee() -> None:
    value = example("mindee/p1.json")
    value["document"]["inference"]["prediction"]["document_type"]["value"] = "CREDIT NOTE"
    assert read_ground_truth(value).answer.structured_data.document_type == "credit_note"


@pytest.mark.parametrize(("name", "key"), [("textract", "ExpenseDocuments"), ("azure", "documents")])
def test_rejects_several_documents_in_one_file(name: str, key: str) -> None:
    value = example(f"{name}/p1.json")
    holder = value.get("analyzeResult", value)
    holder[key] *= 2
    with pytest.raises(ValueError, match="2 documents in one file"):
        read_ground_truth(value)


def test_example_pages_are_small() -> None:
    assert all(Path(page).stat().st_size < 1024 for page in EXAMPLES.rglob("*.png"))
