"""Cells read as values: what one cell leaves open, another cell of the table may prove.

`25/03/2025` proves that a column writes the day first, and `200,00` that the table's decimals stand behind a comma.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.flat_fields import parse_rate, parse_text, plain
from data_tools.sources.table import Cell, CellFault
from erniekit_adapter.invoice.dates import DateOrder, parse_date
from erniekit_adapter.invoice.money import parse_amount
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
# What people and programs write into a cell that holds nothing.
_BLANK = frozenset({"", "-", "–", "—", "n/a", "#n/a", "null", "none", "nan", "nil"})
# What has thousands or three decimals, according to the decimal mark.
_THREE_DIGITS = re.compile(r"(\d+)([.,])(\d{3})(?!\d)")
_THOUSANDTH = Decimal("0.001")


@dataclass(frozen=True)
class Conventions:
    """How a table writes what can be read in two ways.

    Attributes:
        decimal_mark: what stands before the decimals; None if that is not known.
        date_orders: order of each date field's column; fields whose order is not known are left out.
        percent: whether tax rates are percentages (1 is 1 %), and not fractions.
    """

    decimal_mark: DecimalMark | None = None
    date_orders: Mapping[str, DateOrder] = field(default_factory=dict)
    percent: bool = False


def find_conventions(
    values: Mapping[str, Iterable[Cell]], decimal_mark: DecimalMark | None = None, date_order: DateOrder | None = None
) -> Conventions:
    """What the values of all columns together prove.

    Args:
        values: cells by field.
        decimal_mark: what the project file says; it decides.
        date_order: what the project file says; it decides if the column proves nothing.
    """
    texts = {name: [cell for cell in cells if isinstance(cell, str)] for name, cells in values.items()}
    amounts = [text for name, some in texts.items() if name in AMOUNTS or name in RATES for text in some]
    orders = {name: _only(map(_proven_order, some)) for name, some in texts.items() if name in DATES}
    of_all = _only(orders.values()) or date_order
    found = {name: order or of_all for name, order in orders.items()}
    rates = [cell for name in RATES for cell in values.get(name, ())]
    return Conventions(
        decimal_mark=decimal_mark or _only(map(_proven_mark, amounts)),
        date_orders={name: order for name, order in found.items() if order},
        percent=any(_is_above_one(rate) for rate in rates),
    )


def _only(proven: Iterable[Any]) -> Any:
    """The one thing that is proven; None if nothing is, or several."""
    found = {each for each in proven if each is not None}
    return found.pop() if len(found) == 1 else None


def _proven_order(text: str) -> DateOrder | None:
    match = _NUMERIC_DATE.fullmatch(_MIDNIGHT.sub("", text.strip()))
    if not match or match[2] == ".":
        # With points the day comes first wherever people write so, which proves nothing for other cells.
        return None
    first, second = int(match[1]), int(match[3])
    if first > 12 >= second:
        return "day_first"
    return "month_first" if second > 12 >= first else None


def _proven_mark(text: str) -> DecimalMark | None:
    """The decimal mark of an amount that can be read in one way only."""
    match = _NUMBER.search(text)
    digits = match[0].strip("'’\u00a0\u202f .,") if match and len(text) <= 64 else ""
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0:
        return None
    mark, whole, decimals = digits[last], digits[:last], digits[last + 1 :]
    if mark in whole:
        # 1.234.567 groups with its mark.
        return ("comma" if mark == "." else "point") if len(decimals) == 3 else None
    if not {".", ","} & set(whole) and _may_be_group(whole, decimals):
        return None
    return "comma" if mark == "," else "point"


def _may_be_group(whole: str, rest: str) -> bool:
    """Whether a mark between digits may stand behind thousands: 1.234, but not 0.234 or 1234.567."""
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
        ValueError: no such value, or one that can be read in two ways; the message names the setting that decides.
    """
    if isinstance(cell, CellFault):
        raise ValueError(f"cell {cell.place} holds {cell.reason}")
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
    # A line break inside a cell stands for a blank: the page has its own.
    text = parse_text(cell)
    return " ".join(text.split()) if text else None


def read_amount(cell: Cell, mark: DecimalMark | None) -> Decimal:
    """Read an amount; `1.234` is read with the decimal mark.

    Raises:
        ValueError: no amount, or one that only the decimal mark could decide.
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
    return plain(number / 100) if conventions.percent else parse_rate(number)


def read_date(cell: Cell, order: DateOrder | None) -> date:
    """Read a date; what could be two dates is read in the order of its column.

    Raises:
        ValueError: no date, or one that only the order could decide.
    """
    if isinstance(cell, date):
        return parse_date(cell)
    text = _MIDNIGHT.sub("", str(cell).strip())
    if match := _DIGITS_ONLY_DATE.fullmatch(text):
        return parse_date(f"{match[1]}-{match[2]}-{match[3]}")
    return parse_date(text, order)
