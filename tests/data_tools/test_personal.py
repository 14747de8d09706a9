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

from data_tools.examples.personal import KINDS, PERSONAL_KINDS, find_personal, mask, mask_value
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer, ocr_tokens
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.loading import INVOICE

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
def test_masks_an_iban_except_its_country(text: str, masked: str) -> None:
    assert mask(text) == (masked, ("iban",))


@pytest.mark.parametrize(
    "text", ["DE89 3704 0044 0532 0130 01", "RE89370400440532013000", "DE89 3704 0044", "XDE89370400440532013000"]
)
def test_an_iban_needs_a_valid_checksum_and_length(text: str) -> None:
    assert mask(text) == (text, ())


@pytest.mark.parametrize(
    "number",
    [
        "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "5555555555554444",
        "2223 0031 2200 3222", "3782 822463 10005", "3056 930902 5904", "6011111111111117", "3530111333300000",
    ],
)  # fmt: skip
def test_masks_a_card_number(number: str) -> None:
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
def test_invoice_and_article_numbers_are_not_cards(text: str) -> None:
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
def test_finds_tax_numbers_by_form_or_label(text: str) -> None:
    assert kinds(text) == ["tax_number"]


@pytest.mark.parametrize(
    "text",
    ["Nummer 12/345/67890", "36 574 261 809", "111222333", "Bestellung 44051401359", "000-12-3456", "1536-90-4399"],
)
def test_unlabelled_numbers_are_not_tax_numbers(text: str) -> None:
    assert kinds(text) == []


def test_vat_ids_are_masked_only_on_demand() -> None:
    text = "USt-IdNr. DE136695976 UST"
    assert mask(text) == (text, ())
    assert mask(text, KINDS) == ("USt-IdNr. DEXXXXXXXXX UST", ("vat_id",))


def test_masks_only_the_requested_kinds() -> None:
    text = f"{IBAN} 4111 1111 1111 1111"
    assert mask(text, {"card"}) == (f"{IBAN} XXXX XXXX XXXX XXXX", ("card",))


def test_findings_do_not_contain_the_data() -> None:
    text = f"a {IBAN} b 536-90-4399"
    found = find_personal(text)
    assert [(finding.kind, text[finding.start : finding.end]) for finding in found] == [
        ("iban", IBAN),
        ("tax_number", "536-90-4399"),
    ]
    assert "3704" not in repr(found)


def test_synthetic_invoices_contain_no_personal_data() -> None:
    for index in range(1000):
        invoice = make_invoice(3, index, fault_share=0.1)
        assert find_personal(INVOICE.prompts.analysis_request(ocr_tokens(invoice), with_image=False)) == ()
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
def test_masked_json_keeps_its_length(value: Any) -> None:
    text = json_text.compose(value)
    masked, found = mask(text)
    assert found
    assert len(masked) == len(text)
    assert not re.search("3704|1111|345/", masked)
    assert type(json_text.parse(masked)) is type(value)


def test_masks_a_request_and_its_answer_alike() -> None:
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


def test_masks_a_number_split_over_tokens() -> None:
    tokens = [{"text": "DE89 3704 0044", "bbox": [1, 2, 3, 4]}, {"text": "0532 0130 00"}, {"text": "12"}]
    masked, found = mask_value(tokens)
    assert [token["text"] for token in masked] == ["DEXX XXXX XXXX", "XXXX XXXX XX", "12"]
    assert found == ("iban",)


def test_a_masked_json_number_becomes_text() -> None:
    assert mask_value({"card": 4111111111111111}) == ({"card": "X" * 16}, ("card",))


def test_masks_deeply_nested_values() -> None:
    value: Any = IBAN
    for _ in range(20_000):
        value = [value]
    masked, found = mask_value(value)
    while isinstance(masked, list):
        (masked,) = masked
    assert (masked, found) == (MASKED_IBAN, ("iban",))


@given(account=st.integers(min_value=0, max_value=10**18 - 1), blanks=st.booleans(), before=st.text(), after=st.text())
def test_finds_every_german_iban(account: int, blanks: bool, before: str, after: str) -> None:
    compact = f"DE00{account:018d}"
    number = f"DE{calc_check_digits(compact)}{account:018d}"
    printed = " ".join(re.findall(".{1,4}", number)) if blanks else number
    masked, found = mask(f"{before} {printed} {after}")
    assert "iban" in found
    assert printed[4:] not in masked


@given(digits=st.integers(min_value=0, max_value=10**14 - 1))
def test_finds_every_visa_card(digits: int) -> None:
    number = f"4{digits:014d}"
    assert kinds(f"Visa {number}{luhn.calc_check_digit(number)}") == ["card"]


@given(st.text(st.sampled_from('DE0123456789 -/.\n\\n",:[]IBANsteuer'), max_size=200))
def test_masking_is_idempotent_and_keeps_length(text: str) -> None:
    masked, _ = mask(text, KINDS)
    assert [c for c in masked if not c.isalnum()] == [c for c in text if not c.isalnum()]
    assert len(masked) == len(text)
    assert mask(masked)[0] == masked


def test_default_kinds_exclude_vat_ids() -> None:
    assert set(KINDS) - PERSONAL_KINDS == {"vat_id"}
