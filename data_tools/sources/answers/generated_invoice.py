"""Ground truth of a generator of synthetic invoices, made into a canonical answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.amounts import read_total
from data_tools.sources.answers.field_names import line_item_field_named
from data_tools.sources.answers.flat_fields import parse_document_type, parse_text, plain_number
from data_tools.sources.answers.nested_fields import CITY_FIRST_LANGUAGES
from data_tools.sources.answers.truth import DEFAULT, ReadSettings
from data_tools.sources.files.json_values import shown, unused
from erniekit_adapter.documents.dates import parse_date
from erniekit_adapter.documents.invoice.answer import Answer, read_answer
from erniekit_adapter.documents.money import minor_digits, minor_unit, parse_amount, parse_currency, round_to_minor_unit

_SIGNS = frozenset({"invoice_id", "issue_date", "tax_total", "discount_total", "layout_type", "challenge_category"})
_USED = frozenset({
    "invoice_id", "issue_date", "due_date", "currency", "vendor", "client", "items", "payment_terms",
    "subtotal", "tax_total", "discount_total", "grand_total", "fault", "complete", "document_type",
})  # fmt: skip
_OTHER_NAMES = {
    "invoice_number": "invoice_id", "invoice_date": "issue_date", "date": "issue_date", "total": "grand_total",
    "total_amount": "grand_total", "tax": "tax_total", "tax_amount": "tax_total", "discount": "discount_total",
    "line_items": "items", "supplier": "vendor", "customer": "client", "vendor_name": "vendor", "client_name": "client",
}  # fmt: skip
# Information about the document, and values that its pages rarely show: not part of the answer.
_ABOUT = frozenset({
    "language", "layout_type", "invoice_type", "challenge_category", "notes", "hs_codes", "incoterms",
    "country_of_origin", "customs_value", "industry", "contract_number", "project_code",
})  # fmt: skip
_TOTALS = ("subtotal", "tax_total", "discount_total", "grand_total")
_PARTY_USED = frozenset({"name", "address", "city", "country", "postal_code"})
_ITEM_USED = frozenset({"description", "quantity", "unit_price", "tax_rate", "discount", "total"})
# Languages in which the postal code comes after the city; in the others it comes first.

Derive = Callable[[Decimal, Decimal], Decimal]
# Possible meanings of an item's discount: a function of gross amount and discount that gives the line total.
_DISCOUNT_MEANINGS: tuple[tuple[str, Derive], ...] = (
    ("an amount", lambda gross, discount: gross - discount),
    ("a percentage", lambda gross, discount: gross * (1 - discount / 100)),
)


def is_generated_invoice(value: dict[str, Any]) -> bool:
    """Return whether an object is ground truth of the generator, recognised by keys that only it has."""
    return "items" in value and bool(_SIGNS & value.keys())


def read_generated_invoice(value: dict[str, Any], settings: ReadSettings = DEFAULT) -> tuple[Answer, tuple[str, ...]]:
    """Return the canonical answer of a generated invoice, and the keys without a place in it.

    Raises:
        ValueError: values cannot be read, or discounts are ambiguous.
    """
    truth = _with_usual_names(value)
    fault = value.get("fault") not in (None, False, "")
    answer = read_answer({"structured_data": _structured(truth, fault, settings)})
    return answer, tuple(_unused_keys(truth))


def _with_usual_names(truth: dict[str, Any]) -> dict[str, Any]:
    """Return the ground truth under the generator's names; flat names fill keys that are missing."""
    found = dict(truth)
    for name, usual in _OTHER_NAMES.items():
        if name in found and found.get(usual) in (None, ""):
            found[usual] = found.pop(name)
    if isinstance(items := found.get("items"), list):
        found["items"] = [_with_usual_line_names(item) if isinstance(item, dict) else item for item in items]
    return found


def _with_usual_line_names(item: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in item.items() if key in _ITEM_USED}
    for key, value in item.items():
        if key not in _ITEM_USED:
            name = line_item_field_named(key)
            found[name if name in _ITEM_USED and name not in found else key] = value
    return found


