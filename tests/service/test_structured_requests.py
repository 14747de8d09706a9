"""The schema of the answer in requests to stand-ins of servers that take, refuse or ignore it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_examples import ANSWER, Handler, body, completion, in_turn, service, write_bundle
from type_examples import write_type

from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.service.result import result_of_text

# Refusals as servers word them, by the server.
REFUSALS = {
    "vLLM": (400, {"error": {"message": "The provided JSON schema contains features not supported by xgrammar."}}),
    "FastDeploy": (400, {"error": {"message": "guided_backend is None, use --guided-decoding-backend to specify it"}}),
    "SGLang": (400, {"message": "Failed to compile json grammar"}),
    "llama.cpp": (400, {"error": {"code": 400, "message": "JSON schema error at #: unsupported $ref"}}),
    "DeepSeek": (400, {"error": {"message": "This response_format type is unavailable now"}}),
    "transformers serve 4": (422, {"detail": "Unused fields in the request: {'response_format'}"}),
    "not implemented": (501, {"error": "structured outputs are not implemented"}),
}


def refusing(status: int, reply: Any, seen: list[dict[str, Any]]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a stand-in for a server that refuses a schema."""

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(body(request))
        return httpx.Response(status, json=reply) if "response_format" in seen[-1] else completion(ANSWER)

    return handler


def test_sends_the_schema_of_the_type(tmp_path: Path) -> None:
    documents = write_type(tmp_path / "小票", {"合计": {"type": "number"}})
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(body(request)["response_format"])
        return completion('{"合计":3.50}')

    with service(handler, document_type=documents.reference) as vlm:
        result = vlm.parse("page")
    assert (result.status, result.structured) == ("success", "used")
    [sent] = seen
    assert (sent["type"], sent["json_schema"]["name"], sent["json_schema"]["strict"]) == (
        "json_schema",
        "answer",
        False,
    )
    assert sent["json_schema"]["schema"]["properties"] == {"合计": {"type": "number"}}


@pytest.mark.parametrize("server", REFUSALS)
def test_refused_schema_is_sent_only_once(server: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, Any]] = []
    with service(refusing(*REFUSALS[server], seen)) as vlm:
        results = [vlm.parse("page"), vlm.parse("page")]
    assert [(each.status, each.structured, each.attempts) for each in results] == [("success", "refused", 1)] * 2
    assert ["response_format" in each for each in seen] == [True, False, False]
    assert caplog.text.count("gets no schema from now on") == 1


def test_other_refusals_do_not_switch_the_schema_off() -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(body(request))
        return httpx.Response(400, json={"error": "the prompt is too long"}) if len(seen) == 1 else completion(ANSWER)

    with service(handler) as vlm:
        assert [vlm.parse("page").reason, vlm.parse("page").structured] == ["refused", "used"]


def test_request_that_fails_in_both_ways_is_no_refusal() -> None:
    # The error quotes a page with one of the words.
    replies = [httpx.Response(400, json={"error": "bad page: schema"})] * 2
    with service(in_turn(*replies, completion(ANSWER))) as vlm:
        assert [vlm.parse("page").reason, vlm.parse("page").structured] == ["refused", "used"]


def test_off_sends_no_schema() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "response_format" not in body(request)
        return completion(ANSWER)

    with service(handler, structured="off") as vlm:
        result = vlm.parse("page")
    assert (result.status, result.structured) == ("success", "off")
    assert json.loads(result.as_json())["structured"] == "off"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ANSWER, "used"),
        (f"<think>sum</think>{ANSWER}", "used"),
        (f"```json\n{ANSWER}\n```", "ignored"),
        (ANSWER.replace('"grand_total":119.00', '"grand_total":"119.00"'), "ignored"),
        ('{"total":1}', "ignored"),
        ("I cannot read this.", "ignored"),
    ],
)
def test_notices_a_server_that_ignores_the_schema(text: str, expected: str, caplog: pytest.LogCaptureFixture) -> None:
    with service(in_turn(completion(text))) as vlm:
        assert [vlm.parse("page").structured, vlm.parse("page").structured] == [expected, expected]
    assert caplog.text.count("does not keep to it") == (expected == "ignored")


@pytest.mark.parametrize("size", range(0, len(ANSWER), 7))
def test_beginning_of_an_answer_keeps_to_the_schema(size: int) -> None:
    result = result_of_text(ANSWER[:size], stopped="cut", max_raw_text=0, schema=INVOICE.schema)
    assert (result.reason, result.structured) == ("cut", "used")


