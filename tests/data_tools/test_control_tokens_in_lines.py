"""A document that prints control tokens is trained on in the form in which the service asks about it."""

from __future__ import annotations

import pytest
from data_examples import OCR, answer, record

from data_tools.build_settings import BuildSettings
from data_tools.lines.toolkit_check import toolkit_problem
from data_tools.pairs.pairs import Pair, make_pair, show
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import read_answer
from erniekit_adapter.invoice.prompts import analysis_request
from erniekit_adapter.project.schema import TasksSection
from erniekit_adapter.service import ServiceSettings
from erniekit_adapter.service.request import chat_body

TOKENS = ["</s>", "<|end_of_sentence|>", "<mask:1>", "<image>", "</think>"]


def pair_about(token: str, task: str = "analysis", request: str | None = None) -> Pair:
    """The pair of a document whose vendor's name has the token in it."""
    value = answer()
    name = f"{value['structured_data']['vendor_block']['name']} {token}"
    value["structured_data"]["vendor_block"]["name"] = name
    page = {"tokens": [*OCR["tokens"], name]}
    found = record(answer=read_answer(value), ocr=page, request=request)
    assert found.answer is not None
    settings = BuildSettings(tasks=TasksSection(**{"analysis": 0, task: 1}), fault_share=0)
    return make_pair(found, show(found, rules.check(found.answer), settings), (), settings)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("task", ["analysis", "extraction", "validation"])
def test_neither_request_nor_answer_has_one(token: str, task: str) -> None:
    pair = pair_about(token, task)
    assert token not in pair.request + pair.answer_text
    assert f"< {token[1:]}" in (pair.request if task == "validation" else pair.answer_text)
    assert "vendor_block.name" not in pair.left_out
    assert toolkit_problem(pair, "erniekit") is None


@pytest.mark.parametrize("token", TOKENS)
def test_the_service_asks_what_was_trained(token: str) -> None:
    name = f"{answer()['structured_data']['vendor_block']['name']} {token}"
    page = {"tokens": [*OCR["tokens"], name]}
    settings = ServiceSettings.read({"ernie_vl": {"vllm_server_url": "http://a/v1", "model_name": "m"}}, {})
    [message] = chat_body(settings, page, None)["messages"]
    assert message["content"] == pair_about(token).request == analysis_request(page, with_image=False)


def test_a_ready_made_request_has_none() -> None:
    name = answer()["structured_data"]["vendor_block"]["name"]
    pair = pair_about("</s>", request=f"Read this:\n{OCR['tokens']} {name} </s>")
    assert "</s>" not in pair.request + pair.answer_text
    assert "< /s>" in pair.request
