"""The shipped document types: their rules on ten example documents each, written down by hand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from data_tools.visibility.numbers import shows_amount, shows_currency, shows_date, shows_rate
from data_tools.visibility.page_text import PageText, page_text
from data_tools.visibility.text import shows_address, shows_identifier, shows_text
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.field_names import name_key
from erniekit_adapter.documents.loading import load_document_type, shipped_names
from erniekit_adapter.documents.parsing import parse_answer
from erniekit_adapter.documents.rules.rule import Finding
from tests.shipped_examples import EXAMPLES, SHIPPED, ExampleDocument, every_document, example_documents

every_type = pytest.mark.parametrize("name", SHIPPED)
every_example = pytest.mark.parametrize("document", every_document(), ids=str)

# Findings of each document in the order of the rules: p passed, F failed, - not checkable.
# ITEM, SUBTOTAL, TOTAL, SUBTOTAL-TOTAL, CHANGE, TAX-GROSS, TAX-RATE
RECEIPTS = {
    "lembah-hijau": "ppppp-p",
    "kopi-senja": "ppppp--",  # service charge and tax on top
    "edler-markt": "p-p-ppp",  # no subtotal; cheese by weight
    "magnolia-diner": "pppp---",  # tax and tip on top, paid by card
    "heron-and-reed": "pppp--p",  # discount and service
    "boulangerie-des-halles": "p-p--pp",
    "midori-mart": "ppppp--",  # whole yen
    "huimin-store": "pppp---",
    "casa-pepita": "ppFFp-p",  # 32.40 printed as 34.40
    "bar-al-ponte": "-------",  # a total without items
}
# ITEM, SUBTOTAL, TOTAL, SUBTOTAL-TOTAL, DATES, INCOTERM-PLACE
ORDERS = {
    "redwood-instruments": "ppppp-",  # prices with four decimals, freight
    "hofer-anlagenbau": "pppppp",  # DAP Wels
    "ateliers-du-rhone": "ppppp-",
    "wyre-valley-council": "ppppp-",
    "van-dam-kwekerijen": "ppppp-",
    "talleres-ibarra": "p-p-p-",  # prints the net amount after the discount only
    "nordlys-outdoor": "p-p-pp",  # FOB Ningbo, no tax
    "cantina-valle": "pppppp",  # discount in a row
    "glenmore-hospital": "Fpppp-",  # 6 at 84.50 printed as 570.00
    "piekarnia-zuraw": "----p-",  # no prices
}
# BALANCE, RUNNING-BALANCE, TURNOVER, PERIOD, IBAN, BIC
STATEMENTS = {
    "volksbank-lahntal": "p--ppp",
    "harbour-bank": "pppppp",  # columns for both directions, and the balance of each row
    "credit-alpin": "p-pppp",
    "rijnstroom-bank": "p--ppp",
    "prairie-national": "pp-p--",  # an account number without an IBAN
    "donau-sparkasse": "p--ppp",  # overdrawn at first
    "seeland-bank": "pp-ppp",
    "caja-cantabrica": "pp-ppp",
    "liffey-savings": "F--ppp",  # 100.00 too low
    "banca-del-delta": "----p-",  # the first page is missing
}
# 行金额, 行税额, 合计金额, 合计税额, 价税合计, 大写金额, 税率,
# 发票号码, 发票代码, 校验码, 销售方税号, 购买方税号, 专票购买方
FAPIAO = {
    "zhuanpiao-zhijia": "ppppppppppppp",
    "dianzi-putong-canyin": "ppppppppppppp",
    "shudian-zhuanpiao-ruanjian": "pppppppp--ppp",  # 20 digits, no code and no check code
    "shudian-putong-yunshu": "pppppppp--ppp",
    "shudian-putong-geren": "pppppppp--p-p",  # the buyer is a person
    "putong-xiaoguimo": "ppppppppppppp",
    "shudian-zhekou": "pppppppp--ppp",  # a row with a discount, two rates
    "shudian-mianshui": "p-p--p-p--ppp",  # exempt: no rate, *** for the tax
    "shudian-daxie-buyizhi": "pppppFpp--ppp",  # 2160 in letters, 2260 in digits
    "zhuanpiao-jianzhu": "ppppppppp-ppp",
}
FINDINGS = dict(zip(SHIPPED, (RECEIPTS, ORDERS, STATEMENTS, FAPIAO), strict=True))
MARKS = {"pass": "p", "fail": "F", "not checkable": "-"}

Shows = Callable[[Any, PageText], bool]
SEARCHES: dict[str, Shows] = {
    "text": shows_text,
    "address": shows_address,
    "identifier": shows_identifier,
    "amount": shows_amount,
    "quantity": shows_amount,
    "rate": shows_rate,
    "date": shows_date,
    "currency": shows_currency,
}
# Words on the pages for the codes of receipts; other codes are printed as they are.
CODE_WORDS = {
    "cash": ("cash", "tunai", "bar", "現金", "efectivo"),
    "card": ("card", "carte", "elettronico"),
    "wallet": ("微信",),
}


def findings(document: ExampleDocument) -> tuple[Finding, ...]:
    answer = document.type.read_content(document.content)
    return document.type.rules.check(answer, complete=document.is_complete)


def values(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from values(inner, f"{path}.{key}" if path else key)
    elif isinstance(part, list):
        for inner in part:
            yield from values(inner, f"{path}[]")
    else:
        yield path, part


def is_on_page(path: str, value: Any, document: ExampleDocument, page: PageText) -> bool:
    kind = document.type.fields[path].kind
    if kind == "code":
        words = CODE_WORDS.get(value, (unicodedata.normalize("NFKC", value).casefold(),))
        return any(word in page.text.casefold() for word in words)
    return SEARCHES[kind](value, page)


def test_shipped_types_are_listed() -> None:
    assert set(SHIPPED) | {"invoice"} == set(shipped_names())


@every_type
def test_each_type_has_ten_examples(name: str) -> None:
    assert [document.name for document in example_documents(name)] == list(FINDINGS[name])
    assert len(FINDINGS[name]) == 10


@every_example
def test_findings_are_those_written_by_hand(document: ExampleDocument) -> None:
    found = "".join(MARKS[finding.status] for finding in findings(document))
    assert found == FINDINGS[document.document_type][document.name]


@every_example
def test_verdict_follows_from_the_example(document: ExampleDocument) -> None:
    summary = document.type.rules.summarize(findings(document))
    expected = False if document.fault else True if document.is_complete else None
    assert summary.is_valid is expected
    assert bool(summary.issues) == bool(document.fault)


@every_example
def test_every_value_is_on_its_page(document: ExampleDocument) -> None:
    page = page_text(document.ocr)
    missing = [found for found in values(document.content) if not is_on_page(*found, document, page)]
    assert missing == []


@every_example
def test_taught_answers_are_read_back_unchanged(document: ExampleDocument) -> None:
    parsed = parse_answer(document.type, document.answer)
    assert (parsed.form, parsed.problem) == ("strict", "")
    assert parsed.answer is not None
    assert json_text.compose(document.type.content_of(parsed.answer)) == json_text.compose(document.content)


@every_type
def test_one_example_has_a_fault_and_one_lacks_values(name: str) -> None:
    documents = list(example_documents(name))
    assert sum(document.fault is not None for document in documents) == 1
    assert sum(not document.is_complete for document in documents) == 1


@every_type
def test_examples_use_every_field(name: str) -> None:
    used = {path for document in example_documents(name) for path, _ in values(document.content)}
    assert set(load_document_type(name).fields) == used


@every_type
def test_prompts_ask_for_every_field_and_rule(name: str) -> None:
    document_type = load_document_type(name)
    request = document_type.prompts.analysis_request({"lines": ["x"]}, with_image=False)
    assert [field.path for field in document_type.fields.values() if f'"{field.name}"' not in request] == []
    assert [rule.name for rule in document_type.rules.rules if rule.sentence.rstrip(".。") not in request] == []


@every_type
def test_fields_with_a_part_in_every_document(name: str) -> None:
    roles = {"issuer", "number", "description"}
    assert roles <= load_document_type(name).by_role.keys()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        # SROIE
        ("company", "store"),
        ("date", "date"),
        ("address", "address"),
        ("total", "total"),
        # CORD
        ("nm", "items[].name"),
        ("cnt", "items[].quantity"),
        ("unitprice", "items[].unit_price"),
        ("price", "items[].total"),
        ("discountprice", "items[].discount"),
        ("subtotal_price", "subtotal"),
        ("discount_price", "discount"),
        ("service_price", "service_charge"),
        ("tax_price", "tax"),
        ("total_price", "total"),
        ("cashprice", "cash"),
        ("changeprice", "change"),
        ("creditcardprice", "card"),
        ("emoneyprice", "card"),
        # WildReceipt
        ("Store_name_value", "store"),
        ("Prod_item_value", "items[].name"),
        ("Tips_value", "tip"),
    ],
)
def test_names_of_public_receipts_find_a_field(key: str, path: str) -> None:
    fields = load_document_type("receipt").fields
    table = fields[path].table
    found = [
        field.path
        for field in fields.values()
        if field.table == table and name_key(key) in {name_key(name) for name in (field.name, *field.aliases)}
    ]
    assert found == [path]


def page_section(name: str) -> str:
    """Return the part of docs/types.md about a type, which begins with the picture of an example."""
    page = (EXAMPLES.parent / "types.md").read_text()
    return page.partition(f"](type-{name}.png)")[2].partition("\n## ")[0]


@every_type
def test_page_describes_every_field_and_rule(name: str) -> None:
    section, document_type = page_section(name), load_document_type(name)
    assert [field.path for field in document_type.fields.values() if f"`{field.name}`" not in section] == []
    described = re.findall(r"^\| ([^`|]+?)(?:, decisive|, warning)? \|", section.partition("| rule |")[2], re.MULTILINE)
    assert [rule.name for rule in document_type.rules.rules] == [rule for rule in described if rule.strip("- ")]


@every_type
def test_page_shows_the_answer_of_an_example(name: str) -> None:
    block = re.search(r"```json\n(.*?)```", page_section(name), re.DOTALL)
    assert block is not None
    assert json_text.parse(block[1]) in [document.content for document in example_documents(name)]


def test_chinese_type_is_written_in_chinese() -> None:
    document_type = load_document_type("vat-invoice-cn")
    rules = document_type.rules.rules
    texts = [document_type.title, *(rule.name for rule in rules), *(rule.sentence for rule in rules)]
    for field in document_type.fields.values():
        texts += [field.path.replace("[]", ""), field.title, *field.choices]
    assert [text for text in texts if re.search("[A-Za-z]", text) or not text] == []
