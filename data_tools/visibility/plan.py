"""Search plan of a document type: how each of its values is searched on a page, made once from its fields.

The invoice has special searches for some of its fields, chosen by their path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_tools.visibility.kinds import Find, found_if, search_of
from data_tools.visibility.names import is_of_a_tax_number, printed_method, printed_tax, shows_document_type
from data_tools.visibility.numbers import shows_amount
from data_tools.visibility.page_text import PageText
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.loading import INVOICE

# Search functions of the invoice instead of those of the kind.
_INVOICE_SEARCHES: Mapping[str, Find] = {
    "document_type": found_if(shows_document_type),
    "financial_summary.taxes[].type": printed_tax,
    "payment_terms.payment_method": printed_method,
}
_INVOICE_REFUSALS = {"financial_summary.taxes[].type": is_of_a_tax_number}
# Fields of the invoice that are the same value in two blocks: both stay, or both are removed.
_INVOICE_TWINS = (
    ("client_info.due_date", "payment_terms.due_date"),
    ("payment_terms.due_date", "client_info.due_date"),
)
# Tables whose rows are found by the description have these roles.
_ITEM_ROLES = ("description", "quantity", "unit_price", "line_total")
_FACTORS = frozenset({"quantity", "unit_price"})


@dataclass(frozen=True)
class ValueSearch:
    """The search for a value.

    Attributes:
        field: the field.
        keys: keys from its table's row, or from the content, to the value.
        find: returns the value for the answer, or None; used if the page does not have the spelling of the answer.
        has_spelling: whether a value is found if the page has its spelling as a word; a rate is printed as a
            percentage.
        is_refused: whether the spelling at its first place on the page means another thing.
        is_plain: whether a text is found if the page has it as words, without another condition.
    """

    field: Field
    keys: tuple[str, ...]
    find: Find
    has_spelling: bool
    is_refused: Callable[[str, str], bool] | None = None
    is_plain: bool = False


# The searches of an object by key: of a value, or of an object or the rows of a list.
Branch = dict[str, "ValueSearch | Branch"]


@dataclass(frozen=True)
class TableSearch:
    """The search for the rows of a table.

    Attributes:
        path: path of the table.
        columns: searches of its columns.
        items: column of each role of line items, if the rows are found by their description; else empty.
    """

    path: str
    columns: tuple[ValueSearch, ...]
    items: Mapping[str, ValueSearch]

    @property
    def others(self) -> tuple[ValueSearch, ...]:
        """The columns that are no role of line items."""
        own = {search.field.path for search in self.items.values()}
        return tuple(search for search in self.columns if search.field.path not in own)


@dataclass(frozen=True)
class SearchPlan:
    """Searches of all values of a document type.

    Attributes:
        is_invoice: whether it is the plan of the invoice.
        fields: the printable fields, in the order of the answer.
        branch: the searches of the content by key.
        tables: the tables whose values are searched row by row.
        twins: pairs of fields; if the first is removed, the second is removed too.
    """

    is_invoice: bool
    fields: tuple[str, ...]
    branch: Branch
    tables: tuple[TableSearch, ...]
    twins: tuple[tuple[str, str], ...]


_plans: dict[tuple[str, str], SearchPlan] = {}


def plan_of(document_type: DocumentType) -> SearchPlan:
    """Return the search plan of a document type."""
    key = (document_type.reference, document_type.digest)
    if key not in _plans:
        _plans[key] = _make_plan(document_type)
    return _plans[key]


def _make_plan(document_type: DocumentType) -> SearchPlan:
    own = document_type is INVOICE
    branch: Branch = {}
    searches: dict[str, ValueSearch] = {}
    for field in document_type.fields.values():
        search = _search(field, special=own)
        if search is not None:
            searches[field.path] = search
            _add(branch, search)
    tables = [_table(document_type, table, searches) for table in document_type.tables]
    # The other tables of an invoice have one row each in most cases, and are searched on the whole page.
    by_rows = [table for table in tables if table.columns and (table.items or not own)]
    return SearchPlan(own, tuple(searches), branch, tuple(by_rows), _INVOICE_TWINS if own else ())


def _search(field: Field, *, special: bool) -> ValueSearch | None:
    find = search_of(field)
    if find is None:
        return None
    inner = field.path.partition("[].")[2] if "[]." in field.path else field.path
    search = ValueSearch(field, tuple(inner.removesuffix("[]").split(".")), find, field.kind != "rate")
    if not special:
        return replace(search, is_plain=search.has_spelling and not field.is_text)
    usual = found_if(shows_amount) if field.kind == "amount" else find
    return replace(
        search,
        find=_INVOICE_SEARCHES.get(field.path, usual),
        is_refused=_INVOICE_REFUSALS.get(field.path),
        is_plain=search.has_spelling and field.path not in _INVOICE_REFUSALS,
    )


def _add(branch: Branch, search: ValueSearch) -> None:
    *parents, name = search.field.path.replace("[]", "").split(".")
    for parent in parents:
        inner = branch.setdefault(parent, {})
        if isinstance(inner, dict):
            branch = inner
    branch[name] = search


def _table(document_type: DocumentType, path: str, searches: Mapping[str, ValueSearch]) -> TableSearch:
    columns = tuple(searches[field.path] for field in document_type.columns(path) if field.path in searches)
    by_role = {search.field.role: search for search in columns if search.field.role in _ITEM_ROLES}
    is_items = "description" in by_role and not _FACTORS.isdisjoint(by_role)
    return TableSearch(
        path, columns, {role: by_role[role] for role in _ITEM_ROLES if role in by_role} if is_items else {}
    )


def value_in(part: Any, keys: tuple[str, ...]) -> Any:
    """Return the value at some keys of nested objects; None if it is missing."""
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    return part


def remove_in(part: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Remove the value at some keys of nested objects, and objects that are empty then."""
    inner: Any = part
    for key in keys[:-1]:
        inner = inner.get(key) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner.pop(keys[-1], None)
        if not inner and len(keys) > 1:
            remove_in(part, keys[:-1])


def set_in(part: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    """Replace the value at some keys of nested objects."""
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value


def is_spelled(search: ValueSearch, value: Any, page: PageText) -> bool:
    """Return whether the page has the spelling of the answer as a word."""
    if not search.has_spelling:
        return False
    text = page.text
    spelled = value if isinstance(value, str) else str(value)
    if f" {spelled} " not in text:
        return False
    if isinstance(value, str) and not search.field.is_text:
        return search.is_refused is None or not search.is_refused(value, text)
    return "." in spelled or len(spelled) > SHORT_DIGITS


# A whole number of at most this many digits may be a day, a rate or a part of a name.
SHORT_DIGITS = 3
