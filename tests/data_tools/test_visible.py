from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer, ocr_tokens
from data_tools.visibility import drop_unseen, nothing_to_read, page_text
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

SEED = 7
SEVERAL = 2000


def answer(**blocks: Any) -> dict[str, Any]:
    return as_json(read_answer({"structured_data": blocks}))


def synthetic(index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the OCR of an invoice and its answer."""
    invoice = make_invoice(SEED, index, fault_share=0.1)
    return ocr_tokens(invoice), as_json(read_answer(canonical_answer(invoice)))


def unseen(ocr: Any, **blocks: Any) -> tuple[str, ...]:
    return drop_unseen(INVOICE, answer(**blocks)["structured_data"], page_text(ocr))


def shows_name(ocr: Any, name: str) -> bool:
    return not unseen(ocr, vendor_block={"name": name})


def shows_address(ocr: Any, address: str) -> bool:
    return not unseen(ocr, vendor_block={"address": address})


def shows_number(ocr: Any, number: str) -> bool:
    return not unseen(ocr, client_info={"invoice_number": number})


def shows_amount(ocr: Any, amount: str) -> bool:
    return not unseen(ocr, financial_summary={"grand_total": Decimal(amount)})


def shows_rate(ocr: Any, rate: str) -> bool:
    return not unseen(ocr, financial_summary={"taxes": [{"rate": Decimal(rate)}]})


def shows_date(ocr: Any, day: str = "2025-01-15") -> bool:
    return not unseen(ocr, client_info={"invoice_date": day})


def shows_currency(ocr: Any, code: str) -> bool:
    return not unseen(ocr, financial_summary={"currency": code})


def test_keeps_all_values_of_a_complete_page() -> None:
    for index in range(SEVERAL):
        ocr, value = synthetic(index)
        before = copy.deepcopy(value)
        assert drop_unseen(INVOICE, value["structured_data"], page_text(ocr)) == ()
        assert value == before


def values_of(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the name of every value with the object and key that contain it."""
    for key, value in part.items():
        if isinstance(value, dict):
            yield from values_of(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            for row in value:
                yield from values_of(row, f"{prefix}{key}[].")
        else:
            yield f"{prefix}{key}", part, key


@st.composite
def not_on_page(draw: st.DrawFn, name: str, ocr: Any) -> Any:
    """Return a value for a field that is unlike anything on the page."""
    page = " ".join(ocr["tokens"])
    digits = re.sub(r"\D", "", page)
    if name.endswith("date"):
        return draw(st.dates().filter(lambda day: day.year not in range(2020, 2030))).isoformat()
    if name.endswith("currency"):
        return draw(st.sampled_from(["SEK", "PLN", "CAD", "CNY"]))
    if name.endswith("rate"):
        # 0.190 is printed as 19, which can be a quantity.
        per_mille = st.integers(min_value=101, max_value=999).filter(lambda n: str(n).rstrip("0") not in digits)
        return Decimal(draw(per_mille)) / 1000
    if re.search(r"quantity|price|total|amount", name):
        units = draw(st.integers(min_value=1001, max_value=10**7).filter(lambda n: n % 10 and str(n) not in digits))
        return Decimal(units) / 100
    # A word that shares no parts with the words of synthetic invoices.
    return draw(st.text("jqxyzJQXYZ", min_size=4, max_size=30)) + draw(st.text("0123456789 ", max_size=8)).rstrip()


@given(data=st.data(), index=st.integers(min_value=0, max_value=400))
@settings(max_examples=300, deadline=None)
def test_drops_and_names_only_values_not_on_the_page(data: st.DataObject, index: int) -> None:
    ocr, value = synthetic(index)
    name, part, key = data.draw(st.sampled_from(list(values_of(value["structured_data"]))), label="field")
    replacement = data.draw(not_on_page(name, ocr), label="value")
    assume(str(replacement) not in " ".join(ocr["tokens"]))
    part[key] = replacement
    due = {"client_info.due_date", "payment_terms.due_date"}
    assert set(drop_unseen(INVOICE, value["structured_data"], page_text(ocr))) == (due if name in due else {name})
    assert key not in part


def test_drops_empty_parts_and_names_fields_once_in_order() -> None:
    value = answer(
        vendor_block={"name": "Acme GmbH", "phone": "+49 30 1234"},
        client_info={"name": "Beta AG"},
        line_items=[{"description": "Stuhl", "total": 50}, {"description": "Tisch", "total": 70}, {"total": 80}],
        financial_summary={"taxes": [{"rate": Decimal("0.19")}], "grand_total": 119},
    )
    assert drop_unseen(INVOICE, value["structured_data"], page_text(["Acme GmbH", "Stuhl 70"])) == (
        "vendor_block.phone",
        "client_info.name",
        "line_items[].description",
        "line_items[].total",
        "financial_summary.taxes[].rate",
        "financial_summary.grand_total",
    )
    # A row without its description needs more than one number.
    assert value["structured_data"] == {
        "vendor_block": {"name": "Acme GmbH"},
        "line_items": [{"description": "Stuhl"}],
    }


def test_keeps_confidences_logos_and_the_verdict() -> None:
    value = answer(vendor_block={"confidence": Decimal("0.9"), "logo_detected": True, "logo_brand": "Acme"})
    value["validation_summary"] = {"is_valid": True, "math_verified": True, "issues": ["?"]}
    before = copy.deepcopy(value)
    assert drop_unseen(INVOICE, value["structured_data"], page_text(["x"])) == ()
    assert value == before


def test_due_date_in_two_blocks_stays_or_goes_together() -> None:
    value = answer(client_info={"due_date": "2025-02-14"}, payment_terms={"due_date": "2025-03-01"})
    assert drop_unseen(INVOICE, value["structured_data"], page_text("due 2025-02-14")) == (
        "client_info.due_date",
        "payment_terms.due_date",
    )
    assert value["structured_data"] == {}


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("ACME GMBH", "Acme GmbH"),
        ("A c m e G m b H", "Acme GmbH"),
        ("Acme-GmbH,Weg 1", "Acme GmbH"),
        ("ＡＣＭＥ　ＧｍｂＨ", "Acme GmbH"),
        ("Müller & Söhne oHG", "MÜLLER & SÖHNE OHG"),
        ("Acrne GmbH", "Acme GmbH"),
        ("8erlin 5upp1y Ltd", "Berlin Supply Ltd"),
        ("Gartcnbau Nordwind GmhH", "Gartenbau Nordwind GmbH"),
        ("Netfo 30 Tage", "Netto 30 Tage"),
        ("請求先 株式会社山田商事御中", "株式会社山田商事"),
        ("消費税10%", "消費税"),
        ("MwSt19%", "MwSt"),
        ("VAT: 19%", "VAT"),
        (
            "Wartung der Heizung und 2 50.00 100.00 Prüfung aller Ventile 1",
            "Wartung der Heizung und Prüfung aller Ventile",
        ),
    ],
)
def test_finds_text_with_other_case_punctuation_and_misreadings(page: str, name: str) -> None:
    assert shows_name([page], name)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("Alder Bau GmbH", "Alder Handel GmbH"),
        ("Acme", "Acme Gesellschaft für Gartenbau"),
        ("Printing hours", "Training hours"),
        ("Syntax", "Tax"),
        ("Netto 10 Tage, 14 Stück", "Netto 14 Tage"),
        ("Netto 10 Tage", "Netto 1 Tage"),
        ("Steel panel 1, Oak bracket 2", "Steel bracket"),
        ("", "Acme"),
        ("Acme", "—"),
        ("Acme", ""),
    ],
)
def test_does_not_find_another_text(page: str, name: str) -> None:
    assert not shows_name([page], name)


