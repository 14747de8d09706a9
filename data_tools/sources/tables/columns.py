"""Columns of a table and their fields, by the project file's mapping and then by usual names; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from data_tools.sources.answers.flat_fields import plain_number
from data_tools.sources.tables.cells import Cell, CellFault, CellTable
from data_tools.sources.tables.names import (
    LINE_ITEM_PREFIX,
    ambiguous_names,
    column_key,
    is_known,
    strong_names,
    weak_names,
)
from erniekit_adapter.documents.money import parse_amount
from erniekit_adapter.errors import AdapterError, Problem, usage_error
from erniekit_adapter.project.table_source import TableSource

_BY_NUMBER = re.compile(r"column (?:([0-9]{1,5})|([A-Za-z]{1,3}))")
_SHOWN_COLUMNS = 60
# Number of first columns of a row that are compared with known names to find the header.
_SCORED_COLUMNS = 1_000
# Rates of taxes on sales in use, in percent: any other number is an amount.
_WHOLE_RATES = (*range(29),)
_OTHER_RATES = (
    "2.1", "2.5", "2.6", "3.7", "3.8", "4.8", "5.5", "7.7", "8.1", "8.5", "8.875", "9.5", "10.5", "12.5", "13.5",
    "14.5", "17.5", "19.25", "25.5",
)  # fmt: skip
_RATES = frozenset(map(Decimal, (*_WHOLE_RATES, *_OTHER_RATES)))


@dataclass(frozen=True)
class Question:
    """A question about the columns for the user, and the line of the project file that answers it."""

    finding: str
    hint: str


@dataclass
class Columns:
    """The columns of a table by field.

    Attributes:
        header: name of each column.
        fields: column index of each field, from 0; those of line items as `line_items.total`.
        given: fields whose column is in the project file.
        ignored: columns that the project file ignores.
        questions: questions for the user.
    """

    header: tuple[str, ...]
    fields: dict[str, int] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    ignored: set[int] = field(default_factory=set)
    questions: list[Question] = field(default_factory=list)

    @property
    def unmatched(self) -> list[int]:
        """The columns without a field."""
        used = {*self.fields.values(), *self.ignored}
        return [index for index in range(len(self.header)) if index not in used]

    @property
    def line_fields(self) -> dict[str, int]:
        """The column index of each field of line items, without their prefix."""
        found = self.fields.items()
        return {
            name.removeprefix(LINE_ITEM_PREFIX): index for name, index in found if name.startswith(LINE_ITEM_PREFIX)
        }

    def name(self, index: int) -> str:
        """Return the name of a column in messages and reports."""
        return self.header[index] or f"column {index + 1}"


def header_score(source: TableSource, cells: Sequence[Cell]) -> int:
    """Return the number of cells in a row that name a column, by the project file's mapping or by a usual name."""
    given = {column_key(name) for name in (*source.columns.given().values(), *source.ignore)}
    names = {cell for cell in cells[:_SCORED_COLUMNS] if isinstance(cell, str) and len(cell) <= 200}
    return sum(bool(column_key(name)) and (column_key(name) in given or is_known(name)) for name in names)


def match_columns(table: CellTable, source: TableSource) -> Columns:
    """Find the column of each field of an invoice.

    Returns:
        The columns, with a question for each column with several meanings and each field with several columns.

    Raises:
        AdapterError: a column of the project file is not in the table.
    """
    columns = Columns(table.header)
    if unknown := source.columns.unknown():
        location = f"{source.path}: columns.{unknown[0]}"
        raise usage_error(location, "unknown key", "docs/tables.md lists the fields")
    take_given(columns, source, {name: name for name in source.columns.given()})
    for names in (strong_names(), weak_names()):
        _take_named(columns, names)
    for index in columns.unmatched:
        if meant := ambiguous_names().get(column_key(columns.header[index])):
            _settle(columns, index, meant, table)
    return columns


def take_given(columns: Columns, source: TableSource, fields: Mapping[str, str]) -> None:
    """Assign the columns of the project file.

    Args:
        columns: the columns, in which the given ones are set.
        source: the source.
        fields: the field of each key of the source's columns.

    Raises:
        AdapterError: a column is not in the table.
    """
    problems = []
    for name, column in source.columns.given().items():
        try:
            columns.fields[fields[name]] = _index_of(columns.header, column)
            columns.given.add(fields[name])
        except ValueError as error:
            problems.append(Problem(f"{source.path}: columns.{name}", str(error), _names_of(columns.header)))
    for column in source.ignore:
        try:
            columns.ignored.add(_index_of(columns.header, column))
        except ValueError as error:
            problems.append(Problem(f"{source.path}: ignore", str(error), _names_of(columns.header)))
    if problems:
        raise AdapterError(problems)


