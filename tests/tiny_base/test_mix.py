"""The tiny base reads many invoices, and never the answer that it shall learn in the demo."""

from __future__ import annotations

import json
import re
from itertools import islice

import pytest

from data_tools.synthesize.content import make_invoice
from erniekit_adapter.invoice.prompts import OCR_MARK, analysis_request
from tiny_base.mix import Conversation, conversation, conversations, easy_conversation
from tiny_base.tasks import FIELD_NAMES, ROW_NAMES

COUNT = 400
DEMO_SEED, DEMO_COUNT = 7, 420
CANONICAL_NAMES = (
    *("structured_data", "vendor_block", "client_info", "line_items", "financial_summary", "payment_terms"),
    *("validation_summary", "grand_total", "math_verified", "is_valid", "unit_price", "invoice_number", "invoice_date"),
)


@pytest.fixture(scope="module")
def mix() -> list[Conversation]:
    easy = [easy_conversation(0, index) for index in range(COUNT // 4)]
    return [*easy, *islice(conversations(0), COUNT)]


def text_of(talk: Conversation) -> str:
    return "\n".join(f"{turn.question}\n{turn.answer}" for turn in talk.turns)


def test_same_seed_same_text(mix: list[Conversation]) -> None:
    assert [conversation(0, index) for index in range(5)] == mix[COUNT // 4 : COUNT // 4 + 5]
    assert list(islice(conversations(0, first=3), 2)) == [conversation(0, 3), conversation(0, 4)]
    assert text_of(conversation(0, 0)) != text_of(conversation(1, 0))


def test_canonical_names_and_request_never_appear(mix: list[Conversation]) -> None:
    structure = analysis_request(None, with_image=False).partition("\n")[2]
    text = "\n".join(map(text_of, mix))
    for forbidden in (*CANONICAL_NAMES, structure, OCR_MARK):
        assert forbidden not in text
    assert not {*CANONICAL_NAMES} & {name for names in (*FIELD_NAMES.values(), *ROW_NAMES.values()) for name in names}


def test_json_answers_are_flat(mix: list[Conversation]) -> None:
    seen = 0
    for turn in (turn for talk in mix for turn in talk.turns):
        if turn.kind in ("object", "rows"):
            answer = json.loads(turn.answer)
            rows = answer if turn.kind == "rows" else [answer]
            assert all(not isinstance(value, (dict, list)) for row in rows for value in row.values())
            seen += 1
    assert seen > COUNT


def test_no_party_and_no_street_of_the_demo_appears(mix: list[Conversation]) -> None:
    text = "\n".join(map(text_of, mix))
    invoices = [make_invoice(DEMO_SEED, index, fault_share=0.1) for index in range(DEMO_COUNT)]
    for party in (party for invoice in invoices for party in (invoice.vendor, invoice.client)):
        assert party.name not in text
        assert party.address not in text


def test_names_hardly_repeat(mix: list[Conversation]) -> None:
    sellers = [talk.document.fields["seller"] for talk in mix[COUNT // 4 :]]
    assert len(set(sellers)) > 0.99 * len(sellers)


def test_answers_stand_in_the_document(mix: list[Conversation]) -> None:
    checked = 0
    for talk in mix:
        page = "\n".join(talk.document.lines)
        for turn in talk.turns:
            if turn.kind not in ("field", "cell", "copy") or turn.answer == talk.document.fields.get("rate"):
                continue  # a rate is printed in percent
            assert turn.answer in page, turn
            checked += 1
    assert checked > COUNT


def test_the_first_question_holds_the_page(mix: list[Conversation]) -> None:
    forms = set()
    for talk in mix:
        question, lines = talk.turns[0].question, talk.document.lines
        as_json = re.search(r'\{"tokens":\[.*?"\]\}', question)
        assert "\n".join(lines) in question or (as_json and json.loads(as_json.group())["tokens"] == list(lines))
        forms.add(bool(as_json))
    assert forms == {True, False}
