"""The results of a sweep: metrics with their intervals, and each run compared with the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from erniekit_adapter import __version__
from erniekit_adapter.bundle.model_card import figure
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.errors import usage_error
from erniekit_adapter.evaluation.comparison import SystemComparison, compare
from erniekit_adapter.evaluation.stage import read_test_examples, score
from erniekit_adapter.files import read_json
from erniekit_adapter.metrics import METRICS, AnswerScore
from erniekit_adapter.predictors.toolkit import read_replies
from erniekit_adapter.project.made_for import type_record
from erniekit_adapter.sweep.sweep_file import SweepRun

SCHEMA_VERSION = 1
# The metrics of a rate column; one that the document type does not have is left out.
_RATES = ("strict_json", "schema_valid", "line_item_f1")
_DIFFERENCE = "field F1 minus\nthe first run's\n[95 %]"
# Widths of the columns that wrap, in characters: names and intervals.
_WIDTHS = {"run": 9, _DIFFERENCE: 16}


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        name: name of the run.
        changes: its changes, from the sweep file.
        training: the manifest of the train stage.
        results: the results of evaluate.
        scores: scores of the tuned model's answers, one for each test example.
        document_type: the type of its documents.
        against_first: comparison of this run (tuned) with the first run (base); None for the first run.
    """

    name: str
    changes: tuple[str, ...]
    training: dict[str, Any]
    results: dict[str, Any]
    scores: list[AnswerScore]
    document_type: DocumentType
    against_first: SystemComparison | None = None


def read_results(runs: Sequence[SweepRun]) -> list[RunResult]:
    """Read the results of the runs, in order.

    Raises:
        UsageError: two runs were evaluated on different test examples, or with different definitions of the document
            type, so they cannot be compared.
    """
    found: list[RunResult] = []
    for run in runs:
        project = run.project
        results = read_json(project.evaluation_dir / "results.json")
        scores = score(
            project.documents, read_test_examples(project), read_replies(project.evaluation_dir / "tuned.jsonl")
        )
        first = found[0] if found else None
        if first:
            _check_comparable(first, run.name, results)
        against = compare(first.scores, scores) if first else None
        training = read_json(project.training_dir / "manifest.json")
        found.append(RunResult(run.name, run.changes, training, results, scores, project.documents, against))
    return found


def _check_comparable(first: RunResult, name: str, results: Mapping[str, Any]) -> None:
    if any(first.results[key] != results[key] for key in ("test_lines", "samples")):
        hint = "give all runs the same data.test_sources, and data.test_split_ratio: 0"
        raise usage_error(f"run {name}", f"was evaluated on other test examples than {first.name}", hint)
    if type_record(first.results) != type_record(results):
        finding = f"was evaluated with another definition of the document type than {first.name}"
        raise usage_error(f"run {name}", finding, "give all runs the same document_type, and sweep with --restart")


def sweep_results(found: Sequence[RunResult]) -> dict[str, Any]:
    """Return the content of `sweep.json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
        "document_type": type_record(found[0].results),
        "samples": found[0].results["samples"],
        "test_lines": found[0].results["test_lines"],
        "base": found[0].results["base"],
        "runs": [
            {
                "name": one.name,
                "changes": one.changes,
                "steps": one.training["steps"],
                "seconds": one.training["seconds"],
                "tuned": one.results["tuned"],
                "against_first": one.against_first.as_json() if one.against_first else None,
            }
            for one in found
        ],
    }


def sweep_table(found: Sequence[RunResult]) -> Table:
    """Return a table with one row for the base model and one for each run."""
    first, *_ = found
    title = f"{len(found)} runs on {first.results['samples']} test documents"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for heading in _headings(found):
        table.add_column(heading, width=_WIDTHS.get(heading), no_wrap=heading not in _WIDTHS, overflow="fold")
    for row in _rows(found):
        table.add_row(*row)
    return table


def sweep_markdown(found: Sequence[RunResult]) -> str:
    """Return the same table as Markdown, for a model card or a report."""
    headings = _headings(found)
    lines = [headings, ["---"] * len(headings), *_rows(found)]
    return "".join(f"| {' | '.join(line)} |".replace("\n", " ") + "\n" for line in lines)


def _headings(found: Sequence[RunResult]) -> list[str]:
    """Return the headings, broken into lines like the cells, so that a row fits a terminal of 80 columns."""
    rates = [METRICS[key].label.replace(" ", "\n") for key in _rates(found)]
    return ["run", *rates, "field F1\n[95 %]", _DIFFERENCE, "seconds"]


def _rates(found: Sequence[RunResult]) -> list[str]:
    """Return the metrics of the rate columns: those that the document type has."""
    document_type = found[0].document_type
    return [key for key in _RATES if key != "line_item_f1" or document_type.line_items is not None]


def _rows(found: Sequence[RunResult]) -> Iterator[list[str]]:
    """Yield the cells of each row; intervals and verdicts have their own lines."""
    first, *_ = found
    rates = _rates(found)
    yield ["base", *_figures(first.results["base"], rates), "", ""]
    for one in found:
        seconds = f"{one.training['seconds']:,.0f}"
        yield [one.name, *_figures(one.results["tuned"], rates), _difference(one.against_first), seconds]


def _figures(system: dict[str, Any], rates: Sequence[str]) -> list[str]:
    f1 = system["field_f1"]
    interval = "" if f1["low"] is None else f"\n[{f1['low']:.3f}, {f1['high']:.3f}]"
    return [*(figure(system[key]["value"]) for key in rates), f"{figure(f1['value'])}{interval}"]


def _difference(against_first: SystemComparison | None) -> str:
    if against_first is None:
        return ""
    found = against_first.differences["field_f1"]
    if found.difference is None or found.low is None or found.high is None:
        return "–"
    return f"{found.difference:+.3f}\n[{found.low:+.3f}, {found.high:+.3f}]\n{found.verdict}"
