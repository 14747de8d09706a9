"""The content of a document, put together from values that a source gives for its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from data_tools.sources.answers.truth import ReadSettings
from data_tools.sources.declared.values import NotAChoiceError, ReadingContext, is_absent, is_unit_price, read_value
from data_tools.sources.files.json_values import as_text
from erniekit_adapter.documents.document_type import AnyAnswer
from erniekit_adapter.documents.field_names import FieldNames, inner_path, may_be_unit_price, shown_path, table_of
from erniekit_adapter.documents.fields import Field, Role

_MAX_MESSAGE_CHARACTERS = 2000


@dataclass(frozen=True)
class GivenValue:
    """A value of a field, with its location in the source."""

    location: str
    value: Any


# The values given for each field of the document or of a row, by path.
GivenRow = dict[str, list[GivenValue]]


@dataclass
class GivenFields:
    """Values of one document by field, as the source writes them.

    Attributes:
        names: names of the fields.
        values: values of the document's fields.
        rows: rows of each table, once for each time that the source gives the table.
        unused: names with a value and without a certain place in the answer.
    """

    names: FieldNames
    values: GivenRow = field(default_factory=dict)
    rows: dict[str, list[list[GivenRow]]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True if no field has been given."""
        return not (self.values or self.rows)

    def put(self, row: GivenRow, each: Field, value: Any, location: str) -> None:
        """Add a value of a field to a row, or to the document."""
        row.setdefault(each.path, []).append(GivenValue(location, value))

    def put_found(self, row: GivenRow, found: Sequence[Field], value: Any, location: str) -> None:
        """Add a value of the one field that its name means; other values are noted as unused."""
        if len(found) == 1:
            self.put(row, found[0], value, location)
        elif not is_absent(value):
            paths = " or ".join(map(shown_path, found))
            self.unused.append(f"{location} (can mean {paths})" if found else location)

    def put_meant(
        self,
        row: GivenRow,
        names: Iterable[str],
        value: Any,
        location: str,
        *,
        role: Role | None = None,
        table: str | None = None,
        decides: Literal["role", "name", "name only"] = "name",
    ) -> None:
        """Add a value whose meaning is known to the field with one of its names or with its role.

        Args:
            row: the row, or the document's values.
            names: names of this meaning, the best first.
            value: the value.
            location: its place in the source.
            role: role of this meaning.
            table: table of the row; None for the document.
            decides: which of both has priority if they lead to two fields.
        """
        if is_absent(value):
            return
        by_role = self.names.with_role(role, table) if role and decides != "name only" else None
        by_name = self.names.meant(names, role, table)
        found = by_role or by_name if decides == "role" else by_name or by_role
        if found is None:
            self.unused.append(location)
        else:
            self.put(row, found, value, location)

    def answer(self, settings: ReadSettings) -> tuple[AnyAnswer, tuple[str, ...]]:
        """Return the answer with these values, and the names without a place in it.

        Raises:
            ValueError: values that cannot be read or do not fit the schema; the message names each.
        """
        reader = _ContentReader(self, settings)
        content = reader.content()
        if reader.problems:
            raise ValueError("; ".join(reader.problems)[:_MAX_MESSAGE_CHARACTERS])
        answer = settings.document_type.read_content(content)
        return answer, tuple(dict.fromkeys([*self.unused, *reader.unused]))


