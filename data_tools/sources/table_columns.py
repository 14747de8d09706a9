"""Which column of a table holds which field: by the project file's mapping, then by usual names; never by a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from data_tools.sources.flat_fields import plain
from data_tools.sources.table import Cell, CellFault, Table
from data_tools.sources.table_names import (
    LINE_PREFIX,
    ambiguous_names,
    column_key,
    is_known,
    strong_names,
    weak_names,
)
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.invoice.money import parse_amount
from erniekit_adapter.project.table_source import TableSource

_BY_PLACE = re.compile(r"column (?:([0-9]{1,5})|([A-Za-z]{1,3}))")
_SHOWN_COLUMNS = 60
# A header that names its columns names some of the first.
_LOOKED_AT = 1_000
# Rates of taxes on sales that are in use somewhere, in percent: a number that is none of them is an amount.
_WHOLE_RATES = (*range(29),)
_OTHER_RATES = (
    "2.1", "2.5", "2.6", "3.7", "3.8", "4.8", "5.5", "7.7", "8.1", "8.5", "8.875", "9.5", "10.5", "12.5", "13.5",
    "14.5", "17.5", "19.25", "25.5",
)  # fmt: skip
_RATES = frozenset(map(Decimal, (*_WHOLE_RATES, *_OTHER_RATES)))


@dataclass(frozen=True)
class Question:
    """What only a person can tell about the columns, and the line that would say it."""

    finding: str
    remedy: str


@dataclass
class Columns:
    """Which column holds which field.

    Attributes:
        header: name of each column.
        fields: column of each field, from 0; those of line items as `line_items.total`.
        given: fields whose column the project file gives.
        ignored: columns that the project file says to leave alone.
        questions: what only a person can tell.
    """

    header: tuple[str, ...]
    fields: dict[str, int] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    ignored: set[int] = field(default_factory=set)
    questions: list[Question] = field(default_factory=list)

    @property
    def unmatched(self) -> list[int]:
        """Columns that hold no field."""
        used = {*self.fields.values(), *self.ignored}
        return [place for place in range(len(self.header)) if place not in used]

    @property
    def line_fields(self) -> dict[str, int]:
        """Column of each field of line items, without their prefix."""
        found = self.fields.items()
        return {name.removeprefix(LINE_PREFIX): place for name, place in found if name.startswith(LINE_PREFIX)}

    def name(self, place: int) -> str:
        """A column as messages and reports name it."""
        return self.header[place] or f"column {place + 1}"


def header_score(source: TableSource, cells: Sequence[Cell]) -> int:
    """How many cells of a row name a column that is known: by the project file's mapping or by a usual name."""
    given = {column_key(name) for name in (*source.columns.given().values(), *source.ignore)}
    names = {cell for cell in cells[:_LOOKED_AT] if isinstance(cell, str) and len(cell) <= 200}
    return sum(bool(column_key(name)) and (column_key(name) in given or is_known(name)) for name in names)


def match_columns(table: Table, source: TableSource) -> Columns:
    """Find the column of each field.

    Returns:
        The columns, with a question for each that can mean several fields or is there twice.

    Raises:
        AdapterError: a column that the project file names is not in the table.
    """
    columns = Columns(table.header)
    _take_given(columns, source)
    for names in (strong_names(), weak_names()):
        _take_named(columns, names)
    for place in columns.unmatched:
        if meant := ambiguous_names().get(column_key(columns.header[place])):
            _settle(columns, place, meant, table)
    return columns


def _take_given(columns: Columns, source: TableSource) -> None:
    problems = []
    for name, column in source.columns.given().items():
        try:
            columns.fields[name] = _place_of(columns.header, column)
            columns.given.add(name)
        except ValueError as error:
            problems.append(Problem(f"{source.path}: columns.{name}", str(error), _names_of(columns.header)))
    for column in source.ignore:
        try:
            columns.ignored.add(_place_of(columns.header, column))
        except ValueError as error:
            problems.append(Problem(f"{source.path}: ignore", str(error), _names_of(columns.header)))
    if problems:
        raise AdapterError(problems)


