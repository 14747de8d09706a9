"""The declared rules of a document type as rules that can be checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from erniekit_adapter.documents.declared.definition import RuleSection
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.patterns import read_pattern
from erniekit_adapter.documents.rules.capital_letters import capital_letters_check
from erniekit_adapter.documents.rules.context import Check, number_of
from erniekit_adapter.documents.rules.dates import order_check
from erniekit_adapter.documents.rules.equation import equation_check
from erniekit_adapter.documents.rules.formula import has_product, parse_equation
from erniekit_adapter.documents.rules.presence import Condition, conditional, parse_condition, required_check
from erniekit_adapter.documents.rules.python_rules import PythonRule, python_check
from erniekit_adapter.documents.rules.rule import Rule
from erniekit_adapter.documents.rules.values import (
    ValueProblem,
    checksum_of,
    pattern_problem,
    value_check,
    values_problem,
)
from erniekit_adapter.yaml_files import LocatedFile

TEXT_KINDS = frozenset({"text", "address", "identifier", "code", "currency"})
_MAX_HINT_CHARACTERS = 600
_ISO_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class _Made:
    """A check, the fields that it reads, and the flags of its rule."""

    check: Check
    paths: tuple[str, ...]
    is_arithmetic: bool = False
    is_about_dates: bool = False


@dataclass(frozen=True)
class _Maker:
    """Makes the checks of rules on some fields; a rule that cannot be made is a ValueError with finding and hint."""

    fields: Mapping[str, Field]
    python: Mapping[str, PythonRule]

    def make(self, section: RuleSection) -> _Made:
        """Return the check of a rule, with its condition."""
        make: Callable[[RuleSection], _Made] = getattr(self, f"_{section.kind}")
        made = make(section)
        if section.when is None:
            return made
        condition = self._condition(section.when)
        paths = tuple(dict.fromkeys((*made.paths, condition.path)))
        return replace(made, check=conditional(made.check, condition), paths=paths)

    def _condition(self, text: str) -> Condition:
        condition = parse_condition(text)
        field = self.field(condition.path)
        if field.table is not None:
            raise ValueError(f"when: {field.path} is a column", "use a field outside of lists")
        if condition.value is not None and field.kind in NUMBER_KINDS and number_of(condition.value) is None:
            raise ValueError(f"when: {condition.value!r} is not a number", f"{field.path} has kind {field.kind}")
        if condition.value is not None and field.kind == "flag" and condition.value not in ("true", "false"):
            raise ValueError(f"when: {condition.value!r} is not a value of {field.path}", "use true or false")
        if condition.value is not None and field.kind == "date" and not _ISO_DATE.fullmatch(condition.value):
            raise ValueError(f"when: {condition.value!r} is not a date", "write it as 2025-01-31")
        if condition.value is not None and field.choices and condition.value not in field.choices:
            choices = f"use one of {', '.join(field.choices)}"[:_MAX_HINT_CHARACTERS]
            raise ValueError(f"when: {condition.value!r} is not a value of {field.path}", choices)
        return condition

    def field(self, path: str, kinds: Iterable[str] = ()) -> Field:
        """Return a field, whose kind must be one of `kinds` if there are any."""
        field, kinds = self.fields.get(path), sorted(kinds)
        if field is None:
            near = difflib.get_close_matches(path, self.fields, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the fields are {', '.join(self.fields)}"
            raise ValueError(f"names no field: {path}", hint[:_MAX_HINT_CHARACTERS])
        if kinds and field.kind not in kinds:
            raise ValueError(f"{path} has kind {field.kind}", f"use a field of kind {' or '.join(kinds)}")
        return field

    def _equation(self, section: RuleSection) -> _Made:
        equations = [parse_equation(text) for text in section.equation or ()]
        if len({equation.table for equation in equations}) > 1:
            raise ValueError("one equation is about rows, another one is not", "write two rules")
        paths = tuple(dict.fromkeys(path for equation in equations for path in equation.paths))
        fields = [self.field(path, NUMBER_KINDS) for path in paths]
        tolerance = section.tolerance
        if tolerance is None:
            # Documents show a product rounded.
            tolerance = 1 if any(map(has_product, equations)) else 0
        percent = frozenset(field.path for field in fields if field.is_percent)
        check = equation_check(equations, Decimal(tolerance), percent)
        return _Made(check, paths, is_arithmetic=section.severity == "error")

    def _order(self, section: RuleSection) -> _Made:
        paths = tuple(section.order or ())
        tables = {field.table for path in paths if (field := self.field(path, ("date",))).table is not None}
        if len(tables) > 1:
            raise ValueError(
                f"columns of several lists: {', '.join(sorted(map(str, tables)))}", "write one rule for each"
            )
        if len(set(paths)) < len(paths):
            raise ValueError("names a field twice", "remove one of them")
        return _Made(order_check(paths), paths, is_about_dates=True)

    def _values(self, section: RuleSection) -> _Made:
        field, values = self.field(section.field or ""), section.values or []
        is_number = field.kind in NUMBER_KINDS
        if is_number and (wrong := [value for value in values if number_of(str(value)) is None]):
            raise ValueError(f"{wrong[0]!r} is not a number", f"{field.path} has kind {field.kind}")
        return _of_values(field.path, values_problem(values, of_numbers=is_number))

    def _pattern(self, section: RuleSection) -> _Made:
        field = self.field(section.field or "", TEXT_KINDS)
        return _of_values(field.path, pattern_problem(read_pattern(section.pattern or "")))

    def _checksum(self, section: RuleSection) -> _Made:
        field = self.field(section.field or "", TEXT_KINDS)
        check = value_check(field.path, checksum_of(section.checksum or ""), with_masks=False)
        return _Made(check, (field.path,))

    def _required(self, section: RuleSection) -> _Made:
        names = section.required if isinstance(section.required, list) else [section.required or ""]
        if not names:
            raise ValueError("names no field", "list one or more fields")
        return _Made(required_check(tuple(names)), tuple(path for name in names for path in self._fields_in(name)))

    def _fields_in(self, name: str) -> tuple[str, ...]:
        """Return a field, or the fields in a list or object."""
        inner = tuple(path for path in self.fields if path.startswith((f"{name}.", f"{name}[]")))
        return inner or (self.field(name).path,)

    def _chinese_amount(self, section: RuleSection) -> _Made:
        text = self.field(section.chinese_amount or "", TEXT_KINDS)
        number = self.field(section.field or "", ("amount",))
        if text.table is not None or number.table is not None:
            raise ValueError("a column of a list", "use fields outside of lists")
        check = capital_letters_check(text.path, number.path)
        return _Made(check, (text.path, number.path), is_arithmetic=section.severity == "error")

    def _python(self, section: RuleSection) -> _Made:
        name = section.python or ""
        return _Made(python_check(name, self.python.get(name)), tuple(self.fields))


def _of_values(path: str, problem_of: ValueProblem) -> _Made:
    return _Made(value_check(path, problem_of), (path,))


def make_rules(
    sections: list[RuleSection],
    fields: Mapping[str, Field],
    file: LocatedFile,
    python: Mapping[str, PythonRule] | None = None,
) -> tuple[Rule, ...]:
    """Return the rules; a rule that cannot be made, or names no field, is a problem of the file.

    The sums of a document are verified if the decisive equations were checked, or all if none is decisive.

    Args:
        sections: the rules in the file.
        fields: the fields by path.
        file: gets the problems.
        python: functions of the entry points that the project allows; the other rules in Python are not checkable.
    """
    maker = _Maker(fields, python or {})
    has_decisive = any(section.equation is not None and section.decisive for section in sections)
    rules: list[Rule] = []
    names: set[str] = set()
    for index, section in enumerate(sections):
        if section.name in names:
            file.add(("rules", index, "name"), f"{section.name!r} is the name of another rule", "rename one of them")
        names.add(section.name)
        try:
            made = maker.make(section)
        except ValueError as error:
            file.add(("rules", index, section.kind), *map(str, error.args[:2]))
            continue
        is_sum = section.equation is not None and section.severity == "error"
        rules.append(
            Rule(
                name=section.name,
                level=section.severity,
                sentence=section.sentence,
                check=made.check,
                paths=made.paths,
                # Without its function a rule in Python cannot fail, so a document is not valid because of the others.
                is_decisive=section.decisive or _is_switched_off(section, maker.python),
                is_sum=is_sum and (section.decisive or not has_decisive),
                is_arithmetic=made.is_arithmetic,
                is_about_dates=made.is_about_dates,
            )
        )
    return tuple(rules)


def _is_switched_off(section: RuleSection, python: Mapping[str, PythonRule]) -> bool:
    return section.python is not None and section.python not in python and section.severity == "error"
