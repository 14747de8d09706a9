"""What has become of the records so far, and the manifest that tells of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

from data_tools.build_settings import BuildSettings
from data_tools.records import Rejection
from data_tools.stage.data_manifest import (
    DataManifest,
    Role,
    check_counts,
    made_by,
    nothing_accepted,
    source_sha256,
)
from data_tools.stage.hints import UNUSED_KEYS
from data_tools.stage.rows import DocumentVerdict, Row
from data_tools.stage.tokens import histogram
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import AnySource

DUPLICATE = "duplicate"
# So many different names are listed; a source with more has names of its own for every record.
_MAX_UNUSED_KEYS = 100
_NAMED_KEYS = 12


@dataclass
class Account:
    """A source, its role, and the counts of its records."""

    source: AnySource
    role: Role
    read: int = 0
    accepted: int = 0
    by_gate: Counter[str] = field(default_factory=Counter)
    first_reasons: dict[str, str] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    failed_rules: Counter[str] = field(default_factory=Counter)

    def accept(self, row: Row) -> None:
        """Count a record that is used, with the verdict on its document."""
        self.accepted += 1
        self.verdicts[row.verdict] += 1
        if row.failed_rules:
            self.failed_rules.update(row.failed_rules)

    def refuse(self, rejection: Rejection) -> None:
        """Count a rejection under its gate."""
        self.by_gate[rejection.gate] += 1
        if rejection.gate not in self.first_reasons:
            self.first_reasons[rejection.gate] = f"{place_of(rejection)}: {rejection.reason}"[:400]


@dataclass
class Preferences:
    """What became of what models had said: lines for DPO in each split, and what each gate refused."""

    by_split: Counter[str] = field(default_factory=Counter)
    by_gate: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    """What the stage has seen so far; everything but the accounts is of lines that are written.

    Attributes:
        accounts: of each source by its path, in the order of reading.
        by_split, by_task, by_language: lines of each.
        documents: different documents among the lines.
        faults: injected faults by kind.
        tokens: counted lines by length.
        pages: page images by kilopixels.
        unused_keys: keys without a place in a record, with the number of records.
        left_out: fields left out of answers, with the number of lines.
        masked: lines by kind of personal data that was masked.
        warned: lines by the gate that warns of them.
        contradictions: lines of each split whose request came before with another answer.
        preferences: what became of what models had said.
    """

    accounts: dict[str, Account]
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
    preferences: Preferences = field(default_factory=Preferences)


def new_tally(sources: Iterable[AnySource], test_sources: Iterable[AnySource] = ()) -> Tally:
    """A tally that has seen nothing; test sources come first, so that of two equal records theirs is kept."""
    accounts = {str(source.path): Account(source, "test") for source in test_sources}
    return Tally(accounts | {str(source.path): Account(source, "train") for source in sources})


def place_of(rejection: Rejection) -> str:
    """`file:line` of a rejection."""
    return f"{rejection.source}:{rejection.line}" if rejection.line else rejection.source


def count_line(tally: Tally, split: str, row: Row, *, contradicts: bool) -> None:
    """Count a row whose line is written."""
    tally.by_split[split] += 1
    tally.by_task[row.task] += 1
    tally.by_language[row.language or "unknown"] += 1
    if contradicts:
        tally.contradictions[split] += 1
    if row.tokens is not None:
        tally.tokens[row.tokens] += 1
    for width_px, height_px in row.pages:
        tally.pages[width_px * height_px // 1000] += 1
    for counter, names in ((tally.faults, row.faults), (tally.left_out, row.left_out), (tally.masked, row.masked)):
        if names:
            counter.update(names)
    if row.warned:
        tally.warned.update(gate for gate, _ in row.warned)
    for key in row.unused_keys:
        known = key in tally.unused_keys or len(tally.unused_keys) < _MAX_UNUSED_KEYS
        tally.unused_keys[key if known else "others"] += 1


def check_accepted(tally: Tally) -> None:
    """Refuse to go on without anything to train on, or without the test that was asked for.

    Raises:
        AdapterError: nothing is left of the sources, or of the test sources; it counts what each gate refused.
    """
    problems = []
    roles: tuple[Role, ...] = ("train", "test")
    for role in roles:
        accounts = [account for account in tally.accounts.values() if account.role == role]
        if accounts and not any(account.accepted for account in accounts):
            read = sum(account.read for account in accounts)
            problems.append(nothing_accepted(role, read, _by_gate(accounts), _first_reasons(accounts)))
    if problems:
        raise AdapterError(problems)


def make_manifest(
    tally: Tally, settings: BuildSettings, files: dict[str, dict[str, Any]], warnings: Iterable[str] = ()
) -> DataManifest:
    """The manifest of a stage that has written its files.

    Raises:
        AdapterError: a record was lost or counted twice.
    """
    accounts = list(tally.accounts.values())
    by_gate = _by_gate(accounts)
    duplicates = by_gate[DUPLICATE]
    manifest = DataManifest(
        made_by=made_by(),
        settings=settings.as_json(),
        inputs=[_describe(account) for account in accounts],
        files=files,
        read=sum(account.read for account in accounts),
        written=sum(tally.by_split.values()),
        rejected=by_gate.total() - duplicates,
        duplicates=duplicates,
        documents=tally.documents,
        by_gate=_sorted(by_gate),
        first_reasons=dict(sorted(_first_reasons(accounts).items())),
        by_split=dict(tally.by_split),
        by_task=_sorted(tally.by_task),
        by_language=_sorted(tally.by_language),
        faults=_sorted(tally.faults),
        tokens=histogram(tally.tokens),
        tokens_counted={
            "lines": tally.tokens.total(),
            "tokens": sum(length * lines for length, lines in tally.tokens.items()),
        },
        page_kilopixels=histogram(tally.pages),
        unused_keys=_sorted(tally.unused_keys),
        left_out=_sorted(tally.left_out),
        masked=_sorted(tally.masked),
        warned=_sorted(tally.warned),
        preferences={
            "by_split": _sorted(tally.preferences.by_split),
            "by_gate": _sorted(tally.preferences.by_gate),
        },
        warnings=[*warnings, *_warnings(tally, settings)],
    )
    check_counts(manifest)
    return manifest


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _by_gate(accounts: Iterable[Account]) -> Counter[str]:
    return sum((account.by_gate for account in accounts), Counter())


def _first_reasons(accounts: Iterable[Account]) -> dict[str, str]:
    found: dict[str, str] = {}
    for account in accounts:
        found = {**account.first_reasons, **found}
    return found


def _describe(account: Account) -> dict[str, Any]:
    source, duplicates = account.source, account.by_gate[DUPLICATE]
    return {
        "role": account.role,
        "kind": source.kind,
        "path": str(source.path),
        "sha256": source_sha256(source),
        "reviewed": bool(getattr(source, "reviewed", False)),
        "read": account.read,
        "accepted": account.accepted,
        "rejected": account.by_gate.total() - duplicates,
        "duplicates": duplicates,
        "verdicts": {verdict: account.verdicts[verdict] for verdict in get_args(DocumentVerdict)},
        "failed_rules": _sorted(account.failed_rules),
        "by_gate": _sorted(account.by_gate),
        "first_reasons": dict(sorted(account.first_reasons.items())),
    }


def _warnings(tally: Tally, settings: BuildSettings) -> list[str]:
    found = []
    if settings.tokenizer is None:
        found.append("lengths were not checked: the model is no local folder with a tokenizer.model")
    untaught = tally.contradictions["test"]
    if taught := tally.contradictions.total() - untaught:
        found.append(f"{taught} requests came again with another answer: the model is taught both")
    if untaught:
        found.append(f"{untaught} test requests came again with another answer: no model can give both")
    if tally.unused_keys:
        named = ", ".join(f"{key} ({count})" for key, count in tally.unused_keys.most_common(_NAMED_KEYS))
        more = len(tally.unused_keys) - _NAMED_KEYS
        found.append(f"keys without a place in the answer: {named}" + (f" and {more} more" if more > 0 else ""))
    warned = {gate: count for gate, count in tally.warned.items() if gate != UNUSED_KEYS}
    if warned:
        counts = ", ".join(f"{gate} {count}" for gate, count in sorted(warned.items()))
        found.append(f"gates warn of lines that were kept ({counts}): see warned.jsonl")
    return found