@pytest.mark.parametrize(
    "page",
    [
        ["Weg 12, 10115 Berlin, DE"],
        ["Weg 12", "10115 Berlin"],
        ["10115 BERLIN", "Tel 030", "Weg 12"],
        ["Weg 12 1O115 Ber1in"],
        ["DE-10115 Berlin", "Weg12"],
    ],
)
def test_finds_an_address_over_lines_without_its_country(page: list[str]) -> None:
    assert shows_address(page, "Weg 12, 10115 Berlin, DE")


@pytest.mark.parametrize("page", ["Weg 13, 10115 Berlin", "Weg 12, 10117 Berlin", "Weg 12, 10115 Bremen", "DE", "12"])
def test_does_not_find_an_address_with_another_number_or_city(page: str) -> None:
    assert not shows_address([page], "Weg 12, 10115 Berlin, DE")


@pytest.mark.parametrize(
    ("page", "number"),
    [
        ("Nr. RE-2024-00123.", "RE-2024-00123"),
        ("RE 2O24 / OO123", "RE-2024-00123"),
        ("Nr.110,", "110"),
        ("+49 (0)69...", "+49 (0)69…"),
    ],
)
def test_finds_an_invoice_number_with_usual_misreadings(page: str, number: str) -> None:
    assert shows_number([page], number)


@pytest.mark.parametrize(
    ("page", "number"),
    [("RE-10", "RE-1"), ("RE-2024-00128", "RE-2024-00123"), ("B-12345", "A-12345"), ("110.00", "110"), ("2110", "110")],
)
def test_does_not_find_another_invoice_number(page: str, number: str) -> None:
    assert not shows_number([page], number)


@pytest.mark.parametrize(
    "page",
    [
        "1,234.50", "1.234,50", "1 234,50", "1\u202f234,50", "1'234.50", "1’234.50", "1234.5", "1234,5", "€1,234.50",
        "EUR1.234,50", "1.234,50€", "-1234.50", "(1,234.50)", "1.234,50-", "1 2 34.50", "1234 .50", "1,234 . 50",
        "l234.5O", "I,234.SO", "1.234.50", "Summe....1.234,50.",
    ],
)  # fmt: skip
def test_finds_an_amount_in_any_usual_spelling(page: str) -> None:
    assert shows_amount(["Total " + page], "1234.50")


