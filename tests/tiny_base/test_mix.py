"""The tiny base reads many invoices, and never the answer that it shall learn in the demo."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from data_tools.synthesize.content import SyntheticInvoice, make_invoice
from erniekit_adapter.invoice.prompts import OCR_MARK, analysis_request
from tiny_base.mix import FIRST_SEED, Conversation, conversation, conversations, easy_conversation
from tiny_base.tasks import CANONICAL_KEYS, FIELD_NAMES, NOT_FOUND, ROW_NAMES

COUNT = 400
MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
# The demo's documents and its held-out ones, as its recipe draws them: (how many, seed).
DEMO = [tuple(map(int, found)) for found in re.findall(r"--count (\d+) --seed (\d+)", MAKEFILE.read_text())]
# Names that everybody gives these fields, in the mix as in the canonical answer.
EVERYDAY = {"email", "phone", "due_date", "amount_due", "subtotal", "rate", "currency", "notes", "amount", "total"}


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
    blocks = {name for name in CANONICAL_KEYS if "_" in name} - EVERYDAY
    assert len(blocks) > 10
    for forbidden in (*blocks, structure, OCR_MARK):
        assert forbidden not in text


def test_keys_of_the_mixs_own_are_never_canonical(mix: list[Conversation]) -> None:
    named = {name for names in (*FIELD_NAMES.values(), *ROW_NAMES.values()) for name in names}
    seen = set()
    for turn in (turn for talk in mix for turn in talk.turns if turn.kind in ("object", "rows")):
        answer = json.loads(turn.answer)
        seen |= {key for row in (answer if turn.kind == "rows" else [answer]) for key in row}
    assert len(seen - named) > COUNT
    assert (seen - named) & CANONICAL_KEYS == set()
    assert named & CANONICAL_KEYS == EVERYDAY


def test_json_answers_are_flat(mix: list[Conversation]) -> None:
    seen = 0
    for turn in (turn for talk in mix for turn in talk.turns):
        if turn.kind in ("object", "rows"):
            answer = json.loads(turn.answer)
            rows = answer if turn.kind == "rows" else [answer]
            assert all(not isinstance(value, (dict, list)) for row in rows for value in row.values())
            seen += 1
    assert seen > COUNT


def demo_invoices() -> Iterator[SyntheticInvoice]:
    for count, seed in DEMO:
        yield from (make_invoice(seed, index, fault_share=0.1) for index in range(count))


def test_the_demo_and_its_held_out_documents_are_known_to_these_tests() -> None:
    assert len(DEMO) == 2
    assert len({invoice.invoice_id for invoice in demo_invoices()}) > 600


def test_the_mixs_seeds_are_far_from_the_demos() -> None:
    assert all(seed < FIRST_SEED for _, seed in DEMO)


def test_no_party_street_or_invoice_number_of_the_demo_appears(mix: list[Conversation]) -> None:
    text = "\n".join(map(text_of, mix))
    for invoice in demo_invoices():
        assert invoice.invoice_id not in text
        for party in (invoice.vendor, invoice.client):
            assert party.name not in text
            assert party.address not in text


def test_no_invoice_number_of_the_mix_can_be_one_of_the_demo(mix: list[Conversation]) -> None:
    digits = {len(re.search(r"\d*$", talk.document.fields["number"])[0]) for talk in mix[COUNT // 4 :]}  # type: ignore[index]
    demo = {len(re.search(r"\d*$", invoice.invoice_id)[0]) for invoice in demo_invoices()}  # type: ignore[index]
    assert demo == {5}
    assert digits == {4, 6, 7}


def test_names_hardly_repeat(mix: list[Conversation]) -> None:
    sellers = [talk.document.fields["seller"] for talk in mix[COUNT // 4 :]]
    assert len(set(sellers)) > 0.99 * len(sellers)


def test_answers_stand_in_the_document(mix: list[Conversation]) -> None:
    checked = 0
    for talk in mix:
        page = "\n".join(talk.document.lines)
        for turn in talk.turns:
            if turn.kind not in ("field", "cell", "copy"):
                continue
            if turn.answer in (NOT_FOUND, talk.document.fields.get("rate")):
                continue  # a rate is printed in percent
            assert turn.answer in page, turn
            checked += 1
    assert checked > COUNT


def test_what_is_not_on_the_page_is_left_out_of_objects_and_none_elsewhere(mix: list[Conversation]) -> None:
    answers = [(turn.kind, turn.answer) for talk in mix for turn in talk.turns]
    assert any(kind == "field" and answer == NOT_FOUND for kind, answer in answers)
    assert any(kind == "list" and answer.endswith(NOT_FOUND) for kind, answer in answers)
    assert not any(kind == "object" and f'"{NOT_FOUND}"' in answer for kind, answer in answers)


def test_the_item_that_follows_another_is_in_the_next_row_and_none_follows_the_last(mix: list[Conversation]) -> None:
    lead, checked = "Which item follows ", set()
    for talk in mix:
        texts = [row["text"] for row in talk.document.rows]
        following = dict(zip(texts, [*texts[1:], NOT_FOUND], strict=True))
        for turn in talk.turns:
            if turn.kind == "order" and lead in turn.question and len(following) == len(texts):
                asked = turn.question.partition(lead)[2].partition("?")[0]
                assert turn.answer == following[asked]
                checked.add(turn.answer == NOT_FOUND)
    assert checked == {True, False}


def test_what_is_to_be_echoed_comes_back_letter_for_letter(mix: list[Conversation]) -> None:
    echoes = [turn for talk in mix for turn in talk.turns if turn.kind == "echo"]
    assert len(echoes) > COUNT // 4
    assert all(turn.answer in turn.question for turn in echoes)


def test_the_first_question_holds_the_page(mix: list[Conversation]) -> None:
    forms = set()
    for talk in mix:
        question, lines = talk.turns[0].question, talk.document.lines
        as_json = re.search(r'\{"tokens":\[.*?"\]\}', question)
        assert "\n".join(lines) in question or (as_json and json.loads(as_json.group())["tokens"] == list(lines))
        forms.add(bool(as_json))
    assert forms == {True, False}
