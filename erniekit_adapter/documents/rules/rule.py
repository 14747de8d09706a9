"""Rules, their findings on one document, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from erniekit_adapter.documents.validation_summary import ValidationSummary
from erniekit_adapter.documents.verdict import Level, Status, Verdict


class Finding(NamedTuple):
    """Result of one rule on one document; a tuple, because a data stage creates millions of them.

    Attributes:
        rule: the rule's name.
        status: pass, fail or not checkable.
        level: error makes a document invalid, warn does not.
        detail: the compared values, or the missing operands.
    """

    rule: str
    status: Status
    level: Level
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else self.rule


@dataclass(frozen=True)
class Rule:
    """A rule on one document.

    Attributes:
        name: name in issues, reports and filters: `BR-CO-15`.
        level: error makes a document invalid, warn does not.
        sentence: the rule for a person who reads a report: "The line items add up to the subtotal."
        check: returns the verdict on an answer; the second argument is the value that `RuleSet.prepare` returns.
        paths: fields that the rule reads: `items[].total`.
        is_decisive: whether a document is valid only if this rule was checked; without it, validity is unknown.
        is_sum: whether the sums are verified only if this rule was checked.
        is_arithmetic: whether a failure means that the sums are wrong.
        is_about_dates: whether the rule compares dates.
    """

    name: str
    level: Level
    sentence: str
    check: Callable[[Any, Any], Verdict]
    paths: tuple[str, ...] = ()
    is_decisive: bool = False
    is_sum: bool = False
    is_arithmetic: bool = False
    is_about_dates: bool = False


@dataclass(frozen=True)
class RuleSet:
    """The rules of a document type in a fixed order.

    Attributes:
        rules: the rules.
        prepare: returns what several rules share, for an answer and the two flags of `check`.
        not_counted: arithmetic rules that `arithmetic_coverage` does not count, because few documents have operands.
    """

    rules: tuple[Rule, ...]
    prepare: Callable[[Any, bool, bool], Any]
    not_counted: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> dict[str, Rule]:
        """The rules by name."""
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def arithmetic(self) -> frozenset[str]:
        """Names of the rules whose failure means that the sums are wrong."""
        return frozenset(rule.name for rule in self.rules if rule.is_arithmetic)

    @cached_property
    def about_dates(self) -> frozenset[str]:
        """Names of the rules that compare dates."""
        return frozenset(rule.name for rule in self.rules if rule.is_about_dates)

    @cached_property
    def can_judge(self) -> bool:
        """True if a rule of level error exists: without one, no document is valid or invalid."""
        return any(rule.level == "error" for rule in self.rules)

    @property
    def can_verify_sums(self) -> bool:
        """True if a rule exists that verifies the sums."""
        return bool(self._sums)

    @property
    def counts_arithmetic(self) -> bool:
        """True if `arithmetic_coverage` has rules to count."""
        return bool(self._counted)

    @cached_property
    def _decisive(self) -> frozenset[str]:
        return frozenset(rule.name for rule in self.rules if rule.is_decisive)

    @cached_property
    def _sums(self) -> frozenset[str]:
        return frozenset(rule.name for rule in self.rules if rule.is_sum)

    @cached_property
    def _counted(self) -> frozenset[str]:
        return self.arithmetic - self.not_counted

    def check(self, answer: object, *, complete: bool = False, as_given: bool = False) -> tuple[Finding, ...]:
        """Apply every rule to an answer and return one finding for each rule, in a fixed order.

        Args:
            answer: the document, or its known part.
            complete: whether the answer has every field of the document, so that a missing field is a failure or a
                zero, and not unknown.
            as_given: whether the answer itself is checked, not a document that it describes, so that values that it
                does not have cannot explain a difference.
        """
        shared = self.prepare(answer, complete, as_given)
        findings = []
        for rule in self.rules:
            status, detail = rule.check(answer, shared)
            findings.append(Finding(rule.name, status, rule.level, detail))
        return tuple(findings)

    def validity(self, findings: Iterable[Finding]) -> bool | None:
        """Return whether a document is valid.

        False if a rule of level error failed. None if a decisive rule was not checked or, without decisive rules, if
        no rule of level error was.
        """
        found = tuple(findings)
        if failures(found):
            return False
        if self._decisive:
            return True if _passed(found) >= self._decisive else None
        return True if any(finding.status == "pass" and finding.level == "error" for finding in found) else None

    def arithmetic_validity(self, findings: Iterable[Finding]) -> bool | None:
        """Return whether the sums are correct: False if one fails, None if an `is_sum` rule was not checked."""
        found = tuple(findings)
        if any(finding.status == "fail" for finding in found if finding.rule in self.arithmetic):
            return False
        return True if self._sums and _passed(found) >= self._sums else None

    def arithmetic_coverage(self, findings: Iterable[Finding]) -> float:
        """Return the share of the arithmetic rules that had all their operands, from 0 to 1; 0 without such rules."""
        checked = [finding.status != "not checkable" for finding in findings if finding.rule in self._counted]
        return sum(checked) / len(checked) if checked else 0.0

    def summarize(self, findings: Iterable[Finding], shown: Iterable[Finding] | None = None) -> ValidationSummary:
        """Return the verdict of an answer.

        Args:
            findings: findings on the complete document, which decide whether it is valid.
            shown: findings on the answer itself, which may lack values that the page does not show. They decide
                `math_verified` and the issues, because a reader can recompute only those values. None if the answer
                lacks no values.
        """
        complete = tuple(findings)
        visible = complete if shown is None else tuple(shown)
        failed = {finding.rule for finding in complete if finding.status == "fail"}
        issues = [finding for finding in (*failures(visible), *failures(visible, "warn")) if finding.rule in failed]
        # Without validation, because the types are known here and a data stage creates millions of summaries.
        return ValidationSummary.model_construct(
            is_valid=self.validity(complete),
            math_verified=self.arithmetic_validity(visible),
            issues=list(map(str, issues)),
        )


def failures(findings: Iterable[Finding], level: Level = "error") -> tuple[Finding, ...]:
    """Return the failed findings of a level."""
    return tuple(finding for finding in findings if finding.status == "fail" and finding.level == level)


def unshown_reason(findings: Iterable[Finding], shown: Iterable[Finding]) -> str | None:
    """Return why a verdict on the complete document cannot be taught with an incomplete answer; None if it can.

    Without some values a correct sum can look wrong, and a failure can depend on amounts that the page does not show.
    """
    complete, visible = failures(findings), failures(shown)
    failed = {finding.rule for finding in complete}
    for finding in visible:
        if finding.rule not in failed:
            return (
                f"{finding.rule} passes on the complete document and fails on the values of the page ({finding.detail})"
            )
    recomputed = {finding.rule for finding in visible}
    for finding in complete:
        if finding.rule not in recomputed:
            return f"the document fails {finding}, which does not follow from the remaining values"
    return None


def _passed(findings: Iterable[Finding]) -> set[str]:
    return {finding.rule for finding in findings if finding.status == "pass"}
