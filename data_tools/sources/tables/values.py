"""Cells read as values; another cell of the table can settle an ambiguous one.

`25/03/2025` proves that a column writes the day first, and `200,00` that the table has decimal commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.flat_fields import parse_rate, parse_text, plain_number
from data_tools.sources.tables.cells import Cell, CellFault
from erniekit_adapter.documents.dates import DateOrder, parse_date
from erniekit_adapter.documents.money import parse_amount
from erniekit_adapter.project.table_source import DecimalMark

DATES = frozenset({"invoice_date", "due_date"})
RATES = frozenset({"tax_rate"})
AMOUNTS = frozenset({
    "subtotal", "tax_amount", "discount", "charge", "grand_total", "amount_paid", "rounding", "amount_due",
    "quantity", "unit_price", "total",
})  # fmt: skip

_NUMERIC_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})")
_DIGITS_ONLY_DATE = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})")
_MIDNIGHT = re.compile(r"[T ]0{1,2}:00(?::00(?:\.0+)?)?(?: ?AM)?Z?$")
_NUMBER = re.compile(r"\d[\d.,'’\u00a0\u202f ]*")
# Text of empty cells, written by people and programs.
_BLANK = frozenset({"", "-", "–", "—", "n/a", "#n/a", "null", "none", "nan", "nil"})
# A number with thousands or with three decimals, depending on the decimal mark.
_THREE_DIGITS = re.compile(r"(\d+)([.,])(\d{3})(?!\d)")
_THOUSANDTH = Decimal("0.001")


@dataclass(frozen=True)
class Conventions:
    """Notation of ambiguous values in a table.

    Attributes:
        decimal_mark: character before the decimals; None if unknown.
        date_orders: order of dates in the column of each date field; without fields whose order is unknown.
        percent: whether tax rates are percentages (1 is 1 %) instead of fractions.
    """

    decimal_mark: DecimalMark | None = None
    date_orders: Mapping[str, DateOrder] = field(default_factory=dict)
    percent: bool = False


@dataclass(frozen=True)
class NamesByNotation:
    """Names of the fields whose values have several notations; by default those of an invoice."""

    dates: frozenset[str] = DATES
    rates: frozenset[str] = RATES
    amounts: frozenset[str] = AMOUNTS


OF_INVOICE = NamesByNotation()


def find_conventions(
    values: Mapping[str, Iterable[Cell]],
    decimal_mark: DecimalMark | None = None,
    date_order: DateOrder | None = None,
    names: NamesByNotation = OF_INVOICE,
) -> Conventions:
    """Return the conventions that the values of all columns prove.

    Args:
        values: cells by field.
        decimal_mark: decimal mark in the project file; it has priority.
        date_order: order of dates in the project file, for columns that prove none.
        names: the fields that are dates, rates and amounts.
    """
    texts = {name: [cell for cell in cells if isinstance(cell, str)] for name, cells in values.items()}
    amounts = [text for name, some in texts.items() if name in names.amounts or name in names.rates for text in some]
    orders = {name: _only(map(_proven_order, some)) for name, some in texts.items() if name in names.dates}
    of_all = _only(orders.values()) or date_order
    found = {name: order or of_all for name, order in orders.items()}
    rates = [cell for name in names.rates for cell in values.get(name, ())]
    return Conventions(
        decimal_mark=decimal_mark or _only(map(_proven_mark, amounts)),
        date_orders={name: order for name, order in found.items() if order},
        percent=any(_is_above_one(rate) for rate in rates),
    )


def _only(proven: Iterable[Any]) -> Any:
    """Return the only proven value; None without one, or with several."""
    found = {each for each in proven if each is not None}
    return found.pop() if len(found) == 1 else None


def _proven_order(text: str) -> DateOrder | None:
    match = _NUMERIC_DATE.fullmatch(_MIDNIGHT.sub("", text.strip()))
    if not match or match[2] == ".":
        # Dates with points always have the day first, which proves nothing for other cells.
        return None
    first, second = int(match[1]), int(match[3])
    if first > 12 >= second:
        return "day_first"
    return "month_first" if second > 12 >= first else None


def _proven_mark(text: str) -> DecimalMark | None:
    """Return the decimal mark of an amount with one possible reading."""
    match = _NUMBER.search(text)
    digits = match[0].strip("'’\u00a0\u202f .,") if match and len(text) <= 64 else ""
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0:
        return None
    mark, whole, decimals = digits[last], digits[:last], digits[last + 1 :]
    if mark in whole:
        # 1.234.567 has its thousands separated by this mark.
        return ("comma" if mark == "." else "point") if len(decimals) == 3 else None
    if not {".", ","} & set(whole) and _may_be_group(whole, decimals):
        return None
    return "comma" if mark == "," else "point"


def _may_be_group(whole: str, rest: str) -> bool:
    """Return whether a mark between digits can be a thousands separator: 1.234, but not 0.234 or 1234.567."""
    return len(rest) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")


def _is_above_one(cell: Cell) -> bool:
    if isinstance(cell, str):
        text = cell.strip()
        if text.endswith("%") or not text:
            return False
        try:
            return parse_amount(text) > 1
        except ValueError:
            return False
    return isinstance(cell, Decimal) and cell > 1


def read_cell(name: str, cell: Cell, conventions: Conventions) -> Any:
    """Read a cell as the value of a field; None if it is blank.

    Raises:
        ValueError: the value is invalid or ambiguous; the message names the setting that decides.
    """
    if isinstance(cell, CellFault):
        raise ValueError(f"cell {cell.cell_name} has {cell.reason}")
    if cell is None or (isinstance(cell, str) and cell.strip().casefold() in _BLANK):
        return None
    if name in DATES:
        return read_date(cell, conventions.date_orders.get(name))
    if name in RATES:
        return _rate(cell, conventions)
    if name in AMOUNTS:
        return read_amount(cell, conventions.decimal_mark)
    if isinstance(cell, date):
        return cell.isoformat()
    # A line break inside a cell counts as a blank, because the page breaks lines elsewhere.
    text = parse_text(cell)
    return " ".join(text.split()) if text else None


def read_amount(cell: Cell, mark: DecimalMark | None) -> Decimal:
    """Read an amount; `1.234` is read with the decimal mark.

    Raises:
        ValueError: the value is not an amount, or is ambiguous without a decimal mark.
    """
    found = _THREE_DIGITS.search(cell) if isinstance(cell, str) and sum(map(cell.count, ".,")) == 1 else None
    if isinstance(cell, str) and found:
        is_group = _may_be_group(found[1], found[3])
        if not is_group or (mark and (found[2] == ",") == (mark == "comma")):
            decimals = f"{found[1]}{found[2]}{found[3]}0"
            return parse_amount(_replaced(cell, found, decimals)).quantize(_THOUSANDTH)
        if mark:
            return parse_amount(_replaced(cell, found, found[1] + found[3]))
    try:
        return parse_amount(cell)
    except ValueError as error:
        hint = "; set decimal_mark: comma or decimal_mark: point for this source" if "ambiguous" in str(error) else ""
        raise ValueError(f"{error}{hint}") from error


def _replaced(text: str, match: re.Match[str], by: str) -> str:
    return text[: match.start()] + by + text[match.end() :]


def _rate(cell: Cell, conventions: Conventions) -> Decimal:
    if isinstance(cell, str) and cell.strip().endswith("%"):
        return parse_rate(cell)
    number = read_amount(cell, conventions.decimal_mark)
    if conventions.percent and 0 < abs(number) < 1:
        raise ValueError(f"{number} is a fraction or a percentage: others in its column are above 1; write {number}%")
    return plain_number(number / 100) if conventions.percent else parse_rate(number)


def read_date(cell: Cell, order: DateOrder | None) -> date:
    """Read a date; an ambiguous one is read in the order of its column.

    Raises:
        ValueError: the value is not a date, or is ambiguous without an order.
    """
    if isinstance(cell, date):
        return parse_date(cell)
    text = _MIDNIGHT.sub("", str(cell).strip())
    if match := _DIGITS_ONLY_DATE.fullmatch(text):
        return parse_date(f"{match[1]}-{match[2]}-{match[3]}")
    return parse_date(text, order)