@dataclass
class _ContentReader:
    given: GivenFields
    settings: ReadSettings
    problems: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        document_type = self.settings.document_type
        currency_field = document_type.by_role.get("currency")
        currency = self.settings.currency
        values: dict[str, Any] = {}
        if currency_field is not None and table_of(currency_field) is None:
            context = ReadingContext(self.settings.date_order, currency)
            stated = self.one(currency_field, self.given.values.get(currency_field.path, ()), context)
            values[currency_field.path] = stated
            currency = stated or currency
        context = ReadingContext(self.settings.date_order, currency)
        for path, given in self.given.values.items():
            if path not in values:
                values[path] = self.one(document_type.fields[path], given, context)
        tables = {table: self.table(table, listed, context) for table, listed in self.given.rows.items()}
        if currency_field is not None and table_of(currency_field) is None and self.is_missing(currency_field):
            values[currency_field.path] = self.source_currency(currency_field, values)
        return nested({path: value for path, value in {**values, **tables}.items() if value is not None})

    def is_missing(self, each: Field) -> bool:
        """Return whether the source gives no value for a field of the document."""
        return all(is_absent(given.value) for given in self.given.values.get(each.path, ()))

    def source_currency(self, currency_field: Field, values: Mapping[str, Any]) -> Any:
        """Return the currency that the project states for the source, if the document has an amount."""
        fields = self.settings.document_type.fields
        paths = {path for path, value in values.items() if value is not None}
        paths |= {path for listed in self.given.rows.values() for rows in listed for row in rows for path in row}
        if self.settings.currency is None or not any(fields[path].kind == "amount" for path in paths):
            return None
        stated = GivenValue("currency of the source", self.settings.currency)
        return self.one(currency_field, [stated], ReadingContext())

    def one(self, each: Field, given: Iterable[GivenValue], context: ReadingContext) -> Any:
        """Return the value of a field; None if it is missing, unreadable, or given with different values."""
        read: list[Any] = []
        for item in given:
            try:
                value = _read(each, item.value, context)
            except NotAChoiceError as error:
                if item.location.rpartition(".")[2] != each.name:
                    # A service has other codes: the answer lacks the value, as one without a field.
                    self.unused.append(f"{item.location} ({error})"[:300])
                    continue
                self.problems.append(f"{shown_path(each)}: {error}")
                continue
            except ValueError as error:
                name = shown_path(each)
                location = name if item.location == name else f"{name}: {item.location}"
                self.problems.append(f"{location}: {error}")
                continue
            if value is not None:
                read.append(value)
                if not _equal(read[0], value):
                    self.unused.append(f"{item.location} (given twice with different values)")
                    return None
        return read[0] if read else None

    def table(
        self, table: str, listed: Sequence[Sequence[GivenRow]], context: ReadingContext
    ) -> list[dict[str, Any]] | None:
        """Return the rows of a table, without blank ones; None if the source gives two different tables."""
        found = [[row for row in (self.row(each, context) for each in rows) if row] for rows in listed]
        if any(rows != found[0] for rows in found[1:]):
            self.unused.append(f"{table} (given twice with different values)")
            return None
        # Rows without any field of the type are unknown, and not a table without rows.
        return None if listed[0] and not found[0] else found[0]

    def row(self, given: GivenRow, context: ReadingContext) -> dict[str, Any]:
        """Return a row; its unit price may have more decimals than its currency."""
        fields = self.settings.document_type.fields
        given = self.with_price_apart(given)
        values: dict[str, Any] = {}
        numbers: dict[str, Decimal | None] = {}
        for path in sorted(given, key=lambda path: is_unit_price(fields[path])):
            each = fields[path]
            if is_unit_price(each):
                known = numbers.get("quantity"), numbers.get("line_total")
                context = ReadingContext(context.date_order, context.currency, *known)
            value = self.one(each, given[path], context)
            if value is not None:
                values[path] = value
                if each.role in ("quantity", "line_total"):
                    numbers[each.role] = value
        self.leave_out_unclear_price(given, values, numbers)
        order = list(fields)
        return nested({inner_path(fields[path]): values[path] for path in sorted(values, key=order.index)})

    def with_price_apart(self, given: GivenRow) -> GivenRow:
        """Return a row in which `price` beside a total is the price of one piece, as its name can mean both."""
        document_type = self.settings.document_type
        total, price = document_type.by_role.get("line_total"), document_type.by_role.get("unit_price")
        if total is None or price is None or price.path in given or len(given.get(total.path, ())) < 2:
            return given
        prices = [each for each in given[total.path] if may_be_unit_price(document_type, total, each.location)]
        others = [each for each in given[total.path] if each not in prices and not is_absent(each.value)]
        return {**given, total.path: others, price.path: prices} if others and prices else given

    def leave_out_unclear_price(
        self, given: GivenRow, values: dict[str, Any], numbers: Mapping[str, Decimal | None]
    ) -> None:
        """Remove the total of a row that is called its price, if there are several pieces and no unit price."""
        document_type = self.settings.document_type
        unit_price = document_type.by_role.get("unit_price")
        if numbers.get("quantity") in (None, 1) or unit_price is None or unit_price.path in values:
            return
        for path in list(values):
            locations = [item.location for item in given[path]]
            if any(self.given.names.is_labelled(name.rpartition(".")[2]) for name in locations):
                continue
            if all(may_be_unit_price(document_type, document_type.fields[path], name) for name in locations):
                del values[path]
                self.unused.append(f"{locations[0]} (of one or of all is not certain)")


def _read(each: Field, value: Any, context: ReadingContext) -> Any:
    """Read a value, or the values of a list."""
    if not each.path.endswith("[]"):
        return read_value(each, value, context)
    parts = value if isinstance(value, list) else [value]
    return [part for part in (read_value(each, part, context) for part in parts) if part is not None] or None


def _equal(first: object, second: object) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return "".join(first.split()).casefold() == "".join(second.split()).casefold()
    return first == second


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by path as nested objects."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        *parents, name = path.removesuffix("[]").split(".")
        part = found
        for parent in parents:
            part = part.setdefault(parent, {})
        part[name] = value
    return found


def nothing_found(settings: ReadSettings, keys: Iterable[object]) -> ValueError:
    """Return the error for a value without any field of the type."""
    names = ", ".join(dict.fromkeys(map(str, keys)))[:300] or "none"
    kind = settings.document_type
    fields = ", ".join(map(shown_path, list(kind.fields.values())[:20]))[:300]
    return ValueError(
        f"no ground truth of type {kind.name}: its keys are {as_text(names)}; the fields are {fields}; "
        "labels: maps your own names"
    )
