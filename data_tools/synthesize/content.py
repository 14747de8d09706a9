"""Content of synthetic invoices: drawn from a seed, with exact amounts, optionally with one wrong amount printed."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from data_tools.synthesize.invoice import Company, Item, SyntheticInvoice
from data_tools.synthesize.page_layout import FIRST_PAGE_LAYOUTS, choose_page_layout
from data_tools.synthesize.streams import random_stream
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
from erniekit_adapter.documents.money import minor_unit, round_to_minor_unit

FAULTS = ("grand_total", "subtotal", "tax_total")
DISCOUNT_SHARE = 0.3
CONTACT_SHARE = 0.3
NOTE_SHARE = 0.2
_FAULT_WEIGHTS = (3, 1, 1)
_FIRST_DAY = date(2022, 1, 3)
_DAYS = 1400
_DUE_AFTER_DAYS = (7, 10, 14, 21, 30, 45, 60)
# Coprime to the range below, so that numbers look unordered and never repeat.
_NUMBER_STEP = 7_919
_NUMBER_RANGE = 100_000


def make_invoice(seed: int, index: int, *, fault_share: float) -> SyntheticInvoice:
    """Return the invoice at `index`, which depends on `seed` and `index` only.

    Args:
        seed: number of the series.
        index: position in the series, from 0.
        fault_share: share, 0 to 1, of invoices with one wrong amount; it changes that amount only.
    """
    rng = random_stream(seed, index)
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
        layout_type=choose_page_layout(seed, index, first_choice=rng.choice(FIRST_PAGE_LAYOUTS)),
        invoice_type=invoice_type,
        vendor=_make_company(rng, code, language, with_contact=rng.random() < CONTACT_SHARE),
        client=_make_company(rng, code, language, with_contact=False),
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
    # The fault uses the last draws of the stream, so that it never changes the content.
    return _with_fault(rng, invoice) if rng.random() < fault_share else invoice


def _make_number(rng: random.Random, seed: int, index: int, language: str, issued: date) -> str:
    block, place = divmod(index, _NUMBER_RANGE)
    number = (
        block * _NUMBER_RANGE + (place * _NUMBER_STEP + random_stream(seed).randrange(_NUMBER_RANGE)) % _NUMBER_RANGE
    )
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
    """Return a price worth about 2 to 400 euros, more often a small one; half of the prices are round."""
    euros = Decimal(round(2 * 200 ** rng.random() * 100)) / 100
    amount = euros * 150 if currency == "JPY" else euros
    ending = rng.choice((minor_unit(currency), 50 * minor_unit(currency)))
    return round_to_minor_unit(max(ending, (amount / ending).to_integral_value(ROUND_HALF_UP) * ending), currency)


def _make_discount(rng: random.Random, subtotal: Decimal, currency: str) -> Decimal:
    if rng.random() >= DISCOUNT_SHARE:
        return round_to_minor_unit(Decimal(0), currency)
    return max(minor_unit(currency), round_to_minor_unit(subtotal * rng.choice((2, 3, 5, 10, 15)) / 100, currency))


def _make_company(rng: random.Random, code: str, language: str, *, with_contact: bool) -> Company:
    country = COUNTRIES[code]
    stem, trade = rng.choice(NAME_STEMS), rng.choice(TRADES[language])
    city, postal_start = rng.choice(country.cities)
    house, street = rng.randint(1, 180), rng.choice(STREETS[language])
    digits = country.postal_digits - (0 if postal_start.isalpha() else len(postal_start))
    # The domain .example is reserved (RFC 2606).
    return Company(
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
    """Return amounts with two adjacent digits swapped, or off by 10 to 100,000 minor units."""
    units = str(int(amount / unit))
    swapped = {
        units[:i] + units[i + 1] + units[i] + units[i + 2 :] for i in range(len(units) - 1) if units[i] != units[i + 1]
    }
    shifted = {
        int(units) + sign * step for step in (10, 100, 1000, 10_000, 100_000) for sign in (1, -1) if step < int(units)
    }
    wrong = sorted({int(text) for text in swapped if text[0] != "0"} | shifted) or [int(units) + 10]
    return [value * unit for value in wrong]
