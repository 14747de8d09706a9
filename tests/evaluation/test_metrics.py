from __future__ import annotations

import dataclasses
import json
import string
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.evaluation.metrics import Estimate, FieldScore, Metrics, summarize
from erniekit_adapter.evaluation.scoring import Counts, score_sample
from erniekit_adapter.invoice.answer import Answer, LineItem, as_text, read_answer

RIGHT = Counts(1, 0, 0)
WRONG = Counts(0, 1, 1)
INVENTED = Counts(0, 1, 0)
MISSED = Counts(0, 0, 1)


def answer(**structured: Any) -> Answer:
    return read_answer({"structured_data": structured})


def invoice(**changes: Any) -> dict[str, Any]:
    """A small invoice that adds up: 2 × 10 + 5 × 1 = 25, and 10% tax."""
    value: dict[str, Any] = {
        "structured_data": {
            "vendor_block": {"name": "Acme Ltd"},
            "line_items": [
                {"description": "Bolt", "quantity": 2, "unit_price": 10, "total": 20},
                {"description": "Nut", "quantity": 5, "unit_price": 1, "total": 5},
            ],
            "financial_summary": {
                "subtotal": 25,
                "taxes": [{"type": "VAT", "rate": 0.1, "amount": 2.5}],
                "grand_total": 27.5,
                "currency": "EUR",
            },
        },
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []},
    }
    for path, change in changes.items():
        *parents, last = path.split("__")
        part = value
        for name in parents:
            part = part[name]
        part[last] = change
    return value


EXPECTED = read_answer(invoice())
EXPECTED_CELLS = 8
EXPECTED_FIELDS = 7


def verdict(is_valid: bool | None) -> dict[str, Any]:
    value: dict[str, Any] = {"structured_data": {"vendor_block": {"name": "Acme"}}}
    if is_valid is not None:
        value["validation_summary"] = {"is_valid": is_valid, "math_verified": is_valid}
    return value


def test_a_perfect_answer_is_right_in_everything() -> None:
    score = score_sample(EXPECTED, as_text(EXPECTED), sample="a")
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
def test_fields_are_compared_by_their_value(name: str, expected: str, found: str, counts: Counts | None) -> None:
    block, field = name.split(".")
    texts = [f'{{"structured_data":{{"{block}":{{"{field}":{value}}}}}}}' for value in (expected, found)]
    truth = read_answer(json.loads(texts[0], parse_float=Decimal))
    assert score_sample(truth, texts[1]).fields == ({} if counts is None else {name: counts})


def test_confidences_and_verdicts_are_no_fields() -> None:
    plain = answer(vendor_block={"name": "Acme"}, line_items=[{"total": 1}])
    sure = {
        "structured_data": {
            "vendor_block": {"name": "Acme", "confidence": 0.5},
            "line_items": [{"total": 1, "confidence": 0.9}, {"confidence": 0.1}],
        },
        "validation_summary": {"is_valid": False, "math_verified": False},
        "confidence_scores": {"overall": 0.95},
    }
    score = score_sample(plain, json.dumps(sure))
    assert score.fields == {"line_items.total": RIGHT, "vendor_block.name": RIGHT}
    assert score.document_exact


def test_every_field_of_the_answer_is_scored() -> None:
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
    score = score_sample(full, as_text(full))
    assert set(score.fields.values()) == {RIGHT}
    assert len(score.fields) == 6 + 5 + 4 + 3 + 3 + 2 + 3


@pytest.mark.parametrize(
    "text",
    ["", "I cannot read this page.", "[]", "{}", '{"structured_data": ', '{"total": 27.5}', '{"structured_data": []}'],
)
def test_a_text_without_a_canonical_answer_misses_every_field(text: str) -> None:
    score = score_sample(EXPECTED, text)
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


def test_json_that_breaks_the_schema_is_still_strict_json() -> None:
    text = json.dumps(invoice(structured_data__financial_summary__grand_total="about 27"))
    score = score_sample(EXPECTED, text)
    assert (score.strict_json, score.repaired_json, score.schema_valid) == (True, False, False)
    assert score.field_counts.false_negatives == EXPECTED_FIELDS


