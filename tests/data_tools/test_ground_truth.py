from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from data_examples import answer, ground_truth
from hypothesis import given
from hypothesis import strategies as st

from data_tools.sources.ground_truth import read_ground_truth
from erniekit_adapter.documents.invoice.answer import Answer


def read(truth: Any) -> Answer:
    return read_ground_truth(truth).answer


def item(quantity: Any, unit_price: Any, discount: Any = 0, tax_rate: Any = 19) -> dict[str, Any]:
    return {
        "description": "x",
        "quantity": quantity,
        "unit_price": unit_price,
        "discount": discount,
        "tax_rate": tax_rate,
    }


def totals(found: Answer) -> list[Decimal | None]:
    return [line.total for line in found.lines]


def test_fills_every_block_of_the_answer() -> None:
    data = read(ground_truth()).structured_data
    assert data.vendor_block
    assert data.client_info
    assert data.payment_terms
    assert data.vendor_block.name == "Acme GmbH"
    assert data.vendor_block.address == "Weg 1, 10115 Berlin, DE"
    assert data.client_info.name == "Beta AG"
    assert data.client_info.invoice_number == "RE-1"
    assert str(data.client_info.due_date) == str(data.payment_terms.due_date) == "2025-02-14"
    assert data.payment_terms.notes == "30 Tage"


def test_converts_percent_to_a_fraction() -> None:
    (tax,) = read(ground_truth()).summary.taxes or []
    assert (tax.rate, tax.amount) == (Decimal("0.19"), 19)


def test_line_total_is_rounded_to_minor_units() -> None:
    truth = ground_truth(items=[item(Decimal("1.5"), Decimal("3.333"))], subtotal=5, tax_total=0, grand_total=5)
    assert totals(read(truth)) == [Decimal("5.00")]


def test_yen_has_no_decimals() -> None:
    truth = ground_truth(currency="JPY", items=[item("1.5", 333)], subtotal=500, tax_total=0, grand_total=500)
    assert str(totals(read(truth))[0]) == "500"


@pytest.mark.parametrize(
    ("discounts", "subtotal", "discount_total", "expected"),
    [
        ((5, 0), 235, 0, ["195.00", "40.00"]),
        ((5, 0), 230, 0, ["190.00", "40.00"]),
        ((5, 0), 240, 5, ["200.00", "40.00"]),
        ((0, 0), 240, 0, ["200.00", "40.00"]),
    ],
    ids=["an amount", "a percentage", "taken off the total", "none"],
)
def test_subtotal_decides_the_meaning_of_a_discount(
    discounts: tuple[int, int], subtotal: int, discount_total: int, expected: list[str]
) -> None:
    items = [item(2, 100, discounts[0]), item(1, 40, discounts[1])]
    truth = ground_truth(items=items, subtotal=subtotal, discount_total=discount_total)
    assert [str(total) for total in totals(read(truth))] == expected


def test_rejects_discounts_that_contradict_the_subtotal() -> None:
    truth = ground_truth(items=[item(2, 100, 5)], subtotal=150)
    with pytest.raises(ValueError, match=r"no meaning.*150.*an amount: 195.*a percentage: 190"):
        read(truth)


def test_rejects_a_total_with_too_many_decimals() -> None:
    with pytest.raises(ValueError, match=r"^subtotal: 189\.995 has more than 2 decimals \(EUR\)$"):
        read(ground_truth(items=[item(2, 100, 5)], subtotal=Decimal("189.995")))


def test_unit_price_with_more_decimals_than_its_currency() -> None:
    truth = ground_truth(items=[item(3, Decimal("33.3333"))], subtotal=100)
    assert totals(read(truth)) == [Decimal("100.00")]


def test_rejects_ambiguous_discounts() -> None:
    # 50 and 150 less 10 each are 40 + 140, less 10 % each 45 + 135: 180 both times, with other line totals.
    items = [item(1, 50, 10), item(1, 150, 10)]
    with pytest.raises(ValueError, match="an amount or a percentage"):
        read(ground_truth(items=items, subtotal=180))


def test_accepts_two_meanings_with_the_same_line_totals() -> None:
    assert totals(read(ground_truth(items=[item(1, 100, 10)], subtotal=90))) == [Decimal(90)]


def test_discount_in_line_totals_is_subtracted_once() -> None:
    truth = ground_truth(items=[item(2, 50, 10)], subtotal=90, discount_total=10, tax_total=17.1, grand_total=107.1)
    assert read(truth).summary.discounts is None


def test_lists_a_discount_of_the_document() -> None:
    truth = ground_truth(discount_total=10, tax_total=17.1, grand_total=107.1)
    (discount,) = read(truth).summary.discounts or []
    assert discount.amount == 10


def test_one_tax_row_per_rate_if_they_add_up() -> None:
    truth = ground_truth(items=[item(1, 100), item(1, 100, tax_rate=7)], subtotal=200, tax_total=26, grand_total=226)
    rows = [(tax.rate, tax.amount) for tax in read(truth).summary.taxes or []]
    assert rows == [(Decimal("0.07"), Decimal("7.00")), (Decimal("0.19"), Decimal("19.00"))]


def test_printed_tax_only_if_rates_do_not_add_up() -> None:
    truth = ground_truth(items=[item(1, 100), item(1, 100, tax_rate=7)], subtotal=200, tax_total=30, grand_total=230)
    assert [(tax.rate, tax.amount) for tax in read(truth).summary.taxes or []] == [(None, 30)]


def test_declared_fault_keeps_printed_totals() -> None:
    found = read_ground_truth(ground_truth(items=[item(2, 50, 7)], subtotal=555, fault="subtotal"))
    assert found.fault == "subtotal"
    assert found.answer.summary.subtotal == 555
    assert totals(found.answer) == [Decimal("100.00")]


