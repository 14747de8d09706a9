"""Control tokens in documents: training examples contain the same text as requests of the service."""

from __future__ import annotations

import pytest
from data_examples import OCR, answer, record

from data_tools.build_settings import BuildSettings
from data_tools.examples.building import TrainingExample, make_example, visible_content
from data_tools.examples.toolkit_check import toolkit_problem
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.schema import TasksSection
from erniekit_adapter.service import ServiceSettings
from erniekit_adapter.service.request import chat_body

TOKENS = ["</s>", "<|end_of_sentence|>", "<mask:1>", "<image>", "</think>"]


def example_about(token: str, task: str = "analysis", request: str | None = None) -> TrainingExample:
    """Return the example of a document with a token in its vendor's name."""
    value = answer()
    name = f"{value['structured_data']['vendor_block']['name']} {token}"
    value["structured_data"]["vendor_block"]["name"] = name
    page = {"tokens": [*OCR["tokens"], name]}
    found = record(answer=read_answer(value), ocr=page, request=request)
    assert found.answer is not None
    settings = BuildSettings(tasks=TasksSection(**{"analysis": 0, task: 1}), fault_share=0)
    return make_example(found, visible_content(found, RULES.check(found.answer), settings), (), settings)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("task", ["analysis", "extraction", "validation"])
def test_requests_and_answers_contain_no_control_token(token: str, task: str) -> None:
    example = example_about(token, task)
    assert token not in example.request + example.answer_text
    assert f"< {token[1:]}" in (example.request if task == "validation" else example.answer_text)
    assert "vendor_block.name" not in example.left_out
    assert toolkit_problem(example, "erniekit") is None


@pytest.mark.parametrize("token", TOKENS)
def test_the_service_sends_the_trained_request(token: str) -> None:
    name = f"{answer()['structured_data']['vendor_block']['name']} {token}"
    page = {"tokens": [*OCR["tokens"], name]}
    settings = ServiceSettings.read({"ernie_vl": {"vllm_server_url": "http://a/v1", "model_name": "m"}}, {})
    [message] = chat_body(settings, page, None)["messages"]
    assert (
        message["content"] == example_about(token).request == INVOICE.prompts.analysis_request(page, with_image=False)
    )


def test_a_ready_made_request_contains_no_control_token() -> None:
    name = answer()["structured_data"]["vendor_block"]["name"]
    example = example_about("</s>", request=f"Read this:\n{OCR['tokens']} {name} </s>")
    assert "</s>" not in example.request + example.answer_text
    assert "< /s>" in example.request
