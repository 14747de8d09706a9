"""Signs of amounts that a source marks beside them: S and H, Dr and Cr, or a name for each direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents.field_names import name_key
from erniekit_adapter.documents.fields import Field

# Values of a mark → the sign of the amount beside it.
_PAID_OUT = (
    "d", "dr", "debit", "debet", "débit", "débito", "debito", "addebito", "dbit", "s", "soll", "lastschrift",
    "ausgang", "af", "out", "outflow", "outgoing", "withdrawal", "借", "支出",
)  # fmt: skip
_PAID_IN = (
    "c", "cr", "credit", "crédit", "crédito", "credito", "accredito", "crdt", "h", "haben", "gutschrift", "eingang",
    "bij", "in", "inflow", "incoming", "deposit", "贷", "收入",
)  # fmt: skip
_DIRECTIONS: Mapping[str, int] = {**dict.fromkeys(_PAID_OUT, -1), **dict.fromkeys(_PAID_IN, 1)}
_MARKS = frozenset(map(name_key, (
    "S/H", "Soll/Haben", "H/S", "D/C", "C/D", "Dr/Cr", "Cr/Dr", "debit/credit", "credit/debit", "debit or credit",
    "credit debit indicator", "debit credit indicator", "CdtDbtInd", "direction", "type", "transaction type", "sign",
    "Af Bij", "Af/Bij", "indicator", "Umsatztyp", "sens", "收支", "借贷", "借贷标志",
)))  # fmt: skip
# Names of a column that has the amounts of one direction → their sign.
_SIDES: Mapping[str, int] = {
    **dict.fromkeys(map(name_key, (
        "debit", "debits", "debit amount", "amount debit", "withdrawal", "withdrawals", "withdrawal amount", "paid out",
        "money out", "outflow", "Soll", "Belastung", "Belastungen", "Lastschrift", "Ausgang", "Ausgaben", "Auszahlung",
        "débit", "debe", "cargo", "Dare", "Addebiti", "Af", "支出", "支出金额", "借方金额", "借方发生额",
    )), -1),
    **dict.fromkeys(map(name_key, (
        "credit", "credits", "credit amount", "amount credit", "deposit", "deposits", "deposit amount", "paid in",
        "money in", "inflow", "Haben", "Gutschrift", "Gutschriften", "Eingang", "Einnahmen", "Einzahlung",
        "crédit", "haber", "abono", "Avere", "Accrediti", "Bij", "收入", "收入金额", "贷方金额", "贷方发生额",
    )), 1),
}  # fmt: skip
_WITH_MARK = re.compile(r"(?P<amount>[^A-Za-z]*\d[^A-Za-z]{0,4})(?P<mark>S|H|DR|CR|D|C|SOLL|HABEN)\.?", re.IGNORECASE)
_NEGATIVE = re.compile(r"[-−–(]")
_NO_CENTS = re.compile(r"[.,][-–—]\s*$")
_INNER = ("value", "amount", "text", "content")


def direction(value: object) -> int | None:
    """Return the sign that a mark means: -1 for Debit, S or Af; None for other texts."""
    return _DIRECTIONS.get(value.strip().casefold().rstrip(".")) if isinstance(value, str) else None


def may_mean_direction(value: object) -> bool:
    """Return whether a text is a mark, or has the word of one, such as `ACH_DEBIT` and `Direct debit`."""
    if not isinstance(value, str):
        return False
    return any(map(direction, (value, *(word for word in re.split(r"[\W_]+", value[:100]) if len(word) > 4))))


def is_mark(name: str) -> bool:
    """Return whether a name can be that of marks."""
    return name_key(name) in _MARKS


def side(name: str) -> int | None:
    """Return the sign of the amounts that have this name; None for other names."""
    return _SIDES.get(name_key(name))


def without_mark(field: Field, value: Any) -> Any:
    """Return `-50,00` for `50,00 S` if the field is signed; other values unchanged."""
    if not field.is_signed or not isinstance(value, str) or len(value) > 100:
        return value
    text = value.strip()
    if match := _WITH_MARK.fullmatch(text):
        return signed(match["amount"].strip(), _DIRECTIONS[match["mark"].casefold()])
    return text.removesuffix("+").removeprefix("+")


def signed(value: Any, sign: int) -> Any:
    """Return an amount with a sign; one that has a minus already keeps it.

    Raises:
        ValueError: a negative amount is marked as paid in.
    """
    if isinstance(value, dict):
        inner = next((name for name in _INNER if name in value), None)
        return value if inner is None else {**value, inner: signed(value[inner], sign)}
    negative: Any = value
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        is_negative = value < 0
        negative = value if is_negative else -value
    elif isinstance(value, str):
        is_negative = bool(_NEGATIVE.search(_NO_CENTS.sub("", value)))
        negative = value if is_negative else f"-{value.strip().removeprefix('+')}"
    else:
        return value
    if is_negative and sign > 0:
        raise ValueError(f"{shown(value)} is negative, but marked as paid in")
    return negative if sign < 0 else value
