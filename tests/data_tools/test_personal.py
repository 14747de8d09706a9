from __future__ import annotations

import copy
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.iban import calc_check_digits

from data_tools.pairs.personal import KINDS, PERSONAL_KINDS, find_personal, mask, mask_value
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer, ocr_tokens
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.prompts import analysis_request

IBAN = "DE89 3704 0044 0532 0130 00"
MASKED_IBAN = "DEXX XXXX XXXX XXXX XXXX XX"


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in find_personal(text, KINDS)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"IBAN: {IBAN} BIC COBADEFFXXX", f"IBAN: {MASKED_IBAN} BIC COBADEFFXXX"),
        ("DE89370400440532013000", "DEXXXXXXXXXXXXXXXXXXXX"),
        ("de89 3704 0044 0532 0130 00.", "deXX XXXX XXXX XXXX XXXX XX."),
        ("IBANDE89370400440532013000", "IBANDEXXXXXXXXXXXXXXXXXXXX"),
        ("DE89 3704 0044\n0532 0130 00", "DEXX XXXX XXXX\nXXXX XXXX XX"),
        ("GB29 NWBK 6016 1331 9268 19", "GBXX XXXX XXXX XXXX XXXX XX"),
        ("MT84MALT011000012345MTLCAST001S", "MTXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"),
        ("IBAN DE89 3704 0O44 0532 O13O 00", "IBAN DEXX XXXX XXXX XXXX XXXX XX"),
    ],
)
def test_an_iban_is_masked_but_for_its_country_blanks_and_marks(text: str, masked: str) -> None:
    assert mask(text) == (masked, ("iban",))


@pytest.mark.parametrize(
    "text", ["DE89 3704 0044 0532 0130 01", "RE89370400440532013000", "DE89 3704 0044", "XDE89370400440532013000"]
)
def test_what_has_no_right_checksum_or_length_is_no_iban(text: str) -> None:
    assert mask(text) == (text, ())


@pytest.mark.parametrize(
    "number",
    [
        "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "5555555555554444",
        "2223 0031 2200 3222", "3782 822463 10005", "3056 930902 5904", "6011111111111117", "3530111333300000",
    ],
)  # fmt: skip
def test_a_card_number_is_masked(number: str) -> None:
    assert mask(f"Karte {number}, gültig 12/27") == (f"Karte {re.sub('[0-9]', 'X', number)}, gültig 12/27", ("card",))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "9111111111111114",
        "14111111111111111",
        "4111111111111111.50",
        "+4111111111111111",
        "EAN 4006381333931",
        "Rechnung 4222222222222",
        "Rechnung 2024-00123 vom 2025-01-15, 1 234 567,89 EUR",
    ],
)
def test_invoice_numbers_article_numbers_and_amounts_are_no_cards(text: str) -> None:
    assert mask(text) == (text, ())


@pytest.mark.parametrize(
    "text",
    [
        "536-90-4399",
        "912-70-1234",
        "2 55 08 14 168 025 38",
        "AHV 756.9217.0769.85",
        "Codice fiscale RSSMRA85T10A562S",
        "Steuernummer: 12/345/67890",
        "St.-Nr. 133/8150/8159",
        "Steuer-ID 36 574 261 809",
        "BSN: 111222333",
        "PESEL 44051401359",
        "UTR: 1955839661",
    ],
)
def test_a_tax_number_of_a_person_is_found_by_its_form_or_behind_its_name(text: str) -> None:
    assert kinds(text) == ["tax_number"]


@pytest.mark.parametrize(
    "text",
    ["Nummer 12/345/67890", "36 574 261 809", "111222333", "Bestellung 44051401359", "000-12-3456", "1536-90-4399"],
)
def test_numbers_without_their_name_or_their_form_are_no_tax_numbers(text: str) -> None:
    assert kinds(text) == []


def test_a_vat_id_belongs_to_a_business_and_is_masked_on_demand_alone() -> None:
    text = "USt-IdNr. DE136695976 UST"
    assert mask(text) == (text, ())
    assert mask(text, KINDS) == ("USt-IdNr. DEXXXXXXXXX UST", ("vat_id",))


def test_a_kind_that_is_not_asked_for_stays() -> None:
    text = f"{IBAN} 4111 1111 1111 1111"
    assert mask(text, {"card"}) == (f"{IBAN} XXXX XXXX XXXX XXXX", ("card",))


