"""What a synthetic invoice says: made from a seed, in exact money, with or without a wrong amount printed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from data_tools.synthesize.words import (
    COUNTRIES,
    COUNTRY_SHARES,
    GOODS,
    NAME_STEMS,
    NOTES,
    SERVICES,
    STREETS,
    TERMS,
    TRADES,
    Country,
)
from erniekit_adapter.invoice.money import minor_unit, round_to_minor_unit

LAYOUT_TYPES = ("classic", "letter", "ledger", "receipt")
FAULTS = ("grand_total", "subtotal", "tax_total")
DISCOUNT_SHARE = 0.3
CONTACT_SHARE = 0.3
NOTE_SHARE = 0.2
_FAULT_WEIGHTS = (3, 1, 1)
_FIRST_DAY = date(2022, 1, 3)
_DAYS = 1400
_DUE_AFTER_DAYS = (7, 10, 14, 21, 30, 45, 60)
# Coprime to the range below, so that numbers look unordered and still never repeat.
_NUMBER_STEP = 7_919
_NUMBER_RANGE = 100_000


@dataclass(frozen=True)
class Party:
    """A vendor or a client; what is None is not on the page."""

    name: str
    address: str
    city: str
    country: str
    postal_code: str
    phone: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class Item:
    """One line: `unit_price` in the invoice's currency, `tax_rate` in percent."""

    description: str
    quantity: int
    unit_price: Decimal
    tax_rate: Decimal

    @property
    def net(self) -> Decimal:
        """The line's amount before tax, exact."""
        return self.quantity * self.unit_price


@dataclass(frozen=True)
class SyntheticInvoice:
    """An invoice as its page prints it; amounts in `currency`, with that currency's decimals.

    Attributes:
        fault: the amount that is printed wrong, one of FAULTS; None when everything adds up.
    """

    invoice_id: str
    issue_date: date
    due_date: date
    currency: str
    language: str
    layout_type: str
    invoice_type: str
    vendor: Party
    client: Party
    items: tuple[Item, ...]
    payment_terms: str
    notes: str | None
    subtotal: Decimal
    tax_total: Decimal
    discount_total: Decimal
    grand_total: Decimal
    fault: str | None = None

    @property
    def tax_rate(self) -> Decimal:
        """The one rate of all lines, in percent."""
        return self.items[0].tax_rate


def generator(*parts: object) -> random.Random:
    """A generator of its own for these parts, so that one draw never shifts another."""
    return random.Random(":".join(str(part) for part in parts))  # noqa: S311 - content to train on, no secrets


def make_invoice(seed: int, index: int, *, fault_share: float) -> SyntheticInvoice:
    """Make the invoice at `index`, which depends on nothing else than `seed` and `index`.

    Args:
        seed: names the series.
        index: place in the series, from 0.
        fault_share: share, 0 to 1, of invoices with one printed amount wrong; it decides on that amount alone.
    """
    rng = generator(seed, index)
    code = rng.choices(list(COUNTRY_SHARES), weights=list(COUNTRY_SHARES.values()))[0]
    country = COUNTRIES[code]
    language = rng.choice(country.languages)
    invoice_type = rng.choice(("goods", "services"))
    issue_date = _FIRST_DAY + timedelta(days=rng.randrange(_DAYS))
    due_after_days = rng.choice(_DUE_AFTER_DAYS)
    items = _make_items(rng, country, language, invoice_type)
    subtotal = sum((item.net for item in items), Decimal(0))
    discount = _make_discount(rng, subtotal, country.currency)
    tax = round_to_minor_unit((subtotal - discount) * items[0].tax_rate / 100, country.currency)
    invoice = SyntheticInvoice(
        invoice_id=_make_number(rng, seed, index, language, issue_date),
        issue_date=issue_date,
        due_date=issue_date + timedelta(days=due_after_days),
        currency=country.currency,
        language=language,
        layout_type=rng.choice(LAYOUT_TYPES),
        invoice_type=invoice_type,
        vendor=_make_party(rng, code, language, with_contact=rng.random() < CONTACT_SHARE),
        client=_make_party(rng, code, language, with_contact=False),
        items=items,
        payment_terms=rng.choice(TERMS[language]).format(days=due_after_days),
        notes=rng.choice(NOTES[language]).format(number=rng.randrange(1000, 99999))
        if rng.random() < NOTE_SHARE
        else None,
        subtotal=subtotal,
        tax_total=tax,
        discount_total=discount,
        grand_total=subtotal - discount + tax,
    )
    return _with_fault(rng, invoice) if rng.random() < fault_share else invoice


def ground_truth(invoice: SyntheticInvoice) -> dict[str, Any]:
    """The invoice in the ground-truth shape: dates in ISO form, amounts as Decimal, tax rates in percent.

    What the page does not show is None; a discount of 0 is one that the page does not mention. The key `fault` is there
    only when an amount is wrong.
    """
    truth: dict[str, Any] = {
        "invoice_id": invoice.invoice_id,
        "issue_date": invoice.issue_date.isoformat(),
        "due_date": invoice.due_date.isoformat(),
        "currency": invoice.currency,
        "language": invoice.language,
        "layout_type": invoice.layout_type,
        "invoice_type": invoice.invoice_type,
        "challenge_category": "discount" if invoice.discount_total else "standard",
        "vendor": _party_truth(invoice.vendor),
        "client": _party_truth(invoice.client),
        "items": [
            {
                "description": item.description,
                "quantity": item.quantity,
                "unit_price": item.unit_price,
                "tax_rate": item.tax_rate,
                "discount": round_to_minor_unit(Decimal(0), invoice.currency),
            }
            for item in invoice.items
        ],
        "payment_terms": invoice.payment_terms,
        "notes": invoice.notes,
        "subtotal": invoice.subtotal,
        "tax_total": invoice.tax_total,
        "discount_total": invoice.discount_total,
        "grand_total": invoice.grand_total,
    }
    if invoice.fault:
        truth["fault"] = invoice.fault
    return truth


