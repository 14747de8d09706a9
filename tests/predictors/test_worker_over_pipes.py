"""A worker that serves requests over pipes, with a stand-in for the model that repeats the request."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.workers.constraint import AnswerConstraint
from erniekit_adapter.workers.exchange import Generated, ModelFunctions, WorkerRequest, answer_all, answer_each

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"id": "a", "request": "Müller?", "max_new_tokens": 4}
# A worker with a toolkit that prints when it is imported, from Python and from its C library.
WORKER = """
import os
from erniekit_adapter.workers.exchange import Generated, ModelFunctions, answer, read_options
options = read_options("a fake")
print("Welcome to the toolkit!")
os.system("echo and its C library")
answer(
    ModelFunctions(
        prompt_ids=lambda request: [1],
        generate=lambda prompts, limit, constraints: [Generated([2], True)],
        logits=lambda prompts: [],
        decode=lambda ids: "ok",
        max_tokens=9,
        constraint=lambda schema: None,
    ),
    options,
)
"""


def prompt_ids(request: WorkerRequest) -> list[int]:
    if request.request == "other tokens":
        raise SystemExit("the prompt's tokens differ from those of training")
    return list(map(ord, request.request))


def generate(prompts: list[list[int]], limit: int, constraints: list[AnswerConstraint | None]) -> list[Generated]:
    """Answer with the schema, or repeat the request without one."""
    texts = [list(map(ord, each.schema)) if isinstance(each, Named) else None for each in constraints]
    found = [text or prompt for text, prompt in zip(texts, prompts, strict=True)]
    return [Generated(ids[:limit], len(ids) <= limit) for ids in found]


class Named(AnswerConstraint):
    """A constraint that keeps its schema."""

    def __init__(self, schema: str) -> None:
        if schema == "unknown":
            raise ValueError("the schema is not supported")
        self.schema = schema


FUNCTIONS = ModelFunctions(
    prompt_ids, generate, lambda prompts: [], lambda ids: "".join(map(chr, ids)), max_tokens=20, constraint=Named
)


def answers(*lines: bytes | dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers to some lines; the worker must be ready first and still answer at the end."""
    stream = io.StringIO()
    given = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in (*lines, GOOD)]
    answer_each(FUNCTIONS, given, stream)
    ready, *found, last = map(json.loads, stream.getvalue().splitlines())
    assert ready == {"ready": True}
    assert last == {"id": "a", "answer": "Müll", "prompt_tokens": 7, "answer_tokens": 4, "finished": False}
    return found


def test_each_request_has_its_own_limit() -> None:
    assert answers({"id": "b", "request": "Total?", "max_new_tokens": 10}) == [
        {"id": "b", "answer": "Total?", "prompt_tokens": 6, "answer_tokens": 6, "finished": True}
    ]


@pytest.mark.parametrize(("schema", "answer"), [("{}", "{}"), ({"enum": []}, '{"enum": []}'), (None, "Total?")])
def test_each_request_has_its_own_schema(schema: Any, answer: str) -> None:
    [found] = answers({"id": "b", "request": "Total?", "max_new_tokens": 12, "schema": schema})
    assert found["answer"] == answer


def test_schema_of_a_file_is_for_requests_without_one(tmp_path: Path) -> None:
    lines = [{"id": "a", "request": "x"}, {"id": "b", "request": "y", "schema": "own"}]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "schema.json").write_text("all")
    options = argparse.Namespace(
        requests=tmp_path / "requests.jsonl",
        answers=tmp_path / "answers.jsonl",
        schema=tmp_path / "schema.json",
        max_new_tokens=9,
        batch_size=2,
        logits=None,
    )
    answer_all(FUNCTIONS, options)
    found = [json.loads(line)["answer"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert found == ["all", "own"]
    (tmp_path / "schema.json").write_text("unknown")
    with pytest.raises(SystemExit, match="the schema is not supported"):
        answer_all(FUNCTIONS, options)


@pytest.mark.parametrize(
    ("line", "name", "error"),
    [
        (b"no JSON", None, "Expecting value"),
        (b"\xff", None, "can't decode"),
        (b"", None, "Expecting value"),
        (b"[" * 100_000, None, "recursion"),
        (b"[]", None, "not a JSON object"),
        ({"id": "b", "request": "Total?"}, "b", "max_new_tokens must be a positive number"),
        ({**GOOD, "id": "b", "max_new_tokens": True}, "b", "max_new_tokens must be a positive number"),
        ({**GOOD, "id": "b", "schema": "unknown"}, "b", "the schema is not supported"),
        ({**GOOD, "id": "b", "schema": 7}, "b", "schema must be a JSON Schema"),
        ({**GOOD, "id": "b", "page": 1}, "b", "unknown keys ['page']"),
        (
            {**GOOD, "id": "b", "max_new_tokens": 14},
            "b",
            "7 prompt tokens and 14 new ones are more than the model's 20",
        ),
        ({**GOOD, "id": "b", "request": "other tokens"}, "b", "differ from those of training"),
    ],
)
def test_bad_request_gets_an_error_as_answer(line: bytes | dict[str, Any], name: str | None, error: str) -> None:
    [found] = answers(line)
    assert found["id"] == name
    assert error in found["error"]


def test_output_of_the_toolkit_goes_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKER, "--model", "m", "--serve"],
        input=json.dumps(GOOD),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [
        ["ready"],
        ["id", "answer", "prompt_tokens", "answer_tokens", "finished"],
    ]
    assert "Welcome to the toolkit!" in done.stderr
    assert "and its C library" in done.stderr


def test_worker_requires_files_or_serve() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER, "--model", "m"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "requires --requests, --answers and --max-new-tokens, or --serve" in done.stderr