def test_findings_say_where_and_not_what() -> None:
    text = f"a {IBAN} b 536-90-4399"
    found = find_personal(text)
    assert [(finding.kind, text[finding.start : finding.end]) for finding in found] == [
        ("iban", IBAN),
        ("tax_number", "536-90-4399"),
    ]
    assert "3704" not in repr(found)


def test_synthetic_invoices_hold_nothing_personal() -> None:
    for index in range(1000):
        invoice = make_invoice(3, index, fault_share=0.1)
        assert find_personal(analysis_request(ocr_tokens(invoice), with_image=False)) == ()
        value = {"ocr": ocr_tokens(invoice), "answer": canonical_answer(invoice)}
        assert mask_value(value) == (value, ())


@pytest.mark.parametrize(
    "value",
    [
        {"text": f"Zahlbar an:\n{IBAN}\nDanke"},
        {"text": "Steuernummer:\n12/345/67890\n1 x Stuhl"},
        {"text": "DE89 3704 0044\n0532 0130 00"},
        {"card": 4111111111111111, "cards": [4111111111111111, 5]},
        [f'"{IBAN}"', "\\4111111111111111\\"],
    ],
)
def test_masked_json_text_is_json_of_the_same_length(value: Any) -> None:
    text = jsontext.compose(value)
    masked, found = mask(text)
    assert found
    assert len(masked) == len(text)
    assert not re.search("3704|1111|345/", masked)
    assert type(jsontext.parse(masked)) is type(value)


def test_a_request_and_its_answer_are_masked_alike() -> None:
    value = {
        "ocr": {"tokens": ["Steuernummer", "12/345/67890", f"IBAN {IBAN}"], "page": 1},
        "answer": {"notes": "12/345/67890", "method": IBAN, "total": Decimal("5.00"), "paid": True},
    }
    before = copy.deepcopy(value)
    masked, found = mask_value(value)
    assert found == ("iban", "tax_number")
    assert masked == {
        "ocr": {"tokens": ["Steuernummer", "XX/XXX/XXXXX", f"IBAN {MASKED_IBAN}"], "page": 1},
        "answer": {"notes": "XX/XXX/XXXXX", "method": MASKED_IBAN, "total": Decimal("5.00"), "paid": True},
    }
    assert value == before


def test_a_number_split_over_tokens_is_masked_in_each() -> None:
    tokens = [{"text": "DE89 3704 0044", "bbox": [1, 2, 3, 4]}, {"text": "0532 0130 00"}, {"text": "12"}]
    masked, found = mask_value(tokens)
    assert [token["text"] for token in masked] == ["DEXX XXXX XXXX", "XXXX XXXX XX", "12"]
    assert found == ("iban",)


def test_a_card_that_is_a_json_number_becomes_masked_text() -> None:
    assert mask_value({"card": 4111111111111111}) == ({"card": "X" * 16}, ("card",))


def test_depth_is_no_problem() -> None:
    value: Any = IBAN
    for _ in range(20_000):
        value = [value]
    masked, found = mask_value(value)
    while isinstance(masked, list):
        (masked,) = masked
    assert (masked, found) == (MASKED_IBAN, ("iban",))


@given(account=st.integers(min_value=0, max_value=10**18 - 1), blanks=st.booleans(), before=st.text(), after=st.text())
def test_every_german_iban_is_found_whatever_stands_around_it(
    account: int, blanks: bool, before: str, after: str
) -> None:
    compact = f"DE00{account:018d}"
    number = f"DE{calc_check_digits(compact)}{account:018d}"
    printed = " ".join(re.findall(".{1,4}", number)) if blanks else number
    masked, found = mask(f"{before} {printed} {after}")
    assert "iban" in found
    assert printed[4:] not in masked


@given(digits=st.integers(min_value=0, max_value=10**14 - 1))
def test_every_visa_card_is_found(digits: int) -> None:
    number = f"4{digits:014d}"
    assert kinds(f"Visa {number}{luhn.calc_check_digit(number)}") == ["card"]


@given(st.text(st.sampled_from('DE0123456789 -/.\n\\n",:[]IBANsteuer'), max_size=200))
def test_masking_keeps_length_and_marks_and_finds_nothing_more_the_second_time(text: str) -> None:
    masked, _ = mask(text, KINDS)
    assert [c for c in masked if not c.isalnum()] == [c for c in text if not c.isalnum()]
    assert len(masked) == len(text)
    assert mask(masked)[0] == masked


def test_what_is_personal_by_default_leaves_out_the_numbers_of_businesses() -> None:
    assert set(KINDS) - PERSONAL_KINDS == {"vat_id"}