@pytest.mark.parametrize("text", ["The invoice", "```json\n{", '{"total":1,', '{"structured_data":{"line_items":"a",'])
def test_beginning_of_another_structure_is_noticed(text: str) -> None:
    result = result_of_text(text, stopped="cut", max_raw_text=0, schema=INVOICE.schema)
    assert (result.reason, result.structured) == ("cut", "ignored")


def test_require_fails_if_the_schema_is_refused() -> None:
    seen: list[dict[str, Any]] = []
    with service(refusing(*REFUSALS["vLLM"], seen), structured="require") as vlm:
        result = vlm.parse("page")
    assert (result.status, result.reason, result.attempts) == ("failed", "refused", 1)
    assert "structured: require" in result.detail
    assert len(seen) == 1


def test_require_fails_if_the_schema_is_ignored() -> None:
    with service(in_turn(completion('{"total":1}')), structured="require") as vlm:
        result = vlm.parse("page")
    assert (result.status, result.reason, result.structured) == ("failed", "not_structured", "ignored")
    assert (result.answer, result.value) == (None, None)
    assert result.raw_text == '{"total":1}'


def test_require_keeps_the_old_bundle_if_refused(tmp_path: Path) -> None:
    old, new = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", value=2.0)

    def handler(request: httpx.Request) -> httpx.Response:
        refused = "response_format" in body(request)
        return httpx.Response(400, json={"error": "response_format"}) if refused else httpx.Response(200, json={})

    with service(handler, structured="require", fine_tuned_model_path=str(old), lora="load") as vlm:
        before = vlm.target
        with pytest.raises(AdapterError, match="structured: require"):
            vlm.use(new)
        assert vlm.target is before


def thinking_server(*, has_parser: bool) -> Handler:
    """Return a stand-in for a server with a model that reasons.

    Without a reasoning parser, vLLM and SGLang apply a schema from the first token on.
    """

    def handler(request: httpx.Request) -> httpx.Response:
        if has_parser:
            return completion(ANSWER, reasoning_content="100 + 19")
        return completion(ANSWER if "response_format" in body(request) else f"<think>100 + 19</think>{ANSWER}")

    return handler


@pytest.mark.parametrize(
    ("given", "has_parser", "expected"),
    [
        ({"chat_template_kwargs": {"enable_thinking": True}}, True, "used"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, False, "refused"),
        ({"model_name": "ERNIE-4.5-21B-A3B-Thinking"}, False, "refused"),
        ({"model_name": "x-Thinking", "chat_template_kwargs": {"enable_thinking": False}}, False, "used"),
        ({}, False, "used"),
    ],
)
def test_schema_does_not_prevent_reasoning(given: dict[str, Any], *, has_parser: bool, expected: str) -> None:
    with service(thinking_server(has_parser=has_parser), **given) as vlm:
        result = vlm.parse("page")
    assert (result.status, result.structured) == ("success", expected)
    assert bool(result.reasoning) == (has_parser or expected == "refused")


def test_log_of_a_refusal_quotes_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", "sk-a-long-secret-key")
    caplog.set_level(logging.DEBUG)
    reply = {"error": {"message": "response_format", "input": "secret page, Bearer sk-a-long-secret-key"}}
    with service(refusing(400, reply, [])) as vlm:
        result = vlm.parse("secret page")
    assert "secret" not in f"{caplog.text} {result.detail}".replace("sk-a-long-secret-key", "KEY")
    assert "sk-a-long-secret-key" not in f"{caplog.text} {result!r}"


def test_refusal_belongs_to_one_type_and_model(tmp_path: Path) -> None:
    tickets = write_type(tmp_path / "ticket", {"total": {"type": "number"}})
    old, new = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", documents=tickets)

    def handler(request: httpx.Request) -> httpx.Response:
        name = body(request).get("response_format", {}).get("json_schema", {}).get("name")
        if name == "invoice":
            return httpx.Response(400, json={"error": "JSON schema"})
        return completion('{"total":1}' if name else ANSWER)

    with service(handler, fine_tuned_model_path=str(old), lora="load") as vlm:
        first = vlm.parse("page").structured
        vlm.use(new)
        assert (first, vlm.parse("page").structured) == ("refused", "used")


def test_schema_of_the_invoice_accepts_its_answer() -> None:
    with service(in_turn(completion(INVOICE.text_of(INVOICE.read(json.loads(ANSWER)))))) as vlm:
        assert vlm.parse("page").structured == "used"
