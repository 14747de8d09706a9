"""The predictor that answers in a toolkit's environment: requests go out in one file, answers come in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from erniekit_adapter.backends.failures import description_of_failure
from erniekit_adapter.backends.installed import Toolkit
from erniekit_adapter.backends.process import run_logged
from erniekit_adapter.errors import fail
from erniekit_adapter.files import read_lines, write_bytes

STALL_S = 1800.0


@dataclass(frozen=True)
class Request:
    """One request to a model.

    Attributes:
        id: unique among the requests of one call.
        request: the user's message, from `invoice.prompts`.
    """

    id: str
    request: str


@dataclass(frozen=True)
class Reply:
    """What a model wrote.

    Attributes:
        id: the request's id.
        text: the answer as it was written.
        answer_tokens: its length.
        finished: whether the model ended it, rather than the limit of new tokens.
    """

    id: str
    text: str
    answer_tokens: int
    finished: bool


@dataclass(frozen=True)
class GenerationSettings:
    """How answers are generated: greedy, so that the same model and request give the same answer.

    Attributes:
        max_new_tokens: where an answer that does not end is cut.
        batch_size: requests answered together.
        device: cpu or gpu.
    """

    max_new_tokens: int
    batch_size: int
    device: str


def answer_in_toolkit(
    requests: Sequence[Request],
    toolkit: Toolkit,
    model_dir: Path,
    adapter: Path | None,
    settings: GenerationSettings,
    answers: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Reply]:
    """Answer requests with a base model, or with an adapter on it, in ERNIEKit's environment.

    Args:
        answers: the JSONL file that the worker writes; requests and log go beside it.
        on_progress: called with the requests done and their total.

    Raises:
        AdapterError: the worker failed or left out a request; the error has the cause and the log's place.
    """
    requests_path, log = answers.with_suffix(".requests.jsonl"), answers.with_suffix(".log")
    write_bytes(requests_path, b"".join(orjson.dumps(asdict(request)) + b"\n" for request in requests))
    log.unlink(missing_ok=True)
    answers.unlink(missing_ok=True)
    arguments = ["--model", str(model_dir.resolve()), "--requests", requests_path.name, "--answers", answers.name]
    arguments += ["--max-new-tokens", str(settings.max_new_tokens), "--batch-size", str(settings.batch_size)]
    arguments += ["--device", settings.device, *(["--adapter", str(adapter.resolve())] if adapter else [])]

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
        raise fail("generation", description_of_failure(outcome), f"the whole log is {log}")
    replies = read_replies(answers)
    if [reply.id for reply in replies] != [request.id for request in requests]:
        raise fail(answers, "does not hold one answer to each request", f"the whole log is {log}")
    return replies


def read_replies(answers: Path) -> list[Reply]:
    """The answers that a worker wrote, in order."""
    return [_reply(line) for _, line in read_lines(answers) if line]


def _reply(line: bytes) -> Reply:
    found = orjson.loads(line)
    return Reply(found["id"], found["answer"], found["answer_tokens"], found["finished"])
