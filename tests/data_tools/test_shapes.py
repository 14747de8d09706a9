"""Families of ground truth: what of each has a place, and what is never guessed."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from format_examples import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st

from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.truth import ReadSettings, Truth
from erniekit_adapter.invoice import jsontext

RUPIAH = ReadSettings(currency="IDR")
FILES = {
    "CORD": "cord/truth.json",
    "SROIE": "sroie/key/r1.json",
    "FUNSD": "funsd/annotations/f1.json",
    "invoice2data": "invoice2data/truth.json",
    "AWS Textract AnalyzeExpense": "textract/p1.json",
    "Azure Document Intelligence": "azure/p1.json",
    "Google Document AI": "google/p1.json",
    "Mindee": "mindee/p1.json",
}


def example(name: str) -> Any:
    return jsontext.parse((EXAMPLES / name).read_bytes())


def task(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A task of Label Studio with one annotation."""
    return {"id": 1, "data": {"image": "a.png"}, "annotations": [{"completed_by": 1, "result": list(results)}], **more}


def labelled(label: str, text: str | None, x: int = 5, y: int = 5, **more: Any) -> dict[str, Any]:
    """A rectangle with its label and, in its meta data, its text."""
    value = {"x": x, "y": y, "width": 20, "height": 3, "rectanglelabels": [label]}
    meta = {"meta": {"text": [text]}} if text is not None else {}
    return {"id": f"{label}-{x}-{y}", "type": "rectanglelabels", "from_name": "label", "value": value, **meta, **more}


def cord(*items: dict[str, Any], **total: Any) -> dict[str, Any]:
    return {"gt_parse": {"menu": list(items), "total": total or {"total_price": "1.00"}}}


def lines(truth: Truth) -> list[tuple[Any, ...]]:
    return [(line.description, line.quantity, line.unit_price, line.total) for line in truth.answer.lines]


@pytest.mark.parametrize("name", FILES)
def test_a_shape_is_recognised_by_its_content(name: str) -> None:
    shape = recognise(example(FILES[name]))
    assert shape
    assert shape.name == name


@pytest.mark.parametrize(
    "value", [{}, [], [1], None, 5, "x", {"structured_data": {}}, {"vendor": "x"}, {"documents": []}]
)
def test_what_is_of_no_family_is_recognised_as_none(value: Any) -> None:
    assert recognise(value) is None


@given(data=st.data())
def test_a_broken_part_of_any_shape_is_an_answer_or_an_error(data: st.DataObject) -> None:
    value = copy.deepcopy(example(FILES[data.draw(st.sampled_from(sorted(FILES)))]))
    junk = data.draw(st.sampled_from([None, 5, "x", [], {}, [None], [{}], {"a": []}, True, Decimal("1.5"), "1,234"]))
    place = value
    for _ in range(12):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = junk
            break
        place = place[key]
    try:
        assert isinstance(read_ground_truth(value), Truth)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer


# CORD


def test_a_single_item_of_cord_may_be_an_object() -> None:
    value = {"gt_parse": {"menu": {"nm": "Kopi", "cnt": "1 x", "price": "12.00"}}}
    assert lines(read_ground_truth(value)) == [("Kopi", 1, None, 12)]


def test_an_amount_with_rp_is_rupiah_and_has_one_reading() -> None:
    found = read_ground_truth(
        cord({"nm": "Teh", "cnt": "2", "unitprice": "@5.000", "price": "10,000"}, total_price="Rp 10.000")
    )
    assert (found.answer.summary.currency, found.answer.summary.grand_total) == ("IDR", 10000)
    assert lines(found) == [("Teh", 2, 5000, 10000)]


def test_an_amount_without_a_currency_stays_ambiguous() -> None:
    with pytest.raises(ValueError, match="'10,000' is ambiguous"):
        read_ground_truth(cord(total_price="10,000"))
    assert read_ground_truth(cord(total_price="10,000"), RUPIAH).answer.summary.grand_total == 10000


