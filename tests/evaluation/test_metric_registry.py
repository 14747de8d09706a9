from __future__ import annotations

from pathlib import Path

import pytest
from answer_examples import EXPECTED

from erniekit_adapter import metrics
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.evaluation.comparison import compare
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.metrics import METRICS, Metric

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


def documented_rows() -> list[tuple[str, ...]]:
    """Return the rows of the metric table in the documentation."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| `")]
    return [row for row in rows if len(row) == 6]


def row_of(metric: Metric) -> tuple[str, ...]:
    """Return the row that the documentation must have for a metric."""
    compared = "in tables" if metric.is_shown else "yes" if metric.is_compared else "no"
    return (f"`{metric.name}`", metric.label, metric.meaning, compared, metric.better, metric.interval)


def test_documentation_lists_the_registry() -> None:
    assert documented_rows() == [row_of(metric) for metric in METRICS.values()]


def test_shown_metrics_are_compared_and_have_an_interval() -> None:
    assert all(metric.is_compared for metric in metrics.shown_metrics())
    assert all(metric.interval == "bootstrap" for metric in metrics.compared_metrics())


def test_every_metric_counts_each_answer_once_at_most() -> None:
    score = score_answer(INVOICE, EXPECTED, INVOICE.text_of(EXPECTED))
    for metric in METRICS.values():
        assert 0 <= metric.numerator(score) <= metric.denominator(score)


def test_one_entry_adds_a_metric_to_results_and_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = Metric(
        "unreadable",
        "unreadable",
        "",
        lambda score: not score.schema_valid,
        lambda _: 1,
        is_compared=True,
        better="lower",
    )
    monkeypatch.setitem(METRICS, "unreadable", unreadable)
    base = [score_answer(INVOICE, EXPECTED, "no") for _ in range(8)]
    tuned = [score_answer(INVOICE, EXPECTED, INVOICE.text_of(EXPECTED)) for _ in range(8)]
    assert summarize(INVOICE, base).as_json()["unreadable"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    found = compare(base, tuned).as_json()["unreadable"]
    assert (found["difference"], found["verdict"]) == (-1, "better")
