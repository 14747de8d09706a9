"""Finish reasons and reasoning: only an answer that the model ended itself is a success."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from service_examples import ANSWER, PNG, body, completion, in_turn, service

OCR = {"lines": ["Total 119.00"]}
DRAFT = ANSWER.replace("119.00", "9999.99")


@pytest.mark.parametrize(
    ("finish", "with_answer", "without"),
    [
        ("stop", ("success", None), ("failed", "bad_answer")),
        ("eos_token", ("success", None), ("failed", "bad_answer")),
        ("stop_sequence", ("success", None), ("failed", "bad_answer")),
        ("length", ("partial", "cut"), ("failed", "cut")),
        ("repetition", ("partial", "cut"), ("failed", "cut")),
        ("content_filter", ("partial", "content_filter"), ("failed", "content_filter")),
        ("tool_calls", ("partial", "tool_calls"), ("failed", "tool_calls")),
        ("function_call", ("partial", "tool_calls"), ("failed", "tool_calls")),
        ("abort", ("failed", "aborted"), ("failed", "aborted")),
        ("recover_stop", ("failed", "aborted"), ("failed", "aborted")),
        ("error", ("failed", "generation_error"), ("failed", "generation_error")),
        ("something", ("partial", "other_finish_reason"), ("failed", "other_finish_reason")),
        ("", ("partial", "no_finish_reason"), ("failed", "no_finish_reason")),
        (None, ("partial", "no_finish_reason"), ("failed", "no_finish_reason")),
    ],
)
def test_status_of_each_finish_reason(finish: str | None, with_answer: Any, without: Any) -> None:
    for text, expected in ((ANSWER, with_answer), ("", without)):
        with service(in_turn(completion(text, finish)), max_attempts=2) as vlm:
            result = vlm.parse(OCR)
        assert (result.status, result.reason) == expected
        assert result.detail or result.status == "success"
        assert result.attempts == (2 if result.reason in ("aborted", "generation_error") else 1)


def test_finish_reason_may_be_optional() -> None:
    reply = httpx.Response(200, json={"choices": [{"message": {"content": ANSWER}}]})
    with service(in_turn(reply)) as vlm:
        assert "require_finish_reason: false" in vlm.parse(OCR).detail
    with service(in_turn(reply), require_finish_reason=False) as vlm:
        assert vlm.parse(OCR).status == "success"


def test_names_a_tool_call_without_text() -> None:
    with service(in_turn(completion(None, "tool_calls", tool_calls=[{"id": "1"}]))) as vlm:
        result = vlm.parse(OCR)
    assert (result.reason, "without tools" in result.detail) == ("tool_calls", True)


@pytest.mark.parametrize(
    "text", [f"<think>{DRAFT}</think>{ANSWER}", f"{DRAFT}\n</think>\n\n<response>\n{ANSWER}\n</response>"]
)
def test_answer_after_reasoning_is_a_success(text: str) -> None:
    with service(in_turn(completion(text))) as vlm:
        result = vlm.parse(OCR)
    assert result.status == "success"
    assert result.answer is not None
    assert str(result.answer.summary.grand_total) == "119.00"
    assert "9999.99" in result.reasoning
    assert "9999.99" not in result.as_json()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_keeps_separate_reasoning(field: str) -> None:
    with service(in_turn(completion(ANSWER, **{field: DRAFT}))) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.form, result.reasoning) == ("success", "strict", DRAFT)


@pytest.mark.parametrize(("finish", "reason"), [("stop", "bad_answer"), ("length", "cut")])
@pytest.mark.parametrize("content", [None, "", "\n"])
def test_reasoning_without_an_answer_fails(content: str | None, finish: str, reason: str) -> None:
    with service(in_turn(completion(content, finish, reasoning_content=DRAFT))) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.reason, result.value) == ("failed", reason, None)
    assert "enable_thinking" in result.detail


def test_sends_chat_template_values() -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(body(request))
        return completion(ANSWER)

    for more in ({}, {"chat_template_kwargs": {"enable_thinking": False}}):
        with service(handler, **more) as vlm:
            vlm.parse(OCR, PNG)
    assert "chat_template_kwargs" not in seen[0]
    assert seen[1]["chat_template_kwargs"] == {"enable_thinking": False}