def test_a_choice_without_a_price_is_no_row_and_one_with_it_is() -> None:
    item = {"nm": "Kopi", "price": "9.00", "sub": [{"nm": "no ice"}, {"nm": "Extra shot", "price": "1.00"}]}
    found = read_ground_truth(cord(item))
    assert [line.description for line in found.answer.lines] == ["Kopi", "Extra shot"]
    assert found.unused_keys == ("menu[].sub",)


def test_an_item_with_a_discount_has_no_certain_total() -> None:
    found = read_ground_truth(cord({"nm": "Kopi", "price": "9.00", "discountprice": "-1.00"}))
    assert lines(found) == [("Kopi", None, None, None)]
    assert "menu[].price" in found.unused_keys


def test_a_discount_of_cord_is_taken_off_whatever_its_sign() -> None:
    for amount in ("-2.00", "2.00"):
        value = {"gt_parse": {"sub_total": {"discount_price": amount}, "total": {"total_price": "8.00"}}}
        (discount,) = read_ground_truth(value).answer.summary.discounts or []
        assert discount.amount == 2


def test_a_line_of_donut_may_hold_its_truth_as_an_object() -> None:
    found = read_ground_truth({"file_name": "a.png", "ground_truth": cord(total_price="12.00")})
    assert found.answer.summary.grand_total == 12


def test_broken_json_in_a_line_of_donut_is_named() -> None:
    with pytest.raises(ValueError, match="ground_truth: not JSON"):
        read_ground_truth({"file_name": "a.png", "ground_truth": '{"gt_parse": ['})


def test_a_line_of_donut_may_hold_another_schema() -> None:
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


def test_rectangles_with_text_in_their_meta_data_are_fields() -> None:
    found = read_ground_truth(task(labelled("Vendor Name", "Acme"), labelled("Gesamtbetrag", "€ 119,00", y=50)))
    assert found.answer.structured_data.vendor_block
    assert (found.answer.structured_data.vendor_block.name, found.answer.summary.grand_total) == ("Acme", 119)


def test_a_rectangle_that_nobody_transcribed_is_named() -> None:
    found = read_ground_truth(task(labelled("total", "5.00"), labelled("vendor", None)))
    assert found.unused_keys == ("label vendor (nobody transcribed it)",)


def test_a_label_without_a_meaning_is_named_and_a_mapping_gives_it_one() -> None:
    value = task(labelled("total", "5.00"), labelled("Absender", "Acme"))
    assert read_ground_truth(value).unused_keys == ("label Absender",)
    mapped = read_ground_truth(value, ReadSettings(labels={"absender": "vendor_name"}))
    assert mapped.answer.structured_data.vendor_block
    assert mapped.unused_keys == ()


def test_a_field_with_two_values_is_left_out_and_named() -> None:
    found = read_ground_truth(
        task(labelled("total", "5.00"), labelled("total", "6.00", y=9), labelled("vendor", "Acme"))
    )
    assert found.answer.summary.grand_total is None
    assert found.unused_keys == ("label total (given twice with different values)",)


def test_labels_of_line_items_are_rows_by_where_they_lie() -> None:
    cells = [("item_description", "Pen", 5, 30), ("item_total", "2.00", 70, 31), ("item_description", "Ink", 5, 40),
             ("item_total", "7.00", 70, 39), ("item_qty", "3", 50, 40)]  # fmt: skip
    found = read_ground_truth(task(*(labelled(*cell) for cell in cells)))
    assert lines(found) == [("Pen", None, None, 2), ("Ink", 3, None, 7)]


def test_rows_that_are_not_certain_are_named_and_not_taught() -> None:
    cells = [("item_description", "Pen", 5, 30), ("item_total", "2.00", 70, 60)]
    found = read_ground_truth(task(labelled("vendor", "Acme"), *(labelled(*cell) for cell in cells)))
    assert found.answer.lines == []
    assert "label total (which row is not certain)" in found.unused_keys