def test_repaired_json_is_counted_apart_from_strict_json() -> None:
    score = score_sample(EXPECTED, f"Here it is:\n```json\n{as_text(EXPECTED)[:-1]}\n```")
    assert (score.strict_json, score.repaired_json, score.schema_valid) == (False, True, True)
    assert score.document_exact


def test_an_unreadable_answer_to_an_empty_page_is_not_an_exact_document() -> None:
    assert score_sample(answer(), '{"structured_data":{}}').document_exact
    assert not score_sample(answer(), "no invoice").document_exact


def test_arithmetic_is_recomputed_and_the_models_flag_is_not_trusted() -> None:
    boast = invoice(structured_data__financial_summary__grand_total=1027.5)
    score = score_sample(EXPECTED, json.dumps(boast))
    assert boast["validation_summary"]["math_verified"]
    assert not score.arithmetic_verified
    assert not score.rule_compliant
    assert not score.math_flag_right
    modest = invoice(validation_summary__math_verified=False)
    score = score_sample(EXPECTED, json.dumps(modest))
    assert score.arithmetic_verified
    assert not score.math_flag_right


def test_an_answer_that_cannot_be_checked_is_not_verified() -> None:
    score = score_sample(answer(), '{"structured_data":{}}')
    assert score.schema_valid
    assert not score.arithmetic_verified
    assert not score.rule_compliant
    assert score.arithmetic_coverage == 0


def test_a_faithful_answer_to_a_wrong_invoice_is_not_compliant_and_neither_is_the_expected_one() -> None:
    wrong = read_answer(invoice(structured_data__financial_summary__grand_total=1027.5))
    score = score_sample(wrong, as_text(wrong))
    assert score.document_exact
    assert not score.rule_compliant
    assert not score.expected_rule_compliant
    assert not score.expected_arithmetic_verified


def test_swapped_totals_of_two_rows_cost_points() -> None:
    lines = [{"description": "Bolt", "total": 20}, {"description": "Nut", "total": 5}]
    swapped = [{"description": "Bolt", "total": 5}, {"description": "Nut", "total": 20}]
    score = score_sample(answer(line_items=lines), as_text(answer(line_items=swapped)))
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
def test_line_items_are_paired_so_that_the_most_cells_agree(
    expected: str, found: str, counts: Counts, rows_exact: int
) -> None:
    wanted, given_ = (
        [{"description": row[0], "total": int(row[1])} for row in rows.split()] for rows in (expected, found)
    )
    score = score_sample(answer(line_items=wanted), as_text(answer(line_items=given_)))
    assert (score.line_cell_counts, score.rows_exact) == (counts, rows_exact)


def test_among_equally_good_pairings_the_one_with_exact_rows_is_taken() -> None:
    wanted = [{"description": "Bolt", "total": 5}, {"description": "Bolt", "quantity": 1}]
    found = [{"quantity": 1}, {"description": "Bolt", "quantity": 1}]
    score = score_sample(answer(line_items=wanted), as_text(answer(line_items=found)))
    # Crosswise two cells agree as well, in no exact row.
    assert (score.line_cell_counts, score.rows_exact) == (Counts(2, 1, 2), 1)


def test_the_order_of_rows_settles_no_tie() -> None:
    expected = answer(line_items=[{"description": "Bolt", "total": 5}])
    rows = [{"description": "Bolt", "total": 9}, {"description": "Nut", "total": 5}]
    scores = [score_sample(expected, as_text(answer(line_items=order))) for order in (rows, rows[::-1])]
    assert scores[0] == scores[1]
    assert scores[0].line_cell_counts == Counts(1, 3, 1)


def test_tax_and_discount_rows_are_paired_and_count_as_fields() -> None:
    taxes = [{"type": "VAT", "rate": 0.19, "amount": 19}, {"type": "VAT", "rate": 0.07, "amount": 7}]
    truth = answer(financial_summary={"taxes": taxes, "discounts": [{"amount": 5}]})
    found = answer(financial_summary={"taxes": taxes[::-1], "discounts": [{"amount": 0}]})
    score = score_sample(truth, as_text(found))
    assert score.fields == {
        "financial_summary.discounts.amount": WRONG,
        "financial_summary.taxes.amount": Counts(2, 0, 0),
        "financial_summary.taxes.rate": Counts(2, 0, 0),
        "financial_summary.taxes.type": Counts(2, 0, 0),
    }
    assert score.line_cell_counts == Counts()