def _make_number(rng: random.Random, seed: int, index: int, language: str, issued: date) -> str:
    block, place = divmod(index, _NUMBER_RANGE)
    number = block * _NUMBER_RANGE + (place * _NUMBER_STEP + generator(seed).randrange(_NUMBER_RANGE)) % _NUMBER_RANGE
    prefix = "RE" if language == "de" else "INV"
    shape = rng.choice(
        ("{prefix}-{year}-{number:05d}", "{prefix}{number:05d}", "{year}-{number:05d}", "{letter}-{number:05d}")
    )
    return shape.format(prefix=prefix, year=issued.year, number=number, letter=rng.choice("ABCDEFGHKLMNPRSTVWXZ"))


def _make_items(rng: random.Random, country: Country, language: str, invoice_type: str) -> tuple[Item, ...]:
    catalogue = (GOODS if invoice_type == "goods" else SERVICES)[language]
    rate = rng.choice(country.tax_rates)
    descriptions = rng.sample(catalogue, rng.choice((1, 2, 2, 3, 3, 4)))
    return tuple(Item(text, rng.randint(1, 20), _make_price(rng, country.currency), rate) for text in descriptions)


def _make_price(rng: random.Random, currency: str) -> Decimal:
    """Between about 2 and 400 euros' worth, more often small; half of the prices end in a round figure."""
    euros = Decimal(round(2 * 200 ** rng.random() * 100)) / 100
    amount = euros * 150 if currency == "JPY" else euros
    ending = rng.choice((minor_unit(currency), 50 * minor_unit(currency)))
    return round_to_minor_unit(max(ending, (amount / ending).to_integral_value(ROUND_HALF_UP) * ending), currency)


def _make_discount(rng: random.Random, subtotal: Decimal, currency: str) -> Decimal:
    if rng.random() >= DISCOUNT_SHARE:
        return round_to_minor_unit(Decimal(0), currency)
    return max(minor_unit(currency), round_to_minor_unit(subtotal * rng.choice((2, 3, 5, 10, 15)) / 100, currency))


def _make_party(rng: random.Random, code: str, language: str, *, with_contact: bool) -> Party:
    country = COUNTRIES[code]
    stem, trade = rng.choice(NAME_STEMS), rng.choice(TRADES[language])
    city, postal_start = rng.choice(country.cities)
    house, street = rng.randint(1, 180), rng.choice(STREETS[language])
    digits = country.postal_digits - (0 if postal_start.isalpha() else len(postal_start))
    # .example belongs to nobody (RFC 2606).
    return Party(
        name=f"{stem} {trade} {rng.choice(country.legal_forms)}",
        address=f"{street} {house}" if language == "de" else f"{house} {street}",
        city=city,
        country=code,
        postal_code=postal_start + "".join(rng.choices("0123456789", k=digits)),
        phone=f"{country.dial} {rng.randint(20, 99)} {rng.randint(100000, 9999999)}" if with_contact else None,
        email=f"{rng.choice(('info', 'office', 'billing'))}@{stem}-{trade}.example".lower() if with_contact else None,
    )


def _with_fault(rng: random.Random, invoice: SyntheticInvoice) -> SyntheticInvoice:
    fields = [field for field in FAULTS if getattr(invoice, field) > 0]
    field = rng.choices(fields, weights=_FAULT_WEIGHTS[: len(fields)])[0]
    wrong = rng.choice(_plausible_mistakes(getattr(invoice, field), minor_unit(invoice.currency)))
    changes: dict[str, Any] = {field: wrong, "fault": field}
    return replace(invoice, **changes)


def _plausible_mistakes(amount: Decimal, unit: Decimal) -> list[Decimal]:
    """Two neighbouring digits swapped, or an amount off by 10 to 100 000 minor units but less than itself."""
    units = str(int(amount / unit))
    swapped = {
        units[:i] + units[i + 1] + units[i] + units[i + 2 :] for i in range(len(units) - 1) if units[i] != units[i + 1]
    }
    shifted = {
        int(units) + sign * step for step in (10, 100, 1000, 10_000, 100_000) for sign in (1, -1) if step < int(units)
    }
    wrong = sorted({int(text) for text in swapped if text[0] != "0"} | shifted) or [int(units) + 10]
    return [value * unit for value in wrong]


def _party_truth(party: Party) -> dict[str, str | None]:
    return {
        "name": party.name,
        "address": party.address,
        "city": party.city,
        "country": party.country,
        "postal_code": party.postal_code,
        "phone": party.phone,
        "email": party.email,
        "tax_id": None,
        "website": None,
        "logo_path": None,
    }