def _unused_keys(truth: dict[str, Any]) -> Iterator[str]:
    """Yield keys that have a value and no place in the answer, also those of parties and items."""
    yield from unused(truth, _USED | _ABOUT)
    for name in ("vendor", "client"):
        if isinstance(party := truth.get(name), dict):
            # Only the phone and e-mail of the vendor have a place.
            used = _PARTY_USED | ({"phone", "email"} if name == "vendor" else set())
            yield from (f"{name}.{key}" for key in unused(party, used))
    items = [item for item in truth.get("items") or [] if isinstance(item, dict)]
    yield from sorted({f"items[].{key}" for item in items for key in unused(item, _ITEM_USED)})


def _structured(truth: dict[str, Any], fault: bool, settings: ReadSettings) -> dict[str, Any]:
    def parse_day(value: object) -> date:
        return parse_date(value, settings.date_order)

    money = _read_money(truth, settings)
    lines = _lines(money, fault)
    due_date = _read(truth, "due_date", parse_day)
    language = str(truth.get("language") or "en").lower()[:2]
    client = _party(truth, "client", language)
    blocks = {
        "vendor_block": _party(truth, "vendor", language) | _contact(truth.get("vendor")),
        "client_info": client
        | {
            "invoice_number": _read(truth, "invoice_id", parse_text),
            "invoice_date": _read(truth, "issue_date", parse_day),
            "due_date": due_date,
        },
        "payment_terms": {"due_date": due_date, "notes": _read(truth, "payment_terms", parse_text)},
        "financial_summary": _summary(money, lines),
    }
    found: dict[str, Any] = {name: _present(block) for name, block in blocks.items()}
    found["document_type"] = _read(truth, "document_type", parse_document_type)
    return {name: block for name, block in {**found, "line_items": lines}.items() if block}


def _present(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value is not None}


def _read(values: dict[str, Any], name: str, parse: Callable[[object], Any], location: str = "") -> Any:
    if values.get(name) in (None, ""):
        return None
    try:
        return parse(values[name])
    except ValueError as error:
        raise ValueError(f"{location}{name}: {error}") from error


def _party(truth: dict[str, Any], name: str, language: str) -> dict[str, Any]:
    party = truth.get(name)
    if party is None:
        return {}
    if not isinstance(party, dict):
        return {"name": _read(truth, name, parse_text)}
    parts = {key: _read(party, key, parse_text, f"{name}.") for key in ("name", "address", "city", "country")}
    code = _read(party, "postal_code", parse_text, f"{name}.")
    city = [parts["city"], code] if language in CITY_FIRST_LANGUAGES else [code, parts["city"]]
    address = [parts["address"], " ".join(part for part in city if part), parts["country"]]
    return {"name": parts["name"], "address": ", ".join(part for part in address if part) or None}


def _contact(vendor: object) -> dict[str, Any]:
    if not isinstance(vendor, dict):
        return {}
    return {key: _read(vendor, key, parse_text, "vendor.") for key in ("phone", "email")}


@dataclass(frozen=True)
class _Money:
    """Amounts of the ground truth, as printed; None for a missing one."""

    currency: str | None
    subtotal: Decimal | None
    tax_total: Decimal | None
    discount_total: Decimal | None
    grand_total: Decimal | None
    items: tuple[dict[str, Any], ...]

    def rounded(self, amount: Decimal) -> Decimal:
        """Return an amount rounded to the minor unit of the currency."""
        try:
            return round_to_minor_unit(amount, self.currency)
        except ArithmeticError as error:
            raise ValueError(f"{amount} is not an amount of money") from error


def _read_money(truth: dict[str, Any], settings: ReadSettings) -> _Money:
    def total(name: str) -> Any:
        return _read(truth, name, lambda value: read_total(value, settings.currency))

    items = truth.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"items: {shown(items)} is not a list of objects")
    currency = _read(truth, "currency", lambda value: parse_currency(str(value)))
    return _Money(
        currency=currency,
        subtotal=total("subtotal"),
        tax_total=total("tax_total"),
        discount_total=total("discount_total"),
        grand_total=total("grand_total"),
        items=tuple(_item(item, f"items[{index}].") for index, item in enumerate(items)),
    )


def _check_decimals(money: _Money) -> None:
    """Report a total with more decimals than its currency, because no sum can equal it."""
    unit = minor_unit(money.currency)
    for name in _TOTALS:
        amount = getattr(money, name)
        if amount is not None and amount % unit:
            digits = minor_digits(money.currency)
            raise ValueError(f"{name}: {amount} has more than {digits} decimals ({money.currency})")