@pytest.mark.parametrize(
    ("page", "amount"),
    [("¥1,235", "1235"), ("2 x 50.00", "2"), ("2Stk", "2.00"), ("2,00", "2"), ("12,-", "12.00"), (".50", "0.5")],
)
def test_finds_whole_amounts_and_quantities(page: str, amount: str) -> None:
    assert shows_amount([page], amount)


def test_finds_an_amount_that_is_a_json_number() -> None:
    assert shows_amount({"fields": {"total": Decimal("119.00")}}, "119")


@pytest.mark.parametrize(
    ("page", "amount"),
    [
        ("1234", "2"),
        ("150.00", "50.00"),
        ("50.00", "50.01"),
        ("2025-01-15", "15.00"),
        ("15.01.2025", "15.01"),
        ("00123", "123"),
        ("SO", "50"),
        ("1.5", "15"),
    ],
)
def test_does_not_find_an_amount_in_other_numbers(page: str, amount: str) -> None:
    assert not shows_amount([page], amount)


@pytest.mark.parametrize("page", ["19%", "19 %", "19,0", "19.00%", "0.19", "MwSt l9%"])
def test_finds_a_rate_as_a_percentage(page: str) -> None:
    assert shows_rate([page], "0.19")


def test_does_not_find_another_rate() -> None:
    assert not shows_rate(["MwSt 119%, 1.9%"], "0.19")


@pytest.mark.parametrize(
    "page",
    [
        "2025-01-15", "2025-01-15T10:00", "15.01.2025", "15. 01. 2025", "15.1.25", "15/01/25", "01/15/2025", "25/01/15",
        "20250115", "2O25-O1-15", "15. Januar 2025", "15 JAN 2025", "15-Jan-25", "Jan 15, 2025", "January 15th, 2025",
        "15 janvier 2025", "15 de enero de 2025", "15 gennaio 2025", "15 januari 2025", "15 de janeiro de 2025",
        "2025年1月15日", "令和7年1月15日", "２０２５年１月１５日",
    ],
)  # fmt: skip
def test_finds_a_date_in_any_usual_spelling(page: str) -> None:
    assert shows_date(["Datum: " + page + ", Seite 1"])


@pytest.mark.parametrize("page", ["2025-01-16", "15.02.2025", "115.01.2025", "Mai 15, 2025", "15 Tage, 2025"])
def test_does_not_find_another_date(page: str) -> None:
    assert not shows_date([page])


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("Total EUR 5", "EUR"), ("EUR5", "EUR"), ("5 €", "EUR"), ("alle Beträge in Euro", "EUR"), ("$5", "USD"),
        ("US$ 5", "USD"), ("CA$5", "CAD"), ("￥500", "JPY"), ("500円", "JPY"), ("5 Fr.", "CHF"), ("5 zł", "PLN"),
    ],
)  # fmt: skip
def test_finds_a_currency_by_code_symbol_or_name(page: str, code: str) -> None:
    assert shows_currency([page], code)


@pytest.mark.parametrize(
    ("page", "code"), [("5.00", "EUR"), ("EUROPA 5", "EUR"), ("CA$5", "USD"), ("5 $", "EUR"), ("5 €", "XYZ")]
)
def test_does_not_find_a_currency_without_its_sign(page: str, code: str) -> None:
    assert not shows_currency([page], code)


@pytest.mark.parametrize(
    "ocr",
    [
        "Acme GmbH\nTotal 119.00",
        ["Acme GmbH", "Total 119.00"],
        [{"text": "Acme", "confidence": 0.9}, {"text": "GmbH"}, {"text": "Total"}, {"text": "119.00"}],
        {"pages": [{"regions": [{"lines": [{"words": ["Acme", "GmbH"]}]}, {"text": "Total", "value": 119}]}]},
        [[[[1, 2], [3, 2], [3, 4], [1, 4]], ["Acme GmbH", 0.99]], [[[1, 2]], ["119.00", 0.98]]],
    ],
)
def test_reads_any_ocr_format(ocr: Any) -> None:
    assert unseen(ocr, vendor_block={"name": "Acme GmbH"}, financial_summary={"grand_total": 119}) == ()


@pytest.mark.parametrize("place", [{"bbox": [44, 300, 576, 324]}, {"confidence": 300}, {"page": 300}, {"x": 300}])
def test_ignores_coordinates_and_confidences(place: dict[str, Any]) -> None:
    assert not shows_amount([{"text": "Acme", **place}], "300")


@pytest.mark.parametrize(
    "ocr", [None, "", " \n", [], {"tokens": []}, [{"text": "", "bbox": [1, 2, 3, 4], "confidence": 0.9}], "--- …"]
)
def test_nothing_to_read_without_letters_and_digits(ocr: Any) -> None:
    assert nothing_to_read(ocr)


@pytest.mark.parametrize("ocr", ["a", ["", "5"], {"pages": [{"text": "総"}]}, [{"total": 5}]])
def test_something_to_read_with_a_letter_or_digit(ocr: Any) -> None:
    assert not nothing_to_read(ocr)


def test_reads_deeply_nested_ocr() -> None:
    ocr: Any = "Acme GmbH"
    for _ in range(50_000):
        ocr = [ocr]
    assert shows_name(ocr, "Acme GmbH")