def test_charges_payments_and_the_document_type_count_as_fields() -> None:
    paid = {"charges": [{"description": "Freight", "amount": 5}], "amount_paid": 10, "amount_due": 95}
    credit_note = answer(document_type="credit_note", financial_summary=paid)
    score = score_sample(credit_note, as_text(credit_note))
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


def test_an_answer_without_a_document_type_is_an_invoice() -> None:
    assert score_sample(answer(), as_text(answer(document_type="invoice"))).fields == {}


def test_an_empty_set_is_an_error() -> None:
    with pytest.raises(AdapterError, match="no sample to score"):
        summarize([])


def test_no_resamples_is_an_error() -> None:
    with pytest.raises(AdapterError, match="resamples is 0"):
        summarize([score_sample(EXPECTED, "")], resamples=0)


def test_rates_are_over_all_samples() -> None:
    perfect = as_text(EXPECTED)
    texts = [perfect, f"```json\n{perfect}\n```", '{"total":1}', "nothing"]
    metrics = summarize([score_sample(EXPECTED, text) for text in texts])
    assert metrics.samples == 4
    assert metrics.strict_json.value == 0.5
    assert metrics.repaired_json.value == 0.25
    assert metrics.schema_valid.value == 0.5
    assert metrics.rule_compliant.value == 0.5
    assert metrics.arithmetic_verified.value == 0.5
    assert metrics.arithmetic_coverage.value == 0.5
    assert metrics.math_flag_right.value == 0.5
    assert metrics.document_exact.value == 0.5
    assert metrics.field_precision.value == 1
    assert metrics.field_recall.value == 0.5
    assert metrics.field_f1.value == pytest.approx(2 / 3)
    assert metrics.line_item_f1.value == pytest.approx(2 / 3)
    assert metrics.row_exact.value == 0.5
    assert metrics.fields["vendor_block.name"] == FieldScore(1.0, 0.5, 2 * 2 / (2 * 2 + 2), 4)
    assert metrics.expected_rule_compliant == metrics.expected_arithmetic_verified == 1


def test_a_figure_without_support_is_neither_0_nor_1() -> None:
    metrics = summarize([score_sample(answer(), '{"structured_data":{}}')])
    nothing = Estimate(None, None, None)
    assert metrics.field_precision == metrics.field_recall == metrics.field_f1 == nothing
    assert metrics.line_item_f1 == metrics.row_exact == nothing
    assert metrics.fields == {}
    assert metrics.verdicts.precision is metrics.verdicts.recall is metrics.verdicts.agreement is None


def test_a_field_that_is_only_invented_has_no_recall() -> None:
    text = as_text(answer(vendor_block={"phone": "123"}))
    assert summarize([score_sample(answer(), text)]).fields["vendor_block.phone"] == FieldScore(0.0, None, 0.0, 0)


def test_intervals_hold_the_figure_and_repeat_with_their_seed() -> None:
    scores = [score_sample(EXPECTED, as_text(EXPECTED) if i % 3 else "") for i in range(60)]
    metrics = summarize(scores, seed=1)
    assert metrics == summarize(scores, seed=1)
    assert summarize(scores, seed=1, resamples=5) != summarize(scores, seed=2, resamples=5)
    strict = metrics.strict_json
    assert strict.value == pytest.approx(2 / 3)
    # The normal approximation gives 2/3 ± 1.96 √(2/9 / 60) = 0.547 to 0.786.
    assert strict.low == pytest.approx(0.547, abs=0.03)
    assert strict.high == pytest.approx(0.786, abs=0.03)