def _item(item: dict[str, Any], location: str) -> dict[str, Any]:
    amounts = ("quantity", "unit_price", "tax_rate", "discount", "total")
    read = {key: _read(item, key, parse_amount, location) for key in amounts}
    return {"description": _read(item, "description", parse_text, location), **read}


def _lines(money: _Money, fault: bool) -> list[dict[str, Any]]:
    """Return the line items with their totals, which the ground truth does not have."""
    totals = [item["total"] for item in money.items]
    if None in totals:
        totals = _derived_totals(money, fault)
    keys = ("description", "quantity", "unit_price")
    rows = zip(money.items, totals, strict=True)
    return [_present({**{key: item[key] for key in keys}, "total": total}) for item, total in rows]


def _derived_totals(money: _Money, fault: bool) -> list[Decimal | None]:
    gross = [_product(item) for item in money.items]
    undiscounted = [None if amount is None else money.rounded(amount) for amount in gross]
    discounts = [item["discount"] or Decimal(0) for item in money.items]
    if not any(discounts):
        return undiscounted
    known = [amount for amount in gross if amount is not None]
    try:
        if len(known) < len(gross):
            raise ValueError("items: a discount beside a line whose quantity or unit_price is missing")
        return [*_discounted_totals(money, known, discounts)]
    except ValueError:
        if not fault:
            _check_decimals(money)
            raise
        return undiscounted


def _product(item: dict[str, Any]) -> Decimal | None:
    if item["quantity"] is None or item["unit_price"] is None:
        return None
    product: Decimal = item["quantity"] * item["unit_price"]
    return product


def _discounted_totals(money: _Money, gross: list[Decimal], discounts: list[Decimal]) -> tuple[Decimal, ...]:
    """Return the line totals under the only meaning of the discounts that gives the subtotal."""
    pairs = list(zip(gross, discounts, strict=True))
    meanings = {
        name: tuple(money.rounded(derive(amount, discount)) for amount, discount in pairs)
        for name, derive in _DISCOUNT_MEANINGS
    }
    if money.discount_total:
        meanings["part of discount_total"] = tuple(money.rounded(amount) for amount in gross)
    fitting = {name: totals for name, totals in meanings.items() if sum(totals, Decimal(0)) == money.subtotal}
    if len(set(fitting.values())) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ValueError(f"items: the discounts can mean {' or '.join(fitting)}, and each gives the subtotal")
    sums = ", ".join(f"{name}: {sum(totals, Decimal(0))}" for name, totals in meanings.items())
    raise ValueError(f"items: no meaning of the discounts gives the subtotal {money.subtotal} ({sums})")


def _summary(money: _Money, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the financial summary; a discount that is already in the line totals is not subtracted again."""
    listed = money.discount_total and not _is_in_lines(money)
    return _present(
        {
            "subtotal": money.subtotal,
            "taxes": _taxes(money, lines),
            "discounts": [{"amount": money.discount_total}] if listed else None,
            "grand_total": money.grand_total,
            "currency": money.currency,
        }
    )


def _is_in_lines(money: _Money) -> bool:
    """Return whether the line totals already include the discount total, according to the grand total."""
    if money.subtotal is None or money.tax_total is None or not any(item["discount"] for item in money.items):
        return False
    return money.subtotal + money.tax_total == money.grand_total


def _taxes(money: _Money, lines: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return one tax row for each rate if they add up to the printed tax; otherwise one row with the printed tax."""
    if money.tax_total is None:
        return None
    if any(item["tax_rate"] is None for item in money.items):
        return [{"amount": money.tax_total}]
    rates = sorted({item["tax_rate"] for item in money.items})
    if len(rates) == 1:
        return [{"rate": plain_number(rates[0] / 100), "amount": money.tax_total}]
    if all("total" in line for line in lines) and (not money.discount_total or _is_in_lines(money)):
        rows = [{"rate": plain_number(rate / 100), "amount": _tax_at(rate, money, lines)} for rate in rates]
        if rows and sum((row["amount"] for row in rows), Decimal(0)) == money.tax_total:
            return rows
    return [{"amount": money.tax_total}]


def _tax_at(rate: Decimal, money: _Money, lines: list[dict[str, Any]]) -> Decimal:
    rated = zip(money.items, lines, strict=True)
    base = sum((line["total"] for item, line in rated if item["tax_rate"] == rate), Decimal(0))
    return money.rounded(base * rate / 100)
