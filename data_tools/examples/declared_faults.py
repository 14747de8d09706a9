"""Inject faults into a document of a declared type: misread values that break a rule which the document keeps."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import combinations, islice
from typing import Any

from data_tools.examples.misreading import drawn, misread_amount, misread_text, wrong_codes
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.rules.context import number_of, value_at
from erniekit_adapter.documents.rules.rule import Rule, failures

# Maximum number of misreadings tried for a rule.
_MAX_TRIES = 60
_CODE_LETTERS = 3

Keys = tuple[str | int, ...]


def inject_declared_fault(
    document_type: DocumentType, answer: AnyAnswer, rng: random.Random, count: int
) -> tuple[AnyAnswer, tuple[str, ...]]:
    """Inject faults into an answer that keeps the rules of its type.

    Every faulty answer is invalid, and each fault breaks a rule that passed before. A rule of level warn is only broken
    together with one of level error.

    Args:
        document_type: the type of the document.
        answer: not changed; an answer that breaks a rule of level error gets no fault.
        rng: equal states give equal faults.
        count: number of faults, 1 or 2; fewer if fewer rules fit the answer.

    Returns:
        The faulty answer and the names of the broken rules in the order of the rules; or the unchanged answer and ().

    Raises:
        ValueError: `count` is neither 1 nor 2.
    """
    if count not in (1, 2):
        raise ValueError(f"{count} faults: expected 1 or 2")
    rules = document_type.rules
    findings = rules.check(answer, as_given=True)
    if failures(findings):
        return answer, ()
    passed = {finding.rule for finding in findings if finding.status == "pass"}
    fitting = list(drawn([rule for rule in rules.rules if rule.name in passed and rule.paths], rng))
    fitting.sort(key=lambda rule: rule.level != "error")
    faulty: AnyAnswer = answer
    broken: list[str] = []
    for rule in fitting:
        found = _with_fault(document_type, faulty, rule, broken, rng)
        if found is not None:
            faulty = found
            broken.append(rule.name)
        if len(broken) == count:
            break
    return faulty, tuple(rule.name for rule in rules.rules if rule.name in broken)


def _with_fault(
    document_type: DocumentType, answer: AnyAnswer, rule: Rule, broken: list[str], rng: random.Random
) -> AnyAnswer | None:
    """Return the answer with a misreading that breaks a rule, in addition to those broken before; None if none does."""
    content = document_type.content_of(answer)
    for changes in islice(_mistakes(document_type, content, rule, rng), _MAX_TRIES):
        changed = copy.deepcopy(content)
        for keys, value in changes:
            _put(changed, keys, value)
        try:
            wrong = document_type.read_content(changed)
        except ValueError:
            # The schema excludes this value.
            continue
        found = document_type.rules.check(wrong, as_given=True)
        failed = {finding.rule for finding in found if finding.status == "fail"}
        if {rule.name, *broken} <= failed and document_type.rules.validity(found) is False:
            return wrong
    return None


def _mistakes(
    document_type: DocumentType, content: Mapping[str, Any], rule: Rule, rng: random.Random
) -> Iterator[tuple[tuple[Keys, Any], ...]]:
    """Yield changes of a rule's values in random order, each as values by their keys."""
    fields = [document_type.fields[path] for path in rule.paths if path in document_type.fields]
    dates = [place for field in fields if field.kind == "date" for place in _places(content, field)]
    for (first, earlier), (second, later) in drawn(list(combinations(dates, 2)), rng):
        if earlier != later:
            yield (first, later), (second, earlier)
    currency_field = document_type.by_role.get("currency")
    currency = value_at(content, currency_field.path) if currency_field and not currency_field.table else None
    for field in drawn(fields, rng):
        for keys, value in drawn(list(_places(content, field)), rng):
            for wrong in _wrong_values(field, value, str(currency or ""), rng):
                yield ((keys, wrong),)


def _places(content: Mapping[str, Any], field: Field) -> Iterator[tuple[Keys, Any]]:
    """Yield the keys of a field's values, of each row if it is a column, with the values."""
    table, is_column, inner = field.path.partition("[]")
    found = value_at(content, table)
    if not is_column:
        if found is not None:
            yield tuple(table.split(".")), found
        return
    below = inner.strip(".").split(".") if inner else []
    for number, row in enumerate(found if isinstance(found, list) else ()):
        value = value_at(row, ".".join(below)) if below else row
        if value is not None:
            yield (*table.split("."), number, *below), value


def _put(content: Any, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value


def _wrong_values(field: Field, value: Any, currency: str, rng: random.Random) -> Iterator[Any]:
    """Yield misreadings of a value by the kind of its field."""
    if field.kind in NUMBER_KINDS:
        yield from _wrong_numbers(field, value, currency, rng)
    elif field.choices:
        yield from drawn([choice for choice in field.choices if choice != value], rng)
    elif field.kind == "currency" and len(value) == _CODE_LETTERS:
        yield from drawn(wrong_codes(value), rng)
    elif field.kind == "date":
        yield from filter(_is_date, misread_text(value, rng))
    elif isinstance(value, str):
        yield from misread_text(value, rng)


def _wrong_numbers(field: Field, value: Any, currency: str, rng: random.Random) -> Iterator[Any]:
    number = number_of(value)
    for wrong in misread_amount(abs(number), currency, rng) if number is not None else ():
        signed = wrong if number is not None and number > 0 else -wrong
        yield str(signed) if field.is_text else Decimal(signed)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
