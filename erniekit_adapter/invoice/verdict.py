"""The result of one rule: passed, failed, or not checkable because an operand is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

Status = Literal["pass", "fail", "not checkable"]
Level = Literal["error", "warn"]

Verdict = tuple[Status, str]
PASS: Verdict = ("pass", "")


def missing(*names: str) -> Verdict:
    """The verdict of a rule whose operands are not all there."""
    return "not checkable", f"missing: {', '.join(names)}"


def equal(left: str, found: Decimal, right: str, expected: Decimal, tolerance: Decimal = Decimal(0)) -> Verdict:
    """The verdict on two amounts that must not differ by more than a tolerance; both are shown."""
    difference = abs(found - expected)
    sign = "≠" if difference > tolerance else "≈" if difference else "="
    return "fail" if difference > tolerance else "pass", f"{left} {found} {sign} {right} {expected}"
