"""Objects with an invoice in parts (`vendor`, `client`, `financial_summary`), made into flat fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_tools.sources.answers.field_names import CHARGE_NAMES, field_named, key_of, rate_or_amount
from data_tools.sources.files.json_values import shown

# Information about the document or about how it was read: not part of the answer.
ABOUT = frozenset({
    "confidence", "confidence_scores", "bbox", "language", "receipt_type", "logo_detected", "logo_brand", "fault",
    "complete", "validation_summary",
})  # fmt: skip
_PARTY = {
    "name": "name", "company": "name", "company_name": "name", "organization": "name",
    "address": "address", "full_address": "address",
}  # fmt: skip
_CONTACT = {
    "phone": "phone", "phone_number": "phone", "telephone": "phone", "tel": "phone",
    "email": "email", "e_mail": "email", "mail": "email",
}  # fmt: skip
_PLACE = ("street", "city", "postal_code", "zip", "zip_code", "postcode", "state", "country")
# Fields that are often beside the client, as in the canonical answer; a number of the client is another field.
_BESIDE_CLIENT = {
    "invoice_number": "invoice_number", "invoice_no": "invoice_number", "invoice_date": "invoice_date",
    "date": "invoice_date", "issue_date": "invoice_date", "due_date": "due_date",
}  # fmt: skip
_OF_INVOICE = _BESIDE_CLIENT | {
    "number": "invoice_number", "receipt_number": "invoice_number", "currency": "currency",
    "document_type": "document_type",
}  # fmt: skip
_OF_PAYMENT = {
    "method": "payment_method", "payment_method": "payment_method", "terms": "payment_terms", "notes": "payment_terms",
    "payment_terms": "payment_terms", "due_date": "due_date",
}  # fmt: skip
_MONEY = frozenset({"amount", "value", "currency", "currency_code"})
_AMOUNTS = frozenset({
    "subtotal", "grand_total", "amount_paid", "amount_due", "rounding", "tax_amount", "discount", "charge",
})  # fmt: skip
# Field of one row → the list of such rows.
_ROWS = {"tax_amount": "taxes", "discount": "discounts"}
_VENDORS = frozenset({
    "vendor", "vendor_block", "vendor_info", "supplier", "seller", "merchant", "merchant_info", "issuer", "company",
})  # fmt: skip
_CLIENTS = frozenset({"client", "client_info", "customer", "customer_info", "buyer", "bill_to", "receiver"})
_INVOICES = frozenset({"invoice", "invoice_info", "transaction_info", "document_info", "header"})
_SUMMARIES = frozenset({"financial_summary", "totals", "summary", "amounts", "financials"})
_PAYMENTS = frozenset({"payment_terms", "payment_info", "payment"})
# Languages in which the postal code comes after the city; in the others it comes first.
CITY_FIRST_LANGUAGES = frozenset({"en"})


@dataclass
class _FlatFields:
    """Flat fields, and the keys without a place in the answer."""

    fields: list[tuple[str, Any]] = field(default_factory=list)
    charges: list[Any] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def pairs(self) -> list[tuple[str, Any]]:
        """Return the fields, with all charges as one field."""
        return [*self.fields, *([("charges", self.charges)] if self.charges else [])]


def flat_fields(
    value: Mapping[str, Any], labels: Mapping[str, str] | None = None, *, unwraps: bool = True
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Return the flat fields of an object, and the keys that have a value and no place in the answer.

    Args:
        value: the object.
        labels: names of the project → fields.
        unwraps: whether `invoice` may contain the parts (`seller`, `amounts`) and lists of the document.

    Raises:
        ValueError: a part is not an object although it should be.
    """
    flat = _FlatFields()
    language = str(value.get("language") or "")[:2].lower()
    for name, part in value.items():
        key = key_of(name)
        if key in ABOUT:
            continue
        if unwraps and key in _INVOICES and isinstance(part, dict):
            inside = {inner: each for inner, each in part.items() if isinstance(each, (dict, list))}
            pairs, unused = flat_fields(inside, labels, unwraps=False)
            flat.fields += pairs
            flat.unused += [f"{name}.{inner}" for inner in unused]
            part = {inner: each for inner, each in part.items() if inner not in inside}
        if isinstance(part, dict) and (names := _names_in(key)) is not None:
            flat.fields += _of_part(name, key, part, names, language, flat)
        elif key in _SUMMARIES and isinstance(part, dict):
            _add_summary(name, part, labels, flat)
        elif part is not None and _part_without_flat_meaning(key) and not isinstance(part, dict):
            raise ValueError(f"{name}: {shown(part)} is not an object")
        else:
            _add(name, part, labels, flat)
    return flat.pairs(), flat.unused


