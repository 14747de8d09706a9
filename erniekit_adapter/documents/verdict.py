"""Verdict of one rule: passed, failed, or not checkable because an operand is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

Status = Literal["pass", "fail", "not checkable"]
Level = Literal["error", "warn"]

Verdict = tuple[Status, str]
PASS: Verdict = ("pass", "")


def missing(*names: str) -> Verdict:
    """Return the verdict of a rule with missing operands."""
    return "not checkable", f"missing: {', '.join(names)}"


def equal(left: str, found: Decimal, right: str, expected: Decimal, tolerance: Decimal = Decimal(0)) -> Verdict:
    """Return the verdict on two amounts that may differ by a tolerance at most; the detail shows both."""
    difference = abs(found - expected)
    sign = "≠" if difference > tolerance else "≈" if difference else "="
    return "fail" if difference > tolerance else "pass", f"{left} {found} {sign} {right} {expected}"
