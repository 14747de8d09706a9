"""Replies of the example application in docs/."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_examples import ANSWER, PNG, body, completion, in_turn, service, write_bundle

pytest.importorskip("fastapi")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
import service_app

Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def reply_of(handler: Any, send: Send, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> httpx.Response:
    """Return the application's reply, with `handler` as the model's server."""
    monkeypatch.setattr(service_app, "ErnieVLMService", lambda _: service(handler, max_attempts=1, **settings))

    async def exchange() -> httpx.Response:
        async with service_app.app.router.lifespan_context(service_app.app):
            transport = httpx.ASGITransport(service_app.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as client:
                return await send(client)

    return asyncio.run(exchange())


def posting(content: str) -> Send:
    return lambda client: client.post("/invoices", content=content)


def test_invoice_amounts_keep_their_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(str(body(request)["messages"]))
        return completion(ANSWER)

    image = base64.b64encode(PNG).decode()
    reply = reply_of(handler, posting(f'{{"ocr": {{"total": 3025.00}}, "image": "{image}"}}'), monkeypatch)
    assert reply.status_code == 200
    assert reply.json()["status"] == "success"
    assert '"grand_total":119.00' in reply.text
    assert '"total":3025.00' in seen[0]


def test_health_names_the_document_type(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = reply_of(in_turn(completion(ANSWER)), lambda client: client.get("/health"), monkeypatch)
    assert reply.json()["document_type"] == "invoice"


def test_documents_of_every_type_have_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = reply_of(
        in_turn(completion(ANSWER)), lambda client: client.post("/documents", content='{"ocr": 1}'), monkeypatch
    )
    assert (reply.status_code, reply.json()["document_type"]) == (200, "invoice")


@pytest.mark.parametrize(
    ("content", "server", "code"),
    [
        ("no JSON", completion(ANSWER), 400),
        ("[]", completion(ANSWER), 400),
        ('{"image": "?"}', completion(ANSWER), 400),
        ("{}", completion(ANSWER), 422),
        ('{"ocr": 1}', completion("words"), 502),
        ('{"ocr": 1}', httpx.Response(401), 502),
        ('{"ocr": 1}', httpx.Response(503), 503),
        ('{"ocr": 1}', httpx.ConnectError("refused"), 503),
    ],
)
def test_status_code_of_each_failure(content: str, server: Any, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reply_of(in_turn(server), posting(content), monkeypatch).status_code == code


def test_bad_bundle_is_a_conflict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(service_app, "BUNDLES", tmp_path)
    good, bad = write_bundle(tmp_path / "good"), write_bundle(tmp_path / "bad", value=2.0)
    (bad / "README.md").write_text("Another model card.\n")
    reply = reply_of(
        in_turn(completion(ANSWER)),
        lambda client: client.post("/bundles/bad"),
        monkeypatch,
        fine_tuned_model_path=str(good),
        lora="load",
    )
    assert reply.status_code == 409
    assert "README.md" in reply.text
