"""Formulas of the rule kind `equation`: sums and products over fields, parsed.

    total = sum(items[].total) + tax? - abs(discount)?
    items[].total = items[].quantity * items[].unit_price
    previous(movements[].balance, opening_balance) + movements[].amount = movements[].balance

A path with `[]` is a column: inside `sum(…)` its values are added, outside the equation is about each row.
`previous(…)` is the value of a column in the row before; its second field is the value before the first row. `abs(…)`
is a value without its sign. A term with `?` counts as 0 if it is missing. Names with blanks or signs are written in
backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

MAX_CHARACTERS, MAX_TERMS, MAX_LEVELS = 1000, 40, 10
_SYMBOL = re.compile(r"\s*(?:(`[^`]+`)|([0-9]+(?:\.[0-9]+)?)|([^\s`+*()=?,−-]+)|([-−+*()=?,]))")
_SIGNS = ("+", "-", "−", "*", "(", ")", "?", "=", ",")


@dataclass(frozen=True)
class Term:
    """A part of a side.

    Attributes:
        op: `field`, a value; `column`, the sum of a column; `previous`, the value of a column in the row before;
            `number`; `+` or `*` of the parts; `-` of one part.
        path: the field of `field`, `column` and `previous`.
        number: the value of `number`.
        parts: the operands; of `previous`, the field before the first row.
        is_optional: whether a missing value counts as 0.
        is_absolute: whether the value counts without its sign: pages print a discount with a minus or without.
    """

    op: Literal["field", "column", "previous", "number", "+", "*", "-"]
    path: str = ""
    number: Decimal = Decimal(0)
    parts: tuple[Term, ...] = ()
    is_optional: bool = False
    is_absolute: bool = False


@dataclass(frozen=True)
class Equation:
    """A parsed equation: its text, both sides, and the table whose rows it is about, if any."""

    text: str
    left: Term
    right: Term
    left_text: str
    right_text: str
    table: str | None

    @property
    def paths(self) -> tuple[str, ...]:
        """The fields of the equation, each once."""
        return tuple(dict.fromkeys(term.path for side in (self.left, self.right) for term in leaves(side)))


def parse_equation(text: str) -> Equation:
    """Parse an equation.

    Raises:
        ValueError: it is not an equation, or cannot be checked; the message quotes the place.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    symbols = _symbols(text)
    if symbols.count("=") != 1:
        raise ValueError(f"expected two sides with one = between them, found {text[:80]!r}")
    middle = symbols.index("=")
    left, right = (_Parser(text, side).side() for side in (symbols[:middle], symbols[middle + 1 :]))
    found = [term for side in (left, right) for term in leaves(side)]
    if not found:
        raise ValueError("names no field")
    if left == right:
        raise ValueError("both sides are the same")
    if len(found) > MAX_TERMS:
        raise ValueError(f"has {len(found)} fields, more than {MAX_TERMS}")
    tables = {term.path.partition("[]")[0] for term in found if term.op != "column" and "[]" in term.path}
    if len(tables) > 1:
        raise ValueError(f"rows of several tables: {', '.join(sorted(tables))}; use sum(…) for the others")
    left_text, right_text = (_written(side) for side in (symbols[:middle], symbols[middle + 1 :]))
    return Equation(text, left, right, left_text, right_text, next(iter(tables), None))


def has_product(equation: Equation) -> bool:
    """Return whether a side has a product, which a document shows rounded."""
    return "*" in _symbols(equation.text)


def _symbols(text: str) -> list[str]:
    found, place, text = [], 0, text.strip()
    while place < len(text):
        match = _SYMBOL.match(text, place)
        if match is None:
            raise ValueError(f"not understood: {text[place : place + 40]!r}")
        found.append(match[0].strip())
        place = match.end()
    return found


def _written(symbols: Sequence[str]) -> str:
    text = " ".join(symbol.strip("`") for symbol in symbols if symbol != "?")
    return text.replace(" ( ", "(").replace("( ", "(").replace(" )", ")").replace(" ,", ",")


