from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from answer_examples import ANSWERS, EXPECTED, LINE_ITEM_LISTS, answer, invoice
from hypothesis import given, settings
from hypothesis import strategies as st

from erniekit_adapter.documents.invoice.answer import Answer, LineItem, read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.metrics import Counts

EXPECTED_CELLS = 8
EXPECTED_FIELDS = 7
RIGHT = Counts(1, 0, 0)
WRONG = Counts(0, 1, 1)
INVENTED = Counts(0, 1, 0)
MISSED = Counts(0, 0, 1)


def test_scores_a_perfect_answer() -> None:
    score = score_answer(INVOICE, EXPECTED, INVOICE.text_of(EXPECTED), sample="a")
    assert score.sample == "a"
    assert (score.strict_json, score.repaired_json, score.schema_valid) == (True, False, True)
    assert (score.rule_compliant, score.arithmetic_verified, score.arithmetic_coverage) == (True, True, 1.0)
    assert score.field_counts == Counts(EXPECTED_FIELDS, 0, 0)
    assert score.line_cell_counts == Counts(EXPECTED_CELLS, 0, 0)
    assert (score.rows_expected, score.rows_exact, score.document_exact) == (2, 2, True)
    assert score.math_flag_right


@pytest.mark.parametrize(
    ("name", "expected", "found", "counts"),
    [
        ("financial_summary.grand_total", "3025.00", "3025.0", RIGHT),
        ("financial_summary.grand_total", "3025.00", "3025", RIGHT),
        ("financial_summary.grand_total", "3025", "3.025e3", RIGHT),
        ("financial_summary.grand_total", "3025.00", '"3025.00"', RIGHT),
        ("financial_summary.grand_total", "3025.00", "3825.00", WRONG),
        ("financial_summary.grand_total", "0", "0.00", RIGHT),
        ("financial_summary.grand_total", "0", "null", MISSED),
        ("financial_summary.grand_total", "null", "0", INVENTED),
        ("financial_summary.grand_total", "null", "null", None),
        ("financial_summary.currency", '"EUR"', '"USD"', WRONG),
        ("vendor_block.logo_detected", "false", "false", RIGHT),
        ("vendor_block.logo_detected", "false", "true", WRONG),
        ("vendor_block.logo_detected", "false", "null", MISSED),
        ("vendor_block.logo_detected", "null", "false", INVENTED),
        ("vendor_block.name", '"Acme Ltd"', '" Acme \\n\\u00a0Ltd"', RIGHT),
        ("vendor_block.name", '"株式会社"', '"㍿"', RIGHT),
        ("vendor_block.name", '"Acme"', '"ACME"', WRONG),
        ("vendor_block.phone", "null", '""', None),
        ("vendor_block.phone", '"0"', '"0"', RIGHT),
        ("client_info.invoice_date", '"2025-01-15"', '"2025-01-15"', RIGHT),
        ("client_info.invoice_date", '"2025-01-15"', '"2025-01-16"', WRONG),
        ("payment_terms.due_date", "null", '"2025-01-16"', INVENTED),
    ],
)
def test_compares_fields_by_value(name: str, expected: str, found: str, counts: Counts | None) -> None:
    block, field = name.split(".")
    texts = [f'{{"structured_data":{{"{block}":{{"{field}":{value}}}}}}}' for value in (expected, found)]
    truth = read_answer(json.loads(texts[0], parse_float=Decimal))
    assert score_answer(INVOICE, truth, texts[1]).fields == ({} if counts is None else {name: counts})


def test_does_not_score_confidences_and_verdicts() -> None:
    plain = answer(vendor_block={"name": "Acme"}, line_items=[{"total": 1}])
    with_confidences = {
        "structured_data": {
            "vendor_block": {"name": "Acme", "confidence": 0.5},
            "line_items": [{"total": 1, "confidence": 0.9}, {"confidence": 0.1}],
        },
        "validation_summary": {"is_valid": False, "math_verified": False},
        "confidence_scores": {"overall": 0.95},
    }
    score = score_answer(INVOICE, plain, json.dumps(with_confidences))
    assert score.fields == {"line_items.total": RIGHT, "vendor_block.name": RIGHT}
    assert score.document_exact


