"""Predictor in a toolkit's environment: requests are written to one file, answers are read from another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.backends.processes.failures import description_of_failure
from erniekit_adapter.backends.processes.process import run_logged
from erniekit_adapter.errors import failure
from erniekit_adapter.files import read_lines, write_bytes

STALL_S = 1800.0


@dataclass(frozen=True)
class Request:
    """One request to a model.

    Attributes:
        id: unique among the requests of one call.
        request: the user's message, made by a prompt template.
    """

    id: str
    request: str


@dataclass(frozen=True)
class ModelReply:
    """The answer of a model.

    Attributes:
        id: the request's id.
        text: the answer, unchanged.
        answer_tokens: its length in tokens.
        finished: whether the model ended it; False if it was cut at the limit of new tokens.
    """

    id: str
    text: str
    answer_tokens: int
    finished: bool


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of greedy generation, in which the same model and request give the same answer.

    Attributes:
        max_new_tokens: limit at which an answer is cut.
        batch_size: number of requests that are answered together.
        device: cpu or gpu.
        schema: the JSON Schema that answers must match, as text; None for any text. See `predictors/structured.py`.
    """

    max_new_tokens: int
    batch_size: int
    device: str
    schema: str | None = None


def answer_in_toolkit(
    requests: Sequence[Request],
    toolkit: Toolkit,
    model_dir: Path,
    adapter: Path | None,
    settings: GenerationSettings,
    answers: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ModelReply]:
    """Answer requests with a base model, and an adapter if given, in ERNIEKit's environment.

    Args:
        answers: JSONL file that the worker writes; requests, schema and log are written beside it.
        on_progress: called with the number of answered requests and their total.

    Raises:
        AdapterError: the worker failed or did not answer a request; with the cause and the path of the log.
    """
    requests_path, log = answers.with_suffix(".requests.jsonl"), answers.with_suffix(".log")
    write_bytes(requests_path, b"".join(orjson.dumps(asdict(request)) + b"\n" for request in requests))
    schema = answers.with_suffix(".schema.json")
    for earlier in (log, answers, schema):
        earlier.unlink(missing_ok=True)
    arguments = ["--model", str(model_dir.resolve()), "--requests", requests_path.name, "--answers", answers.name]
    arguments += ["--max-new-tokens", str(settings.max_new_tokens), "--batch-size", str(settings.batch_size)]
    arguments += ["--device", settings.device, *(["--adapter", str(adapter.resolve())] if adapter else [])]
    if settings.schema is not None:
        write_bytes(schema, settings.schema.encode())
        arguments += ["--schema", schema.name]

    def follow(line: str) -> None:
        if line.startswith('{"done"'):
            progress = orjson.loads(line)
            on_progress(progress["done"], progress["total"])

    outcome = run_logged(
        toolkit.worker("erniekit_generate", *arguments),
        folder=answers.parent,
        environment=toolkit.environment(on_cpu=settings.device == "cpu"),
        log=log,
        on_line=follow,
        stall_s=STALL_S,
    )
    if outcome.exit_code != 0 or outcome.stalled:
        raise failure("generation", description_of_failure(outcome), f"the whole log is {log}")
    replies = read_replies(answers)
    if [reply.id for reply in replies] != [request.id for request in requests]:
        raise failure(answers, "does not contain one answer for each request", f"the whole log is {log}")
    return replies


def read_replies(answers: Path) -> list[ModelReply]:
    """Read the answers of a worker, in order."""
    return [_reply(line) for _, line in read_lines(answers) if line]


def _reply(line: bytes) -> ModelReply:
    found = orjson.loads(line)
    return ModelReply(found["id"], found["answer"], found["answer_tokens"], found["finished"])