@pytest.mark.parametrize("value", [None, False, ""])
def test_ignores_an_empty_fault(value: Any) -> None:
    assert read_ground_truth(ground_truth(fault=value)).fault is None


def test_reads_canonical_ground_truth_unchanged() -> None:
    found = read_ground_truth({**answer(), "fault": "grand_total"})
    assert (found.answer.summary.grand_total, found.fault, found.unused_keys) == (119, "grand_total", ())


def test_reports_a_key_without_a_place() -> None:
    assert read_ground_truth(ground_truth(warehouse="B7", hs_codes=["1"])).unused_keys == ("warehouse",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grand_total": "1,234"}, "grand_total: '1,234' is ambiguous"),
        ({"issue_date": "03/04/2025"}, "issue_date: '03/04/2025' is ambiguous"),
        ({"currency": "¥"}, "currency: '¥' is ambiguous"),
        ({"items": "none"}, "items: 'none' is not a list"),
        ({"items": [7]}, "is not a list of objects"),
        ({"vendor": {"name": ["x"]}}, r"vendor\.name"),
        ({"items": [{"quantity": 10**17, "unit_price": 10**17}]}, "is not an amount of money"),
    ],
)
def test_names_an_unreadable_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(ground_truth(**changes))


@pytest.mark.parametrize("value", [None, [], "text", {}, {"foo": 1}])
def test_rejects_other_values(value: Any) -> None:
    with pytest.raises(ValueError, match=r"no ground truth|not an object|no field|not JSON"):
        read(value)


NAMES = [
    "vendor", "vendor_name", "client", "items", "line_items", "invoice_id", "issue_date", "total", "tax", "taxes",
    "tax_rate", "discount", "charges", "shipping", "financial_summary", "payment_terms", "document_type",
    "structured_data", "vendor_block", "gt_parse", "address", "name", "quantity", "amount", "rate", "currency",
    "language", "fault",
]  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 500),
    st.text(max_size=8),
    st.sampled_from(["5.00", "19%", "2025-01-01", "EUR"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)


@given(value=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8))
def test_any_object_gives_an_answer_or_an_error(value: dict[str, Any]) -> None:
    try:
        assert read_ground_truth(value).answer
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer


def test_reads_amounts_and_dates_as_text() -> None:
    truth = ground_truth(
        subtotal="€ 1.100,00",
        items=[item(1, "1,100.00")],
        tax_total="209,00",
        grand_total="1 309,00",
        issue_date="15.01.2025",
    )
    found = read(truth)
    assert (found.summary.subtotal, found.summary.grand_total) == (1100, 1309)


def test_reads_flat_fields_of_a_generated_invoice() -> None:
    truth = ground_truth(vendor="Acme GmbH", vendor_address="Weg 1, Berlin", payment_method="cash", warehouse="B7")
    found = read_ground_truth(truth)
    assert found.answer.structured_data.vendor_block
    assert found.answer.structured_data.payment_terms
    assert found.answer.structured_data.vendor_block.address == "Weg 1, Berlin"
    assert found.answer.structured_data.payment_terms.payment_method == "cash"
    assert found.unused_keys == ("warehouse",)


def test_reads_other_names_in_generated_items() -> None:
    items = [{"desc": "Stuhl", "qty": 2, "price": 50, "vat_rate": 19, "colour": "red"}]
    found = read_ground_truth(ground_truth(items=items))
    (line,) = found.answer.lines
    assert (line.description, line.quantity, line.unit_price, line.total) == ("Stuhl", 2, 50, 100)
    assert found.unused_keys == ("items[].colour",)


@pytest.mark.parametrize("key", ["total", "discount", "qty"])
def test_does_not_report_used_keys(key: str) -> None:
    line = {"description": "x", "unit_price": 50, "quantity": 2, "tax_rate": 19, "total": 100, "discount": 0}
    line |= {"qty": line.pop("quantity")} if key == "qty" else {}
    assert read_ground_truth(ground_truth(items=[line])).unused_keys == ()


def test_reads_a_wrapped_invoice() -> None:
    inside = {
        "number": "R-7",
        "date": "2025-03-25",
        "seller": {"name": "Lone Star Supply Co."},
        "positions": [{"text": "Consulting", "quantity": 3, "unit_price": 150, "amount": 450}],
        "amounts": {"subtotal": 450, "tax": 0, "total": 450, "currency": "USD"},
        "pages": [1, 2],
    }
    truth = read_ground_truth({"invoice": inside})
    assert truth.unused_keys == ("invoice.pages",)
    data = truth.answer.structured_data
    assert data.vendor_block
    assert data.vendor_block.name == "Lone Star Supply Co."
    assert data.client_info
    assert data.client_info.invoice_number == "R-7"
    assert [line.description for line in truth.answer.lines] == ["Consulting"]
    assert truth.answer.summary.grand_total == 450


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({"discount": "-66,67", "grand_total": "33,33"}, "66.67"),
        ({"discount": "-66,67"}, "66.67"),
        ({"discounts": [{"reason": "Treue", "amount": "-5,00"}], "grand_total": "95,00"}, "5.00"),
        ({"discount": "-10,00", "grand_total": "110,00"}, "-10.00"),
        ({"discount": "-10,00", "subtotal": "-100,00", "grand_total": "-90,00"}, "-10.00"),
    ],
)
def test_reads_a_negative_discount(changes: dict[str, Any], amount: str) -> None:
    found = read({"invoice_number": "R-1", "subtotal": "100,00", **changes})
    assert [row.amount for row in found.summary.discounts or ()] == [Decimal(amount)]