def _index_of(header: Sequence[str], column: str) -> int:
    """Return the index of a column in the project file, from 0.

    Raises:
        ValueError: no column has this name, or several do.
    """
    name_given = " ".join(column.split())
    same = [index for index, name in enumerate(header) if name == name_given]
    alike = same or [index for index, name in enumerate(header) if name and column_key(name) == column_key(column)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        indexes = " or ".join(f"column {index + 1}" for index in alike)
        raise ValueError(f"{column!r} names {len(alike)} columns: write {indexes}")
    if match := _BY_NUMBER.fullmatch(column.strip()):
        number = int(match[1]) if match[1] else _number_of(match[2])
        if 1 <= number <= len(header):
            return number - 1
    raise ValueError(f"no column {column!r}")


def _number_of(letters: str) -> int:
    """Return the number of a sheet's column, from 1: A is 1, AA is 27."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _names_of(header: Sequence[str]) -> str:
    return f"the columns are: {', '.join(repr(name) for name in header[:_SHOWN_COLUMNS] if name)}"[:1000]


def _take_named(columns: Columns, names: Mapping[str, str]) -> None:
    """Assign each column whose name means a field without a column; two columns for one field are a question."""
    found: dict[str, list[int]] = {}
    for index in columns.unmatched:
        name = names.get(column_key(columns.header[index]))
        if name and name not in columns.fields:
            found.setdefault(name, []).append(index)
    for name, indexes in found.items():
        if len(indexes) == 1:
            columns.fields[name] = indexes[0]
        elif all(question.finding.split(":")[0] != name for question in columns.questions):
            listed = [written_column(columns, index) for index in indexes]
            columns.questions.append(
                Question(
                    f"{name}: {len(indexes)} columns have names of this field, {' and '.join(listed)}",
                    f"columns: {{{_yaml_key(name, listed[0])}}}",
                )
            )


def written_column(columns: Columns, index: int) -> str:
    """Return a column as the project file names it: by its number if its name is not unique."""
    name = columns.header[index]
    return name if columns.header.count(name) == 1 else f"column {index + 1}"


def _yaml_key(name: str, column: str) -> str:
    quoted = f'"{column}"'
    if name.startswith(LINE_ITEM_PREFIX):
        return f"line_items: {{{name.removeprefix(LINE_ITEM_PREFIX)}: {quoted}}}"
    return f"{name}: {quoted}"


def _settle(columns: Columns, index: int, meant: tuple[str, ...], table: CellTable) -> None:
    """Assign a column with an ambiguous name to the field that its values prove; ask if no field has a column."""
    values = [row.cells[index] for row in table.rows if not row.fault]
    proven = _proven_tax(values) if "tax_rate" in meant else None
    if proven and proven not in columns.fields:
        columns.fields[proven] = index
        return
    if any(name in columns.fields for name in meant):
        return
    column = written_column(columns, index)
    choices = " or ".join(f"columns: {{{_yaml_key(name, column)}}}" for name in _meanings(columns, meant))
    columns.questions.append(
        Question(
            f"column {column!r} can mean {' or '.join(_meanings(columns, meant))}", f'{choices} or ignore: ["{column}"]'
        )
    )


def _meanings(columns: Columns, meant: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields that a name can mean in this table; with line items, an amount can be that of one line item."""
    line_total = f"{LINE_ITEM_PREFIX}total"
    if "grand_total" in meant and columns.line_fields and line_total not in columns.fields:
        return (*meant, line_total)
    return meant


def _proven_tax(values: Sequence[Cell]) -> str | None:
    """Return whether values are tax rates or tax amounts, as field name; None if they could be both."""
    if any(isinstance(value, str) and "%" in value for value in values):
        return "tax_rate"
    for value in values:
        if value is None or isinstance(value, CellFault) or (isinstance(value, str) and not value.strip()):
            continue
        try:
            number = plain_number(parse_amount(value))
        except (ValueError, ArithmeticError):
            continue
        if abs(number) not in _RATES and abs(number) * 100 not in _RATES:
            return "tax_amount"
    return None
