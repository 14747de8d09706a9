"""The values that identify a document of a type, and the amounts that its page may print as a total."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data_tools.visibility.labels import CLOSING_BALANCES, TOTALS
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import Field, Role
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.rules.context import number_of, values_at

_ROLES: tuple[Role, ...] = ("number", "issuer", "total")
# Other numbers identify a document whose type has fewer roles.
_LEAST_ROLES, _MOST_FIELDS = 2, 3
_BALANCE_WORDS = ("balance", "saldo", "kontostand", "solde", "余额", "残高", "잔액")

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Identity:
    """The identifying values and amounts of a document type.

    Attributes:
        fields: label and path of the values that identify a document.
        total: path of the total; None if the type has none.
        labels: labels of the total on pages.
        amounts: returns all amounts of a content that a page may print as a total.
        sum_of: returns the sum that is the total if the true total is another amount of the page; None if unknown.
    """

    fields: tuple[tuple[str, str], ...]
    total: str | None
    labels: tuple[str, ...]
    amounts: Callable[[Content], Iterator[Decimal]]
    sum_of: Callable[[Content], Decimal | None]


_known: dict[tuple[str, str], Identity] = {}


def identity_of(document_type: DocumentType) -> Identity:
    """Return the identifying values of a document type."""
    key = (document_type.reference, document_type.digest)
    if key not in _known:
        _known[key] = _make_identity(document_type)
    return _known[key]


def _make_identity(document_type: DocumentType) -> Identity:
    by_role = document_type.by_role
    fields = [by_role[role] for role in _ROLES if role in by_role and by_role[role].table is None]
    if len(fields) < _LEAST_ROLES:
        numbers = [each for each in document_type.fields.values() if each.kind == "identifier" and each.table is None]
        fields += [each for each in numbers if each.is_printed and each not in fields][: _MOST_FIELDS - len(fields)]
    total = by_role.get("total")
    if total is not None and total.table is not None:
        total = None
    named = tuple((_label(field), field.path) for field in fields)
    if document_type is INVOICE:
        return Identity(named, total.path if total else None, TOTALS, _invoice_amounts, _sum_with_tax)
    table = document_type.line_items
    amounts = tuple(each for each in document_type.fields.values() if each.kind == "amount" and each.table != table)

    def amounts_of(content: Content) -> Iterator[Decimal]:
        for field in amounts:
            for value in values_at(content, field.path):
                if (number := number_of(value)) is not None:
                    yield number

    return Identity(named, total.path if total else None, _labels(total), amounts_of, lambda _: None)


def _label(field: Field) -> str:
    """Return the name of a field inside a sentence; abbreviations keep their capitals."""
    name = field.title or field.path
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


def _labels(total: Field | None) -> tuple[str, ...]:
    """Return the labels of a type's total: also its names; a balance is not labelled as a sum."""
    if total is None:
        return TOTALS
    own = tuple(name.replace("_", " ").casefold() for name in (total.title, total.name) if name)
    is_balance = any(word in name for name in own for word in _BALANCE_WORDS)
    return (*(CLOSING_BALANCES if is_balance else TOTALS), *own)


def _invoice_amounts(data: Content) -> Iterator[Decimal]:
    """Yield every amount of the financial summary, and sums of them that a page may print."""
    summary = data.get("financial_summary", {})
    parts = [summary, *(row for name in ("taxes", "discounts", "charges") for row in summary.get(name, []))]
    for part in parts:
        yield from (value for name, value in part.items() if isinstance(value, Decimal) and name != "rate")
    if (net := _net(summary)) is not None:
        yield net


def _sum_with_tax(data: Content) -> Decimal | None:
    """Return subtotal - discounts + charges + taxes; None if the subtotal is absent, or no tax has an amount.

    Use it only if the true total is on the page, as the subtotal or the amount due.
    """
    summary = data["financial_summary"]
    net, taxes = _net(summary), [row["amount"] for row in summary.get("taxes", []) if "amount" in row]
    total = summary["grand_total"]
    if net is None or not taxes or total not in (summary.get("subtotal"), net, summary.get("amount_due")):
        return None
    return net + sum(taxes, Decimal(0)) + Decimal(summary.get("rounding") or 0)


def _net(summary: Content) -> Decimal | None:
    """Return subtotal - discounts + charges."""
    subtotal: Decimal | None = summary.get("subtotal")
    if subtotal is None:
        return None
    less = sum((row["amount"] for row in summary.get("discounts", []) if "amount" in row), Decimal(0))
    more = sum((row["amount"] for row in summary.get("charges", []) if "amount" in row), Decimal(0))
    return subtotal - less + more
