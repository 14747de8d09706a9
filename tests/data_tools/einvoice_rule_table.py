"""Table of the rules on e-invoices for docs/einvoices.md: comparison, and tolerances in UBL and CII."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from erniekit_adapter.documents.invoice.einvoice import Syntax
from erniekit_adapter.documents.invoice.vat_rules import (
    CATEGORIES,
    EXACT,
    UNDER_ONE,
    UP_TO_ONE,
    Category,
    category_level,
)

_TOLERANCES = {EXACT: "exact", UNDER_ONE: "difference below 1", UP_TO_ONE: "difference of at most 1"}

_ONE_UNIT, _TWO_UNITS = "difference of at most 1 minor unit", "difference of at most 2 minor units"


class RuleText(NamedTuple):
    """Description of rules of one kind.

    Attributes:
        names: names of the rules in findings.
        compares: the condition.
        ubl: tolerance in UBL.
        cii: tolerance in CII.
        warns: whether a failure only warns, in both syntaxes.
    """

    names: tuple[str, ...]
    compares: str
    ubl: str = "exact"
    cii: str = "exact"
    warns: bool = False


_BEFORE = (
    RuleText(("BR-CL-04",), "the currency BT-5 is a code of ISO 4217", "code", "code"),
    RuleText(
        ("BR-CL-17",), f"VAT categories BT-118, BT-151, BT-95, BT-102 are among {', '.join(CATEGORIES)}", "code", "code"
    ),
    RuleText(
        ("BR-DEC",),
        "amounts (not prices) have at most 2 decimals",
        "written decimals; without BT-110",
        "written decimals; BT-110 by its value",
    ),
    RuleText(("BR-CO-10",), "sum of the lines BT-106 = Σ BT-131"),
    RuleText(("BR-CO-11",), "allowances BT-107 = Σ BT-92; required if there are allowances"),
    RuleText(("BR-CO-12",), "charges BT-108 = Σ BT-99; required if there are charges"),
    RuleText(("BR-CO-13",), "total without VAT BT-109 = BT-106 - BT-107 + BT-108"),
    RuleText(("BR-CO-14",), "total VAT BT-110 = Σ BT-117"),
    RuleText(("BR-CO-15",), "total with VAT BT-112 = BT-109 + BT-110", "exact", "exact; BT-112 = BT-109 also passes"),
    RuleText(("BR-CO-16",), "amount to pay BT-115 = BT-112 - BT-113 + BT-114 (+ BT-DEX-002 in XRechnung's extension)"),
    RuleText(
        ("BR-CO-17",),
        "VAT BT-117 = BT-116 × BT-119 / 100, to 2 decimals, without signs; a rate below 0.5 % requires VAT below 0.50",
        _TOLERANCES[UNDER_ONE],
        f"{_TOLERANCES[UP_TO_ONE]}; not for L, M, O",
    ),
)
_AFTER = (
    RuleText(("TAX-AMOUNT",), "BT-117 = BT-116 × BT-119 / 100", _ONE_UNIT, _ONE_UNIT, warns=True),
    RuleText(("R051",), "every amount is marked with the currency BT-5", "code", "code", warns=True),
    RuleText(
        ("R120",),
        "line BT-131 = BT-129 × BT-146 / BT-149 + charges - allowances",
        _TWO_UNITS,
        _TWO_UNITS,
        warns=True,
    ),
    RuleText(("MINOR-UNITS",), "amounts have at most the decimals of the currency", warns=True),
    RuleText(("DUE-DATE",), "due date BT-9 is not before the issue date BT-2", "date", "date", warns=True),
)


def rule_table() -> tuple[RuleText, ...]:
    """Return all rules in the order of their findings; VAT categories with equal rules are combined."""
    return (*_BEFORE, *_category_rules(), *_AFTER)


def _category_rules() -> Iterator[RuleText]:
    compares = "the VAT breakdown has rows of the category if it is used"
    yield RuleText(_names("01", is_rated=True), compares, "one or more", "one or more")
    yield RuleText(_names("01", is_rated=False), compares, "one", "one")
    for (is_rated, ubl, cii), codes in _alike().items():
        of = "of its category and rate" if is_rated else "of its category"
        compares = f"each BT-116 = Σ BT-131 + Σ BT-99 - Σ BT-92 {of}; rows are not added up"
        yield RuleText(_prefixed(codes, "08"), compares, ubl, cii)
    for names, warns in ((("S",), ""), (("L", "M"), "; warns")):
        exactness = _TOLERANCES[UNDER_ONE]
        compares = "each BT-117 = BT-116 × BT-119 / 100, to 2 decimals, without signs"
        yield RuleText(_prefixed(names, "09"), compares, exactness, exactness + warns)
    yield RuleText(_names("09", is_rated=False), "each BT-117 = 0")


def _known() -> Iterator[tuple[str, Category]]:
    yield from ((code, category) for code, category in CATEGORIES.items() if category is not None)


def _names(number: str, *, is_rated: bool) -> tuple[str, ...]:
    return _prefixed([code for code, category in _known() if category.is_rated == is_rated], number)


def _prefixed(codes: list[str] | tuple[str, ...], number: str) -> tuple[str, ...]:
    return tuple(f"{category.prefix}-{number}" for code, category in _known() if code in codes)


def _alike() -> dict[tuple[bool, str, str], list[str]]:
    """Return categories by the comparison of their taxable amounts: with rates, tolerance in UBL and in CII."""
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for code, category in _known():
        key = (category.is_rated, _exactness(code, "UBL"), _exactness(code, "CII"))
        groups.setdefault(key, []).append(code)
    return groups


def _exactness(code: str, syntax: Syntax) -> str:
    category = dict(_known())[code]
    tolerance: Decimal = category.cii if syntax == "CII" else category.ubl
    return _TOLERANCES[tolerance] + ("; warns" if category_level(code, syntax) == "warn" else "")
