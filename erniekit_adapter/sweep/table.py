"""What the runs of a sweep came to: every figure with its interval, and each run held against the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from erniekit_adapter import __version__
from erniekit_adapter.adapters.card import FIGURES, figure
from erniekit_adapter.answering.toolkit import read_replies
from erniekit_adapter.errors import misuse
from erniekit_adapter.evaluation.comparison import Comparison, compare
from erniekit_adapter.evaluation.scoring import SampleScore
from erniekit_adapter.evaluation.stage import read_test_samples, score
from erniekit_adapter.files import read_json
from erniekit_adapter.sweep.sweep_file import Run

SCHEMA_VERSION = 1
_RATES = ("strict_json", "schema_valid", "line_item_f1")
_DIFFERENCE = "field F1\nless the first's\n[95 %]"
# What wraps, at so many columns: most names, and an interval.
_WIDTHS = {"run": 9, _DIFFERENCE: 16}
# Broken into lines, as the cells are, so that a row fits a terminal of 80 columns.
_HEADINGS = (
    "run",
    *(FIGURES[key].replace(" ", "\n") for key in _RATES),
    "field F1\n[95 %]",
    _DIFFERENCE,
    "seconds",
)


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        name, changes: from the sweep file.
        training: the train stage's manifest.
        results: what evaluate wrote.
        scores: the tuned model's answers, sample by sample.
        against_first: this run as the tuned system and the first run as the base; None for the first itself.
    """

    name: str
    changes: tuple[str, ...]
    training: dict[str, Any]
    results: dict[str, Any]
    scores: list[SampleScore]
    against_first: Comparison | None = None


def read_results(runs: Sequence[Run]) -> list[RunResult]:
    """Read what the runs came to, in order.

    Raises:
        UsageError: two runs were evaluated on different test lines, so nothing can be said of their difference.
    """
    found: list[RunResult] = []
    for run in runs:
        project = run.project
        results = read_json(project.evaluation_dir / "results.json")
        scores = score(read_test_samples(project), read_replies(project.evaluation_dir / "tuned.jsonl"))
        first = found[0] if found else None
        if first and (first.results["test_lines"], first.results["samples"]) != (
            results["test_lines"],
            results["samples"],
        ):
            remedy = "give all runs the same data.test_sources, and data.test_split_ratio: 0"
            raise misuse(f"run {run.name}", f"was tested on other lines than {first.name}", remedy)
        against = compare(first.scores, scores) if first else None
        training = read_json(project.training_dir / "manifest.json")
        found.append(RunResult(run.name, run.changes, training, results, scores, against))
    return found


def sweep_results(found: Sequence[RunResult]) -> dict[str, Any]:
    """The results as they are written to `sweep.json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
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
                "against_first": asdict(one.against_first) if one.against_first else None,
            }
            for one in found
        ],
    }


def sweep_table(found: Sequence[RunResult]) -> Table:
    """One row a run, and above them the base model that all began with."""
    first, *_ = found
    title = f"{len(found)} runs on {first.results['samples']} test documents"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, width=_WIDTHS.get(heading), no_wrap=heading not in _WIDTHS, overflow="fold")
    for row in _rows(found):
        table.add_row(*row)
    return table


def sweep_markdown(found: Sequence[RunResult]) -> str:
    """The same table as Markdown, for a card or a report."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *_rows(found)]
    return "".join(f"| {' | '.join(line)} |".replace("\n", " ") + "\n" for line in lines)


def _rows(found: Sequence[RunResult]) -> Iterator[list[str]]:
    """The cells; intervals and verdicts stand in lines of their own."""
    first, *_ = found
    yield ["base", *_figures(first.results["base"]), "", ""]
    for one in found:
        seconds = f"{one.training['seconds']:,.0f}"
        yield [one.name, *_figures(one.results["tuned"]), _difference(one.against_first), seconds]


def _figures(system: dict[str, Any]) -> list[str]:
    f1 = system["field_f1"]
    interval = "" if f1["low"] is None else f"\n[{f1['low']:.3f}, {f1['high']:.3f}]"
    return [*(figure(system[key]["value"]) for key in _RATES), f"{figure(f1['value'])}{interval}"]


def _difference(against_first: Comparison | None) -> str:
    if against_first is None:
        return ""
    found = against_first.field_f1
    if found.difference is None or found.low is None or found.high is None:
        return "–"
    return f"{found.difference:+.3f}\n[{found.low:+.3f}, {found.high:+.3f}]\n{found.verdict}"
