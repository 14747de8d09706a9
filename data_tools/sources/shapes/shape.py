"""What a shape is, and how its values are gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from data_tools.sources.amounts import read_total
from data_tools.sources.flat_fields import read_fields
from data_tools.sources.truth import ReadSettings, Truth


@dataclass(frozen=True)
class Shape:
    """A family of ground truth that is known by its content.

    Attributes:
        name: as messages and documentation call it.
        matches: whether a value is of this shape; never raises.
        read: its answer; raises ValueError for values that cannot be read.
        model: the service or program that writes it; None where people do.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, ReadSettings], Truth]
    model: str | None = None


@dataclass
class Gathered:
    """Flat fields as they are gathered, and the names of what has no place in an answer."""

    fields: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    _contradicted: set[str] = field(default_factory=set)

    def put(self, name: str, value: Any, where: str) -> None:
        """Note a field; given twice with two values it is unknown, and both are named as unused."""
        if is_empty(value) or name in self._contradicted:
            return
        if name not in self.fields or same(self.fields[name], value):
            self.fields.setdefault(name, value)
            return
        del self.fields[name]
        self._contradicted.add(name)
        self.unused.append(f"{where} (given twice with different values)")

    def skip(self, where: str, value: Any) -> None:
        """Note a key that has no place in an answer, where it holds something."""
        if not is_empty(value):
            self.unused.append(where)

    def truth(
        self,
        kind: str,
        settings: ReadSettings,
        *,
        model: str | None = None,
        ocr: Any = None,
        language: str | None = None,
    ) -> Truth:
        """The answer of all that was gathered.

        Raises:
            ValueError: no field at all, or values that cannot be read.
        """
        fields = dict(self.fields)
        if self.lines:
            fields["line_items"] = self.lines
        if self.charges:
            fields["charges"] = self.charges
        if not fields:
            names = ", ".join(dict.fromkeys(self.unused))[:300] or "nothing"
            raise ValueError(f"{kind}: no field of an invoice in it; it has {names}")
        answer, more = read_fields(fields, settings)
        keys = tuple(dict.fromkeys([*self.unused, *more]))
        return Truth(answer, kind, keys, language=language, model=model, ocr=ocr)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def same(first: Any, second: Any) -> bool:
    """Whether two values are written alike, blanks and case aside."""
    if isinstance(first, str) and isinstance(second, str):
        return "".join(first.split()).casefold() == "".join(second.split()).casefold()
    return bool(first == second)


def taken_off(amount: Any, settings: ReadSettings) -> Decimal | None:
    """A discount as what is taken off, which pages print with a sign or without.

    Raises:
        ValueError: no amount.
    """
    return None if is_empty(amount) else abs(read_total(amount, settings.currency))


def one_line(text: Any) -> Any:
    """A text with its lines joined by commas; anything else as it is."""
    if not isinstance(text, str):
        return text
    return ", ".join(line.strip(" ,") for line in text.splitlines() if line.strip(" ,"))


def objects(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of objects, or the only object of one.

    Raises:
        ValueError: anything else.
    """
    found = [value] if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{what} is no list of objects")
    return found


def is_list_of_objects(value: Any) -> bool:
    """Whether a value is a list of objects, with at least one."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def only(values: Iterable[Any]) -> Any:
    """The one value among some that say the same; None where they differ or are none."""
    found = [value for value in values if not is_empty(value)]
    return found[0] if found and all(same(found[0], value) for value in found[1:]) else None


def mapped(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row under other names, without those that say nothing."""
    return {names[key]: value for key, value in row.items() if key in names and not is_empty(value)}
