"""The pretraining mix: deterministic, correct, and without the demo's schema, names and numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.invoice import SyntheticInvoice
from erniekit_adapter.documents.loading import INVOICE
from tiny_base.mix import FIRST_SEED, Conversation, conversation, conversations, easy_conversation
from tiny_base.tasks import CANONICAL_KEYS, FIELD_NAMES, NOT_FOUND, ROW_NAMES

COUNT = 400
MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
# Count and seed of the demo's documents and of its held-out ones, from the Makefile.
DEMO = [tuple(map(int, found)) for found in re.findall(r"--count (\d+) --seed (\d+)", MAKEFILE.read_text())]
# Everyday names of fields, in the mix and in the schema.
EVERYDAY = {"email", "phone", "due_date", "amount_due", "subtotal", "rate", "currency", "notes", "amount", "total"}


@pytest.fixture(scope="module")
def mix() -> list[Conversation]:
    easy = [easy_conversation(0, index) for index in range(COUNT // 4)]
    return [*easy, *islice(conversations(0), COUNT)]


def text_of(each: Conversation) -> str:
    return "\n".join(f"{turn.question}\n{turn.answer}" for turn in each.turns)


def test_same_seed_gives_the_same_text(mix: list[Conversation]) -> None:
    assert [conversation(0, index) for index in range(5)] == mix[COUNT // 4 : COUNT // 4 + 5]
    assert list(islice(conversations(0, first=3), 2)) == [conversation(0, 3), conversation(0, 4)]
    assert text_of(conversation(0, 0)) != text_of(conversation(1, 0))


def test_schema_names_and_request_never_appear(mix: list[Conversation]) -> None:
    structure = INVOICE.prompts.analysis_request(None, with_image=False).partition("\n")[2]
    text = "\n".join(map(text_of, mix))
    blocks = {name for name in CANONICAL_KEYS if "_" in name} - EVERYDAY
    assert len(blocks) > 10
    for forbidden in (*blocks, structure, INVOICE.prompts.ocr_mark):
        assert forbidden not in text


def test_invented_keys_are_never_schema_names(mix: list[Conversation]) -> None:
    named = {name for names in (*FIELD_NAMES.values(), *ROW_NAMES.values()) for name in names}
    seen = set()
    for turn in (turn for each in mix for turn in each.turns if turn.kind in ("object", "rows")):
        answer = json.loads(turn.answer)
        seen |= {key for row in (answer if turn.kind == "rows" else [answer]) for key in row}
    assert len(seen - named) > COUNT
    assert (seen - named) & CANONICAL_KEYS == set()
    assert named & CANONICAL_KEYS == EVERYDAY


def test_json_answers_are_flat(mix: list[Conversation]) -> None:
    seen = 0
    for turn in (turn for each in mix for turn in each.turns):
        if turn.kind in ("object", "rows"):
            answer = json.loads(turn.answer)
            rows = answer if turn.kind == "rows" else [answer]
            assert all(not isinstance(value, (dict, list)) for row in rows for value in row.values())
            seen += 1
    assert seen > COUNT


def demo_invoices() -> Iterator[SyntheticInvoice]:
    for count, seed in DEMO:
        yield from (make_invoice(seed, index, fault_share=0.1) for index in range(count))


def test_tests_know_the_demo_and_held_out_documents() -> None:
    assert len(DEMO) == 2
    assert len({invoice.invoice_id for invoice in demo_invoices()}) > 600


def test_mix_seeds_differ_from_demo_seeds() -> None:
    assert all(seed < FIRST_SEED for _, seed in DEMO)


@pytest.mark.slow
def test_names_and_numbers_of_the_demo_never_appear(mix: list[Conversation]) -> None:
    text = "\n".join(map(text_of, mix))
    for invoice in demo_invoices():
        assert invoice.invoice_id not in text
        for party in (invoice.vendor, invoice.client):
            assert party.name not in text
            assert party.address not in text


def test_invoice_numbers_cannot_be_those_of_the_demo(mix: list[Conversation]) -> None:
    digits = {len(re.search(r"\d*$", each.document.fields["number"])[0]) for each in mix[COUNT // 4 :]}  # type: ignore[index]
    demo = {len(re.search(r"\d*$", invoice.invoice_id)[0]) for invoice in demo_invoices()}  # type: ignore[index]
    assert demo == {5}
    assert digits == {4, 6, 7}


def test_names_rarely_repeat(mix: list[Conversation]) -> None:
    sellers = [each.document.fields["seller"] for each in mix[COUNT // 4 :]]
    assert len(set(sellers)) > 0.99 * len(sellers)


def test_answers_are_in_the_document(mix: list[Conversation]) -> None:
    checked = 0
    for each in mix:
        page = "\n".join(each.document.lines)
        for turn in each.turns:
            if turn.kind not in ("field", "cell", "copy"):
                continue
            if turn.answer in (NOT_FOUND, each.document.fields.get("rate")):
                continue  # a rate is printed in percent
            assert turn.answer in page, turn
            checked += 1
    assert checked > COUNT


def test_missing_values_are_omitted_or_not_found(mix: list[Conversation]) -> None:
    answers = [(turn.kind, turn.answer) for each in mix for turn in each.turns]
    assert any(kind == "field" and answer == NOT_FOUND for kind, answer in answers)
    assert any(kind == "list" and answer.endswith(NOT_FOUND) for kind, answer in answers)
    assert not any(kind == "object" and f'"{NOT_FOUND}"' in answer for kind, answer in answers)


def test_following_item_is_in_the_next_row(mix: list[Conversation]) -> None:
    lead, checked = "Which item follows ", set()
    for each in mix:
        texts = [row["text"] for row in each.document.rows]
        following = dict(zip(texts, [*texts[1:], NOT_FOUND], strict=True))
        for turn in each.turns:
            if turn.kind == "order" and lead in turn.question and len(following) == len(texts):
                item = turn.question.partition(lead)[2].partition("?")[0]
                assert turn.answer == following[item]
                checked.add(turn.answer == NOT_FOUND)
    assert checked == {True, False}


def test_echo_answers_repeat_the_text(mix: list[Conversation]) -> None:
    echoes = [turn for each in mix for turn in each.turns if turn.kind == "echo"]
    assert len(echoes) > COUNT // 4
    assert all(turn.answer in turn.question for turn in echoes)


def test_first_question_contains_the_page(mix: list[Conversation]) -> None:
    formats = set()
    for each in mix:
        question, lines = each.turns[0].question, each.document.lines
        as_json = re.search(r'\{"tokens":\[.*?"\]\}', question)
        assert "\n".join(lines) in question or (as_json and json.loads(as_json.group())["tokens"] == list(lines))
        formats.add(bool(as_json))
    assert formats == {True, False}
