"""The data stage's manifest: what was made, from what, with which settings, and what became of every record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from data_tools.split import SPLITS
from erniekit_adapter import __version__
from erniekit_adapter.errors import AdapterError, Problem, UsageError, misuse
from erniekit_adapter.files import is_inside, read_json, sha256
from erniekit_adapter.project.schema import Project

MANIFEST = "manifest.json"
REJECTED = "rejected.jsonl"
MADE_BY = "data_tools"
Role = Literal["train", "test"]


@dataclass(frozen=True)
class BuildSettings:
    """What the data stage goes by.

    Attributes:
        eval_ratio: share of documents, 0 to 1, whose loss is followed during training.
        test_ratio: share of the sources' documents, 0 to 1, kept for evaluate; test sources are kept besides.
        seed: of the split and of the choice of documents.
        arithmetic: error rejects a record that breaks a rule of level error, warn keeps it.
        max_seq_length: tokens that request and answer may have together.
        tokenizer: the model's tokenizer.model; None where lengths cannot be checked.
        max_samples: at most so many documents of the sources; None for all. Test sources are never cut.
    """

    eval_ratio: float = 0.1
    test_ratio: float = 0.1
    seed: int = 42
    arithmetic: Literal["error", "warn"] = "error"
    max_seq_length: int = 4096
    tokenizer: Path | None = None
    max_samples: int | None = None


def settings_of(project: Project) -> BuildSettings:
    """The data stage's settings in a project file; lengths are checked where the model is a local folder."""
    tokenizer = Path(project.model.model_name_or_path).expanduser() / "tokenizer.model"
    return BuildSettings(
        eval_ratio=project.training.val_split_ratio,
        test_ratio=project.data.test_ratio,
        seed=project.data.seed,
        arithmetic=project.data.arithmetic,
        max_seq_length=project.training.max_seq_length,
        tokenizer=tokenizer if tokenizer.is_file() else None,
        max_samples=project.dataset.max_samples,
    )


@dataclass(frozen=True)
class DataManifest:
    """What became of every record: read = written + rejected + duplicates.

    Attributes:
        made_by: package and version.
        settings: what the stage went by.
        inputs: each source with its role (train or test), its SHA-256 and its own counts, in the order they were read.
        files: each file of lines with its SHA-256 and its number of lines.
        read: documents that the sources hold, readable or not.
        documents: different documents among the lines written; their copies count once.
        by_gate: documents that each gate refused, duplicates included.
        first_reasons: the first refusal of each gate, with its place.
        by_split: lines in each split.
        tokens: lines by length; empty where lengths were not counted.
        unused_keys: keys of the sources that have no place in a line, with the number of records that had them.
        left_out: fields left out of answers because the request does not show them, with the number of lines.
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
    tokens: dict[str, int]
    unused_keys: dict[str, int]
    left_out: dict[str, int]
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """The manifest as a JSON object."""
        return asdict(self)


def made_by() -> str:
    """The package and its version, as the manifest names them."""
    return f"{MADE_BY} {__version__}"


def describe_settings(settings: BuildSettings) -> dict[str, Any]:
    """The settings as JSON; the tokenizer with its SHA-256."""
    found = asdict(settings)
    if settings.tokenizer:
        found["tokenizer"] = {"path": str(settings.tokenizer), "sha256": sha256(settings.tokenizer)}
    return found


def describe_files(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Name, SHA-256 and number of lines of each file."""
    return {path.name: {"lines": _count_lines(path), "sha256": sha256(path)} for path in paths}


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def check_counts(manifest: DataManifest) -> None:
    """Hold the counts against each other and against the files.

    Raises:
        AdapterError: a record was lost or counted twice.
    """
    told = manifest.written + manifest.rejected + manifest.duplicates
    refused = manifest.rejected + manifest.duplicates
    listed = sum(file["lines"] for name, file in manifest.files.items() if name.endswith(REJECTED))
    lines = sum(file["lines"] for file in manifest.files.values()) - listed
    sides = (
        ("read", manifest.read, "written + rejected + duplicates", told),
        ("lines in the files", lines, "written", manifest.written),
        ("lines in rejected.jsonl", listed, "rejected + duplicates", refused),
        ("sum over the gates", sum(manifest.by_gate.values()), "rejected + duplicates", refused),
        ("sum over the splits", sum(manifest.by_split.values()), "written", manifest.written),
        ("read in all sources", sum(source["read"] for source in manifest.inputs), "read", manifest.read),
        ("accepted in all sources", sum(source["accepted"] for source in manifest.inputs), "written", manifest.written),
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
    reasons = "\n".join(f"    {gate}: {first_reasons[gate]}" for gate in by_gate)
    return Problem(where, f"none of {read} records passed the gates ({counts}); the first of each:\n{reasons}")


def check_inputs(sources: Sequence[Path], outputs: Sequence[Path], test_sources: Sequence[Path] = ()) -> None:
    """Refuse what cannot be read, and an output that would replace it.

    Raises:
        UsageError: every source that is missing, is no file, is given twice, or is overwritten by an output; or there
            is none to train on.
    """
    if not sources:
        raise misuse("data.sources", "no source to train on", "give data.sources or dataset.path")
    paths = [*sources, *test_sources]
    problems = []
    for place, path in enumerate(paths):
        if not path.is_file():
            what = "is no regular file" if path.exists() else "no such file"
            problems.append(Problem(str(path), what, "correct the source's path"))
        if path.resolve() in [earlier.resolve() for earlier in paths[:place]]:
            problems.append(Problem(str(path), "is given twice as a source", "keep one of them"))
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
