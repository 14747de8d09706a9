"""The data stage's manifest: what was made, from what, with which settings, and what became of every record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os.path import realpath
from pathlib import Path
from typing import Any, Literal

from data_tools.build_settings import BuildSettings
from data_tools.sources.annotation_files import annotation_files
from data_tools.sources.einvoice_files import einvoice_files
from data_tools.sources.reading import as_text, is_text
from data_tools.stage.hints import hint
from data_tools.stage.split import SPLITS
from erniekit_adapter import __version__
from erniekit_adapter.errors import AdapterError, Problem, UsageError, misuse
from erniekit_adapter.files import fingerprint, is_inside, read_json, sha256
from erniekit_adapter.project.schema import AnnotationsSource, AnySource
from erniekit_adapter.project.sources import unusable_source

MANIFEST = "manifest.json"
REJECTED = "rejected.jsonl"
WARNED = "warned.jsonl"
# Lines with what they were made of, for preview and report: so many of each split and task.
SAMPLES = "samples.jsonl"
SAMPLES_OF_EACH = 8
PREFERENCES_REFUSED = "dpo-refused.jsonl"
# Files of lines for DPO, by split; nothing is tested with them.
PREFERENCES = {"train": "dpo-train.jsonl", "eval": "dpo-eval.jsonl"}
# What is written beside the lines: about them, or of them in another form.
BESIDE = frozenset({WARNED, SAMPLES, PREFERENCES_REFUSED, *PREFERENCES.values()})
MADE_BY = "data_tools"
Role = Literal["train", "test"]


@dataclass(frozen=True)
class DataManifest:
    """What became of every record: read = written + rejected + duplicates.

    Attributes:
        made_by: package and version.
        settings: what the stage went by.
        inputs: each source with its role (train or test), its SHA-256 and its own counts, in the order they were read;
            among them the verdicts on its accepted documents, and the rules that the invalid ones fail.
        files: each file of lines with its SHA-256 and its number of lines.
        read: documents that the sources hold, readable or not.
        documents: different documents among the lines written; their copies count once.
        by_gate: documents that each gate refused, duplicates included.
        first_reasons: the first refusal of each gate, with its place.
        by_split, by_task, by_language: lines of each.
        faults: faults that were injected into data to be validated, by kind.
        tokens: counted lines by length; empty where lengths are not counted.
        tokens_counted: how many lines these are, and their tokens together. Of long sources only a part is counted.
        page_kilopixels: page images by size.
        unused_keys: keys of the sources that have no place in a line, with the number of records that had them.
        left_out: fields left out of answers because the request does not show them, with the number of lines.
        masked: lines by kind of personal data that was masked.
        warned: lines by the gate that warns of them.
        preferences: lines for DPO by split, and what models had said that gates refused.
        warnings: what a person should look at before training.
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
    by_gate: dict[str, int]
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
        """The manifest as a JSON object."""
        return asdict(self)


def made_by() -> str:
    """The package and its version, as the manifest names them."""
    return f"{MADE_BY} {__version__}"


def source_sha256(source: AnySource) -> str:
    """The SHA-256 of a source's file; of a folder, the hash of its files' names with theirs."""
    if source.path.is_file():
        return sha256(source.path)
    files = (annotation_files if isinstance(source, AnnotationsSource) else einvoice_files)(source.path)
    # What is no regular file is never read, and is rejected by its name.
    hashes = [(str(file.relative_to(source.path)), sha256(file) if file.is_file() else "") for file in files]
    return fingerprint(hashes)