def _place_of(header: Sequence[str], column: str) -> int:
    """The place of a column that the project file names, from 0.

    Raises:
        ValueError: there is no such column, or several.
    """
    wanted = " ".join(column.split())
    same = [place for place, name in enumerate(header) if name == wanted]
    alike = same or [place for place, name in enumerate(header) if name and column_key(name) == column_key(column)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        places = " or ".join(f"column {place + 1}" for place in alike)
        raise ValueError(f"{column!r} names {len(alike)} columns: write {places}")
    if match := _BY_PLACE.fullmatch(column.strip()):
        number = int(match[1]) if match[1] else _number_of(match[2])
        if 1 <= number <= len(header):
            return number - 1
    raise ValueError(f"there is no column {column!r}")


def _number_of(letters: str) -> int:
    """The number of a sheet's column, from 1: A is 1, AA is 27."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _names_of(header: Sequence[str]) -> str:
    return f"the columns are: {', '.join(repr(name) for name in header[:_SHOWN_COLUMNS] if name)}"[:1000]


def _take_named(columns: Columns, names: Mapping[str, str]) -> None:
    """Take each column whose name means a field that has none yet; two for one field are a question."""
    found: dict[str, list[int]] = {}
    for place in columns.unmatched:
        name = names.get(column_key(columns.header[place]))
        if name and name not in columns.fields:
            found.setdefault(name, []).append(place)
    for name, places in found.items():
        if len(places) == 1:
            columns.fields[name] = places[0]
        elif all(question.finding.split(":")[0] != name for question in columns.questions):
            listed = [_written(columns, place) for place in places]
            columns.questions.append(
                Question(
                    f"{name}: {len(places)} columns could hold it, {' and '.join(listed)}",
                    f"columns: {{{_yaml_key(name, listed[0])}}}",
                )
            )


def _written(columns: Columns, place: int) -> str:
    """A column as the project file names it: by its place if its name is there twice."""
    name = columns.header[place]
    return name if columns.header.count(name) == 1 else f"column {place + 1}"


def _yaml_key(name: str, column: str) -> str:
    quoted = f'"{column}"'
    if name.startswith(LINE_PREFIX):
        return f"line_items: {{{name.removeprefix(LINE_PREFIX)}: {quoted}}}"
    return f"{name}: {quoted}"


def _settle(columns: Columns, place: int, meant: tuple[str, ...], table: Table) -> None:
    """Give a column with an ambiguous name to a field if its values prove which; ask if no other column has them."""
    values = [row.cells[place] for row in table.rows if not row.fault]
    proven = _proven_tax(values) if "tax_rate" in meant else None
    if proven and proven not in columns.fields:
        columns.fields[proven] = place
        return
    if any(name in columns.fields for name in meant):
        return
    column = _written(columns, place)
    choices = " or ".join(f"columns: {{{_yaml_key(name, column)}}}" for name in _meanings(columns, meant))
    columns.questions.append(
        Question(
            f"column {column!r} can be {' or '.join(_meanings(columns, meant))}", f'{choices} or ignore: ["{column}"]'
        )
    )


def _meanings(columns: Columns, meant: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that a name can mean here: in a table of line items an amount can be a line item's too."""
    line_total = f"{LINE_PREFIX}total"
    if "grand_total" in meant and columns.line_fields and line_total not in columns.fields:
        return (*meant, line_total)
    return meant


def _proven_tax(values: Sequence[Cell]) -> str | None:
    """Whether values are tax rates or amounts of tax; None if they could be both."""
    if any(isinstance(value, str) and "%" in value for value in values):
        return "tax_rate"
    for value in values:
        if value is None or isinstance(value, CellFault) or (isinstance(value, str) and not value.strip()):
            continue
        try:
            number = plain(parse_amount(value))
        except (ValueError, ArithmeticError):
            continue
        if abs(number) not in _RATES and abs(number) * 100 not in _RATES:
            return "tax_amount"
    return None
