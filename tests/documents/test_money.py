"""Parsing of amounts and currencies in documents; ambiguous text is an error."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import format_decimal
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents.money import (
    MAX_DIGITS,
    is_currency,
    minor_digits,
    minor_unit,
    parse_amount,
    parse_currency,
    round_ties_up,
    round_to_minor_unit,
)

cents = st.decimals(min_value=Decimal("-9999999999.99"), max_value=Decimal("9999999999.99"), places=2)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("12", "12"),
        ("12.5", "12.5"),
        ("12,5", "12.5"),
        (".5", "0.5"),
        (",5", "0.5"),
        ("0,123", "0.123"),
        ("3025.00", "3025.00"),
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1,234,567.89", "1234567.89"),
        ("1.234.567", "1234567"),
        ("1,23,456.78", "123456.78"),
        ("1 234,50", "1234.50"),
        ("1\u00a0234,50", "1234.50"),
        ("1\u202f234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1’234.50", "1234.50"),
        ("€ 12", "12"),
        ("12,50 €", "12.50"),
        ("EUR 3 000,00", "3000.00"),
        ("US$1,234.50", "1234.50"),
        ("¥500", "500"),
        ("500円", "500"),
        (" 12.00 ", "12.00"),
    ],
)
def test_parses_amounts_of_documents(text: str, amount: str) -> None:
    assert str(parse_amount(text)) == amount


@pytest.mark.parametrize(
    "text", ["-12.00", "−12.00", "–12.00", "12.00-", "(12.00)", "-$12.00", "$-12.00", "(€ 12,00)", "- 12.00"]
)
def test_parses_every_negative_spelling(text: str) -> None:
    assert parse_amount(text) == Decimal("-12.00")


@pytest.mark.parametrize("text", ["1,234", "1.234", "€ 12,345", "-9.999", "999,000"])
def test_rejects_a_single_separator_before_three_digits(text: str) -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        parse_amount(text)


@pytest.mark.parametrize(
    "text",
    [
        *("INV-12", "A1", "1 2 3", "10 12.50", "12.00 19", "12 EUR 5", "12/2025", "2025-01-15", "12%", "5 kg", "1e5"),
        *("1.2.3", "1,2,3", "1..5", "0.1.2", "1.234.56", "1.,2", "12,34.56,78", "1.234,567.89"),
        *("(5", "5)", "-(5)", "(-5)", "-5-", "+-5", "--5"),
        *("", " ", "-", ".", ",", "€", "EUR", "n/a", "null", "NaN", "Infinity", "0x10", "1" * 65),
    ],
)
def test_rejects_text_that_only_contains_digits(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|separators"):
        parse_amount(text)


@pytest.mark.parametrize(
    "value", [None, True, False, [], {}, float("nan"), float("inf"), Decimal("1e999999999"), Decimal("1e-400"), 10**18]
)
def test_rejects_values_that_are_not_money(value: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_amount(value)


@pytest.mark.parametrize("text", ["EUR5USD", "$ 5 EUR"])
def test_rejects_two_currencies(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_amount(text)


def test_accepts_at_most_18_digits() -> None:
    assert parse_amount("9" * MAX_DIGITS) == Decimal("9" * MAX_DIGITS)
    with pytest.raises(ValueError, match="amount of money"):
        parse_amount("9" * (MAX_DIGITS + 1))


@pytest.mark.parametrize(
    ("value", "amount"),
    [(12, "12"), (0.1, "0.1"), (3025.5, "3025.5"), (Decimal("3025.00"), "3025.00"), (-0.05, "-0.05")],
)
def test_amount_keeps_its_digits(value: object, amount: str) -> None:
    assert str(parse_amount(value)) == amount


def test_error_quotes_the_value() -> None:
    with pytest.raises(ValueError, match="'INV-12' is not an amount"):
        parse_amount("INV-12")


@given(
    amount=cents,
    locale=st.sampled_from(["en_US", "de_DE", "fr_FR", "de_CH", "es_ES", "pt_BR", "ja_JP", "sv_SE", "en_IN"]),
)
def test_parses_amounts_of_every_locale(amount: Decimal, locale: str) -> None:
    text = format_decimal(amount, locale=locale, format=None, decimal_quantization=False)
    whole_only = amount == amount.to_integral_value()
    text = f"{text}{'.' if locale in ('en_US', 'ja_JP', 'en_IN', 'de_CH') else ','}00" if whole_only else text
    assert parse_amount(text) == amount


@given(amount=cents, group=st.sampled_from([",", ""]), before=st.sampled_from(["", "€", "$ ", "EUR ", "CHF"]))
def test_formatted_amounts_round_trip(amount: Decimal, group: str, before: str) -> None:
    text = f"{amount:{group}.2f}"
    signed = f"-{before}{text[1:]}" if text.startswith("-") else f"{before}{text}"
    assert parse_amount(signed) == amount


@given(text=st.text(max_size=20) | st.text(alphabet="0123456789.,-+()' €$EUR", max_size=20))
def test_every_text_is_an_amount_or_a_value_error(text: str) -> None:
    try:
        amount = parse_amount(text)
    except ValueError:
        return
    assert amount.is_finite()
    assert any(character.isdigit() for character in text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("€", "EUR"),
        ("$", "USD"),
        ("US$", "USD"),
        ("CA$", "CAD"),
        ("£", "GBP"),
        ("₹", "INR"),
        ("円", "JPY"),
        ("元", "CNY"),
        ("eur", "EUR"),
        (" usd ", "USD"),
        ("KWD", "KWD"),
    ],
)
def test_parses_currency_codes_and_unambiguous_symbols(text: str, code: str) -> None:
    assert parse_currency(text) == code


@pytest.mark.parametrize("text", ["¥", "￥", " ¥ "])
def test_rejects_the_ambiguous_yen_sign(text: str) -> None:
    with pytest.raises(ValueError, match="JPY or CNY"):
        parse_currency(text)


@pytest.mark.parametrize("text", ["", "EURO", "QQQ", "%", "12", "E" * 1000])
def test_rejects_and_quotes_unknown_currencies(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 4217 currency") as error:
        parse_currency(text)
    assert repr(text[:20]) in str(error.value)


def test_currency_code_is_upper_case() -> None:
    assert is_currency("EUR")
    assert not is_currency("eur")


@pytest.mark.parametrize(
    ("currency", "digits", "unit"),
    [
        ("EUR", 2, "0.01"),
        ("JPY", 0, "1"),
        ("KRW", 0, "1"),
        ("KWD", 3, "0.001"),
        (None, 2, "0.01"),
        ("QQQ", 2, "0.01"),
    ],
)
def test_minor_units_follow_iso_4217_and_default_to_two(currency: str | None, digits: int, unit: str) -> None:
    assert minor_digits(currency) == digits
    assert str(minor_unit(currency)) == unit


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("2.345", "EUR", "2.35"),
        ("-2.345", "EUR", "-2.35"),
        ("2.344999", "EUR", "2.34"),
        ("100.5", "JPY", "101"),
        ("1.2345", "KWD", "1.235"),
        ("1", "EUR", "1.00"),
    ],
)
def test_rounds_half_up_away_from_zero(amount: str, currency: str, rounded: str) -> None:
    assert str(round_to_minor_unit(Decimal(amount), currency)) == rounded


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [("2.345", "2.35"), ("-2.345", "-2.34"), ("-2.346", "-2.35"), ("2.344", "2.34"), ("0", "0.00")],
)
def test_round_ties_up_rounds_towards_plus_infinity(amount: str, rounded: str) -> None:
    assert str(round_ties_up(Decimal(amount), Decimal("0.01"))) == rounded


@given(amount=cents, currency=st.sampled_from(["EUR", "JPY", "KWD"]))
def test_rounding_is_idempotent_and_at_most_half_a_unit(amount: Decimal, currency: str) -> None:
    rounded = round_to_minor_unit(amount, currency)
    assert abs(rounded - amount) * 2 <= minor_unit(currency)
    assert round_to_minor_unit(rounded, currency) == rounded
