"""Control tokens in documents become plain text in requests and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.loading import INVOICE

TINY_BASE = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
TOKENS = [
    *("<s>", "</s>", "<unk>", "<pad>", "<cls>", "<sep>", "<mask:0>", "<mask:1>", "<mask:7>", "<eod>"),
    *(
        "<|begin_of_sentence|>",
        "<|end_of_sentence|>",
        "<|IMAGE_PLACEHOLDER|>",
        "<|IMAGE_START|>",
        "<|AUDIO_PLACEHOLDER|>",
    ),
    *("<|LOC_0|>", "<|LOC_1000|>", "<|LOC_BEGIN|>", "<|CROP_COL_SEP|>", "<|BOI|>", "<|im_start|>", "<|im_end|>"),
    *(
        "<think>",
        "</think>",
        "<response>",
        "</response>",
        "<tool_call>",
        "</tool_call>",
        "<image>",
        "<video>",
        "<audio>",
    ),
    *("＜/s＞", "<｜end▁of▁sentence｜>", "<|endoftext|>", "<extra_id_0>", "<0x0A>"),
]
ORDINARY = [
    *("a < b", "5<10>2", "<b>bold</b>", "<info@shop.example>", "</ s>", "<|>", "<||>", "a <| b |> c", "<S>", "<sum>"),
    *("", "Müller & Söhne", "x<", "<html>", "《invoice》", "〈s〉", "<|a b|>"),
]


@pytest.mark.parametrize("token", TOKENS)
def test_breaks_control_tokens_with_a_blank(token: str) -> None:
    assert neutralised(f"a{token}b") == f"a{token[0]} {token[1:]}b"


@pytest.mark.parametrize("text", ORDINARY)
def test_keeps_ordinary_text(text: str) -> None:
    assert neutralised(text) == text


def test_covers_every_special_token_of_the_tiny_base() -> None:
    tokens = json.loads((TINY_BASE / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    assert len(tokens) > 10
    assert not [token["content"] for token in tokens if token["content"] in neutralised(f"a{token['content']}b")]


@given(st.lists(st.sampled_from([*TOKENS, "<", ">", "/", "s", "|", "think", " "]), max_size=12).map("".join))
def test_leaves_no_nested_token(text: str) -> None:
    result = neutralised(text)
    assert not [token for token in TOKENS if token in result]
    assert neutralised(result) == result
    assert result.replace(" ", "") == text.replace(" ", "")


@given(
    st.lists(st.text(max_size=8) | st.sampled_from(TOKENS) | st.dictionaries(st.sampled_from(TOKENS), st.integers()))
)
def test_keeps_json_valid(value: list[object]) -> None:
    written = json_text.compose(value)
    changed = json_text.parse(neutralised(written))
    assert len(changed) == len(value)
    if neutralised(written) == written:
        assert changed == value


@pytest.mark.parametrize("token", ["</s>", "<|end_of_sentence|>", "<image>"])
def test_requests_contain_no_control_tokens(token: str) -> None:
    page = {token: [f"Desk {token} 5.00"]}
    data = {"structured_data": {"payment_terms": {"notes": token}}}
    requests = [
        ask(page, with_image=False) for ask in (INVOICE.prompts.analysis_request, INVOICE.prompts.extraction_request)
    ]
    written = INVOICE.prompts.analysis_request(page, with_image=False, written_ocr=json_text.compose(page))
    assert written == requests[0]
    assert not [request for request in (*requests, INVOICE.prompts.validation_request(data)) if token in request]
