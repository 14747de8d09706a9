"""The manifest of a build: its inputs, settings, files and counts; and checks of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os.path import realpath
from pathlib import Path
from typing import Any, Literal

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.hints import hint
from data_tools.pipeline.split import SPLITS
from data_tools.sources.files.json_values import as_text, is_text
from erniekit_adapter import __version__
from erniekit_adapter.errors import AdapterError, Problem, UsageError, usage_error
from erniekit_adapter.files import is_inside, read_json
from erniekit_adapter.project.schema import AnySource

MANIFEST = "manifest.json"
REJECTED = "rejected.jsonl"
WARNED = "warned.jsonl"
# Training examples with their origin, for preview and report: this number of each split and task.
SAMPLES = "samples.jsonl"
SAMPLES_OF_EACH = 8
PREFERENCES_REJECTED = "dpo-refused.jsonl"
# Files with preferences for DPO, by split; the test split has none.
PREFERENCES = {"train": "dpo-train.jsonl", "eval": "dpo-eval.jsonl"}
# Files beside the training examples: about them, or with the same content in another format.
BESIDE = frozenset({WARNED, SAMPLES, PREFERENCES_REJECTED, *PREFERENCES.values()})
MADE_BY = "data_tools"
Role = Literal["train", "test"]


@dataclass(frozen=True)
class DataManifest:
    """Counts, settings and files of a build: read = written + rejected + duplicates.

    Attributes:
        made_by: package and version.
        settings: settings of the build.
        inputs: each source with its role (train or test), its SHA-256 and its counts, in the order of reading; the
            counts include the verdicts on its accepted documents, and the rules that the invalid ones fail.
        files: each JSONL file with its SHA-256 and its number of lines.
        read: documents in the sources, readable or not.
        written: training, eval and test examples.
        rejected: rejected records, without duplicates.
        duplicates: records with the content of an earlier one.
        documents: different documents among the examples; copies count once.
        by_filter: records that each filter rejected, with duplicates.
        first_reasons: first rejection of each filter, with its location.
        by_split, by_task, by_language: number of examples.
        faults: faults injected into validation examples, by kind.
        tokens: counted examples by length; empty if lengths are not counted.
        tokens_counted: number of counted examples (`lines`) and their tokens. Only a part of a long source is counted.
        page_kilopixels: page images by size.
        unused_keys: keys of the sources without a place in the answer, with the number of records.
        left_out: fields removed from answers because the request does not show them, with the number of examples.
        masked: examples by kind of masked personal data.
        warned: examples by filter that warns.
        preferences: preferences for DPO by split, and rejected ones by filter.
        warnings: findings to check before training.
    """

    made_by: str
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    files: dict[str, dict[str, Any]]
    read: int
    written: int
    rejected: int
    duplicates: int
    documents: int
    by_filter: dict[str, int]
    first_reasons: dict[str, str]
    by_split: dict[str, int]
    by_task: dict[str, int]
    by_language: dict[str, int]
    faults: dict[str, int]
    tokens: dict[str, int]
    tokens_counted: dict[str, int]
    page_kilopixels: dict[str, int]
    unused_keys: dict[str, int]
    left_out: dict[str, int]
    masked: dict[str, int]
    warned: dict[str, int]
    preferences: dict[str, dict[str, int]]
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        return asdict(self)


def made_by() -> str:
    """Return package and version for the manifest."""
    return f"{MADE_BY} {__version__}"


def check_counts(manifest: DataManifest) -> None:
    """Check that the counts add up and match the files.

    Raises:
        AdapterError: a record was lost or counted twice.
    """
    accounted = manifest.written + manifest.rejected + manifest.duplicates
    rejected = manifest.rejected + manifest.duplicates
    listed = sum(file["lines"] for name, file in manifest.files.items() if name.endswith(REJECTED))
    beside = sum(file["lines"] for name, file in manifest.files.items() if name in BESIDE)
    lines = sum(file["lines"] for file in manifest.files.values()) - listed - beside
    verdicts = sum(sum(source["verdicts"].values()) for source in manifest.inputs)
    sides = (
        ("read", manifest.read, "written + rejected + duplicates", accounted),
        ("lines in the files", lines, "written", manifest.written),
        ("lines in rejected.jsonl", listed, "rejected + duplicates", rejected),
        ("sum over the filters", sum(manifest.by_filter.values()), "rejected + duplicates", rejected),
        ("sum over the splits", sum(manifest.by_split.values()), "written", manifest.written),
        ("read in all sources", sum(source["read"] for source in manifest.inputs), "read", manifest.read),
        ("accepted in all sources", sum(source["accepted"] for source in manifest.inputs), "written", manifest.written),
        ("verdicts in all sources", verdicts, "written", manifest.written),
    )
    wrong = [Problem("data manifest", f"{left}: {a}, {right}: {b}") for left, a, right, b in sides if a != b]
    if wrong:
        raise AdapterError([*wrong, Problem("data manifest", "the counts do not add up", "report this as a bug")])


def split_warnings(by_split: Mapping[str, int], settings: BuildSettings) -> list[str]:
    """Return a warning for each split that is empty although its share is not 0."""
    shares = {"train": 1.0, "eval": settings.eval_ratio, "test": settings.test_ratio}
    return [
        f"the {name} split is empty: its share is {shares[name]:g}, and no document was assigned to it; "
        "add documents or choose another seed"
        for name in SPLITS
        if shares[name] > 0 and not by_split.get(name)
    ]


def nothing_accepted(role: Role, read: int, by_filter: Mapping[str, int], first_reasons: Mapping[str, str]) -> Problem:
    """Return the problem of sources without accepted records: each filter with its count and first reason."""
    location, names = ("data.test_sources",) * 2 if role == "test" else ("data", "data.sources and dataset.path")
    if not read:
        return Problem(location, "the sources contain no records", f"check {names}")
    counts = ", ".join(
        f"{filter_name} {count}" for filter_name, count in sorted(by_filter.items(), key=lambda item: -item[1])
    )
    reasons = "\n".join(
        f"    {count} × {filter_name}, for example {first_reasons[filter_name]}\n        → {hint(filter_name)}"
        for filter_name, count in sorted(by_filter.items(), key=lambda item: -item[1])
    )
    return Problem(location, f"none of {read} records passed the filters ({counts}):\n{reasons}")


def check_inputs(sources: Sequence[AnySource], outputs: Sequence[Path], test_sources: Sequence[AnySource] = ()) -> None:
    """Check that sources can be read and that no output replaces one of them.

    Raises:
        UsageError: a source is missing, not a file, given twice, or would be overwritten; or none is given.
    """
    if not sources:
        raise usage_error("data.sources", "no source to train on", "give data.sources or dataset.path")
    paths = [source.path for source in (*sources, *test_sources)]
    problems = []
    for index, source in enumerate((*sources, *test_sources)):
        path = source.path
        if not is_text(str(path)):
            problems.append(Problem(as_text(str(path)), "is not UTF-8", "rename that file or folder"))
        elif finding := source.path_problem():
            problems.append(Problem(str(path), finding, "correct the source's path"))
        if realpath(path) in map(realpath, paths[:index]):
            problems.append(Problem(as_text(str(path)), "is given twice as a source", "keep one of them"))
        if any(is_inside(output, path) for output in outputs):
            problems.append(Problem(str(path), f"would be overwritten by {outputs[0]}", "write somewhere else"))
    if problems:
        raise UsageError(problems)


def check_output_folder(output: Path) -> None:
    """Check that a folder is new, empty or an earlier build, because a build replaces its content.

    Raises:
        UsageError: the folder contains anything else.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    manifest = output / MANIFEST
    try:
        found = read_json(manifest) if manifest.is_file() else None
    except AdapterError:
        found = None
    if not isinstance(found, dict) or not str(found.get("made_by")).startswith(MADE_BY):
        raise usage_error(output, "exists and is not an earlier build", "name a new or an empty folder")
