"""What went wrong, where, and what to do about it: the one error type of both packages.

A run that finds several problems of one kind raises them together, so that nobody fixes a file one error at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: file, line and key as far as known: `configs/demo.yaml:12 training.learning_rat`.
        what: what was found, and what was expected.
        remedy: what to do about it; empty only where `what` says it already.
    """

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n    → {self.remedy}" if self.remedy else "")


class AdapterError(Exception):
    """The run failed: exit code 1."""

    exit_code = 1

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[AdapterError], tuple[tuple[Problem, ...]]]:
        """Travel whole from another process, where exceptions keep no more than their text."""
        return type(self), (self.problems,)


class UsageError(AdapterError):
    """Wrong usage or configuration: exit code 2."""

    exit_code = 2


class GateError(AdapterError):
    """The work was done and did not meet a gate that the user set: exit code 3."""

    exit_code = 3


def fail(where: object, what: str, remedy: str = "") -> AdapterError:
    """The error for a single problem, to be raised by the caller."""
    return AdapterError(Problem(str(where), what, remedy))


def misuse(where: object, what: str, remedy: str = "") -> UsageError:
    """The usage error for a single problem, to be raised by the caller."""
    return UsageError(Problem(str(where), what, remedy))
