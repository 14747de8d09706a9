"""The predictor in a toolkit's environment, with a stand-in for the worker."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.predictors.toolkit import GenerationSettings, ModelReply, Request, answer_in_toolkit

REQUESTS = [Request("a", "what is 1?"), Request("b", "und 2 €?")]
SETTINGS = GenerationSettings(max_new_tokens=7, batch_size=2, device="cpu")
# Answers each request with its text in capitals, and prints progress.
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
    """A toolkit whose worker is given as Python code."""

    code: str = ANSWERING

    def worker(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-c", self.code, *arguments]


def toolkit(code: str = ANSWERING) -> Toolkit:
    return FakeToolkit(Path(sys.executable), "1.0.1", "a fake", code=code)


def replies(folder: Path, using: Toolkit) -> list[ModelReply]:
    return answer_in_toolkit(REQUESTS, using, folder / "model", None, SETTINGS, folder / "tuned.jsonl")


def test_replies_are_in_the_order_of_requests(tmp_path: Path) -> None:
    assert replies(tmp_path, toolkit()) == [
        ModelReply("a", "WHAT IS 1?", 3, True),
        ModelReply("b", "UND 2 €?", 3, True),
    ]


def test_requests_and_log_stay_beside_the_answers(tmp_path: Path) -> None:
    replies(tmp_path, toolkit())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tuned.jsonl", "tuned.log", "tuned.requests.jsonl"]
    lines = (tmp_path / "tuned.requests.jsonl").read_bytes().splitlines()
    assert orjson.loads(lines[1]) == {"id": "b", "request": "und 2 €?"}


def test_progress_is_reported_for_each_batch(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    arguments = (toolkit(), tmp_path / "model", None, SETTINGS, tmp_path / "tuned.jsonl")
    answer_in_toolkit(REQUESTS, *arguments, lambda done, total: reported.append((done, total)))
    assert reported == [(1, 2), (2, 2)]


@pytest.mark.parametrize("with_adapter", [False, True])
def test_options_of_the_worker(tmp_path: Path, with_adapter: bool) -> None:
    code = ANSWERING + "print(*sys.argv[1:], flush=True)\n"
    adapter = tmp_path / "adapter" if with_adapter else None
    answer_in_toolkit(REQUESTS, toolkit(code), tmp_path / "model", adapter, SETTINGS, tmp_path / "tuned.jsonl")
    log = (tmp_path / "tuned.log").read_text()
    assert f"--model {tmp_path}/model --requests tuned.requests.jsonl --answers tuned.jsonl" in log
    assert "--max-new-tokens 7 --batch-size 2 --device cpu" in log
    assert (f"--adapter {tmp_path}/adapter" in log) is with_adapter


def test_schema_is_given_to_the_worker_as_a_file(tmp_path: Path) -> None:
    code = ANSWERING + "print(*sys.argv[1:], open(given['--schema']).read(), flush=True)\n"
    limited = replace(SETTINGS, schema='{"enum": ["税"]}')
    answer_in_toolkit(REQUESTS, toolkit(code), tmp_path / "model", None, limited, tmp_path / "tuned.jsonl")
    assert '--schema tuned.schema.json {"enum": ["税"]}' in (tmp_path / "tuned.log").read_text()
    replies(tmp_path, toolkit())
    assert not (tmp_path / "tuned.schema.json").exists()


def test_failure_names_the_cause_and_the_log(tmp_path: Path) -> None:
    code = "raise ModuleNotFoundError(\"No module named 'paddle'\")"
    with pytest.raises(AdapterError) as error:
        replies(tmp_path, toolkit(code))
    assert "the toolkit's environment lacks the package paddle" in str(error.value)
    assert f"the whole log is {tmp_path}/tuned.log" in str(error.value)


def test_missing_answer_is_an_error(tmp_path: Path) -> None:
    code = ANSWERING.replace("in enumerate(requests, start=1)", "in enumerate(requests[:1], start=1)")
    with pytest.raises(AdapterError, match="does not contain one answer for each request"):
        replies(tmp_path, toolkit(code))


def test_answers_of_an_earlier_call_are_not_reused(tmp_path: Path) -> None:
    replies(tmp_path, toolkit())
    with pytest.raises(AdapterError):
        replies(tmp_path, toolkit("print('nothing written')"))
