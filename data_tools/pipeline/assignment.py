"""Assign each accepted record to a split, or reject it, once all records are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.document_groups import DocumentGroups
from data_tools.pipeline.duplicates import note_equal_pages
from data_tools.pipeline.split import SplitName, choose_groups, split_name
from data_tools.pipeline.spool import RecordRow, Spool
from data_tools.pipeline.statistics import DUPLICATE
from data_tools.records import Rejection


@dataclass(frozen=True)
class Assignment:
    """Decides which records are used, and in which split.

    Attributes:
        spool: gives the location of a row.
        documents: groups records by document, and finds records with equal content.
        settings: shares, seed and limit.
        held_out: first row of each group that a test source names.
        chosen: names of the groups to use; None without a limit.
    """

    spool: Spool
    documents: DocumentGroups
    settings: BuildSettings
    held_out: Mapping[int, int]
    chosen: frozenset[str] | None

    def split(
        self, number: int, source: str, row: RecordRow | Rejection, *, role_is_test: bool
    ) -> SplitName | Rejection:
        """Return a row's split, or its rejection."""
        if isinstance(row, Rejection):
            return row
        if duplicate := self.duplicate(number, source, row):
            return duplicate
        if role_is_test:
            return "test"
        first = self.held_out.get(self.documents.group[number])
        if first is not None:
            reason = f"the document is also among the test sources, at {self.spool.location(first)}"
            return reject(source, row, "held_out", reason)
        settings, name = self.settings, self.documents.name(number)
        if self.chosen is not None and name not in self.chosen:
            reason = f"not among the {settings.max_samples} documents chosen with seed {settings.seed}"
            return reject(source, row, "max_samples", reason)
        return split_name(name, seed=settings.seed, eval_ratio=settings.eval_ratio, test_ratio=settings.test_ratio)

    def duplicate(self, number: int, source: str, row: RecordRow) -> Rejection | None:
        """Return the rejection of a row with the content of an earlier one; None if the filter accepts it."""
        first = self.documents.first[number]
        if first == number or self.settings.filters.duplicate == "off":
            return None
        reason = f"has the same content as {self.spool.location(first)}"
        if self.settings.filters.duplicate == "warn":
            row.warnings.append((DUPLICATE, reason))
            return None
        return reject(source, row, DUPLICATE, reason)


def assign(
    spool: Spool, documents: DocumentGroups, settings: BuildSettings, test_sources: Collection[str]
) -> Assignment:
    """Decide which records are used.

    Args:
        spool: all records.
        documents: their groups.
        settings: shares, seed, limit and filters.
        test_sources: paths of the test sources.
    """
    if settings.filters.duplicate != "off":
        note_equal_pages(documents, spool)
    held_out: dict[int, int] = {}
    for number in spool.numbers_of(test_sources):
        held_out.setdefault(documents.group[number], number)
    chosen = None
    if settings.max_samples is not None:
        names = _training_groups(spool, documents, held_out)
        chosen = choose_groups(names, seed=settings.seed, count=settings.max_samples)
    return Assignment(spool, documents, settings, held_out, chosen)


def reject(source: str, row: RecordRow, filter_name: str, reason: str) -> Rejection:
    """Return the rejection of a row."""
    return Rejection(source, row.line, row.document_id, filter_name, reason)


def _training_groups(spool: Spool, documents: DocumentGroups, held_out: Mapping[int, int]) -> set[str]:
    """Return the names of the groups with an accepted record that no test source names."""
    rows = (number for number, _, row in spool.rows() if not isinstance(row, Rejection))
    return {documents.name(number) for number in rows if documents.group[number] not in held_out}
