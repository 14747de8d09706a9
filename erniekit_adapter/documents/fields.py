"""Fields of a document type: path, kind, and the names by which readers find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# How a value is parsed, searched on a page, compared and written.
Kind = Literal[
    "text",  # names, descriptions, notes
    "address",  # several lines in any order
    "identifier",  # numbers and codes of documents, accounts and companies, letter by letter
    "code",  # one of a list of values
    "amount",  # money: a Decimal in the document's currency
    "quantity",  # a number without a currency
    "rate",  # a fraction, 0.19 for 19 %
    "date",  # ISO 8601
    "currency",  # ISO 4217
    "flag",  # true or false; never searched on a page
]
KINDS: tuple[Kind, ...] = get_args(Kind)
NUMBER_KINDS: frozenset[str] = frozenset({"amount", "quantity", "rate"})

# The part that a field has in every document type, whatever its name.
Role = Literal[
    "issuer",  # who made the document: groups documents, and identifies one together with its number
    "number",  # the document's own number
    "total",  # the amount that a page prints as its total
    "currency",  # the currency of all amounts
    "description",  # in a table: the text by which a row is found on a page
    "quantity",
    "unit_price",
    "line_total",
]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Field:
    """One field of a document's content.

    Attributes:
        path: keys joined by points, with `[]` after a list: `vendor.name`, `items[].total`.
        kind: the kind of its value.
        title: name for people: "Unit price".
        aliases: other names by which readers and column mappings find it.
        role: its part in the document; None for most fields.
        choices: the allowed values of a code list; empty for other kinds.
        is_printed: whether a page can show it; others are neither requested nor searched.
        is_percent: whether a rate is written as 19, not as 0.19.
        is_text: whether a number is written as JSON text: "119.00".
        default: the value that a missing field means: an answer without it is as good as one with it.
        is_scored: whether an evaluation counts it although no page shows it.
        is_signed: whether an amount is negative if it is paid out, however a source marks it.
    """

    path: str
    kind: Kind
    title: str = ""
    aliases: tuple[str, ...] = ()
    role: Role | None = None
    choices: tuple[str, ...] = ()
    is_printed: bool = True
    is_percent: bool = False
    is_text: bool = False
    default: str | None = None
    is_scored: bool = False
    is_signed: bool = False

    @property
    def name(self) -> str:
        """The last key: `total` of `items[].total`."""
        return self.path.removesuffix("[]").rpartition(".")[2]

    @property
    def table(self) -> str | None:
        """Path of the list whose rows have this field, `items`; None outside of lists."""
        return self.path.partition("[]")[0] if "[]" in self.path else None