def test_verdicts_are_held_against_the_expected_ones() -> None:
    pairs = [
        (False, False),
        (False, False),
        (False, True),
        (False, None),
        (True, False),
        (True, True),
        (True, True),
        (True, None),
        (None, False),
    ]
    scores = [score_sample(read_answer(verdict(truth)), json.dumps(verdict(said))) for truth, said in pairs]
    found = summarize(scores).verdicts
    assert (found.caught, found.missed, found.false_alarms, found.passed, found.silent) == (2, 2, 1, 2, 1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 0.5
    assert found.agreement == 0.5


def test_an_unreadable_answer_to_a_bad_invoice_has_missed_it() -> None:
    found = summarize([score_sample(read_answer(verdict(False)), "")]).verdicts
    assert (found.missed, found.recall, found.precision) == (1, 0.0, None)


def test_metrics_and_scores_are_json_able() -> None:
    score = score_sample(EXPECTED, as_text(EXPECTED))
    metrics = summarize([score])
    found = json.loads(json.dumps(dataclasses.asdict(metrics)))
    assert found["field_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(found) == {field.name for field in dataclasses.fields(Metrics)}
    assert json.loads(json.dumps(dataclasses.asdict(score)))["fields"]["vendor_block.name"]["true_positives"] == 1


def test_importing_the_metrics_loads_no_numpy_and_no_scipy() -> None:
    program = "import sys, erniekit_adapter.evaluation.comparison; print({'numpy', 'scipy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


_texts = st.none() | st.text(string.ascii_letters + " \u00a0äÅ㍿½", max_size=4)
_amounts = st.none() | st.decimals(min_value=-10, max_value=10, places=2) | st.integers(-3, 3).map(Decimal)
_dates = st.none() | st.dates(date(2024, 12, 30), date(2025, 1, 2))
_lines = st.lists(
    st.fixed_dictionaries({"description": _texts, "quantity": _amounts, "unit_price": _amounts, "total": _amounts}),
    max_size=5,
)
_answers = st.builds(
    answer,
    vendor_block=st.none() | st.fixed_dictionaries({"name": _texts, "logo_detected": st.none() | st.booleans()}),
    client_info=st.none() | st.fixed_dictionaries({"invoice_number": _texts, "invoice_date": _dates}),
    line_items=st.none() | _lines,
    financial_summary=st.none()
    | st.fixed_dictionaries(
        {
            "grand_total": _amounts,
            "currency": st.sampled_from(["EUR", "JPY", None]),
            "taxes": st.none() | st.lists(st.fixed_dictionaries({"rate": _amounts, "amount": _amounts}), max_size=3),
        }
    ),
)


@given(_answers)
@settings(max_examples=60, deadline=None)
def test_the_expected_answer_scored_against_itself_is_perfect(expected: Answer) -> None:
    score = score_sample(expected, as_text(expected))
    metrics = summarize([score], resamples=2)
    assert score.document_exact
    assert score.rows_exact == score.rows_expected
    assert metrics.field_f1.value in (1.0, None)
    assert metrics.line_item_f1.value in (1.0, None)
    assert (metrics.field_f1.value is None) == (score.field_counts == Counts())


@given(_answers, _answers)
@settings(max_examples=60, deadline=None)
def test_every_figure_lies_between_0_and_1_and_every_value_is_counted_once(expected: Answer, found: Answer) -> None:
    score, mirrored = score_sample(expected, as_text(found)), score_sample(found, as_text(expected))
    metrics = summarize([score], resamples=2)
    figures = [metrics.field_f1, metrics.line_item_f1, metrics.field_precision, metrics.field_recall, metrics.row_exact]
    for figure in figures:
        assert figure.value is None or 0 <= figure.value <= 1
    for counts, other in (
        (score.field_counts, mirrored.field_counts),
        (score.line_cell_counts, mirrored.line_cell_counts),
    ):
        assert counts == Counts(other.true_positives, other.false_negatives, other.false_positives)


@given(_answers, _lines, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_line_items_changes_nothing(expected: Answer, lines: list[dict[str, Any]], random: Any) -> None:
    found = [LineItem.model_validate(line) for line in lines]
    shuffled = random.sample(found, len(found))
    scores = [
        score_sample(expected, as_text(answer(line_items=[line.model_dump() for line in order])))
        for order in (found, shuffled)
    ]
    assert scores[0] == scores[1]


@given(st.text(max_size=80) | st.text('{}[]":,.0123456789eE-tfn ', max_size=80))
@settings(max_examples=80, deadline=None)
def test_no_text_makes_scoring_raise(text: str) -> None:
    score = score_sample(EXPECTED, text)
    assert not (score.strict_json and score.repaired_json)