def leaves(term: Term) -> Iterator[Term]:
    """Yield the fields of a term."""
    if term.path:
        yield term
    for part in term.parts:
        yield from leaves(part)


class _Parser:
    """Recursive descent: side = product (± product)*, product = value (* value)*."""

    def __init__(self, text: str, symbols: Sequence[str]) -> None:
        self.text, self.symbols = text.strip(), symbols
        if not symbols:
            raise ValueError(f"expected a field on each side of =, found {self.text[:80]!r}")
        self.place = self.level = 0

    def side(self) -> Term:
        found = self._sum()
        if self.place < len(self.symbols):
            raise ValueError(f"not understood: {self._next()!r} in {self.text[:80]!r}")
        return found

    def _sum(self) -> Term:
        parts = [self._signed()]
        while self._peek() in ("+", "-", "−"):
            parts.append(self._signed())
        return parts[0] if len(parts) == 1 else Term("+", parts=tuple(parts))

    def _signed(self) -> Term:
        if self._peek() == "+":
            self._next()
        elif self._peek() in ("-", "−"):
            self._next()
            return Term("-", parts=(self._product(),))
        return self._product()

    def _product(self) -> Term:
        parts = [self._value()]
        while self._peek() == "*":
            self._next()
            parts.append(self._value())
        if len(parts) == 1:
            return parts[0]
        if any(part.is_optional for part in parts):
            raise ValueError("? is for terms of a sum, not for factors")
        return Term("*", parts=tuple(parts))

    def _value(self) -> Term:
        symbol = self._next()
        if symbol == "(":
            self.level += 1
            if self.level > MAX_LEVELS:
                raise ValueError(f"more than {MAX_LEVELS} levels of brackets")
            inner = self._sum()
            self._expect(")")
            self.level -= 1
            return inner
        if symbol == "sum" and self._peek() == "(":
            return Term("column", path=self._arguments("sum", 1)[0], is_optional=self._optional())
        if symbol == "abs" and self._peek() == "(":
            self._next()
            path = self._name(self._next())
            self._expect(")")
            return Term("field", path=path, is_optional=self._optional(), is_absolute=True)
        if symbol == "previous" and self._peek() == "(":
            column, *start = self._arguments("previous", 2)
            return Term("previous", path=column, parts=tuple(Term("field", path=path) for path in start))
        if symbol[0] in "0123456789":
            return Term("number", number=Decimal(symbol))
        return Term("field", path=self._name(symbol), is_optional=self._optional())

    def _arguments(self, function: str, most: int) -> list[str]:
        """Return the fields in brackets: a column, and up to `most` fields in all."""
        self._expect("(")
        paths = [self._name(self._next())]
        while self._peek() == "," and len(paths) < most:
            self._next()
            paths.append(self._name(self._next()))
        self._expect(")")
        if "[]" not in paths[0]:
            raise ValueError(f"{function}({paths[0]}): expected a column, such as items[].total")
        if any("[]" in path for path in paths[1:]):
            raise ValueError(f"{function}({', '.join(paths)}): the value before the first row is not a column")
        return paths

    def _name(self, symbol: str) -> str:
        if symbol in _SIGNS:
            raise ValueError(f"expected a field, found {symbol!r} in {self.text[:80]!r}")
        return symbol.strip("`")

    def _optional(self) -> bool:
        if self._peek() != "?":
            return False
        self._next()
        return True

    def _expect(self, symbol: str) -> None:
        if self._next() != symbol:
            raise ValueError(f"expected {symbol!r} in {self.text[:80]!r}")

    def _peek(self) -> str:
        return self.symbols[self.place] if self.place < len(self.symbols) else ""

    def _next(self) -> str:
        symbol = self._peek()
        if not symbol:
            raise ValueError(f"ends too early: {self.text[:80]!r}")
        self.place += 1
        return symbol
