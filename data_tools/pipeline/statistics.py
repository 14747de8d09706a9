"""Count the records of a build, and make its manifest from the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.hints import UNUSED_KEYS
from data_tools.pipeline.manifest import (
    DataManifest,
    Role,
    check_counts,
    made_by,
    nothing_accepted,
)
from data_tools.pipeline.spool import DocumentVerdict, RecordRow
from data_tools.pipeline.tokens import histogram
from data_tools.records import Rejection
from data_tools.sources.registry import open_source
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import AnySource

DUPLICATE = "duplicate"
# The manifest lists at most this many keys; some sources have other keys in every record.
_MAX_UNUSED_KEYS = 100
_NAMED_KEYS = 12


@dataclass
class SourceStatistics:
    """Counts of the records of one source."""

    source: AnySource
    role: Role
    read: int = 0
    accepted: int = 0
    by_filter: Counter[str] = field(default_factory=Counter)
    first_reasons: dict[str, str] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    failed_rules: Counter[str] = field(default_factory=Counter)

    def accept(self, row: RecordRow) -> None:
        """Count an accepted record with the verdict on its document."""
        self.accepted += 1
        self.verdicts[row.verdict] += 1
        if row.failed_rules:
            self.failed_rules.update(row.failed_rules)

    def reject(self, rejection: Rejection) -> None:
        """Count a rejection under its filter."""
        self.by_filter[rejection.filter] += 1
        if rejection.filter not in self.first_reasons:
            self.first_reasons[rejection.filter] = f"{location_of(rejection)}: {rejection.reason}"[:400]


@dataclass
class PreferenceStatistics:
    """Preferences written for each split, and those that each filter rejected."""

    by_split: Counter[str] = field(default_factory=Counter)
    by_filter: Counter[str] = field(default_factory=Counter)


@dataclass
class BuildStatistics:
    """Counts of a build. All counts except those of `sources` are of written training examples.

    Attributes:
        sources: statistics of each source by its path, in the order of reading.
        by_split, by_task, by_language: number of examples.
        documents: number of different documents.
        faults: injected faults by kind.
        tokens: examples by number of tokens, of those counted.
        pages: page images by kilopixels.
        unused_keys: records by key without a place in the answer.
        left_out: examples by field removed from the answer.
        masked: examples by kind of masked personal data.
        warned: examples by filter that warns.
        contradictions: examples of each split whose request occurred before with another answer.
        preferences: statistics of the preferences.
    """

    sources: dict[str, SourceStatistics]
    by_split: Counter[str] = field(default_factory=Counter)
    by_task: Counter[str] = field(default_factory=Counter)
    by_language: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    pages: Counter[int] = field(default_factory=Counter)
    unused_keys: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    warned: Counter[str] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)
    preferences: PreferenceStatistics = field(default_factory=PreferenceStatistics)


def new_statistics(sources: Iterable[AnySource], test_sources: Iterable[AnySource] = ()) -> BuildStatistics:
    """Return empty statistics; test sources come first, so that of two equal records theirs is kept."""
    by_path = {str(source.path): SourceStatistics(source, "test") for source in test_sources}
    return BuildStatistics(by_path | {str(source.path): SourceStatistics(source, "train") for source in sources})


def location_of(rejection: Rejection) -> str:
    """Return `file:line` of a rejection."""
    return f"{rejection.source}:{rejection.line}" if rejection.line else rejection.source


def count_example(statistics: BuildStatistics, split: str, row: RecordRow, *, contradicts: bool) -> None:
    """Count the training example of a row."""
    statistics.by_split[split] += 1
    statistics.by_task[row.task] += 1
    statistics.by_language[row.language or "unknown"] += 1
    if contradicts:
        statistics.contradictions[split] += 1
    if row.tokens is not None:
        statistics.tokens[row.tokens] += 1
    for width_px, height_px in row.pages:
        statistics.pages[width_px * height_px // 1000] += 1
    for counter, names in (
        (statistics.faults, row.faults),
        (statistics.left_out, row.left_out),
        (statistics.masked, row.masked),
    ):
        if names:
            counter.update(names)
    if row.warnings:
        statistics.warned.update(filter_name for filter_name, _ in row.warnings)
    for key in row.unused_keys:
        is_listed = key in statistics.unused_keys or len(statistics.unused_keys) < _MAX_UNUSED_KEYS
        statistics.unused_keys[key if is_listed else "others"] += 1


def check_accepted(statistics: BuildStatistics) -> None:
    """Require accepted records of the sources, and of the test sources if there are any.

    Raises:
        AdapterError: no record was accepted; the error counts the rejections of each filter.
    """
    problems = []
    roles: tuple[Role, ...] = ("train", "test")
    for role in roles:
        sources = [source for source in statistics.sources.values() if source.role == role]
        if sources and not any(source.accepted for source in sources):
            read = sum(source.read for source in sources)
            problems.append(nothing_accepted(role, read, _by_filter(sources), _first_reasons(sources)))
    if problems:
        raise AdapterError(problems)


def make_manifest(
    statistics: BuildStatistics,
    settings: BuildSettings,
    files: dict[str, dict[str, Any]],
    warnings: Iterable[str] = (),
) -> DataManifest:
    """Make the manifest of a build whose files are written.

    Raises:
        AdapterError: a record was lost or counted twice.
    """
    sources = list(statistics.sources.values())
    by_filter = _by_filter(sources)
    duplicates = by_filter[DUPLICATE]
    manifest = DataManifest(
        made_by=made_by(),
        settings=settings.as_json(),
        inputs=[_describe(source) for source in sources],
        files=files,
        read=sum(source.read for source in sources),
        written=sum(statistics.by_split.values()),
        rejected=by_filter.total() - duplicates,
        duplicates=duplicates,
        documents=statistics.documents,
        by_filter=_sorted(by_filter),
        first_reasons=dict(sorted(_first_reasons(sources).items())),
        by_split=dict(statistics.by_split),
        by_task=_sorted(statistics.by_task),
        by_language=_sorted(statistics.by_language),
        faults=_sorted(statistics.faults),
        tokens=histogram(statistics.tokens),
        tokens_counted={
            "lines": statistics.tokens.total(),
            "tokens": sum(length * count for length, count in statistics.tokens.items()),
        },
        page_kilopixels=histogram(statistics.pages),
        unused_keys=_sorted(statistics.unused_keys),
        left_out=_sorted(statistics.left_out),
        masked=_sorted(statistics.masked),
        warned=_sorted(statistics.warned),
        preferences={
            "by_split": _sorted(statistics.preferences.by_split),
            "by_filter": _sorted(statistics.preferences.by_filter),
        },
        warnings=[*warnings, *_warnings(statistics, settings)],
    )
    check_counts(manifest)
    return manifest


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _by_filter(sources: Iterable[SourceStatistics]) -> Counter[str]:
    return sum((source.by_filter for source in sources), Counter())


def _first_reasons(sources: Iterable[SourceStatistics]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in sources:
        found = {**source.first_reasons, **found}
    return found


def _describe(statistics: SourceStatistics) -> dict[str, Any]:
    source, duplicates = statistics.source, statistics.by_filter[DUPLICATE]
    return {
        "role": statistics.role,
        "kind": source.kind,
        "path": str(source.path),
        "sha256": open_source(source).digest(),
        "reviewed": bool(getattr(source, "reviewed", False)),
        "read": statistics.read,
        "accepted": statistics.accepted,
        "rejected": statistics.by_filter.total() - duplicates,
        "duplicates": duplicates,
        "verdicts": {verdict: statistics.verdicts[verdict] for verdict in get_args(DocumentVerdict)},
        "failed_rules": _sorted(statistics.failed_rules),
        "by_filter": _sorted(statistics.by_filter),
        "first_reasons": dict(sorted(statistics.first_reasons.items())),
    }


def _warnings(statistics: BuildStatistics, settings: BuildSettings) -> list[str]:
    found = []
    if settings.tokenizer is None:
        found.append("lengths were not checked: the model is not a local folder with a tokenizer.model")
    in_test = statistics.contradictions["test"]
    if in_training := statistics.contradictions.total() - in_test:
        found.append(f"{in_training} requests occur again with another answer: the model is taught both")
    if in_test:
        found.append(f"{in_test} test requests occur again with another answer: no model can give both")
    if statistics.unused_keys:
        named = ", ".join(f"{key} ({count})" for key, count in statistics.unused_keys.most_common(_NAMED_KEYS))
        more = len(statistics.unused_keys) - _NAMED_KEYS
        found.append(f"keys without a place in the answer: {named}" + (f" and {more} more" if more > 0 else ""))
    warned = {filter_name: count for filter_name, count in statistics.warned.items() if filter_name != UNUSED_KEYS}
    if warned:
        counts = ", ".join(f"{filter_name} {count}" for filter_name, count in sorted(warned.items()))
        found.append(f"filters accepted examples with a warning ({counts}): see warned.jsonl")
    return found
