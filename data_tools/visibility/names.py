"""Names of taxes, payment methods and document types: found in the language of the page and kept as printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from data_tools.visibility.labels import CREDIT_NOTE, label_pattern, printed
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import without_compatibility_forms
from data_tools.visibility.text import shows_text

# Each group has the names of one thing in several languages; a name is replaced by the printed name of its group.
TAXES = (
    (
        "vat", "value added tax", "value-added tax", "mwst.", "mwst", "mehrwertsteuer", "ust.", "ust", "umsatzsteuer",
        "tva", "t.v.a.", "taxe sur la valeur ajoutée", "iva", "i.v.a.", "imposta sul valore aggiunto",
        "impuesto sobre el valor añadido", "btw", "b.t.w.", "belasting over de toegevoegde waarde", "gst", "gst/hst",
        "goods and services tax", "moms", "mva", "alv", "dph", "ddv", "áfa", "pdv", "ptu", "kdv", "ндс", "ддс",
        "消費税等", "消費税", "増値税", "增值税", "부가가치세", "부가세", "consumption tax",
    ),
)  # fmt: skip
METHODS = (
    (
        "credit transfer", "sepa credit transfer", "bank transfer", "wire transfer", "wire", "transfer",
        "payment to bank account", "überweisung", "sepa-überweisung", "banküberweisung", "virement bancaire",
        "virement", "virement sepa", "bonifico bancario", "bonifico", "bonifico sepa", "transferencia bancaria",
        "transferencia", "bankoverschrijving", "overschrijving", "overboeking", "銀行振込", "振込", "お振込",
        "銀行振替", "银行转账", "转账", "电汇", "계좌이체", "transferência bancária", "przelew",
    ),
    (
        "direct debit", "sepa direct debit", "lastschrift", "sepa-lastschrift", "lastschrifteinzug", "bankeinzug",
        "prélèvement", "prélèvement automatique", "prélèvement sepa", "addebito diretto", "rid", "sdd",
        "domiciliación bancaria", "domiciliación", "adeudo directo", "automatische incasso", "incasso", "口座振替",
        "直接扣款", "자동이체",
    ),
    (
        "cash", "in cash", "bar", "barzahlung", "bargeld", "espèces", "contanti", "efectivo", "en efectivo", "contant",
        "tunai", "dinheiro", "numerário", "gotówka", "kontant", "nakit", "現金", "现金", "현금",
    ),
    (
        "credit card", "card", "card payment", "bank card", "debit card", "kreditkarte", "kartenzahlung", "ec-karte",
        "karte", "carte bancaire", "carte de crédit", "carta di credito", "tarjeta de crédito", "tarjeta",
        "creditcard", "pinpas", "クレジットカード", "信用卡", "银行卡", "신용카드",
    ),
    ("cheque", "cheques", "check", "checks", "scheck", "chèque", "assegno", "小切手", "支票", "수표"),
)  # fmt: skip
# First letters after the name of a tax in a tax number: VAT ID, USt-IdNr., VAT No, VAT Reg.
_OF_A_TAX_NUMBER = frozenset({"ID", "Id", "id", "No", "no", "Nr", "nr", "N°", "Nu", "nu", "Re", "re"})
# Words next to which the name of a tax belongs to a tax number, not to an amount.
_ID_AFTER = re.compile(r"\s?[-.:]?\s?(?:id|ident|no|nr|nummer|number|reg|registration|intra|n°|#|番号)", re.IGNORECASE)
_ID_BEFORE = re.compile(
    r"(?:\bp\.?\s?|partita\s|n°\s?(?:de\s)?|no\.?\s|numéro\s(?:de\s)?|nif[-\s]|cif[-\s])$", re.IGNORECASE
)
_LOOK_CHARACTERS = 24
_AMOUNT_AFTER = re.compile(r"[^\n]{0,24}?\d")


def printed_tax(value: str, page: PageText) -> str | None:
    """Return the name of a tax as printed; None if the page prints none of its names."""
    return _printed(value, page, TAXES, is_tax=True)


def printed_method(value: str, page: PageText) -> str | None:
    """Return the name of a payment method as printed; None if the page prints none of its names."""
    return _printed(value, page, METHODS, is_tax=False)


def shows_document_type(value: str, page: PageText) -> bool:
    """Return whether the page names itself a credit note; an invoice needs no such word."""
    return value != "credit_note" or printed(CREDIT_NOTE, page.text) is not None


def is_of_a_tax_number(name: str, text: str) -> bool:
    """Return whether the name of a tax in a text is followed by the words for a number."""
    end = text.find(f" {name} ") + len(name) + 2
    return text[end : end + 2] in _OF_A_TAX_NUMBER


def _printed(value: str, page: PageText, groups: tuple[tuple[str, ...], ...], *, is_tax: bool) -> str | None:
    plain = without_compatibility_forms(value)
    group = _group(" ".join(plain.casefold().split()), groups)
    if group is None:
        return value if shows_text(value, page) else None
    own = _places(label_pattern((plain,)), page, is_tax=is_tax)
    if own:
        return value
    in_lower_case = page.text.casefold()
    on_page = tuple(name for name in group if "".join(name.split()) in in_lower_case or name in in_lower_case)
    found = _places(label_pattern(on_page), page, is_tax=is_tax) if on_page else ()
    if not found:
        return None
    text = page.text
    # Next to an amount or a rate it names the tax of this invoice; elsewhere it may be part of a sentence.
    best = next((place for place in found if _AMOUNT_AFTER.match(text, place.end())), found[0]) if is_tax else found[0]
    return best[0]


def _group(name: str, groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    return next((group for group in groups if name in _names(group)), None)


@cache
def _names(group: tuple[str, ...]) -> frozenset[str]:
    return frozenset(group)


def _places(pattern: re.Pattern[str], page: PageText, *, is_tax: bool) -> Sequence[re.Match[str]]:
    found = pattern.finditer(page.text)
    return [place for place in found if not is_tax or not _is_of_an_id(page.text, place)]


def _is_of_an_id(text: str, place: re.Match[str]) -> bool:
    before = text[max(place.start() - _LOOK_CHARACTERS, 0) : place.start()]
    return _ID_AFTER.match(text, place.end()) is not None or _ID_BEFORE.search(before) is not None
