"""The key is in no result, log or error, for any reply of a server."""

from __future__ import annotations

import base64
import html
import json
import logging
import socket
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import service_examples as examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from service_examples import ANSWER, completion, service

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.service import ErnieVLMService, ParseResult, ServiceSettings
from erniekit_adapter.service.secrecy import Keys

KEY = 'sk-T0p+s3cret/7&"x'
WITHOUT_QUOTE = "sk-T0p+s3cret/7x"
OCR = {"lines": ["Total 119.00"]}
GIVEN = {"vllm_server_url": examples.URL, "model_name": "base"}

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "with its scheme": lambda key: f"Bearer {key}",
    "upper case": str.upper,
    "a URL": lambda key: urllib.parse.quote(key, safe=""),
    "a URL twice": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
    "HTML": html.escape,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "JSON's numbers": lambda key: "".join(f"\\u{ord(character):04x}" for character in key),
    "Python's bytes": lambda key: "".join(f"\\x{ord(character):02x}" for character in key),
    "HTML's numbers": lambda key: "".join(f"&#{ord(character)};" for character in key),
    "hexadecimal": lambda key: key.encode().hex(),
    "Base64": lambda key: base64.b64encode(key.encode()).decode(),
    "Base64 with its scheme": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "Base64 for URLs": lambda key: base64.urlsafe_b64encode(f"x {key} y".encode()).decode(),
    "in lines": "\n".join,
    "with zero bytes": "\0".join,
}


def shown(result: ParseResult) -> str:
    """Everything that an application can see of a result."""
    return f"{result!r} {result.as_json()} {result.detail} {result.raw_text} {result.reasoning}"


def text_of(error: BaseException) -> str:
    """An error with all its causes, even those that Python does not print."""
    parts: list[str] = ["".join(traceback.format_exception(error))]
    left: BaseException | None = error
    while left:
        parts.append(f"{left} {left!r} {left.args} {vars(left) if hasattr(left, '__dict__') else ''}")
        left = left.__cause__ or left.__context__
    return "\n".join(parts)


