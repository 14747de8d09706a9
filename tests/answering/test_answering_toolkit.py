"""Requests go out in one file and answers come in another.

The worker is a few lines of Python: a fake that stands in for what the tests in tests/toolkit do with a real model.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from erniekit_adapter.answering.toolkit import GenerationSettings, Reply, Request, answer_in_toolkit
from erniekit_adapter.backends.installed import Toolkit
from erniekit_adapter.errors import AdapterError

REQUESTS = [Request("a", "what is 1?"), Request("b", "und 2 €?")]
SETTINGS = GenerationSettings(max_new_tokens=7, batch_size=2, device="cpu")
# Answers each request with itself in capitals, and says how far it is.
ANSWERING = """
import json, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
requests = [json.loads(line) for line in open(given["--requests"], encoding="utf-8")]
with open(given["--answers"], "w", encoding="utf-8") as stream:
    for done, request in enumerate(requests, start=1):
        answer = {"id": request["id"], "answer": request["request"].upper(), "answer_tokens": 3, "finished": True}
        stream.write(json.dumps(answer) + "\\n")
        print(json.dumps({"done": done, "total": len(requests)}, separators=(",", ":")))
"""


@dataclass(frozen=True)
class FakeToolkit(Toolkit):
    """A toolkit whose worker is a given piece of Python."""

    code: str = ANSWERING

    def worker(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-c", self.code, *arguments]


def toolkit(code: str = ANSWERING) -> Toolkit:
    return FakeToolkit(Path(sys.executable), "1.0.1", "a fake", code=code)


def replies(folder: Path, using: Toolkit) -> list[Reply]:
    return answer_in_toolkit(REQUESTS, using, folder / "model", None, SETTINGS, folder / "tuned.jsonl")


def test_every_request_gets_its_reply_in_order(tmp_path: Path) -> None:
    assert replies(tmp_path, toolkit()) == [Reply("a", "WHAT IS 1?", 3, True), Reply("b", "UND 2 €?", 3, True)]


def test_the_requests_and_the_log_stay_beside_the_answers(tmp_path: Path) -> None:
    replies(tmp_path, toolkit())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tuned.jsonl", "tuned.log", "tuned.requests.jsonl"]
    lines = (tmp_path / "tuned.requests.jsonl").read_bytes().splitlines()
    assert orjson.loads(lines[1]) == {"id": "b", "request": "und 2 €?"}


def test_progress_is_told_as_it_comes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    arguments = (toolkit(), tmp_path / "model", None, SETTINGS, tmp_path / "tuned.jsonl")
    answer_in_toolkit(REQUESTS, *arguments, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize("with_adapter", [False, True])
def test_the_worker_is_told_model_limits_and_adapter(tmp_path: Path, with_adapter: bool) -> None:
    code = ANSWERING + "print(*sys.argv[1:], flush=True)\n"
    adapter = tmp_path / "adapter" if with_adapter else None
    answer_in_toolkit(REQUESTS, toolkit(code), tmp_path / "model", adapter, SETTINGS, tmp_path / "tuned.jsonl")
    said = (tmp_path / "tuned.log").read_text()
    assert f"--model {tmp_path}/model --requests tuned.requests.jsonl --answers tuned.jsonl" in said
    assert "--max-new-tokens 7 --batch-size 2 --device cpu" in said
    assert (f"--adapter {tmp_path}/adapter" in said) is with_adapter


def test_a_worker_that_fails_is_told_with_cause_and_log(tmp_path: Path) -> None:
    code = "raise ModuleNotFoundError(\"No module named 'paddle'\")"
    with pytest.raises(AdapterError) as error:
        replies(tmp_path, toolkit(code))
    assert "the toolkit's environment lacks the package paddle" in str(error.value)
    assert f"the whole log is {tmp_path}/tuned.log" in str(error.value)


def test_a_request_without_an_answer_is_an_error(tmp_path: Path) -> None:
    code = ANSWERING.replace("in enumerate(requests, start=1)", "in enumerate(requests[:1], start=1)")
    with pytest.raises(AdapterError, match="does not hold one answer to each request"):
        replies(tmp_path, toolkit(code))


def test_answers_of_an_earlier_call_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    replies(tmp_path, toolkit())
    with pytest.raises(AdapterError):
        replies(tmp_path, toolkit("print('nothing written')"))
