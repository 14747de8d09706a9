"""Check that a page and its ground truth belong together: identifying values, total, and share of values found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from data_tools.visibility.boxes import Line
from data_tools.visibility.identity import Identity, identity_of
from data_tools.visibility.labels import OTHER_AMOUNTS, label_pattern
from data_tools.visibility.page_text import PageText
from data_tools.visibility.plan import SearchPlan, plan_of
from data_tools.visibility.spellings import (
    THOUSANDS,
    joined_numbers_in,
    own_numbers,
    plain_number,
    repaired_numbers,
    without_dates,
)
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.rules.context import number_of, value_at

# With fewer values, a single missing one would be a large share.
MIN_VALUES = 4
# The number of known values among number, issuer and total that makes their absence evidence.
_LEAST_IDENTITY = 2
_QUOTED_CHARACTERS = 80
_MAX_NAMED = 6
# Minimum digits of an amount without decimals, to exclude `Total 3 items`.
_LEAST_WHOLE_DIGITS = 3
_WITH_DECIMALS = re.compile(r"[.,]\d{2}(?!\d)")


def page_mismatch(
    document_type: DocumentType,
    truth: Mapping[str, Any],
    shown: Mapping[str, Any],
    page: PageText,
    min_visible_share: float,
) -> str | None:
    """Return why a page does not belong to its ground truth; None if it may belong to it.

    Args:
        document_type: the type of the document.
        truth: content before values were removed.
        shown: content after `drop_unseen`.
        page: text of the page.
        min_visible_share: required share of found values, 0 to 1; not applied to fewer than MIN_VALUES.
    """
    identity = identity_of(document_type)
    return (
        _other_identity(identity, truth, shown, page)
        or _other_total(identity, truth, shown, page)
        or _small_share(plan_of(document_type), identity, truth, shown, page, min_visible_share)
    )


def _other_identity(
    identity: Identity, truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText
) -> str | None:
    """Return a reason if number, issuer and total are all absent from the page."""
    known = [(label, path) for label, path in identity.fields if value_at(truth, path) is not None]
    if len(known) < _LEAST_IDENTITY or any(value_at(shown, path) is not None for _, path in known):
        return None
    values = ", ".join(f"{label} {value_at(truth, path)}" for label, path in known)
    return f"the page belongs to another document: it does not show {values}; {_quoted(page, identity)}"


def _other_total(identity: Identity, truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText) -> str | None:
    """Return a reason if the page prints another total and does not print the expected one as its total."""
    total = number_of(value_at(truth, identity.total)) if identity.total else None
    if identity.total is None or total is None:
        return None
    if value_at(shown, identity.total) is not None:
        known = {plain_number(total)}
        other = identity.sum_of(truth)
        if other is None or plain_number(other) == plain_number(total):
            return None
    else:
        known, other = {plain_number(amount) for amount in identity.amounts(truth)}, None
    printed = list(_totals(page, identity.labels))
    others = [found for found in printed if not known & set(found[2])]
    if other is not None:
        # The page's total is the sum of the true amounts.
        others = [found for found in others if plain_number(other) in found[2]]
    elif len(others) < len(printed):
        return None
    if not others:
        return None
    label, text, _ = others[-1]
    return f"the page prints another total: {label} {text}; the ground truth has {total}"


def _small_share(
    plan: SearchPlan,
    identity: Identity,
    truth: Mapping[str, Any],
    shown: Mapping[str, Any],
    page: PageText,
    min_visible_share: float,
) -> str | None:
    values, found = dict(_values(truth, plan)), dict(_values(shown, plan))
    all_values, all_found = sum(map(len, values.values())), sum(map(len, found.values()))
    if all_values < MIN_VALUES or all_found >= min_visible_share * all_values:
        return None
    fields = [(name, value) for name, group in values.items() for value in group]
    missing = [f"{name} {value}" for name, value in fields if value not in found.get(name, [])]
    named = ", ".join(missing[:_MAX_NAMED]) + (", …" if len(missing) > _MAX_NAMED else "")
    return (
        f"only {all_found} of {all_values} values are on the page, less than data.min_visible_share "
        f"{min_visible_share}; not found: {named}; {_quoted(page, identity)}"
    )


def _values(data: Mapping[str, Any], plan: SearchPlan) -> Iterator[tuple[str, list[Any]]]:
    """Yield each printable field with its values."""
    found: dict[str, list[Any]] = {}
    known = frozenset(plan.fields)
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, part) for key, part in value.items()][::-1]
        elif isinstance(value, list):
            waiting += [(f"{name}[]", part) for part in value][::-1]
        elif name in known:
            found.setdefault(name, []).append(value)
    yield from found.items()


def _totals(page: PageText, labels: tuple[str, ...]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each labelled total of the page: label, amount as printed, and its possible values."""
    for line in page.lines:
        for start in line.starts or (0,):
            if (label := _total_label(line, start, labels)) is None:
                continue
            text = without_dates(repaired_numbers(line.text))
            after = [found for found in _joined(text) if found[0] >= start + len(label)]
            amounts = [found for found in after if _is_amount(text, *found)]
            if len(amounts) == 1:
                begin, end, readings = amounts[0]
                yield label, line.text[begin:end], readings
            break


def _joined(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield each number of a text with its possible values; `3 444,81` is one place with one number or two."""
    numbers = list(own_numbers(text))
    for group in THOUSANDS.finditer(text):
        start, end = group.span()
        inside = [found for found in numbers if start <= found[0] and found[1] <= end]
        parts = [reading for _, _, readings in inside for reading in readings]
        numbers = [found for found in numbers if found not in inside]
        numbers.append((start, end, (*joined_numbers_in(group[0]), *parts)))
    yield from sorted(numbers)


def _total_label(line: Line, start: int, labels: tuple[str, ...]) -> str | None:
    """Return the label of a total at a position of a line, or None."""
    own = label_pattern(labels).match(line.text, start)
    if own is None:
        return None
    other = label_pattern(OTHER_AMOUNTS).match(line.text, start)
    return own[0] if other is None or len(other[0]) < len(own[0]) else None


def _is_amount(text: str, start: int, end: int, readings: tuple[str, ...]) -> bool:
    return bool(_WITH_DECIMALS.search(text, start, end)) or any(
        len(reading) >= _LEAST_WHOLE_DIGITS and "." not in reading for reading in readings
    )


def _quoted(page: PageText, identity: Identity) -> str:
    """Quote the totals and the first characters of the page."""
    totals = [f"{label} {text}" for label, text, _ in _totals(page, identity.labels)]
    begins = page.text.strip()[:_QUOTED_CHARACTERS]
    return f"it prints {', '.join([*totals[-2:], repr(begins)])}"
