"""What the data stage has seen so far, and its manifest; of records it keeps hashes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.data_manifest import (
    BuildSettings,
    DataManifest,
    Role,
    check_counts,
    describe_files,
    describe_settings,
    made_by,
    nothing_accepted,
)
from data_tools.pairs import Pair
from data_tools.records import DocumentRecord, Rejection
from data_tools.split import Groups
from data_tools.tokens import histogram
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import sha256
from erniekit_adapter.project.schema import ActiveLearningSource, LinesSource, ManifestSource

Source = ActiveLearningSource | ManifestSource | LinesSource
DUPLICATE = "duplicate"
# So many different names are listed; a source with more has names of its own for every record.
_MAX_UNUSED_KEYS = 100


@dataclass
class Account:
    """A source, what it is for, and what became of its records."""

    source: Source
    role: Role
    read: int = 0
    accepted: int = 0
    by_gate: Counter[str] = field(default_factory=Counter)
    first_reasons: dict[str, str] = field(default_factory=dict)

    def refuse(self, rejection: Rejection) -> None:
        """Count a rejection under its gate."""
        self.by_gate[rejection.gate] += 1
        reason = f"{place_of(rejection)}: {rejection.reason}"[:400]
        self.first_reasons.setdefault(rejection.gate, reason)


@dataclass
class Tally:
    """What the stage has seen so far.

    Attributes:
        accounts: of each source by its path, in the order of reading.
        by_split: lines in each split.
        documents: different documents among the lines.
        tokens: lines by length.
        unused_keys: keys without a place in a record, with the number of records.
        left_out: fields left out of answers, with the number of lines.
        contradictions: lines of each split whose request came before with another answer.
        places: where each content was first seen.
        groups: which records are of one document.
        held_out: the places in `groups` of the documents that the test sources name, each with where they name it.
    """

    accounts: dict[str, Account]
    by_split: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    tokens: Counter[int] = field(default_factory=Counter)
    unused_keys: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)
    places: dict[bytes, str] = field(default_factory=dict)
    groups: Groups = field(default_factory=Groups)
    held_out: dict[int, str] = field(default_factory=dict)


def new_tally(sources: Iterable[Source], test_sources: Iterable[Source] = ()) -> Tally:
    """A tally that has seen nothing; test sources come first, so that of two equal records theirs is kept."""
    accounts = {str(source.path): Account(source, "test") for source in test_sources}
    return Tally(accounts | {str(source.path): Account(source, "train") for source in sources})


def place_of(reading: DocumentRecord | Rejection) -> str:
    """`file:line` of a record or a rejection."""
    return f"{reading.source}:{reading.line}" if reading.line else reading.source


def count_unused(tally: Tally, record: DocumentRecord) -> None:
    """Count the keys of an accepted record that have no place in it."""
    for key in record.unused_keys:
        known = key in tally.unused_keys or len(tally.unused_keys) < _MAX_UNUSED_KEYS
        tally.unused_keys[key if known else "others"] += 1


def count_line(tally: Tally, split: str, pair: Pair, *, contradicts: bool) -> None:
    """Count a line that is written."""
    tally.by_split[split] += 1
    tally.contradictions[split] += contradicts
    tally.left_out.update(pair.left_out)
    if pair.tokens is not None:
        tally.tokens[pair.tokens] += 1


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
    tally: Tally, settings: BuildSettings, files: Iterable[Path], warnings: Iterable[str] = ()
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
        settings=describe_settings(settings),
        inputs=[_describe(account) for account in accounts],
        files=describe_files(files),
        read=sum(account.read for account in accounts),
        written=sum(tally.by_split.values()),
        rejected=by_gate.total() - duplicates,
        duplicates=duplicates,
        documents=tally.documents,
        by_gate=dict(sorted(by_gate.items())),
        first_reasons=dict(sorted(_first_reasons(accounts).items())),
        by_split=dict(tally.by_split),
        tokens=histogram(tally.tokens),
        unused_keys=dict(sorted(tally.unused_keys.items())),
        left_out=dict(sorted(tally.left_out.items())),
        warnings=[*warnings, *_warnings(tally, settings)],
    )
    check_counts(manifest)
    return manifest


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
        "sha256": sha256(source.path),
        "read": account.read,
        "accepted": account.accepted,
        "rejected": account.by_gate.total() - duplicates,
        "duplicates": duplicates,
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
    return found