def check_counts(manifest: DataManifest) -> None:
    """Hold the counts against each other and against the files.

    Raises:
        AdapterError: a record was lost or counted twice.
    """
    told = manifest.written + manifest.rejected + manifest.duplicates
    refused = manifest.rejected + manifest.duplicates
    listed = sum(file["lines"] for name, file in manifest.files.items() if name.endswith(REJECTED))
    beside = sum(file["lines"] for name, file in manifest.files.items() if name in BESIDE)
    lines = sum(file["lines"] for file in manifest.files.values()) - listed - beside
    verdicts = sum(sum(source["verdicts"].values()) for source in manifest.inputs)
    sides = (
        ("read", manifest.read, "written + rejected + duplicates", told),
        ("lines in the files", lines, "written", manifest.written),
        ("lines in rejected.jsonl", listed, "rejected + duplicates", refused),
        ("sum over the gates", sum(manifest.by_gate.values()), "rejected + duplicates", refused),
        ("sum over the splits", sum(manifest.by_split.values()), "written", manifest.written),
        ("read in all sources", sum(source["read"] for source in manifest.inputs), "read", manifest.read),
        ("accepted in all sources", sum(source["accepted"] for source in manifest.inputs), "written", manifest.written),
        ("verdicts in all sources", verdicts, "written", manifest.written),
    )
    wrong = [Problem("data manifest", f"{left}: {a}, {right}: {b}") for left, a, right, b in sides if a != b]
    if wrong:
        raise AdapterError([*wrong, Problem("data manifest", "the counts do not add up", "report this as a bug")])


def split_warnings(by_split: Mapping[str, int], settings: BuildSettings) -> list[str]:
    """What is wrong with the sizes of the splits."""
    shares = {"train": 1.0, "eval": settings.eval_ratio, "test": settings.test_ratio}
    return [
        f"the {name} split is empty: its share is {shares[name]:g}, and the hash of no document falls into it; "
        "add documents or choose another seed"
        for name in SPLITS
        if shares[name] > 0 and not by_split.get(name)
    ]


def nothing_accepted(role: Role, read: int, by_gate: Mapping[str, int], first_reasons: Mapping[str, str]) -> Problem:
    """What is wrong with sources of which nothing is left: each gate with its count and its first reason."""
    where, names = ("data.test_sources",) * 2 if role == "test" else ("data", "data.sources and dataset.path")
    if not read:
        return Problem(where, "the sources hold no record at all", f"look at {names}")
    counts = ", ".join(f"{gate} {count}" for gate, count in sorted(by_gate.items(), key=lambda item: -item[1]))
    reasons = "\n".join(
        f"    {count} × {gate}, such as {first_reasons[gate]}\n        → {hint(gate)}"
        for gate, count in sorted(by_gate.items(), key=lambda item: -item[1])
    )
    return Problem(where, f"none of {read} records passed the gates ({counts}):\n{reasons}")


def check_inputs(sources: Sequence[AnySource], outputs: Sequence[Path], test_sources: Sequence[AnySource] = ()) -> None:
    """Refuse what cannot be read, and an output that would replace it.

    Raises:
        UsageError: every source that is missing, is no file, is given twice, or is overwritten by an output; or there
            is none to train on.
    """
    if not sources:
        raise misuse("data.sources", "no source to train on", "give data.sources or dataset.path")
    paths = [source.path for source in (*sources, *test_sources)]
    problems = []
    for place, source in enumerate((*sources, *test_sources)):
        path = source.path
        if not is_text(str(path)):
            problems.append(Problem(as_text(str(path)), "is a path that is not UTF-8", "rename that file or folder"))
        elif what := unusable_source(source):
            problems.append(Problem(str(path), what, "correct the source's path"))
        if realpath(path) in map(realpath, paths[:place]):
            problems.append(Problem(as_text(str(path)), "is given twice as a source", "keep one of them"))
        if any(is_inside(output, path) for output in outputs):
            problems.append(Problem(str(path), f"would be overwritten by {outputs[0]}", "write somewhere else"))
    if problems:
        raise UsageError(problems)


def check_output_folder(output: Path) -> None:
    """Replacing a folder removes what is in it, so it must be ours.

    Raises:
        UsageError: the folder holds something else than an earlier build.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    manifest = output / MANIFEST
    try:
        found = read_json(manifest) if manifest.is_file() else None
    except AdapterError:
        found = None
    if not isinstance(found, dict) or not str(found.get("made_by")).startswith(MADE_BY):
        raise misuse(output, "exists and is no earlier build of this stage", "name a new or an empty folder")