def test_of_several_annotations_the_marked_one_counts() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"].append({"completed_by": 2, "ground_truth": True, "result": [labelled("total", "6.00")]})
    assert read_ground_truth(value).answer.summary.grand_total == 6


def test_several_annotations_without_a_mark_are_refused_with_what_to_do() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"] *= 2
    with pytest.raises(ValueError, match="2 annotations of one task: mark the right one as ground truth"):
        read_ground_truth(value)


def test_a_cancelled_annotation_is_none() -> None:
    value = task(labelled("total", "5.00"))
    value["annotations"][0]["was_cancelled"] = True
    with pytest.raises(ValueError, match="has no annotation"):
        read_ground_truth(value)


def test_predictions_are_output_of_a_model() -> None:
    value = task() | {"predictions": [{"model_version": "m", "result": [labelled("total", "5.00")]}]}
    assert read_ground_truth(value).model == "Label Studio predictions"
    assert read_ground_truth(task(labelled("total", "5.00")) | {"predictions": []}).model is None


# Others


def test_a_second_box_of_one_total_is_the_same_total() -> None:
    value = json.loads((EXAMPLES / "wildreceipt/train.txt").read_text())
    again = {**value["annotations"][-2], "box": [4, 60, 16, 60, 16, 63, 4, 63]}
    assert read_ground_truth({**value, "annotations": [*value["annotations"], again]}).answer.summary.grand_total == 119
    other = {**again, "text": "120.00"}
    found = read_ground_truth({**value, "annotations": [*value["annotations"], other]})
    assert found.answer.summary.grand_total is None


def test_prices_of_several_pieces_are_totals_only_where_they_add_up() -> None:
    value = json.loads((EXAMPLES / "wildreceipt/train.txt").read_text())
    for part in value["annotations"]:
        part["text"] = "2" if part["label"] == 13 else part["text"]
    assert [line.total for line in read_ground_truth(value).answer.lines] == [45, 55]
    for part in value["annotations"]:
        part["text"] = "90.00" if part["label"] == 17 else part["text"]
    assert [line.total for line in read_ground_truth(value).answer.lines] == [None, None]


def test_a_name_of_textract_is_whose_its_group_says() -> None:
    value = example("textract/p1.json")
    fields = value["ExpenseDocuments"][0]["SummaryFields"]
    fields[1]["GroupProperties"][0]["Types"] = ["RECEIVER_SHIP_TO"]
    found = read_ground_truth(value)
    assert found.answer.structured_data.vendor_block
    assert found.answer.structured_data.vendor_block.address is None
    assert "SummaryFields: ADDRESS" in found.unused_keys


def test_a_discount_of_a_service_is_taken_off_whatever_its_sign() -> None:
    value = example("textract/p1.json")
    discount = {"Type": {"Text": "DISCOUNT"}, "ValueDetection": {"Text": "-5.00"}}
    value["ExpenseDocuments"][0]["SummaryFields"].append(discount)
    (found,) = read_ground_truth(value).answer.summary.discounts or []
    assert found.amount == 5


def test_a_credit_note_of_mindee_is_one() -> None:
    value = example("mindee/p1.json")
    value["document"]["inference"]["prediction"]["document_type"]["value"] = "CREDIT NOTE"
    assert read_ground_truth(value).answer.structured_data.document_type == "credit_note"


@pytest.mark.parametrize(("name", "key"), [("textract", "ExpenseDocuments"), ("azure", "documents")])
def test_several_documents_in_one_file_are_refused(name: str, key: str) -> None:
    value = example(f"{name}/p1.json")
    holder = value.get("analyzeResult", value)
    holder[key] *= 2
    with pytest.raises(ValueError, match="2 documents in one file"):
        read_ground_truth(value)


def test_the_folder_of_examples_holds_no_page_of_more_than_a_kilobyte() -> None:
    assert all(Path(page).stat().st_size < 1024 for page in EXAMPLES.rglob("*.png"))
