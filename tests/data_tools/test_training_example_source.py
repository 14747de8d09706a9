from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import ASKED, answer, interchange, write_lines
from source_examples import make_source, read_source

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection

ANSWER = simplejson.dumps(answer())


def read_one(folder: Path, value: Any) -> RecordOrRejection:
    (found,) = read_source(make_source("training_examples", write_lines(folder / "lines.jsonl", [value])))
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
def test_keeps_request_and_answer(tmp_path: Path, value: Any) -> None:
    found = read_one(tmp_path, value)
    assert isinstance(found, DocumentRecord), found
    assert found.request == ASKED
    assert found.answer
    assert found.answer.summary.grand_total == 119


@pytest.mark.parametrize("text", ["", "The total is 119.", "{}", "[]", '{"structured_data": {"colour": 1}}', "NaN"])
def test_rejects_text_that_is_not_an_answer(tmp_path: Path, text: str) -> None:
    found = read_one(tmp_path, {"src": ["What?"], "tgt": [text]})
    assert isinstance(found, Rejection)
    assert found.filter == "canonical"


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
        ([], "not an object"),
    ],
)
def test_rejects_other_formats(tmp_path: Path, value: Any, reason: str) -> None:
    found = read_one(tmp_path, value)
    assert isinstance(found, Rejection)
    assert found.filter == "source"
    assert reason in found.reason


def test_finds_an_image_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"png")
    found = read_one(tmp_path, interchange())
    assert isinstance(found, DocumentRecord)
    assert found.images == (tmp_path / "page.png",)


@pytest.mark.parametrize("image", ["../../etc/passwd", "/etc/passwd", "http://a.example/x.png", ["gone.png"], 5])
def test_reports_an_image_in_another_folder(tmp_path: Path, image: Any) -> None:
    found = read_one(tmp_path, interchange(image=image))
    assert isinstance(found, DocumentRecord)
    assert found.images == ()
    assert found.unused_keys == ("image that is not a file in the folder",)


def test_issues_of_the_answer_declare_a_fault(tmp_path: Path) -> None:
    summary = {"is_valid": False, "math_verified": False, "issues": ["BR-CO-10: …"]}
    found = read_one(tmp_path, {"src": ["a"], "tgt": [simplejson.dumps({**answer(), "validation_summary": summary})]})
    assert isinstance(found, DocumentRecord)
    assert found.declared_fault == "BR-CO-10: …"