def test_scores_every_field_of_the_answer() -> None:
    full = answer(
        vendor_block=dict.fromkeys(("name", "address", "phone", "email", "logo_brand"), "a") | {"logo_detected": False},
        client_info=dict.fromkeys(("name", "address", "invoice_number", "invoice_date", "due_date"), "2025-01-15"),
        line_items=[{"description": "a", "quantity": 0, "unit_price": 0, "total": 0}],
        financial_summary={
            "subtotal": 0,
            "taxes": [{"type": "a", "rate": 0, "amount": 0}],
            "discounts": [{"description": "a", "amount": 0}],
            "grand_total": 0,
            "currency": "EUR",
        },
        payment_terms=dict.fromkeys(("due_date", "payment_method", "notes"), "2025-01-15"),
    )
    score = score_answer(INVOICE, full, INVOICE.text_of(full))
    assert set(score.fields.values()) == {RIGHT}
    assert len(score.fields) == 6 + 5 + 4 + 3 + 3 + 2 + 3


@pytest.mark.parametrize(
    "text",
    ["", "I cannot read this page.", "[]", "{}", '{"structured_data": ', '{"total": 27.5}', '{"structured_data": []}'],
)
def test_unreadable_answer_misses_every_field(text: str) -> None:
    score = score_answer(INVOICE, EXPECTED, text)
    assert not score.schema_valid
    assert not score.rule_compliant
    assert not score.arithmetic_verified
    assert not score.math_flag_right
    assert not score.document_exact
    assert score.arithmetic_coverage == 0
    assert score.field_counts == Counts(0, 0, EXPECTED_FIELDS)
    assert score.line_cell_counts == Counts(0, 0, EXPECTED_CELLS)
    assert (score.rows_expected, score.rows_exact) == (2, 0)
    assert score.said_valid is None


def test_counts_json_with_wrong_schema_as_strict_json() -> None:
    text = json.dumps(invoice(structured_data__financial_summary__grand_total="about 27"))
    score = score_answer(INVOICE, EXPECTED, text)
    assert (score.strict_json, score.repaired_json, score.schema_valid) == (True, False, False)
    assert score.field_counts.false_negatives == EXPECTED_FIELDS


def test_counts_repaired_json_separately() -> None:
    score = score_answer(INVOICE, EXPECTED, f"Here it is:\n```json\n{INVOICE.text_of(EXPECTED)[:-1]}\n```")
    assert (score.strict_json, score.repaired_json, score.schema_valid) == (False, True, True)
    assert score.document_exact


def test_unreadable_answer_to_an_empty_page_is_not_exact() -> None:
    assert score_answer(INVOICE, answer(), '{"structured_data":{}}').document_exact
    assert not score_answer(INVOICE, answer(), "no invoice").document_exact


def test_recomputes_arithmetic_despite_the_models_flag() -> None:
    overconfident = invoice(structured_data__financial_summary__grand_total=1027.5)
    score = score_answer(INVOICE, EXPECTED, json.dumps(overconfident))
    assert overconfident["validation_summary"]["math_verified"]
    assert not score.arithmetic_verified
    assert not score.rule_compliant
    assert not score.math_flag_right
    underconfident = invoice(validation_summary__math_verified=False)
    score = score_answer(INVOICE, EXPECTED, json.dumps(underconfident))
    assert score.arithmetic_verified
    assert not score.math_flag_right


def test_answer_without_operands_is_not_verified() -> None:
    score = score_answer(INVOICE, answer(), '{"structured_data":{}}')
    assert score.schema_valid
    assert not score.arithmetic_verified
    assert not score.rule_compliant
    assert score.arithmetic_coverage == 0


def test_faithful_answer_to_a_wrong_invoice_is_not_compliant() -> None:
    wrong = read_answer(invoice(structured_data__financial_summary__grand_total=1027.5))
    score = score_answer(INVOICE, wrong, INVOICE.text_of(wrong))
    assert score.document_exact
    assert not score.rule_compliant
    assert not score.expected_rule_compliant
    assert not score.expected_arithmetic_verified


def test_counts_swapped_totals_of_two_rows_as_wrong() -> None:
    lines = [{"description": "Bolt", "total": 20}, {"description": "Nut", "total": 5}]
    swapped = [{"description": "Bolt", "total": 5}, {"description": "Nut", "total": 20}]
    score = score_answer(INVOICE, answer(line_items=lines), INVOICE.text_of(answer(line_items=swapped)))
    assert score.line_cell_counts == Counts(2, 2, 2)
    assert score.rows_exact == 0
    assert not score.document_exact


