"""The service with document types of every shape: from the settings, from a bundle, and two in one process."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_examples import ANSWER, body, completion, in_turn, service, write_bundle
from type_examples import write_type

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.service import ServiceSettings

PROPERTIES: dict[str, Any] = {
    "shop": {"type": "string", "x-role": "issuer"},
    "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
    "total": {"type": "number", "x-kind": "amount", "x-role": "total"},
}
RULES = [{"name": "sum", "sentence": "The prices add up to the total.", "equation": "total = sum(items[].price)"}]
GIVEN = {"vllm_server_url": "http://a/v1", "model_name": "b"}
TICKET = '{"shop":"Bakery","items":[{"price":1.50},{"price":2.00}],"total":3.50}'


@pytest.fixture
def ticket(tmp_path: Path) -> DocumentType:
    """A type whose answer is the content, without a verdict."""
    return write_type(tmp_path / "types/ticket", PROPERTIES, {"title": "ticket", "rules": RULES})


@pytest.fixture
def order(tmp_path: Path) -> DocumentType:
    """A type with a content key and a verdict under its own keys."""
    keys = {"key": "check", "is_valid": "ok", "math_verified": "sums", "issues": "faults"}
    definition = {"title": "order", "answer": {"content_key": "order", "verdict": keys}, "rules": RULES}
    return write_type(tmp_path / "types/order", PROPERTIES, definition)


def test_type_without_an_envelope(ticket: DocumentType) -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(body(request))
        return completion(TICKET)

    with service(handler, document_type=ticket.reference) as vlm:
        result = vlm.parse({"lines": ["Bakery", "3.50"]})
    expected = ticket.prompts.analysis_request({"lines": ["Bakery", "3.50"]}, with_image=False)
    assert seen[0]["messages"][0]["content"] == expected
    assert (result.status, result.document_type, result.claimed) == ("success", "ticket", None)
    assert result.answer is not None
    assert result.answer.total == Decimal("3.50")  # type: ignore[attr-defined]  # a model made from the schema
    assert result.validation is not None
    assert result.validation.is_valid
    shown = json_text.parse(result.as_json())
    assert shown["answer"] == json_text.parse(TICKET)
    assert shown["validation"] == {"is_valid": True, "math_verified": True, "issues": []}
    assert (shown["document_type"], shown["broken_rules"]) == ("ticket", [])


def test_broken_rule_has_its_sentence(ticket: DocumentType) -> None:
    with service(in_turn(completion(TICKET.replace("3.50", "9.50"))), document_type=ticket.reference) as vlm:
        result = vlm.parse("page")
    [finding] = result.findings
    assert result.sentence_of(finding) == "The prices add up to the total."
    [broken] = json_text.parse(result.as_json())["broken_rules"]
    assert (broken["rule"], broken["level"], broken["sentence"]) == ("sum", "error", "The prices add up to the total.")


def test_verdict_under_the_keys_of_the_type(order: DocumentType) -> None:
    claim = '"check":{"ok":true,"sums":true,"faults":[]}'
    with service(
        in_turn(completion(f'{{"order":{TICKET.replace("3.50", "9.50")},{claim}}}')), document_type=order.reference
    ) as vlm:
        result = vlm.parse("page")
    assert result.claimed is not None
    assert result.claimed.is_valid
    shown = json_text.parse(result.as_json())["answer"]
    assert shown["order"]["total"] == Decimal("9.50")
    assert shown["check"]["ok"] is False
    assert shown["check"]["faults"]


def pickled(result: Any) -> Any:
    return pickle.loads(pickle.dumps(result))  # noqa: S301  # written by this test


@pytest.mark.parametrize("text", [TICKET, '{"shop":"Bakery"}', '{"total":"x"}', "no JSON"])
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_result_of_a_declared_type_can_be_pickled(ticket: DocumentType, text: str, copied: Any) -> None:
    with service(in_turn(completion(text)), document_type=ticket.reference) as vlm:
        result = vlm.parse({"lines": ["Bakery"]})
    assert copied(result) == result
    assert copied(result).as_json() == result.as_json()


def test_pickled_verdict_keeps_its_keys(order: DocumentType) -> None:
    text = f'{{"order":{TICKET},"check":{{"ok":null,"sums":true,"faults":[]}}}}'
    with service(in_turn(completion(text)), document_type=order.reference) as vlm:
        result = vlm.parse({"lines": ["Bakery"]})
    assert result.status == "success"
    assert pickled(result) == result


def test_result_is_not_read_without_its_type(ticket: DocumentType) -> None:
    with service(in_turn(completion(TICKET)), document_type=ticket.reference) as vlm:
        result = vlm.parse({"lines": ["Bakery"]})
    assert ticket.folder is not None
    (ticket.folder / "schema.json").unlink()
    with pytest.raises(UsageError, match=r"has no schema\.json"):
        pickled(result)


def test_answer_of_another_type_is_a_bad_shape(ticket: DocumentType) -> None:
    with service(in_turn(completion(ANSWER)), document_type=ticket.reference) as vlm:
        result = vlm.parse("page")
    assert (result.status, result.reason, result.answer) == ("partial", "bad_shape", None)
    assert result.as_json()


def test_bundle_brings_its_type(ticket: DocumentType, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", documents=ticket)
    with service(in_turn(completion(TICKET)), fine_tuned_model_path=str(bundle)) as vlm:
        assert vlm.target.documents.folder == bundle / "document_type"
        assert vlm.parse("page").document_type == "ticket"


def test_bundle_of_an_earlier_version_is_for_invoices(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    path = bundle / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"document_type"', b'"former"'))
    with service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle)) as vlm:
        result = vlm.parse("page")
    assert (result.status, result.document_type) == ("success", "invoice")


def test_setting_overrides_the_type_of_the_bundle(
    ticket: DocumentType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_bundle(tmp_path / "bundle", documents=ticket)
    with service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle), document_type="invoice") as vlm:
        assert vlm.parse("page").document_type == "invoice"
    assert "document_type is invoice, but the bundle is for ticket" in caplog.text


def test_environment_names_the_type(ticket: DocumentType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIE_DOCUMENT_TYPE", ticket.reference)
    with service(in_turn(completion(TICKET))) as vlm:
        assert vlm.parse("page").document_type == "ticket"


@pytest.mark.parametrize("name", ["receiptt", "./nowhere"])
def test_rejects_an_unknown_type(name: str) -> None:
    with pytest.raises(UsageError):
        service(in_turn(completion(ANSWER)), document_type=name)


def test_use_switches_between_types(ticket: DocumentType, tmp_path: Path) -> None:
    invoices, tickets = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", documents=ticket)

    def handler(request: httpx.Request) -> httpx.Response:
        return completion(TICKET if "ticket" in str(body(request).get("messages")) else ANSWER)

    with service(handler, fine_tuned_model_path=str(invoices), lora="load") as vlm:
        found = [vlm.parse("page")]
        for bundle in (tickets, invoices):
            vlm.use(bundle)
            found.append(vlm.parse("page"))
    assert [(each.status, each.document_type) for each in found] == [
        ("success", "invoice"),
        ("success", "ticket"),
        ("success", "invoice"),
    ]


def test_waiting_request_gets_the_prompt_of_its_target(ticket: DocumentType, tmp_path: Path) -> None:
    invoices, tickets = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", documents=ticket)
    prompts: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        text = str(body(request).get("messages", ""))
        if "page" in text:
            prompts.append(text)
            await asyncio.sleep(0.3)
        return completion(TICKET if "ticket" in text else ANSWER)

    with (
        service(handler, fine_tuned_model_path=str(invoices), lora="load", max_concurrency=1) as vlm,
        ThreadPoolExecutor(2) as threads,
    ):
        waiting = [threads.submit(vlm.parse, "page") for _ in range(2)]
        while not prompts:
            pass
        vlm.use(tickets)
        results = [each.result() for each in waiting]
    assert sorted(each.document_type for each in results) == ["invoice", "ticket"]
    assert {each.status for each in results} == {"success"}


def test_two_services_with_two_types(ticket: DocumentType) -> None:
    with (
        service(in_turn(completion(TICKET)), document_type=ticket.reference) as one,
        service(in_turn(completion(ANSWER))) as other,
    ):
        assert (one.parse("page").status, other.parse("page").status) == ("success", "success")


def test_bad_type_in_a_bundle_keeps_the_old_bundle(ticket: DocumentType, tmp_path: Path) -> None:
    good, bad = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", documents=ticket)
    (bad / "document_type/schema.json").write_text("{}")
    with service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(good), lora="load") as vlm:
        old = vlm.target
        with pytest.raises(AdapterError, match=r"schema\.json"):
            vlm.use(bad)
        assert vlm.target is old


def test_logs_no_text_of_the_page(ticket: DocumentType, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with service(in_turn(completion('{"shop":"secret shop","totals":1}')), document_type=ticket.reference) as vlm:
        assert vlm.parse("secret page").status == "partial"
    assert "secret" not in caplog.text


def test_document_type_setting_must_not_be_empty() -> None:
    with pytest.raises(UsageError, match=r"ernie_vl\.document_type or ERNIE_DOCUMENT_TYPE"):
        ServiceSettings.read(
            {"ernie_vl": {"vllm_server_url": "http://a/v1", "model_name": "b", "document_type": ""}}, {}
        )
