"""Summary of a run on one screen: data, training, comparison of base and tuned model, bundle."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table

from erniekit_adapter.bundle.model_card import figure
from erniekit_adapter.documents.fields import KINDS
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import read_json
from erniekit_adapter.metrics import shown_metrics
from erniekit_adapter.project.former_data_names import current_manifest
from erniekit_adapter.project.schema import Project

PICTURE_COLUMNS = 84


def print_summary(project: Project, console: Console) -> None:
    """Print the tables of a finished run from the manifests of its stages.

    Raises:
        UsageError: a stage has not been run.
    """
    data = _manifest(project, "data", "manifest.json")
    training = _manifest(project, "training", "manifest.json")
    results = _manifest(project, "evaluation", "results.json")
    console.print(Group(_data_table(data), _training_table(training), *_results_tables(results)))
    console.print(f"bundle: {project.bundle_dir}")


def summary_picture(project: Project, title: str) -> str:
    """Return the tables of a finished run as an SVG picture of a terminal, without links to external fonts.

    Raises:
        UsageError: a stage has not been run.
    """
    console = Console(record=True, width=PICTURE_COLUMNS, file=StringIO(), markup=False, emoji=False)
    print_summary(project, console)
    return re.sub(r"@font-face\s*{[^}]*}", "", console.export_svg(title=title))


def print_results(results: dict[str, Any], console: Console) -> None:
    """Print the tables of an evaluation."""
    console.print(Group(*_results_tables(results)))
    if results["tuned"].get("strict_json", {}).get("value") == 0:
        console.print(
            "No answer of the tuned model is JSON: see samples.jsonl beside results.json. The model may need more "
            "steps (training.max_steps), more documents, longer answers (evaluate.max_new_tokens), or "
            "evaluate.structured: auto."
        )


def _manifest(project: Project, stage: str, name: str) -> dict[str, Any]:
    path = project.output_dir / stage / name
    if not path.is_file():
        verb = {"data": "data build", "training": "train", "evaluation": "evaluate"}[stage]
        raise usage_error(path, "does not exist yet", f"run erniekit-adapter {verb} PROJECT first")
    manifest: dict[str, Any] = read_json(path)
    return manifest


def _data_table(data: dict[str, Any]) -> RenderableType:
    table = Table(title="data", title_justify="left", show_header=False, box=SIMPLE_HEAD)
    table.add_row("records read", f"{data['read']:,}")
    splits = ", ".join(f"{name} {data['by_split'][name]:,}" for name in ("train", "eval", "test"))
    table.add_row("written", f"{data['written']:,} ({splits})")
    by_filter = sorted(current_manifest(data)["by_filter"].items())
    reasons = ", ".join(f"{name} {count:,}" for name, count in by_filter if name != "duplicate")
    table.add_row("rejected", f"{data['rejected']:,}" + (f" ({reasons})" if reasons else ""))
    table.add_row("duplicates", f"{data['duplicates']:,}")
    return table


def _training_table(training: dict[str, Any]) -> RenderableType:
    table = Table(title="training", title_justify="left", show_header=False, box=SIMPLE_HEAD)
    table.add_row("steps", f"{training['steps']:,} in {training['seconds']:,.0f} s")
    table.add_row("loss, first → last", f"{figure(training['first_loss'])} → {figure(training['last_loss'])}")
    if training["last_eval_loss"] is not None:
        table.add_row("evaluation loss", f"{training['last_eval_loss']:.3f}")
    return table


def _results_tables(results: dict[str, Any]) -> list[RenderableType]:
    # Results of an earlier version have no figures by kind.
    return [_results_table(results), *(["", _kinds_table(results)] if "kinds" in results["base"] else [])]


def _results_table(results: dict[str, Any]) -> RenderableType:
    """Return one row for each shown metric: both models, the difference with its 95 % interval, and the verdict."""
    title = f"evaluation on {results['samples']} test documents"
    columns = ("", "base", "tuned", "difference [95 %]", "the tuned model is")
    table = Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, caption_justify="left")
    # Results of an earlier version may lack a metric.
    for metric in (metric for metric in shown_metrics() if metric.name in results["comparison"]):
        compared = results["comparison"][metric.name]
        interval = f"{_signed(compared['difference'])} [{_signed(compared['low'])}, {_signed(compared['high'])}]"
        values = [results[side][metric.name]["value"] for side in ("base", "tuned")]
        # A document type without tables or rules has no such figures.
        if values != [None, None]:
            table.add_row(metric.label, *map(figure, values), interval, compared["verdict"])
    table.caption = _reachable(results["base"])
    return table


def _reachable(base: dict[str, Any]) -> str | None:
    """Return a note on the figures that a perfect reader reaches, if documents are wrong on the page."""
    compliant, verified = base["expected_rule_compliant"], base["expected_arithmetic_verified"]
    if compliant is None or compliant == 1:
        return None
    sums = "" if verified is None else f" and {verified:.3f} in arithmetic"
    return (
        f"Some test documents are wrong on the page: a perfect reader reaches {compliant:.3f} in rule compliance{sums}."
    )


def _kinds_table(results: dict[str, Any]) -> RenderableType:
    """Return one row for each kind of field: F1 of both models, and the number of expected values."""
    by_kind = {side: results[side]["kinds"] for side in ("base", "tuned")}
    columns = ("", "base", "tuned", "expected values")
    table = Table(*columns, title="F1 by kind of field", title_justify="left", box=SIMPLE_HEAD)
    for kind in KINDS:
        found = [by_kind[side].get(kind) for side in ("base", "tuned")]
        if any(found):
            support = max(each["support"] for each in found if each)
            table.add_row(kind, *(figure(each["f1"] if each else None) for each in found), f"{support:,}")
    return table


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
