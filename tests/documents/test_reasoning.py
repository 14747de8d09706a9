"""Removal of reasoning and drafts before the answer."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.parsing import parse_answer
from erniekit_adapter.documents.reasoning import cut_off
from erniekit_adapter.evaluation.scoring import score_answer

ANSWER = '{"structured_data":{"financial_summary":{"grand_total":1179.51}}}'
DRAFT = ANSWER.replace("1179.51", "9999.99")
PRINTED = json.dumps(f"a </think>{DRAFT} <think> b </think> {{")
SHOWN = f'{{"structured_data":{{"payment_terms":{{"notes":{PRINTED}}},"financial_summary":{{"grand_total":1179.51}}}}}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<think>perhaps {DRAFT}</think>{ANSWER}",
        f"<think>\n\n</think>\n\n{ANSWER}",
        f"{DRAFT} wait\n</think>\n{ANSWER}",
        f"perhaps {DRAFT}\n</think>\n\n<response>\n{ANSWER}\n</response>\n",
        f"<THINK>{DRAFT}</Think>\n{ANSWER}",
        f"< think >{DRAFT}< / think >{ANSWER}",
        f"<thinking>{DRAFT}</thinking>{ANSWER}",
        f"<|thinking|>{DRAFT}<|/thinking|>{ANSWER}",
        f"<|begin_of_thinking|>{DRAFT}<|end_of_thinking|>{ANSWER}",
        f"<|think_start|>{DRAFT}<|think_end|>{ANSWER}",
        f"<reasoning>{DRAFT}</reasoning>{ANSWER}",
        f"◁think▷{DRAFT}◁/think▷{ANSWER}",
        f"[THINK]{DRAFT}[/THINK]{ANSWER}",
        f"<think>a <think>{DRAFT}</think> {DRAFT}</think>{ANSWER}",
        f"<think>I said <think>: {DRAFT}</think>{ANSWER}",
        f"<think>a</think>{DRAFT} no</think>{ANSWER}",
        f'<think>a 5" tube {{</think>{ANSWER}',
        f"<think>{DRAFT}</think>```json\n{ANSWER}\n```",
        f"<think>{DRAFT}</think>Here it is: {ANSWER}",
        f"{ANSWER}\n<think>that was {DRAFT}</think>",
        f"{ANSWER}\n<think>that was {DRAFT}",
        f"<think>{DRAFT}</think>{SHOWN}",
        SHOWN,
        f"Here: {SHOWN}",
        "</think>" * 20_000 + ANSWER,
    ],
)
def test_parses_the_answer_instead_of_the_draft(text: str) -> None:
    answer = parse_answer(INVOICE, text).answer
    assert answer is not None
    assert str(answer.summary.grand_total) == "1179.51"


@pytest.mark.parametrize(
    "text", [f"<think>{DRAFT}", f"<think>{DRAFT}</think>", f"{DRAFT}</think>", f"a {DRAFT}</think> b"]
)
def test_draft_without_an_answer_is_none(text: str) -> None:
    parsed = parse_answer(INVOICE, text)
    assert (parsed.form, parsed.value) == ("none", None)
    assert "9999.99" in parsed.reasoning


def test_truncated_answer_begins_after_the_reasoning() -> None:
    parsed = parse_answer(INVOICE, f"<think>{DRAFT}</think>{SHOWN[:80]}")
    assert parsed.value is not None
    assert "9999.99" not in str(parsed.value.get("financial_summary"))


def test_keeps_an_answer_with_a_printed_tag() -> None:
    parsed = parse_answer(INVOICE, SHOWN)
    assert (parsed.form, parsed.reasoning) == ("strict", "")
    assert parsed.answer is not None
    assert parsed.answer.structured_data.payment_terms is not None
    assert parsed.answer.structured_data.payment_terms.notes == json.loads(PRINTED)


@given(st.text().filter(lambda text: not any(mark in text for mark in "<◁[")))
def test_keeps_text_without_tags(text: str) -> None:
    assert cut_off(text) == (text, "")


@given(st.lists(st.sampled_from(["<think>", "</think>", "<response>", "{", "}", '"', "\\", "a", DRAFT]), max_size=12))
def test_keeps_every_character_and_never_raises(parts: list[str]) -> None:
    text = "".join(parts)
    found = cut_off(text)
    assert found.answer in text
    assert found.reasoning in text
    parse_answer(INVOICE, text)


@given(st.text(alphabet=st.sampled_from('{}"[]:,\\ ab<>/'), max_size=40))
def test_removes_any_reasoning(thoughts: str) -> None:
    answer = parse_answer(INVOICE, f"<think>{thoughts}</think>{ANSWER}").answer
    assert answer is not None
    assert str(answer.summary.grand_total) == "1179.51"


def test_evaluation_scores_the_answer_after_the_reasoning() -> None:
    expected = read_answer(json.loads(ANSWER, parse_float=str))
    assert score_answer(INVOICE, expected, f"<think>{DRAFT}</think>{ANSWER}").document_exact


def test_hostile_text_takes_linear_time() -> None:
    started = time.monotonic()
    for text in (("{" + "</think>") * 20_000, '{"</think>' * 20_000, "<think>" * 30_000, "<" * 200_000):
        cut_off(text)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "text",
    [
        "<" + " " * 150_000,
        "< / " + " " * 150_000 + "think>",
        f"<think></think>{' ' * 150_000}{ANSWER}{' ' * 150_000}",
        f"{ANSWER}{' ' * 150_000}</response",
    ],
)
def test_long_white_space_takes_linear_time(text: str) -> None:
    started = time.monotonic()
    cut_off(text)
    assert time.monotonic() - started < 5, "it took minutes"
