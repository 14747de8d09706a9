"""Ground truth of a declared type: names of fields, structures of JSON, contradictions and statements."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from receipt_type_examples import content, plain, receipt_type, truth_of
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type


@pytest.fixture
def slip(tmp_path: Path) -> DocumentType:
    return receipt_type(tmp_path, verdict=True)


ITEMS = [{"name": "Tea", "qty": 2, "sum": "5.00"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"store": {"name": "Kiosk"}}, {"store": {"name": "Kiosk"}}),
        ({"store.name": "Kiosk"}, {"store": {"name": "Kiosk"}}),
        ({"Store Name": "Kiosk"}, {"store": {"name": "Kiosk"}}),
        ({"MERCHANT": "Kiosk"}, {"store": {"name": "Kiosk"}}),
        ({"店名": "小卖部"}, {"store": {"name": "小卖部"}}),
        ({"address": "Weg 1"}, {"store": {"address": "Weg 1"}}),
        ({"grandTotal": "5.00"}, {"total": "5.00"}),
        ({"Grand-Total:": "5.00"}, {"total": "5.00"}),
        ({"data": {"Total": 5}}, {"total": 5}),
        ({"document_type": "Receipt", "total": 5}, {"total": 5}),
        ({"slip": {"fields": {"total": 5}}}, {"total": 5}),
        ({"vat%": "7%"}, {"vat_rate": "7"}),
        ({"total": {"value": "5.00", "confidence": 0.9, "bbox": [1, 2, 3, 4]}}, {"total": "5.00"}),
        ({"total": {"amount": 5, "currency": "EUR"}}, {"total": 5, "currency": "EUR"}),
        ([{"field_name": "Grand total", "value": "5.00", "confidence": 0.5}], {"total": "5.00"}),
        ([{"Total": "5.00"}], {"total": "5.00"}),
        ('{"Total": "5.00"}', {"total": "5.00"}),
        ({"items": ITEMS}, {"items": [{"name": "Tea", "qty": 2, "sum": "5.00"}]}),
        ({"Items": [{"NM": "Tea", "Unit Price": "2.50"}, {"nm": " "}]}, {"items": [{"name": "Tea", "each": "2.50"}]}),
        ({"items": {"nm": "Tea"}}, {"items": [{"name": "Tea"}]}),
        ({"total": 5, "subtotal": None, "cash": "-", "no": "N/A", "time": ""}, {"total": 5}),
        ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}),
    ],
)
def test_finds_fields_by_their_names(slip: DocumentType, value: Any, expected: dict[str, Any]) -> None:
    assert content(value, slip) == plain(expected)


@pytest.mark.parametrize(
    ("row", "expected", "unused"),
    [
        ({"qty": 2, "price": 5}, {"qty": "2"}, ("items[].price (of one or of all is not certain)",)),
        ({"qty": 1, "price": 5}, {"qty": "1", "sum": "5"}, ()),
        ({"price": 5}, {"sum": "5"}, ()),
        ({"qty": 2, "each": "2.50", "price": 5}, {"qty": "2", "each": "2.50", "sum": "5"}, ()),
        ({"qty": 2, "amount": 5}, {"qty": "2", "sum": "5"}, ()),
    ],
)
def test_a_price_of_several_pieces_is_not_certain(
    slip: DocumentType, row: dict[str, Any], expected: dict[str, Any], unused: tuple[str, ...]
) -> None:
    found = truth_of({"items": [row]}, slip)
    assert plain(slip.content_of(found.answer)) == {"items": [expected]}
    assert found.unused_keys == unused


def test_a_label_decides_about_a_price(slip: DocumentType) -> None:
    found = content({"items": [{"qty": 2, "Price": 5}]}, slip, labels={"price": "items.sum"})
    assert found == {"items": [{"qty": "2", "sum": "5"}]}


def test_the_name_of_the_type_is_no_unused_key(slip: DocumentType) -> None:
    assert truth_of({"document_type": "receipt", "total": 5}, slip).unused_keys == ()
    assert truth_of({"document_type": "order", "total": 5}, slip).unused_keys == ("document_type",)


@pytest.mark.parametrize(
    ("value", "unused"),
    [
        ({"total": 5, "loyalty": "x"}, "loyalty"),
        ({"total": 5, "customer": {"name": "Beta"}}, "customer.name"),
        ({"total": 5, "tax": {"total": 1}}, "tax.total"),
        ({"items": [{"name": "a", "colour": "red"}]}, "items[].colour"),
        ({"total": 5, "rows of something": [{"a": 1}]}, "rows of something"),
        ({"total": 5, "Grand total": 6, "cash": 1}, "Grand total (given twice with different values)"),
        ({"cash": 1, "items": [{"name": "a"}], "Items": [{"name": "b"}]}, "items (given twice with different values)"),
    ],
)
def test_reports_keys_without_a_certain_place(slip: DocumentType, value: Any, unused: str) -> None:
    assert truth_of(value, slip).unused_keys == (unused,)


def test_a_field_given_twice_differently_is_unknown(slip: DocumentType) -> None:
    assert content({"total": 5, "Grand total": "6.00", "cash": 1}, slip) == {"cash": "1"}


def test_a_field_given_twice_in_two_spellings_is_known(slip: DocumentType) -> None:
    assert content({"total": "1234.50", "Grand total": "1.234,50"}, slip) == {"total": "1234.50"}


def test_a_name_of_two_fields_is_not_guessed(tmp_path: Path) -> None:
    party = {"type": "object", "properties": {"name": {"type": "string"}}}
    order = write_type(tmp_path / "order", {"buyer": party, "seller": party, "total": {"type": "number"}})
    found = truth_of({"name": "A", "total": 5}, order)
    assert found.unused_keys == ("name (can mean buyer.name or seller.name)",)


def test_labels_have_priority_over_names(slip: DocumentType) -> None:
    labels = {"Total": "subtotal", "Laden": "store.name", "Zeilen": "items", "Stück": "items.qty"}
    value = {"total": 5, "LADEN": "Kiosk", "Zeilen": [{"Stück": 2}]}
    expected = {"store": {"name": "Kiosk"}, "items": [{"qty": 2}], "subtotal": 5}
    assert content(value, slip, labels=labels) == plain(expected)


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        ({"hello": 1}, "no ground truth of type slip: its keys are hello; the fields are store.name"),
        ({"total": "five"}, "total: 'five' is not an amount"),
        ({"Grand Total": "1,234"}, "total: Grand Total: '1,234' is ambiguous"),
        ({"items": [{"qty": "many"}]}, r"items\.qty: items\[\]\.qty: 'many' is not an amount"),
        ({"date": "03/04/2024"}, "date: '03/04/2024' is ambiguous"),
        ({"method": "cheque"}, "method: 'cheque' is not one of CASH, card"),
        ({"no": ["a"]}, "no: .* is not text"),
        ("[1]", "has no field_name"),
        (5, "is not an object or a list of fields"),
        ("no JSON", "not JSON"),
    ],
)
def test_errors_name_field_and_value(slip: DocumentType, value: Any, finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        truth_of(value, slip)


def test_reads_a_whole_answer_as_written(slip: DocumentType) -> None:
    verdict = {"is_valid": False, "math_verified": False, "issues": ["TOTAL"]}
    written = {"vat_rate": Decimal("0.5"), "cash": "1.234", "validation_summary": verdict}
    found = truth_of({**written, "language": "de"}, slip)
    assert slip.dump(found.answer) == written
    assert (found.kind, found.language, found.unused_keys) == ("answer of slip", "de", ())


def test_reads_content_below_its_key(tmp_path: Path) -> None:
    slip = receipt_type(tmp_path, content_key="document", verdict={"key": "check"})
    value = {
        "document": {"total": "1.234,50"},
        "check": {"is_valid": True, "math_verified": None},
        "note": "x",
        "complete": True,
    }
    found = truth_of(value, slip)
    assert str(slip.content_of(found.answer)["total"]) == "1234.50"
    assert slip.claimed_summary(found.answer)
    assert (found.complete, found.unused_keys) == (True, ("note",))


def test_keys_of_the_type_are_no_statements(tmp_path: Path) -> None:
    text = write_type(tmp_path / "text", {"language": {"type": "string"}, "fault": {"type": "string"}})
    found = truth_of({"language": "German", "fault": "none"}, text)
    assert text.content_of(found.answer) == {"language": "German", "fault": "none"}
    assert (found.fault, found.language) == (None, None)


def test_text_in_a_number_of_a_whole_answer_is_parsed(slip: DocumentType) -> None:
    with pytest.raises(ValueError, match=r"'1\.234' is ambiguous"):
        truth_of({"total": "1.234", "validation_summary": {"is_valid": True}}, slip)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"total": "33,000"}, {"total": "33000", "currency": "IDR"}),
        ({"total": "33,000", "currency": "KWD"}, {"total": "error"}),
        ({"time": "12:00"}, {"time": "12:00"}),
        (
            {"items": [{"qty": "2", "each": "1,250", "sum": "2,500"}]},
            {"items": [{"qty": "2", "each": "1250", "sum": "2500"}], "currency": "IDR"},
        ),
        ({"items": [{"each": "1,250"}]}, {"total": "error"}),
    ],
)
def test_currency_of_the_source_settles_amounts(
    slip: DocumentType, value: dict[str, Any], expected: dict[str, Any]
) -> None:
    if expected == {"total": "error"}:
        with pytest.raises(ValueError, match="ambiguous"):
            truth_of(value, slip, currency="IDR")
    else:
        assert content(value, slip, currency="IDR") == expected


def test_contradicted_currency_is_not_that_of_the_source(slip: DocumentType) -> None:
    given = {"total": 5, "currency": "EUR", "Currency": "USD"}
    assert content(given, slip, currency="IDR") == {"total": "5"}


RECEIPT = load_document_type("receipt")


def test_a_code_of_a_service_is_left_out() -> None:
    found = truth_of({"total": "5.00", "payment": {"type": "visa"}}, RECEIPT)
    assert plain(RECEIPT.content_of(found.answer)) == {"total": "5.00"}
    assert found.unused_keys == ("payment.type ('visa' is not one of cash, card, wallet, voucher, transfer)",)
    with pytest.raises(ValueError, match="payment_method: 'visa' is not one of"):
        truth_of({"payment_method": "visa"}, RECEIPT)


def test_a_price_beside_a_total_is_that_of_one_piece() -> None:
    found = content({"line_items": [{"description": "Tea", "quantity": 2, "price": 8.2, "total": 16.4}]}, RECEIPT)
    assert found == {"items": [{"name": "Tea", "quantity": "2", "unit_price": "8.2", "total": "16.4"}]}


@pytest.mark.parametrize("name", ["line_items", "lines", "LineItems", "products"])
def test_a_usual_name_finds_the_line_items(slip: DocumentType, name: str) -> None:
    assert content({name: ITEMS}, slip) == content({"items": ITEMS}, slip)


def test_rows_without_a_field_are_no_empty_table(slip: DocumentType) -> None:
    found = truth_of({"total": 5, "items": [{"booked": 1}]}, slip)
    assert plain(slip.content_of(found.answer)) == {"total": "5"}
    assert found.unused_keys == ("items[].booked",)


def test_reads_a_value_below_data() -> None:
    assert content({"totalAmount": {"data": 12.5, "confidenceLevel": 0.9}}, RECEIPT) == {"total": "12.5"}
