"""Results of the service for every kind of reply of a server: always typed, and none is lost."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest
import service_examples as examples
from hypothesis import given, settings
from hypothesis import strategies as st
from service_examples import ANSWER, PNG, completion, in_turn, service

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.service import secrecy
from erniekit_adapter.service.request import is_small
from erniekit_adapter.service.result import result_of_text

OCR = {"lines": ["Desk 2 x 50.00", "Total 119.00"]}


def test_good_answer_is_a_success() -> None:
    with service(in_turn(completion(ANSWER))) as vlm:
        result = vlm.parse(OCR, PNG)
    assert (result.status, result.reason, result.form, result.attempts) == ("success", None, "strict", 1)
    assert result.answer is not None
    assert result.answer.summary.grand_total == Decimal("119.00")
    assert result.validation is not None
    assert result.validation.is_valid
    assert (result.model, result.bundle) == ("base", None)
    assert (result.prompt_tokens, result.completion_tokens) == (300, 90)
    assert 0 < result.latency_s < 5


def test_keeps_a_wrong_claim_beside_the_rules() -> None:
    with service(in_turn(completion(ANSWER.replace("119.00", "1119.00")))) as vlm:
        result = vlm.parse(OCR)
    assert result.claimed is not None
    assert result.claimed.is_valid
    assert result.validation is not None
    assert not result.validation.is_valid
    assert result.validation.issues == ["BR-CO-15: grand_total 1119.00 ≠ subtotal - discounts + taxes 119.00"]
    shown = json_text.parse(result.as_json())
    assert shown["answer"]["validation_summary"]["is_valid"] is False
    assert shown["claimed_validation_summary"]["is_valid"] is True
    assert '"grand_total":1119.00' in result.as_json()


@pytest.mark.parametrize("image", [None, PNG, b"\xff\xd8\xff\xe0" + b"0" * 9, b"RIFF0000WEBPVP8 "])
def test_request_has_the_prompt_of_training(image: bytes | None) -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{examples.URL}/chat/completions"
        seen.append(examples.body(request))
        return completion(ANSWER)

    with service(handler) as vlm:
        vlm.parse(OCR, image)
    [message] = seen[0]["messages"]
    text = INVOICE.prompts.analysis_request(OCR, with_image=image is not None)
    assert (seen[0]["model"], message["role"]) == ("base", "user")
    if image is None:
        assert message["content"] == text
        return
    picture, words = message["content"]
    assert words == {"type": "text", "text": text}
    kind, encoded = picture["image_url"]["url"].split(",")
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64", "data:image/webp;base64")
    assert base64.b64decode(encoded) == image


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (completion(f"Here it is:\n```json\n{ANSWER}\n```"), "success", None),
        (completion(ANSWER[:200]), "partial", "cut"),
        (completion(ANSWER, finish="length"), "partial", "cut"),
        (completion('{"total": 5}'), "partial", "bad_shape"),
        (completion("", finish="length"), "failed", "cut"),
        (completion("I cannot read this."), "failed", "bad_answer"),
        (completion("{" * 100_000), "failed", "bad_answer"),
        (httpx.Response(200, json={"choices": []}), "failed", "bad_answer"),
        (httpx.Response(200, json={"choices": [{"message": {"content": None}}]}), "failed", "bad_answer"),
        (httpx.Response(200, json=[1]), "failed", "bad_answer"),
        (httpx.Response(200, content=b"<html>"), "failed", "bad_answer"),
        (httpx.Response(200, content=b'{"choices": [{"mess'), "failed", "bad_answer"),
        (httpx.Response(200, content=b"x" * (9 * 1024 * 1024)), "failed", "bad_answer"),
        (httpx.Response(400, json={"error": "too long"}), "failed", "refused"),
        (httpx.Response(302, headers={"Location": "http://elsewhere.example"}), "failed", "refused"),
        (httpx.Response(408), "failed", "timeout"),
        (httpx.Response(425), "failed", "overloaded"),
        (httpx.Response(429), "failed", "overloaded"),
        (httpx.Response(500), "failed", "server_error"),
        (httpx.ConnectError("refused"), "failed", "unreachable"),
        (httpx.RemoteProtocolError("hung up"), "failed", "unreachable"),
        (httpx.ReadTimeout("slow"), "failed", "timeout"),
    ],
)
def test_status_and_reason_of_each_reply(reply: httpx.Response | Exception, status: str, reason: str | None) -> None:
    with service(in_turn(reply), max_attempts=2) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.reason) == (status, reason)
    assert result.detail or status == "success"


def test_joins_text_parts() -> None:
    parts = [{"type": "text", "text": ANSWER[:50]}, {"type": "text", "text": ANSWER[50:]}]
    with service(
        in_turn(httpx.Response(200, json={"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}))
    ) as vlm:
        assert vlm.parse(OCR).status == "success"


@pytest.mark.parametrize(
    "first", [*map(httpx.Response, (408, 425, 429, 500, 503)), httpx.ConnectError("refused"), completion("", "abort")]
)
def test_retries_temporary_failures(first: httpx.Response | Exception) -> None:
    with service(in_turn(first, first, completion(ANSWER))) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.attempts) == ("success", 3)


def test_does_not_retry_permanent_failures() -> None:
    with service(in_turn(httpx.Response(400), completion(ANSWER))) as vlm:
        assert vlm.parse(OCR).attempts == 1


def test_obeys_retry_after() -> None:
    with service(in_turn(httpx.Response(429, headers={"Retry-After": "1"}), completion(ANSWER))) as vlm:
        result = vlm.parse(OCR)
    assert result.status == "success"
    assert 1 <= result.latency_s < 3


def test_long_retry_after_ends_the_attempts() -> None:
    with service(in_turn(httpx.Response(429, headers={"Retry-After": "3600"}), completion(ANSWER))) as vlm:
        result = vlm.parse(OCR)
    assert (result.reason, result.attempts) == ("overloaded", 1)
    assert result.latency_s < 1


def test_slow_server_times_out() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return completion(ANSWER)

    with service(slow, timeout=0.3, max_concurrency=1) as vlm, ThreadPoolExecutor(2) as threads:
        results = list(threads.map(vlm.parse, [OCR, OCR]))
    assert [result.reason for result in results] == ["timeout", "timeout"]
    assert all(0.3 <= result.latency_s < 2 for result in results)
    # The second request gets a slot at the last moment, or not at all.
    assert sorted(result.attempts for result in results) in ([0, 1], [1, 1])


@pytest.mark.parametrize(
    ("ocr", "image", "detail"),
    [
        (None, None, "neither"),
        (OCR, b"", "empty"),
        (OCR, b"GIF89a" + b"0" * 20, "not a JPEG, PNG or WebP"),
        (OCR, PNG + b"0" * 100, "more than 50"),
        ("x" * 300, None, "more than 200 characters"),
        ({"a": object()}, None, "not a JSON value"),
        ({"a": float("nan")}, None, "not a JSON value"),
        ({"a": "\ud800"}, None, "not a JSON value"),
    ],
)
def test_bad_input_is_not_sent(ocr: object, image: bytes | None, detail: str) -> None:
    with service(in_turn(completion(ANSWER)), max_image_bytes=50, max_ocr_characters=200) as vlm:
        result = vlm.parse(ocr, image)
    assert (result.status, result.reason, result.attempts) == ("failed", "bad_input", 0)
    assert detail in result.detail


def test_limits_concurrent_requests() -> None:
    under_way, most = 0, 0

    async def handler(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return completion(ANSWER)

    async def many(vlm: Any) -> list[Any]:
        return await asyncio.gather(*(vlm.parse_async(OCR) for _ in range(20)))

    with service(handler, max_concurrency=3) as vlm, ThreadPoolExecutor(20) as threads:
        # From threads and from an event loop at once: the limit applies to all of them together.
        waiting = threads.submit(lambda: asyncio.run(many(vlm)))
        results = [*threads.map(vlm.parse, [OCR] * 19), *waiting.result()]
    assert {result.status for result in results} == {"success"}
    assert most == 3


def test_cancelled_caller_frees_its_slot() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        if b"slow" in request.content:
            await asyncio.sleep(30)
        return completion(ANSWER)

    async def cancel_one(vlm: Any) -> Any:
        waiting = asyncio.create_task(vlm.parse_async("slow"))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await vlm.parse_async("quick")

    with service(handler, max_concurrency=1) as vlm:
        assert asyncio.run(cancel_one(vlm)).status == "success"


def test_close_ends_running_requests() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return completion(ANSWER)

    vlm = service(slow)
    results: list[Any] = []
    caller = threading.Thread(target=lambda: results.append(vlm.parse(OCR)))
    caller.start()
    time.sleep(0.2)
    vlm.close()
    caller.join(5)
    assert [result.reason for result in results] == ["closed"]
    assert vlm.parse(OCR).reason == "closed"


@pytest.mark.parametrize("location", ["service", "log"])
def test_fork_during_a_start_does_not_deadlock(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", "sk-some-long-key")
    with service(in_turn(completion(ANSWER))) as vlm:
        assert vlm.parse(OCR).status == "success"
        lock = vlm._starting if location == "service" else secrecy._lock
        lock.acquire()
        if not (child := os.fork()):
            os._exit(vlm.parse(OCR).status != "success")
        lock.release()
        for _ in range(200):
            if (ended := os.waitpid(child, os.WNOHANG)) != (0, 0):
                break
            time.sleep(0.05)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert ended == (child, 0)


def test_sends_the_key_only_to_the_server(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", "k-123")
    caplog.set_level(logging.DEBUG)
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Authorization"])
        return httpx.Response(401, json={"error": "no"})

    with service(handler) as vlm:
        result = vlm.parse({"page": "secret page"})
        shown = f"{vlm.settings!r} {vlm.target!r} {result!r} {caplog.text}"
    assert keys == ["Bearer k-123"]
    assert "k-123" not in shown
    assert "secret page" not in caplog.text


def test_import_loads_no_heavy_packages() -> None:
    code = "import sys, erniekit_adapter.service; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "scipy", "torch", "paddle", "transformers", "cryptography", "safetensors", "PIL"}
    assert not heavy & set(done.stdout.split())


@given(
    content=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "prompt_tokens"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
    status=st.sampled_from([200, 200, 200, 204, 404, 418]),
)
@settings(max_examples=100, deadline=None)
def test_no_reply_raises(content: bytes, status: int) -> None:
    with service(in_turn(httpx.Response(status, content=content))) as vlm:
        result = vlm.parse(OCR)
    assert result.status in ("failed", "partial")
    assert result.reason


@given(
    st.lists(
        st.sampled_from(
            [*map(str, '{}[]",:'), "\\ud800", "\\udc12", "\\ud83d\\ude00", "\ud800", "é", "\\", "1e999", "9" * 5000]
        ),
        max_size=4,
    ),
    st.integers(0, len(ANSWER)),
    st.sampled_from([None, "cut", "other_finish_reason"]),
)
@settings(max_examples=300, deadline=None)
def test_every_result_can_be_encoded(parts: list[str], place: int, stopped: Any) -> None:
    text = ANSWER[:place] + "".join(parts) + ANSWER[place:]
    result = result_of_text(text, stopped=stopped, max_raw_text=1000, reasoning="\ud800", finish_reason="\ud800")
    for written in (result.as_json(), result.raw_text, result.reasoning, result.detail):
        written.encode()
    assert json_text.parse(result.as_json())["status"] == result.status


def test_replaces_half_a_surrogate_pair() -> None:
    result = result_of_text(ANSWER.replace("Desk", "Desk \\ud83d"), stopped=None, max_raw_text=0)
    assert (result.status, result.reason) == ("partial", "bad_shape")
    assert '"Desk \ufffd"' in result.as_json()


def test_writes_deeply_nested_values() -> None:
    for depth in (100, 500, 900, 2000, 100_000):
        result = result_of_text('{"a":' * depth + "1" + "}" * depth, stopped=None, max_raw_text=0)
        assert result.as_json()


@pytest.mark.parametrize(
    ("ocr", "expected"),
    [
        (OCR, True),
        (None, True),
        (["x"] * 900, True),
        (["x"] * 2000, False),
        ([[["x"] * 600] * 2], False),
        ("x" * 30_000, False),
        ({"x" * 30_000: 1}, False),
        ([{}] * 10_000_000, False),
    ],
)
def test_is_small_limits_values_and_characters(ocr: object, *, expected: bool) -> None:
    assert is_small(ocr) is expected
