"""Names by which sources call the fields of a declared document type."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import Field, Role

_MAX_NAME_CHARACTERS = 200
# Accents over and under Latin, Greek and Cyrillic letters; Japanese and Indic marks are part of their letters.
_FIRST_ACCENT, _LAST_ACCENT = "\u0300", "\u036f"
# Objects around the fields that say nothing about their meaning.
_NEUTRAL = frozenset({
    "data", "fields", "document", "content", "header", "body", "summary", "totals", "amounts", "result", "info",
    "details", "answer", "groundtruth", "extracted", "values",
})  # fmt: skip
# Roles whose fields are different numbers, although sources call several of them `price` or `total`.
_NUMBERS: frozenset[Role | None] = frozenset({"total", "quantity", "unit_price", "line_total"})
# As an alias of a row's total, each of these may also be the price of one piece.
_PRICE_OF_SOMETHING = frozenset({"price", "preis", "prix", "precio", "prezzo", "prijs", "价格", "価格"})

# Usual names of a list of line items, whatever the type calls it.
_LINE_ITEMS = frozenset({
    "lineitems", "lineitem", "items", "lines", "positions", "orderlines", "orderline", "orderitems", "products",
    "articles", "details", "movements", "transactions", "entries", "bookings", "positionen", "lignes", "articulos",
    "umsatze", "buchungen", "明细", "项目", "商品明细", "明细列表", "交易明细",
})  # fmt: skip

_Level = Mapping[str, tuple[Field, ...]]


def name_key(name: str) -> str:
    """Return a name for comparison: letters and digits without case and accents, and `%` as a word.

    `Invoice No.`, `invoiceNo` and `INVOICE-NO` are equal. A name of other characters only, such as `#`, is unchanged.
    """
    return _key(name[:_MAX_NAME_CHARACTERS])


@lru_cache(maxsize=8192)
def _key(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).strip().casefold().replace("%", " percent ")
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join(mark for mark in decomposed if not _FIRST_ACCENT <= mark <= _LAST_ACCENT)
    composed = unicodedata.normalize("NFC", plain)
    key = "".join(mark for mark in composed if mark.isalnum() or unicodedata.category(mark).startswith("M"))
    return key or text


def inner_path(field: Field) -> str:
    """Return the path of a field in its row, `total` of `items[].total`; elsewhere its whole path."""
    return field.path.partition("[].")[2] or field.path.removesuffix("[]")


def table_of(field: Field) -> str | None:
    """Return the table whose rows have a field; None for other fields, also for a list of values."""
    return field.table if "[]." in field.path else None


@lru_cache(maxsize=64)
def _levels(fields: tuple[Field, ...]) -> Mapping[str | None, tuple[_Level, ...]]:
    """Return, for each table and for the document, the fields by name: certain kinds of names first."""
    found: dict[str | None, tuple[dict[str, tuple[Field, ...]], ...]] = {}
    for each in fields:
        levels = found.setdefault(table_of(each), tuple({} for _ in range(6)))
        inner = inner_path(each)
        names = (
            (inner,),
            (name_key(inner),),
            each.aliases,
            tuple(map(name_key, each.aliases)),
            (name_key(each.title),) if each.title else (),
            (name_key(each.name),),
        )
        for level, keys in zip(levels, names, strict=True):
            for key in dict.fromkeys(keys):
                level[key] = (*level.get(key, ()), each)
    return found


@dataclass(frozen=True)
class FieldNames:
    """The names of a document type's fields in one source.

    Attributes:
        document_type: the type.
        labels: names of the source → fields or tables.
    """

    document_type: DocumentType
    labels: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _levels(self) -> Mapping[str | None, tuple[_Level, ...]]:
        return _levels(tuple(self.document_type.fields.values()))

    @cached_property
    def _own_keys(self) -> frozenset[str]:
        return frozenset(path.replace("[]", "").split(".")[0] for path in self.document_type.fields)

    def find(self, name: str, table: str | None = None) -> tuple[Field, ...]:
        """Return the field with a name in a table or in the document; several if the name can mean each of them."""
        if (own := self._label(name)) is not None:
            fields = self.by_path(own)
            return tuple(each for each in fields if table_of(each) == table)
        key = name_key(name)
        for index, level in enumerate(self._levels.get(table, ())):
            if found := level.get(name.strip() if index in (0, 2) else key):
                return found
        return ()

    def by_path(self, path: str) -> tuple[Field, ...]:
        """Return the field with a path, `vendor.name` or `items.total`, or with another name in the document."""
        fields = self.document_type.fields
        if path in fields:
            return (fields[path],)
        plain = path.replace("[]", "")
        same = tuple(each for each in fields.values() if each.path.replace("[]", "") == plain)
        if same:
            return same
        return FieldNames(self.document_type).find(path) or self.qualified(path)

    def qualified(self, name: str) -> tuple[Field, ...]:
        """Return the field of a row whose name contains its table: `items.total`, `item_total`."""
        key = name_key(name)
        for table in self.document_type.tables:
            whole = name_key(table)
            for prefix in (whole, whole.removesuffix("s")):
                rest = key.removeprefix(prefix)
                if rest and rest != key and (found := FieldNames(self.document_type).find(rest, table)):
                    return found
        return ()

    def label_field(self, label: str) -> tuple[Field, ...]:
        """Return the field that a label on a page means: of the document, or of a row if no other has this name."""
        if (own := self._label(label)) is not None:
            return self.by_path(own)
        found = self.find(label)
        if not found and not (found := self.qualified(label)):
            found = tuple(each for table in self.document_type.tables for each in self.find(label, table))
        return found

    def table(self, name: str) -> str | None:
        """Return the table with a name: its path, its last key, or for the line items a usual name."""
        own = self._label(name)
        key = name_key(name if own is None else own)
        tables = self.document_type.tables
        found = [table for table in tables if name_key(table) == key]
        found = found or [table for table in tables if name_key(table.rpartition(".")[2]) == key]
        if not found and key in _LINE_ITEMS and not self.find(name):
            return self.document_type.line_items
        return found[0] if len(found) == 1 else None

    def is_neutral(self, name: str) -> bool:
        """Return whether an object with this name says nothing about the meaning of its fields."""
        key = name_key(name)
        kind = self.document_type
        return key in _NEUTRAL or key in (
            name_key(kind.name),
            name_key(kind.title),
            name_key(kind.content_key or "data"),
        )

    def is_own(self, name: str) -> bool:
        """Return whether a key is one of the content: a field, a table, or an object around fields."""
        return name in self._own_keys

    def meant(self, names: Iterable[str], role: Role | None, table: str | None = None) -> Field | None:
        """Return the field with the first of several names of one meaning, unless it is a number with another role."""
        for name in names:
            found = self.find(name, table)
            if len(found) == 1 and (found[0].role not in _NUMBERS or found[0].role == role):
                return found[0]
        return None

    def with_role(self, role: Role, table: str | None = None) -> Field | None:
        """Return the field with a role in a table or in the document."""
        found = self.document_type.by_role.get(role)
        return found if found is not None and table_of(found) == table else None

    def is_labelled(self, name: str) -> bool:
        """Return whether a label of the source gives the meaning of a name."""
        return self._label(name) is not None

    def _label(self, name: str) -> str | None:
        if not self.labels:
            return None
        if name in self.labels:
            return self.labels[name]
        key = name_key(name)
        return next((path for own, path in self.labels.items() if name_key(own) == key), None)


def may_be_unit_price(document_type: DocumentType, field: Field, name: str) -> bool:
    """Return whether a name of a row's total can also mean the price of one piece, which is another field."""
    if field.role != "line_total" or "unit_price" not in document_type.by_role:
        return False
    key = name_key(name.rpartition(".")[2])
    return key in _PRICE_OF_SOMETHING and key != name_key(field.name)


def shown_path(field: Field) -> str:
    """Return the path of a field as messages and project files write it: `items.total`."""
    return field.path.replace("[]", "")


def unknown_labels(document_type: DocumentType, labels: Mapping[str, str]) -> list[str]:
    """Return the labels of a source that name no field and no table of a type, or several fields, as `label: field`."""
    names = FieldNames(document_type)
    return [
        f"{label}: {target}"
        for label, target in labels.items()
        if len(names.by_path(target)) != 1 and names.table(target) is None
    ]


def field_list(fields: Iterable[Field]) -> str:
    """Return the paths of fields for a message."""
    return ", ".join(map(shown_path, fields))[:1000]