def with_field_names(
    fields: Iterable[tuple[str, Any]], labels: Mapping[str, str] | None = None
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Return the fields under their known names, and the names of the others."""
    flat = _FlatFields()
    for name, value in fields:
        _add(name, value, labels, flat)
    return flat.pairs(), flat.unused


def _names_in(key: str) -> dict[str, str] | None:
    """Return the flat field of each key of a part; None for keys that are not part of it."""
    if key in _VENDORS:
        parts = {name: f"vendor_{field}" for name, field in (_PARTY | _CONTACT).items()}
        return {**parts, **{f"vendor_{field}": f"vendor_{field}" for field in ("name", "address", "phone", "email")}}
    if key in _CLIENTS:
        return {**{name: f"client_{field}" for name, field in _PARTY.items()}, **_BESIDE_CLIENT}
    if key in _INVOICES:
        return dict(_OF_INVOICE)
    return dict(_OF_PAYMENT) if key in _PAYMENTS else None


def _part_without_flat_meaning(key: str) -> bool:
    """Return whether a name always means an object."""
    return key.endswith(("_block", "_info")) or key == "financial_summary"


def _of_part(
    name: str, key: str, part: Mapping[str, Any], names: Mapping[str, str], language: str, flat: _FlatFields
) -> Iterator[tuple[str, Any]]:
    own = {key_of(inner): (inner, value) for inner, value in part.items() if value not in (None, "", [], {})}
    is_party = key in _VENDORS | _CLIENTS
    address = _address(own, language) if is_party else None
    for inner_key, (inner, value) in own.items():
        if inner_key in ABOUT:
            continue
        if is_party and (inner_key in _PLACE or inner_key in ("address", "full_address")):
            if address is None:
                flat.unused.append(f"{name}.{inner}")
        elif inner_key in names:
            yield names[inner_key], value
        else:
            flat.unused.append(f"{name}.{inner}")
    if address is not None:
        yield ("vendor_address" if key in _VENDORS else "client_address"), address


def _address(own: Mapping[str, tuple[str, Any]], language: str) -> str | None:
    """Return an address in one line, joined from its parts; None without parts, or with one that is not text."""
    values = {key: value for key, (_, value) in own.items()}
    if isinstance(nested := values.get("address"), dict):
        values = {key_of(key): value for key, value in nested.items()} | {"address": None}
    values = {key: value for key, value in values.items() if isinstance(value, (str, int)) and value is not True}
    first = next((values[key] for key in ("address", "full_address", "street") if values.get(key)), None)
    code = next((values[key] for key in ("postal_code", "zip", "zip_code", "postcode") if values.get(key)), None)
    city = values.get("city")
    city = [city, values.get("state"), code] if language in CITY_FIRST_LANGUAGES else [code, city, values.get("state")]
    parts = [first, " ".join(str(part) for part in city if part), values.get("country")]
    texts = [str(part).strip() for part in parts if part]
    return ", ".join(texts) or None


def _add_summary(name: str, part: Mapping[str, Any], labels: Mapping[str, str] | None, flat: _FlatFields) -> None:
    for inner, value in part.items():
        if value is not None and key_of(inner) not in ABOUT:
            _add(inner, value, labels, flat, f"{name}.")


def _add(name: str, value: Any, labels: Mapping[str, str] | None, flat: _FlatFields, location: str = "") -> None:
    """Add a flat field under its known name, or an unused key; charges are collected, because there may be several."""
    known = rate_or_amount(field_named(name, labels), value)
    if isinstance(value, dict) and known in _AMOUNTS and value.keys() <= _MONEY:
        # An amount with its currency, as services write it.
        flat.fields += [("currency", code) for code in (value.get("currency"), value.get("currency_code")) if code]
        value = value.get("amount", value.get("value"))
    if known in _ROWS and isinstance(value, (dict, list)):
        flat.fields.append((_ROWS[known], [value] if isinstance(value, dict) else value))
    elif known == "charges" and isinstance(value, list):
        flat.charges += value
    elif known is None or not _fits(known, name, value):
        flat.unused += [f"{location}{name}"] if value not in (None, "", [], {}) else []
    elif known == "charge":
        flat.charges += [] if value in (None, "") else [{"amount": value}]
    else:
        flat.fields.append((known, value))


def _fits(known: str, name: str, value: Any) -> bool:
    """Return whether a value fits its name: `shipping` may be an address, and `lines` the text lines of a page."""
    if known == "charge":
        return not isinstance(value, (dict, list))
    if known == "line_items" and key_of(name) == "lines":
        return isinstance(value, list) and all(isinstance(row, dict) for row in value)
    return True


def is_nested(value: Mapping[str, Any]) -> bool:
    """Return whether an object has an invoice in parts."""
    keys = {key_of(name) for name, part in value.items() if isinstance(part, dict)}
    return bool(keys & (_VENDORS | _CLIENTS | _INVOICES | _SUMMARIES | _PAYMENTS))


def has_known_field(value: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> bool:
    """Return whether an object has at least one field of an invoice, flat or in parts."""
    return is_nested(value) or any(
        field_named(name, labels) is not None or key_of(name) in CHARGE_NAMES for name in value
    )
