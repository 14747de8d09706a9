"""The definition of a shape, and the values collected for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.amounts import read_total
from data_tools.sources.answers.flat_fields import read_fields
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.declared.known_values import KnownValue, OtherValue, answer_of_known
from erniekit_adapter.documents.document_type import AnyAnswer
from erniekit_adapter.documents.field_names import FieldNames, shown_path, table_of
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.loading import INVOICE


@dataclass(frozen=True)
class Shape:
    """A shape of ground truth, recognised by its content.

    Attributes:
        name: its name in messages and documentation.
        matches: returns whether a value has this shape; never raises.
        read: returns its answer; raises ValueError for values that cannot be read.
        model: the service or program that writes it; None if people do.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, ReadSettings], GroundTruth]
    model: str | None = None


@dataclass
class CollectedFields:
    """Flat fields of a document while they are collected, and the names without a place in the answer.

    Attributes:
        fields: values by the names of an invoice's fields.
        line_items: rows by the names of an invoice's line items.
        charges: amounts added to the total.
        unused: names without a place in the answer, or whose meaning is not certain.
        others: values without a place in an invoice, which other document types may have.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    line_items: list[dict[str, Any]] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    others: list[OtherValue] = field(default_factory=list)
    _keys: dict[str, str] = field(default_factory=dict)
    _locations: dict[str, str] = field(default_factory=dict)
    _contradicted: set[str] = field(default_factory=set)

    def put(self, name: str, value: Any, location: str, key: str = "") -> None:
        """Add a field; with two different values it is unknown, and both are reported as unused.

        Args:
            name: name of the field in an invoice.
            value: its value.
            location: its place in the source, for messages.
            key: its name in the data set, which other document types can have as an alias.
        """
        if is_empty(value) or name in self._contradicted:
            return
        self._keys[name] = key
        self._locations.setdefault(name, location)
        if name not in self.fields or equal_values(self.fields[name], value):
            self.fields.setdefault(name, value)
            return
        del self.fields[name]
        self._contradicted.add(name)
        self.unused.append(f"{location} (given twice with different values)")

    def skip(self, location: str, value: Any) -> None:
        """Note a key without a place in the answer, if it has a value."""
        if not is_empty(value):
            self.unused.append(location)

    def put_other(self, location: str, value: Any, *names: str, row: int | None = None) -> None:
        """Add a value that an invoice has no place for, in the order of the notes of `unused`.

        Args:
            location: its place in the source.
            value: its value.
            names: names by which other document types find it.
            row: index of its line item; None for a value of the document.
        """
        if not is_empty(value) and not isinstance(value, (list, dict)):
            self.others.append(OtherValue(location, value, names, row))
        self.skip(location, value)

    def add_charge(self, amount: Any, location: str, *names: str) -> None:
        """Add an amount of a service or a fee; other document types have it under one of its names."""
        if not is_empty(amount):
            self.charges.append({"amount": amount})
            self.others.append(OtherValue(location, amount, names))

    def put_label(self, label: str, text: str, location: str, settings: ReadSettings) -> Field | None:
        """Add the text with a label as the field of a declared type that the label means.

        Returns:
            The field of a row that the label means instead; the text is not added.
        """
        found = FieldNames(settings.document_type, settings.labels).label_field(label)
        if len(found) == 1 and table_of(found[0]) is not None:
            return found[0]
        if len(found) == 1:
            self.others.append(OtherValue(location, text, path=found[0].path))
        else:
            several = " or ".join(map(shown_path, found))
            self.skip(f"{location} (can mean {several})" if found else location, text)
        return None

    def put_rows(self, rows: Iterable[Mapping[str, str]], location: str) -> None:
        """Add the rows of a declared type's line items, by the paths of their fields."""
        for row in rows:
            index = len(self.line_items)
            self.line_items.append({})
            self.others += [
                OtherValue(f"{location}[{index}].{path}", text, row=index, path=path) for path, text in row.items()
            ]

    def ground_truth(
        self,
        kind: str,
        settings: ReadSettings,
        *,
        model: str | None = None,
        ocr: Any = None,
        language: str | None = None,
    ) -> GroundTruth:
        """Return the answer of all collected fields.

        Raises:
            ValueError: no field was collected, or there are values that cannot be read.
        """
        if settings.document_type is not INVOICE:
            answer, keys = self._of_type(settings)
            return GroundTruth(answer, kind, keys, language=language, model=model, ocr=ocr)
        fields = dict(self.fields)
        if self.line_items:
            fields["line_items"] = self.line_items
        if self.charges:
            fields["charges"] = self.charges
        if not fields:
            names = ", ".join(dict.fromkeys(self.unused))[:300] or "nothing"
            raise ValueError(f"{kind}: it has no field of an invoice; its keys are {names}")
        answer, more = read_fields(fields, settings)
        keys = tuple(dict.fromkeys([*self.unused, *more]))
        return GroundTruth(answer, kind, keys, language=language, model=model, ocr=ocr)

    def _of_type(self, settings: ReadSettings) -> tuple[AnyAnswer, tuple[str, ...]]:
        """Return the answer of a declared document type, and the names without a place in it."""
        known = [
            KnownValue(self._locations[name], value, name, self._keys[name])
            for name, value in self.fields.items()
            if name in self._keys
        ]
        lists = {name: value for name, value in self.fields.items() if name not in self._keys}
        tried = {other.location for other in self.others}
        unused = [location for location in self.unused if location not in tried]
        return answer_of_known(known, self.line_items, lists, self.others, unused, settings)


def is_empty(value: Any) -> bool:
    """Return whether a value is missing or blank."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def equal_values(first: Any, second: Any) -> bool:
    """Return whether two values are equal, apart from blanks and case."""
    if isinstance(first, str) and isinstance(second, str):
        return "".join(first.split()).casefold() == "".join(second.split()).casefold()
    return bool(first == second)


def positive_discount(amount: Any, settings: ReadSettings) -> Decimal | None:
    """Return a discount as a positive amount; pages print it with or without a sign.

    Raises:
        ValueError: the value is not an amount.
    """
    return None if is_empty(amount) else abs(read_total(amount, settings.currency))


# Fields whose lines are joined with commas.
ADDRESS_FIELDS = frozenset({"vendor_address", "client_address"})


def one_line(text: Any) -> Any:
    """Return a text with its lines joined by commas; other values unchanged."""
    if not isinstance(text, str):
        return text
    return ", ".join(line.strip(" ,") for line in text.splitlines() if line.strip(" ,"))


def as_objects(value: Any, finding: str) -> list[dict[str, Any]]:
    """Return a list of objects; a single object becomes a list.

    Raises:
        ValueError: the value is neither.
    """
    found = [value] if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{finding} is not a list of objects")
    return found


def is_list_of_objects(value: Any) -> bool:
    """Return whether a value is a list of objects with at least one element."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def only_value(values: Iterable[Any]) -> Any:
    """Return the one value of several equal ones; None if they differ or all are blank."""
    found = [value for value in values if not is_empty(value)]
    return found[0] if found and all(equal_values(found[0], value) for value in found[1:]) else None


def renamed_values(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a row under other names, without missing and blank ones."""
    return {names[key]: value for key, value in row.items() if key in names and not is_empty(value)}