@pytest.mark.parametrize(
    ("expected", "found", "counts", "rows_exact"),
    [
        ("a1 b2", "b2 a1", Counts(4, 0, 0), 2),
        ("a1 b2", "a1", Counts(2, 0, 2), 1),
        ("a1", "a1 b2", Counts(2, 2, 0), 1),
        ("a1 b2", "a1 b3", Counts(3, 1, 1), 1),
        ("a1 a1", "a1", Counts(2, 0, 2), 1),
        ("a1 a1", "a1 a1 a1", Counts(4, 2, 0), 2),
        ("a1", "b2", Counts(0, 2, 2), 0),
        ("", "a1", Counts(0, 2, 0), 0),
        ("a1", "", Counts(0, 0, 2), 0),
        ("a0 b0", "a0 b0", Counts(4, 0, 0), 2),
    ],
)
def test_assigns_line_items_so_that_most_cells_agree(
    expected: str, found: str, counts: Counts, rows_exact: int
) -> None:
    expected_rows, found_rows = (
        [{"description": row[0], "total": int(row[1])} for row in rows.split()] for rows in (expected, found)
    )
    score = score_answer(INVOICE, answer(line_items=expected_rows), INVOICE.text_of(answer(line_items=found_rows)))
    assert (score.line_cell_counts, score.rows_exact) == (counts, rows_exact)


def test_prefers_assignments_with_exact_rows() -> None:
    expected_rows = [{"description": "Bolt", "total": 5}, {"description": "Bolt", "quantity": 1}]
    found = [{"quantity": 1}, {"description": "Bolt", "quantity": 1}]
    score = score_answer(INVOICE, answer(line_items=expected_rows), INVOICE.text_of(answer(line_items=found)))
    # The crosswise assignment also has two agreeing cells, but no exact row.
    assert (score.line_cell_counts, score.rows_exact) == (Counts(2, 1, 2), 1)


def test_row_order_does_not_break_ties() -> None:
    expected = answer(line_items=[{"description": "Bolt", "total": 5}])
    rows = [{"description": "Bolt", "total": 9}, {"description": "Nut", "total": 5}]
    scores = [
        score_answer(INVOICE, expected, INVOICE.text_of(answer(line_items=order))) for order in (rows, rows[::-1])
    ]
    assert scores[0] == scores[1]
    assert scores[0].line_cell_counts == Counts(1, 3, 1)


def test_scores_taxes_and_discounts_as_fields() -> None:
    taxes = [{"type": "VAT", "rate": 0.19, "amount": 19}, {"type": "VAT", "rate": 0.07, "amount": 7}]
    truth = answer(financial_summary={"taxes": taxes, "discounts": [{"amount": 5}]})
    found = answer(financial_summary={"taxes": taxes[::-1], "discounts": [{"amount": 0}]})
    score = score_answer(INVOICE, truth, INVOICE.text_of(found))
    assert score.fields == {
        "financial_summary.discounts.amount": WRONG,
        "financial_summary.taxes.amount": Counts(2, 0, 0),
        "financial_summary.taxes.rate": Counts(2, 0, 0),
        "financial_summary.taxes.type": Counts(2, 0, 0),
    }
    assert score.line_cell_counts == Counts()


def test_scores_charges_payments_and_type_as_fields() -> None:
    paid = {"charges": [{"description": "Freight", "amount": 5}], "amount_paid": 10, "amount_due": 95}
    credit_note = answer(document_type="credit_note", financial_summary=paid)
    score = score_answer(INVOICE, credit_note, INVOICE.text_of(credit_note))
    assert score.fields == dict.fromkeys(
        (
            "document_type",
            "financial_summary.amount_due",
            "financial_summary.amount_paid",
            "financial_summary.charges.amount",
            "financial_summary.charges.description",
        ),
        Counts(1, 0, 0),
    )


def test_answer_without_document_type_is_an_invoice() -> None:
    assert score_answer(INVOICE, answer(), INVOICE.text_of(answer(document_type="invoice"))).fields == {}


@given(ANSWERS, LINE_ITEM_LISTS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_line_items_does_not_matter(expected: Answer, lines: list[dict[str, Any]], random: Any) -> None:
    found = [LineItem.model_validate(line) for line in lines]
    shuffled = random.sample(found, len(found))
    scores = [
        score_answer(INVOICE, expected, INVOICE.text_of(answer(line_items=[line.model_dump() for line in order])))
        for order in (found, shuffled)
    ]
    assert scores[0] == scores[1]


@given(st.text(max_size=80) | st.text('{}[]":,.0123456789eE-tfn ', max_size=80))
@settings(max_examples=80, deadline=None)
def test_scoring_never_raises(text: str) -> None:
    score = score_answer(INVOICE, EXPECTED, text)
    assert not (score.strict_json and score.repaired_json)
