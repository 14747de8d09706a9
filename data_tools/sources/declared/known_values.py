"""Values whose meaning is known, from data sets and services, put into the fields of a declared document type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_tools.sources.answers.field_names import usual_names
from data_tools.sources.answers.truth import ReadSettings
from data_tools.sources.declared.content import GivenFields, GivenRow, nothing_found
from data_tools.sources.declared.values import is_absent
from erniekit_adapter.documents.document_type import AnyAnswer
from erniekit_adapter.documents.field_names import FieldNames
from erniekit_adapter.documents.fields import Role

# The role of an invoice's fields in every document type.
_ROLES: Mapping[str, Role] = {
    "vendor_name": "issuer",
    "invoice_number": "number",
    "grand_total": "total",
    "currency": "currency",
}
_ROW_ROLES: Mapping[str, Role] = {
    "description": "description",
    "quantity": "quantity",
    "unit_price": "unit_price",
    "total": "line_total",
}
# Other names of the parts of a receipt.
_MORE_NAMES: Mapping[str, tuple[str, ...]] = {
    "vendor_name": ("store", "shop"),
    "vendor_address": ("address", "store_address"),
    "vendor_phone": ("phone", "telephone", "tel"),
    "vendor_email": ("email",),
    "invoice_number": ("number",),
}


@dataclass(frozen=True)
class KnownValue:
    """A value with the meaning of an invoice's field.

    Attributes:
        location: its place in the source.
        value: the value.
        field: the field of an invoice.
        key: its name in the data set; empty for the output of a service.
    """

    location: str
    value: Any
    field: str
    key: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names by which a document type may have the field."""
        own = (self.key,) if self.key else ()
        return (*own, *usual_names(self.field), *_MORE_NAMES.get(self.field, ()))


@dataclass(frozen=True)
class OtherValue:
    """A value without a place in an invoice.

    Attributes:
        location: its place in the source.
        value: the value.
        names: names by which a document type may have it.
        row: index of its line item; None for a value of the document.
        path: path of its field, if that is known already.
    """

    location: str
    value: Any
    names: tuple[str, ...] = ()
    row: int | None = None
    path: str | None = None


def answer_of_known(
    known: Iterable[KnownValue],
    line_items: Sequence[Mapping[str, Any]],
    lists: Mapping[str, Any],
    others: Iterable[OtherValue],
    unused: Iterable[str],
    settings: ReadSettings,
) -> tuple[AnyAnswer, tuple[str, ...]]:
    """Return the answer of the settings' document type, and the names without a place in it.

    Args:
        known: values of the document.
        line_items: rows by the names of an invoice's line items.
        lists: other lists of rows, by the names of an invoice.
        others: values without a place in an invoice.
        unused: names whose meaning is not certain.
        settings: statements of the project about the source, with the type.

    Raises:
        ValueError: no value has a field, or values that cannot be read; the message names each.
    """
    document_type = settings.document_type
    given = GivenFields(FieldNames(document_type, settings.labels), unused=list(unused))
    locations = []
    for each in known:
        locations.append(each.location)
        role = _ROLES.get(each.field)
        # A data set of receipts has one company; in other documents the issuer may be either party.
        decides: Literal["name", "name only"] = "name only" if role == "issuer" and not each.key else "name"
        given.put_meant(given.values, each.names, each.value, each.location, role=role, decides=decides)
    others = list(others)
    rows = [_row(given, row, index, others) for index, row in enumerate(line_items)]
    if rows and document_type.line_items is not None:
        given.rows[document_type.line_items] = [rows]
    for other in others:
        if other.row is None:
            locations.append(other.location)
            _put_other(given, given.values, other)
    for name, value in lists.items():
        _put_list(given, name, value)
    if given.is_empty:
        raise nothing_found(settings, [*locations, *given.unused])
    return given.answer(settings)


def _row(given: GivenFields, row: Mapping[str, Any], index: int, others: Iterable[OtherValue]) -> GivenRow:
    table = given.names.document_type.line_items
    found: GivenRow = {}
    for name, value in row.items():
        if not is_absent(value) and table is None:
            given.unused.append(f"line_items[].{name}")
        elif table is not None:
            names = usual_names(name, of_row=True)
            role = _ROW_ROLES.get(name)
            location = f"line_items[{index}].{name}"
            given.put_meant(found, names, value, location, role=role, table=table, decides="role")
    for other in others:
        if other.row == index and table is not None:
            _put_other(given, found, other, table)
        elif other.row == index:
            given.unused.append(other.location)
    return found


def _put_other(given: GivenFields, row: GivenRow, other: OtherValue, table: str | None = None) -> None:
    if other.path is not None:
        given.put(row, given.names.document_type.fields[other.path], other.value, other.location)
    else:
        given.put_meant(row, other.names, other.value, other.location, table=table)


def _put_list(given: GivenFields, name: str, rows: Any) -> None:
    """Add a list of a service, such as `taxes`, to the table with its name, or its only row to the document."""
    table = given.names.table(name)
    if table is not None:
        made: list[GivenRow] = []
        for row in rows:
            part: GivenRow = {}
            for key, value in row.items():
                given.put_meant(part, (key,), value, f"{name}[].{key}", table=table)
            made.append(part)
        given.rows[table] = [made]
    elif len(rows) == 1 and name == "taxes":
        for key, value in rows[0].items():
            given.put_meant(given.values, usual_names(f"tax_{key.removeprefix('tax_')}"), value, f"taxes[0].{key}")
    elif not is_absent(rows):
        given.unused.append(name)
