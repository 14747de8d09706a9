"""Answers of a log in each of their shapes, and their corrections."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import answer, correction
from logged_examples import flat, logged, read_record, read_rejection, receipt

from erniekit_adapter.documents.invoice.answer import Answer, FinancialSummary, as_json

FIELDS = {key: value for key, value in flat().items() if key != "line_items"} | {"tax_amount": 19, "tax_rate": "19%"}
LIST = [{"field_name": name, "value": value, "confidence": 0.9} for name, value in FIELDS.items()]


def written(folder: Path, value: Any) -> Answer:
    """Return the answer that is read from a whole answer in this shape."""
    found = read_record(folder, logged("10", corrected=value)).answer
    assert found
    return found


def changed(folder: Path, output: Any, changes: Any) -> Answer:
    """Return the answer of an output with a correction."""
    found = read_record(folder, logged("6", model_output=output, user_correction=changes)).answer
    assert found
    return found


def taxes(summary: FinancialSummary) -> list[tuple[Decimal | None, Decimal | None]]:
    return [(tax.rate, tax.amount) for tax in summary.taxes or []]


def with_lines(*lines: dict[str, Any], **summary: Any) -> dict[str, Any]:
    """Return a canonical answer with other line items."""
    found = answer(**summary)
    found["structured_data"]["line_items"] = list(lines)
    return found


@pytest.mark.parametrize(
    "shape", [answer(), flat(), LIST, receipt(currency="EUR")], ids=["canonical", "flat", "list", "receipt"]
)
@pytest.mark.parametrize("quoted", [False, True], ids=["object", "JSON in a string"])
def test_reads_the_same_answer_in_every_shape(tmp_path: Path, shape: Any, quoted: bool) -> None:
    found = written(tmp_path, simplejson.dumps(shape, use_decimal=True) if quoted else shape)
    data = found.structured_data
    assert data.vendor_block
    assert data.client_info
    assert (data.vendor_block.name, data.client_info.invoice_number) == ("Acme GmbH", "RE-1")
    assert str(data.client_info.invoice_date) == "2025-01-15"
    assert (found.summary.subtotal, found.summary.grand_total, found.summary.currency) == (100, 119, "EUR")
    assert [amount for _, amount in taxes(found.summary)] == [19]


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        (receipt() | {"merchant_info": {"name": "Acme", "vat_id": "DE1"}}, "merchant_info.vat_id"),
        (receipt() | {"payment_info": {"method": "card", "card_type": "VISA"}}, "payment_info.card_type"),
        (receipt() | {"loyalty": {"points": 3}}, "loyalty"),
        (flat(colour="red"), "colour"),
        (with_lines({"description": "Stuhl", "total": 100, "colour": 1}), "line_items[].colour"),
    ],
)
def test_reports_unused_keys_and_reads_the_rest(tmp_path: Path, shape: Any, named: str) -> None:
    found = read_record(tmp_path, logged("10", corrected=shape))
    assert found.unused_keys == (f"corrected.{named}",)
    assert found.answer
    assert found.answer.summary.grand_total == 119


def test_reads_a_tip_as_charge(tmp_path: Path) -> None:
    (charge,) = written(tmp_path, receipt(tip=2)).summary.charges or []
    assert charge.amount == 2


def test_reads_all_known_fields_of_a_receipt(tmp_path: Path) -> None:
    found = written(tmp_path, receipt())
    assert [(line.quantity, line.total) for line in found.lines] == [(2, 100)]
    assert found.structured_data.payment_terms
    assert found.structured_data.payment_terms.payment_method == "card"
    assert found.summary.discounts is None


def test_reads_a_dollar_sign_as_usd(tmp_path: Path) -> None:
    assert written(tmp_path, receipt()).summary.currency == "USD"


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        (receipt(currency="¥"), "currency: '¥' is ambiguous"),
        (receipt(grand_total="1,234"), "grand_total: '1,234' is ambiguous"),
        (receipt() | {"transaction_info": {"date": "03/04/2025"}}, "invoice_date: '03/04/2025' is ambiguous"),
        (receipt() | {"merchant_info": "Acme"}, "merchant_info: 'Acme' is not an object"),
        (receipt() | {"transaction_info": {"number": 1, "receipt_number": 2}}, "invoice_number: given twice, 1 and 2"),
        (flat(currency="¥"), "currency: '¥' is ambiguous"),
        ([{"field_name": "subtotal"}], "has no value"),
        ([{"value": 1}], "no ground truth of an invoice: its keys are value"),
        ([{"field_name": "subtotal", "value": 1, "old": 2}], "keys without a place in the answer: old"),
        (["subtotal"], "'subtotal' has no field_name"),
        ([*LIST, {"field_name": "total", "value": 5}], "grand_total: given twice"),
        ("corrected", "not JSON"),
        ('"7"', "'7' is not an object or a list of fields"),
        (7, "7 is not an object or a list of fields"),
        ('{"subtotal": NaN}', "NaN is not a JSON number"),
        ("{}", "no ground truth of an invoice: its keys are none"),
        ({"structured_data": {"colour": 1}}, '{"colour":1} has no field'),
        ({"structured_data": {"financial_summary": "x", "line_items": [{"qty": 1}]}}, "financial_summary"),
        ({"structured_data": []}, "structured_data"),
    ],
)  # fmt: skip
def test_lists_unreadable_fields(tmp_path: Path, shape: Any, named: str) -> None:
    found = read_rejection(tmp_path, logged("10", corrected=shape))
    assert found.filter == "canonical"
    assert found.reason.startswith("corrected: ")
    assert named in found.reason


@pytest.mark.parametrize("shape", [answer(grand_total=1119), flat(grand_total=1119), receipt(grand_total=1119), LIST])
@pytest.mark.parametrize(
    "changes",
    [{"grand_total": "119.00"}, {"total": 119}, [{"field_name": "grand_total", "value": "EUR 119", "confidence": 1}]],
    ids=["flat", "another name", "list"],
)
def test_changed_fields_override_output_in_every_shape(tmp_path: Path, shape: Any, changes: Any) -> None:
    found = changed(tmp_path, shape, changes)
    assert (found.summary.grand_total, found.summary.subtotal) == (119, 100)
    assert found.structured_data.vendor_block
    assert found.structured_data.vendor_block.name == "Acme GmbH"


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        ({"vendor_name": "Beta"}, ("vendor_block", "name"), "Beta"),
        ({"vendor_phone": "5"}, ("vendor_block", "phone"), "5"),
        ({"due_date": "28.02.2025"}, ("payment_terms", "due_date"), "2025-02-28"),
        ({"due_date": "28.02.2025"}, ("client_info", "due_date"), "2025-02-28"),
        ({"due_date": None}, ("client_info", "due_date"), None),
        ({"invoice_number": ""}, ("client_info", "invoice_number"), None),
        ({"tax_amount": 7}, ("financial_summary", "taxes"), [{"rate": Decimal("0.19"), "amount": 7}]),
        ({"tax_rate": "7%"}, ("financial_summary", "taxes"), [{"rate": Decimal("0.07"), "amount": 19}]),
        ({"tax_type": "MwSt", "tax_rate": None}, ("financial_summary", "taxes"), [{"type": "MwSt", "amount": 19}]),
        ({"tax": None, "tax_rate": None}, ("financial_summary", "taxes"), None),
        ({"discount": 3}, ("financial_summary", "discounts"), [{"description": "Skonto", "amount": 3}]),
        ({"discount": 0}, ("financial_summary", "discounts"), None),
        ({"items": [{"desc": "Tisch"}]}, ("line_items",), [{"description": "Tisch"}]),
        ({"line_items": None}, ("line_items",), None),
    ],
)
def test_changed_field_leaves_other_fields_unchanged(
    tmp_path: Path, changes: dict[str, Any], place: tuple[str, ...], expected: Any
) -> None:
    before = answer(discounts=[{"description": "Skonto", "amount": 5}])
    found: Any = as_json(changed(tmp_path, before, changes))["structured_data"]
    assert found["financial_summary"]["subtotal"] == 100
    for name in place:
        found = found.get(name) if found else None
    assert found == expected


@pytest.mark.parametrize(
    ("output", "changes", "named"),
    [
        (answer(taxes=[{"amount": 9}, {"amount": 10}]), {"tax": 19}, "user_correction: tax_amount: there are 2 taxes"),
        (answer(), {"colour": 1}, 'user_correction: {"colour":1} has no field'),
        (answer(), "fine", "user_correction: not JSON"),
        (answer(), [5], "user_correction: 5 has no field_name"),
        (answer(subtotal="a lot"), {"total": 119}, "model_output: subtotal: 'a lot' is not an amount"),
        (None, {"total": 119}, "model_output: null is not an object"),
        ("cut {", {"total": 119}, "model_output: not JSON"),
        ({"colour": 1}, {"total": 119}, 'model_output: {"colour":1} has no field'),
    ],
)
def test_rejects_an_unusable_correction(tmp_path: Path, output: Any, changes: Any, named: str) -> None:
    found = read_rejection(tmp_path, logged("6", model_output=output, user_correction=changes))
    assert found.filter == "canonical"
    assert named in found.reason


def test_issues_found_by_a_model_declare_no_fault(tmp_path: Path) -> None:
    verdict = {"is_valid": False, "math_verified": False, "issues": ["total unclear"]}
    output = {**answer(grand_total=1119), "validation_summary": verdict}
    found = read_record(tmp_path, logged("6", model_output=output, user_correction={"vendor_name": "Acme"}))
    assert found.declared_fault is None


STUHL = {"desc": "Stuhl", "qty": 2, "line_total": 100}
TISCH = {"desc": "Tisch", "qty": 1, "line_total": 50}


@pytest.mark.parametrize(
    ("lines", "stated", "expected"),
    [
        ([STUHL], {"tax_rate": "19%", "tax_amount": 19}, [("0.19", 19)]),
        ([STUHL | {"tax_rate": 19, "tax_amount": 19}], {}, [("0.19", 19)]),
        ([STUHL | {"tax_rate": 0.19}], {"tax": 19}, [("0.19", 19)]),
        ([STUHL | {"tax_amount": 19}], {"tax_rate": "19%"}, [("0.19", 19)]),
        ([STUHL | {"tax_amount": 19}, TISCH | {"tax_amount": "3.50"}], {}, [(None, "22.50")]),
        (
            [STUHL | {"tax_rate": "19%", "tax_amount": 19}, TISCH | {"tax_rate": "7%", "tax_amount": "3.50"}],
            {"tax": "22.50"},
            [("0.19", 19), ("0.07", "3.50")],
        ),
        ([STUHL | {"tax_rate": None, "tax_amount": None}], {}, []),
    ],
)
def test_taxes_of_line_items_become_one_row_per_rate(
    tmp_path: Path, lines: list[dict[str, Any]], stated: dict[str, Any], expected: list[Any]
) -> None:
    found = written(tmp_path, {"vendor_name": "Acme", "line_items": lines, **stated})
    as_decimals = [(None if rate is None else Decimal(rate), Decimal(amount)) for rate, amount in expected]
    assert taxes(found.summary) == as_decimals


@pytest.mark.parametrize(
    ("lines", "stated", "named"),
    [
        ([STUHL | {"tax_amount": 19}], {"tax": 20}, "tax_amount: 20, and the line items give 19"),
        ([STUHL | {"tax_rate": "19%"}], {"tax_rate": "7%"}, "tax_rate: 0.07, and the line items give 0.19"),
        ([STUHL | {"tax_amount": 19}, TISCH], {}, "for some line items only"),
        (
            [STUHL | {"tax_rate": "19%"}, TISCH | {"tax_rate": "7%"}],
            {"tax": 22},
            "the amount of tax for each rate is unknown",
        ),
        ([STUHL | {"tax_rate": "a lot"}], {}, "line_items[0].tax_rate: 'a lot'"),
    ],
)
def test_rejects_inconsistent_taxes_of_line_items(
    tmp_path: Path, lines: list[dict[str, Any]], stated: dict[str, Any], named: str
) -> None:
    found = read_rejection(tmp_path, logged("10", corrected={"vendor_name": "Acme", "line_items": lines, **stated}))
    assert named in found.reason


TWO_RATES = [{"rate": 0.19, "amount": 19}, {"rate": 0.07, "amount": 3.5}]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (with_lines(STUHL | {"tax_rate": 19}), [("0.19", 19)]),
        (with_lines(STUHL | {"tax_rate": "19%", "tax_amount": 19}, taxes=None), [("0.19", 19)]),
        (
            with_lines(STUHL | {"tax_rate": 19}, TISCH | {"tax_rate": 7}, taxes=TWO_RATES),
            [("0.19", 19), ("0.07", "3.5")],
        ),
        (with_lines(STUHL, taxes=None, tax_rate=0.19, tax=19, discount=0), [("0.19", 19)]),
    ],
)  # fmt: skip
def test_reads_other_names_in_a_canonical_answer(tmp_path: Path, shape: Any, expected: list[Any]) -> None:
    found = read_record(tmp_path, correction(corrected_output=shape)).answer
    assert found
    assert found.lines[0].description == "Stuhl"
    assert taxes(found.summary) == [(Decimal(rate), Decimal(amount)) for rate, amount in expected]


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        (with_lines(STUHL | {"tax_rate": 7}), "tax_rate: 0.19, and the line items give 0.07"),
        (
            with_lines(STUHL | {"tax_rate": 5}, taxes=TWO_RATES),
            "the line items give rate 0.05, which is not a stated row",
        ),
        (with_lines(STUHL, tax_amount=20), "taxes: the rows add up to 19, and tax_amount is 20"),
        (with_lines(STUHL, tax_rate=0.19, tax_amount=19), "taxes: also given as"),
        (with_lines(STUHL, discount=5, discounts=[{"amount": 5}]), "discounts: also given as discount"),
    ],
)
def test_rejects_contradictions_in_a_canonical_answer(tmp_path: Path, shape: Any, named: str) -> None:
    assert named in read_rejection(tmp_path, correction(corrected_output=shape)).reason


def test_corrected_line_items_bring_their_taxes(tmp_path: Path) -> None:
    found = changed(tmp_path, answer(), {"line_items": [TISCH | {"tax_rate": "7%", "tax_amount": 3.5}]})
    assert taxes(found.summary) == [(Decimal("0.07"), Decimal("3.5"))]


def test_corrected_rate_and_line_items_keep_the_tax_amount(tmp_path: Path) -> None:
    found = changed(tmp_path, answer(), {"line_items": [TISCH], "tax_rate": "7%"})
    assert taxes(found.summary) == [(Decimal("0.07"), Decimal(19))]
