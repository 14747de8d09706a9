"""The errors of both packages: location, finding and hint, with several problems reported at once.

A run that finds several problems of one kind raises them together, so that a file is fixed in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A problem and how to fix it.

    Attributes:
        location: file, line and key as far as known: `configs/demo.yaml:12 training.learning_rat`.
        finding: the value or state that was found, and the expected one.
        hint: how to fix it; empty only if the finding already names the fix.
    """

    location: str
    finding: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.finding}" + (f"\n    → {self.hint}" if self.hint else "")


class AdapterError(Exception):
    """The run failed: exit code 1."""

    exit_code = 1

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[AdapterError], tuple[tuple[Problem, ...]]]:
        """Keep the problems when the error comes from another process: pickle keeps only the text."""
        return type(self), (self.problems,)


class UsageError(AdapterError):
    """Wrong usage or configuration: exit code 2."""

    exit_code = 2


class UncheckedError(AdapterError):
    """A bundle format cannot be checked on this machine, so it is not exported: exit code 3."""

    exit_code = 3


def failure(location: object, finding: str, hint: str = "") -> AdapterError:
    """Return an error with a single problem, for the caller to raise."""
    return AdapterError(Problem(str(location), finding, hint))


def usage_error(location: object, finding: str, hint: str = "") -> UsageError:
    """Return a usage error with a single problem, for the caller to raise."""
    return UsageError(Problem(str(location), finding, hint))
