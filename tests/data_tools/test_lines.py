from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import ASKED, answer, interchange, write_lines

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.lines import read_line_file

ANSWER = simplejson.dumps(answer())


def read_one(folder: Path, value: Any) -> Reading:
    (found,) = read_line_file(write_lines(folder / "lines.jsonl", [value]))
    return found


@pytest.mark.parametrize(
    "value",
    [
        interchange(),
        {"conversations": [{"role": "human", "value": ASKED}, {"role": "assistant", "value": ANSWER}]},
        {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWER}]},
        {"src": [ASKED], "tgt": [ANSWER]},
        {"id": "x", "src": [ASKED], "tgt": [ANSWER], "label": [1]},
    ],
    ids=["interchange", "value", "from", "src and tgt", "test line"],
)
def test_a_line_keeps_its_request_and_its_answer(tmp_path: Path, value: Any) -> None:
    found = read_one(tmp_path, value)
    assert isinstance(found, DocumentRecord), found
    assert found.request == ASKED
    assert found.answer
    assert found.answer.summary.grand_total == 119


@pytest.mark.parametrize("text", ["", "The total is 119.", "{}", "[]", '{"structured_data": {"colour": 1}}', "NaN"])
def test_an_assistant_text_that_is_no_answer_is_rejected(tmp_path: Path, text: str) -> None:
    found = read_one(tmp_path, {"src": ["What?"], "tgt": [text]})
    assert isinstance(found, Rejection)
    assert found.gate == "canonical"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"src": ["a", "b"], "tgt": [ANSWER, ANSWER]}, "src: expected a list of one text"),
        ({"src": ["a"], "tgt": [answer()]}, "tgt: expected a list of one text"),
        ({"src": ["a"], "tgt": [ANSWER], "label": [0]}, "label [0]"),
        ({"src": ["a"], "tgt": [ANSWER], "system": "be kind"}, "system prompt"),
        ({"conversations": [{"role": "human", "content": "a"}]}, "one human and one assistant turn"),
        (interchange(conversations=interchange()["conversations"][::-1]), "expected human and assistant"),
        ({"conversations": [{"role": "human"}, {"role": "assistant"}]}, "expected role and content"),
        ({"conversations": "x"}, "conversations"),
        ({"text": "x"}, "neither conversations nor src and tgt"),
        ([], "no object"),
    ],
)
def test_a_line_of_another_form_is_rejected(tmp_path: Path, value: Any, reason: str) -> None:
    found = read_one(tmp_path, value)
    assert isinstance(found, Rejection)
    assert found.gate == "source"
    assert reason in found.reason


def test_an_image_in_the_file_s_folder_goes_along(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"png")
    found = read_one(tmp_path, interchange())
    assert isinstance(found, DocumentRecord)
    assert found.images == (tmp_path / "page.png",)


@pytest.mark.parametrize("image", ["../../etc/passwd", "/etc/passwd", "http://a.example/x.png", ["gone.png"], 5])
def test_an_image_elsewhere_is_not_used_and_that_is_said(tmp_path: Path, image: Any) -> None:
    found = read_one(tmp_path, interchange(image=image))
    assert isinstance(found, DocumentRecord)
    assert found.images == ()
    assert found.unused_keys == ("image that is no file in the folder",)


def test_an_answer_that_names_issues_declares_the_fault(tmp_path: Path) -> None:
    summary = {"is_valid": False, "math_verified": False, "issues": ["BR-CO-10: …"]}
    found = read_one(tmp_path, {"src": ["a"], "tgt": [simplejson.dumps({**answer(), "validation_summary": summary})]})
    assert isinstance(found, DocumentRecord)
    assert found.declared_fault == "BR-CO-10: …"