def contains(text: str, key: str) -> bool:
    return key.casefold() in text.casefold() or Keys([SecretStr(key)]).are_in(text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("key", [KEY, WITHOUT_QUOTE, "token-abc123"])
def test_finds_a_key_in_each_encoding(encoding: str, key: str) -> None:
    text = f"before {ENCODINGS[encoding](key)} after"
    keys = Keys([SecretStr(key)])
    assert keys.are_in(text)
    assert keys.hidden(text) == "(hidden: the text contained the service's key)"


@pytest.mark.parametrize(
    "text", ["", "Total 119.00", ANSWER, "sk-T0p", "EMPTYING", base64.b64encode(b"x" * 99).decode()]
)
def test_keeps_text_without_a_key(text: str) -> None:
    assert Keys([SecretStr(KEY), SecretStr("EMPTY"), None]).hidden(text) == text


def test_finds_a_short_key_as_a_word() -> None:
    keys = Keys([SecretStr("k-123")])
    assert keys.are_in("'Bearer k-123'")
    assert not keys.are_in("k-1234")
    assert not Keys([]).are_in("anything")


@pytest.mark.parametrize("key", ["1", "x", "Desk", "EUR", "EMPTY", "total", "issues"])
def test_common_word_as_key_keeps_answers(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", key)
    with service(lambda _: completion(ANSWER)) as vlm:
        assert vlm.parse(OCR).status == "success"


@pytest.mark.parametrize("place", ["answer", "finish", "no completion", "error"])
def test_hides_an_echoed_short_key(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", "k-123")
    replies = {
        "answer": completion(ANSWER.replace("Desk", "Bearer k-123")),
        "finish": completion(ANSWER, "k-123"),
        "no completion": httpx.Response(200, text="wrong: k-123"),
        "error": httpx.Response(401, text="wrong: k-123"),
    }
    with service(lambda _: replies[place], max_attempts=1) as vlm:
        result = vlm.parse(OCR)
    assert result.status == "failed"
    assert "k-123" not in shown(result)


@pytest.mark.parametrize("digits", [5000, 8_000_000])
def test_reads_character_numbers_with_many_digits(digits: int) -> None:
    assert not Keys([SecretStr(KEY)]).are_in(f"&#{'9' * digits};")
    assert Keys([SecretStr(KEY)]).are_in(f"&#{'9' * digits};" + KEY.replace("s", f"&#{'0' * digits}115;", 1))


@pytest.mark.parametrize("around", ["\n", "\r\n", " \t"])
def test_strips_white_space_around_a_key(around: str) -> None:
    read = ServiceSettings.read({"ernie_vl": GIVEN}, {"ERNIE_API_KEY": f"{KEY}{around}"})
    assert read.api_key is not None
    assert read.api_key.get_secret_value() == KEY


@pytest.mark.parametrize(
    "key", ["sk-sécret-7x", "sk-sec\nret-7x", "sk-sec ret-7x", "sk-sec\u200bret-7x", "sk-sec\0ret-7x"]
)
@pytest.mark.parametrize("variable", ["ERNIE_API_KEY", "ERNIE_FALLBACK_API_KEY"])
def test_rejects_a_key_that_headers_cannot_hold(key: str, variable: str) -> None:
    with pytest.raises(UsageError) as raised:
        ServiceSettings.read({"ernie_vl": GIVEN}, {variable: key})
    assert "visible ASCII" in str(raised.value)
    assert variable in str(raised.value)
    assert key not in text_of(raised.value)
    assert "ret-7x" not in text_of(raised.value)
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(**{**GIVEN, "api_key": key})
    assert "ret-7x" not in str(refused.value)


def test_blank_key_counts_as_not_set() -> None:
    assert ServiceSettings.read({"ernie_vl": GIVEN}, {"ERNIE_API_KEY": " \n"}).api_key is None


# --- replies of a server ---


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    place=st.sampled_from(
        ["body", "body in JSON", "answer", "reasoning", "finish", "header", "location", "status text"]
    ),
    status=st.sampled_from([200, 200, 301, 307, 400, 401, 404, 408, 418, 429, 500, 503]),
    before=st.text(alphabet="ab {}\"'<>&%\\\n", max_size=600),
    error=st.sampled_from([None, httpx.RemoteProtocolError, httpx.ConnectError, httpx.ReadError, httpx.DecodingError]),
)
def test_hides_an_echoed_key(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
    place: str,
    status: int,
    before: str,
    error: type[Exception] | None,
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ERNIE_API_KEY", KEY)

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        echo = before + ENCODINGS[encoding](KEY)
        if error:
            raise error(f"illegal header {echo.encode()!r}")
        if place == "body":
            return httpx.Response(status, content=echo.encode())
        if place == "body in JSON":
            return httpx.Response(status, json={"error": {"message": echo}})
        named = ANSWER.replace('"Desk"', json.dumps(echo))
        if place == "answer":
            return httpx.Response(status, content=completion(named).content)
        if place in ("reasoning", "finish"):
            message = {"content": ANSWER, "reasoning_content": echo if place == "reasoning" else ""}
            choice = {"message": message, "finish_reason": echo if place == "finish" else "stop"}
            return httpx.Response(status, json={"choices": [choice]})
        line = "".join(character for character in echo if character.isprintable() and character.isascii())
        if place == "status text":
            return httpx.Response(status, extensions={"reason_phrase": line.encode()}, content=b"{}")
        named_header = {"Location": "http://other.example/" + urllib.parse.quote(line)} if place == "location" else {}
        return httpx.Response(status, headers={"X-Echo": line, **named_header}, content=b"{}")

    with service(handler, max_attempts=2) as vlm:
        result = vlm.parse(OCR)
        assert not contains(f"{vlm.settings!r} {vlm.target!r} {vlm!r} {vars(vlm)!r}", KEY)
    assert not contains(shown(result), KEY)
    assert not contains(caplog.text, KEY)


@contextmanager
def raw_server(reply: Callable[[bytes], list[bytes]]) -> Iterator[str]:
    """A real server that sends prepared bytes and closes the connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                    request += connection.recv(65536)
                for piece in reply(request):
                    connection.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def in_chunks(status: bytes, headers: bytes, body: bytes) -> list[bytes]:
    """A reply whose body has chunks of three bytes, so that no chunk contains the whole key."""
    pieces = [body[place : place + 3] for place in range(0, len(body), 3)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return [b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (status, headers), *chunks, b"0\r\n\r\n"]


SECRET = WITHOUT_QUOTE.encode()


@pytest.mark.parametrize(
    "pieces",
    [
        in_chunks(b"400 Bad Request", b"", b"headers: Bearer " + SECRET),
        in_chunks(b"200 Bearer " + SECRET, b"", b"{}"),
        in_chunks(b"401 " + SECRET, b"WWW-Authenticate: Bearer " + SECRET + b"\r\n", b"{}"),
        in_chunks(b"307 Moved", b"Location: http://other.example/" + SECRET + b"\r\n", b""),
        in_chunks(b"200 OK", b"", completion(ANSWER.replace("Desk", WITHOUT_QUOTE)).content),
        in_chunks(b"200 OK", b"Retry-After: " + SECRET + b"\r\nX: " + SECRET + b"\r\n", b"not JSON"),
        [b"HTTP/1.1 200 OK\r\nBearer " + SECRET + b"\r\n\r\n{}"],
        [b"Bearer " + SECRET + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET + b"\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + SECRET],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 16\r\n\r\n" + SECRET],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n"],
        [b"HTTP/1.1 100 " + SECRET + b"\r\n\r\n", *in_chunks(b"500 X", b"", SECRET)],
    ],
)
def test_hides_a_key_from_raw_replies(
    pieces: list[bytes], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ERNIE_API_KEY", f"{WITHOUT_QUOTE}\n")
    with raw_server(lambda request: pieces if SECRET in request else []) as url:
        given = {"vllm_server_url": url, "model_name": "base", "max_attempts": 1, "timeout": 5}
        with ErnieVLMService({"ernie_vl": given}) as vlm:
            result = vlm.parse(OCR)
    assert result.status == "failed"
    assert not contains(shown(result), WITHOUT_QUOTE)
    assert "httpcore" in caplog.text, "the log of the HTTP client must be part of the search"
    assert not contains(caplog.text, WITHOUT_QUOTE)


@pytest.mark.parametrize("place", ["body", "error"])
def test_errors_of_use_hide_the_key(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", KEY)
    more: dict[str, Any] = {"fine_tuned_model_path": str(examples.write_bundle(tmp_path / "a")), "lora": "load"}

    def handler(_: httpx.Request) -> httpx.Response:
        if place == "error":
            raise httpx.RemoteProtocolError(f"illegal header {KEY}")
        return httpx.Response(400, text=f"Bearer {KEY}")

    with service(handler, max_attempts=1, **more) as vlm, pytest.raises(AdapterError) as raised:
        vlm.use(examples.write_bundle(tmp_path / "b", value=2.0))
    assert not contains(text_of(raised.value), KEY)


@pytest.mark.parametrize("url", ["http://me:hunter2-hunter2@other.example/v1", "http://h/v1?key=hunter2-hunter2"])
def test_hides_the_password_of_a_rejected_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        ServiceSettings.read({"ernie_vl": GIVEN | {"vllm_server_url": url}}, {})
    assert "hunter2" not in text_of(raised.value)
    bundle = examples.write_bundle(tmp_path / "a")
    with service(lambda _: completion(ANSWER)) as vlm, pytest.raises(UsageError) as refused:
        vlm.use(bundle, url=url)
    assert "hunter2" not in text_of(refused.value)
