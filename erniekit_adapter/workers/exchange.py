"""Requests and answers of a worker: from file to file with lines of progress, or line by line over pipes.

Runs in every toolkit's environment, so it needs only the standard library and numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from erniekit_adapter.temporary import temporary_folder
from erniekit_adapter.workers.constraint import AnswerConstraint

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkerRequest:
    """A request to the model.

    Attributes:
        id: its name, unique in the file.
        request: the user's text.
        system: the system text, or None.
        prompt_ids: the token ids of the prompt, or None.
        schema: the JSON Schema that the answer must match, as text; or None.
    """

    id: str
    request: str
    system: str | None = None
    prompt_ids: list[int] | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Generated:
    """The tokens generated for a prompt.

    Attributes:
        ids: token ids of the answer, without the one that ended it.
        finished: whether the model ended the answer, or its schema did; False if it was cut at the limit.
    """

    ids: list[int]
    finished: bool


@dataclass(frozen=True)
class ModelFunctions:
    """Functions that a toolkit provides.

    Attributes:
        prompt_ids: returns the token ids of a request's prompt.
        generate: returns greedy answers to a batch of prompts, each of at most the given number of tokens and with
            the given constraint, if any.
        logits: returns the logits of each prompt of a batch, float32 (tokens, vocabulary).
        decode: returns the text of token ids.
        max_tokens: limit of the tokens of a prompt and its answer together.
        constraint: returns the constraint of an answer that must match a JSON Schema.
    """

    prompt_ids: Callable[[WorkerRequest], list[int]]
    generate: Callable[[list[list[int]], int, list[AnswerConstraint | None]], list[Generated]]
    logits: Callable[[list[list[int]]], list[Logits]]
    decode: Callable[[list[int]], str]
    max_tokens: int
    constraint: Callable[[str], AnswerConstraint]


def read_options(description: str) -> argparse.Namespace:
    """Parse the command line of a worker that answers; with --serve stdout is kept for answers, as `channel`.

    Raises:
        SystemExit: the options are wrong, or --help was given.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--model", type=Path, required=True, help="folder of the base model")
    options.add_argument("--adapter", type=Path, help="folder of a LoRA adapter for it")
    options.add_argument("--requests", type=Path, help="JSON lines: id, request[, system, prompt_ids]")
    options.add_argument("--answers", type=Path, help="JSON lines to write, in the requests' order")
    options.add_argument("--max-new-tokens", type=_positive, help="limit at which an answer is cut")
    options.add_argument("--schema", type=Path, help="JSON Schema that the answers must match, if a request has none")
    options.add_argument("--serve", action="store_true", help="answer lines of stdin on stdout, until stdin ends")
    options.add_argument("--batch-size", type=_positive, default=1, help="prompts answered together")
    options.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    options.add_argument("--logits", type=Path, help="also write the logits of the prompts to this .npz file")
    given = options.parse_args()
    if not given.serve and not (given.requests and given.answers and given.max_new_tokens):
        options.error("requires --requests, --answers and --max-new-tokens, or --serve")
    given.channel = _own_stdout() if given.serve else None
    return given


def _own_stdout() -> TextIO:
    """Return stdout for answers only; what a toolkit prints from now on, also when it is imported, goes to stderr."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def read_requests(path: Path) -> list[WorkerRequest]:
    """Read a file of requests.

    Raises:
        SystemExit: lines are not requests; the message names all of them.
    """
    requests: list[WorkerRequest] = []
    problems: list[str] = []
    seen: set[str] = set()
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                request = _request(json.loads(line))
            except ValueError as error:
                problems.append(f"{path}:{number}: {error}")
                continue
            if request.id in seen:
                problems.append(f"{path}:{number}: the id {request.id!r} appears twice")
            seen.add(request.id)
            requests.append(request)
    if problems:
        raise SystemExit("\n".join(problems))
    return requests


def _request(fields: Any) -> WorkerRequest:
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    if unknown := sorted(set(fields) - {"id", "request", "system", "prompt_ids", "schema"}):
        raise ValueError(f"unknown keys {unknown}")
    system, prompt_ids = fields.get("system"), fields.get("prompt_ids")
    texts = (fields.get("id"), fields.get("request"), "" if system is None else system)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("id, request and system must be texts")
    if not fields["request"].strip():
        raise ValueError("the request is empty")
    if prompt_ids is not None and not (prompt_ids and all(isinstance(token, int) for token in prompt_ids)):
        raise ValueError("prompt_ids must be a list of token ids")
    return WorkerRequest(fields["id"], fields["request"], system, prompt_ids, _schema(fields.get("schema")))


def _schema(given: Any) -> str | None:
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, dict):
        raise ValueError("schema must be a JSON Schema: an object, or its text")
    return json.dumps(given)


def answer(functions: ModelFunctions, options: argparse.Namespace) -> None:
    """Answer the requests of stdin or of a file, depending on the command line.

    Raises:
        SystemExit: a request of the file is malformed or too long; the message names it.
    """
    if options.channel:
        answer_each(functions, sys.stdin.buffer, options.channel)
    else:
        answer_all(functions, options)


def answer_all(functions: ModelFunctions, options: argparse.Namespace) -> None:
    """Answer all requests of a file: print a line of progress per batch, and write the answers atomically.

    Raises:
        SystemExit: a request is malformed or too long; the message names it.
    """
    requests = read_requests(options.requests)
    common = options.schema.read_text(encoding="utf-8") if options.schema else None
    constraints = _constraints(functions, requests, common)
    prompts = [functions.prompt_ids(request) for request in requests]
    _check_lengths(requests, prompts, options.max_new_tokens, functions.max_tokens)
    generated: dict[int, Generated] = {}
    logits: dict[str, Any] = {}
    for batch in by_length(prompts, options.batch_size):
        batch_prompts = [prompts[index] for index in batch]
        answers = functions.generate(batch_prompts, options.max_new_tokens, [constraints[index] for index in batch])
        generated |= dict(zip(batch, answers, strict=True))
        if options.logits:
            for index, values in zip(batch, functions.logits(batch_prompts), strict=True):
                logits[requests[index].id] = values
                logits[f"{requests[index].id}:prompt_ids"] = np.array(prompts[index], dtype=np.int64)
        print(json.dumps({"done": len(generated), "total": len(requests)}), flush=True)
    if options.logits:
        with atomic(options.logits) as partial, partial.open("wb") as stream:
            np.savez(stream, **logits)
    with atomic(options.answers) as partial, partial.open("w", encoding="utf-8") as stream:
        for index, request in enumerate(requests):
            fields = _answer(request, prompts[index], generated[index], functions.decode)
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _constraints(
    functions: ModelFunctions, requests: list[WorkerRequest], common: str | None
) -> list[AnswerConstraint | None]:
    """Return the constraint of each answer.

    Raises:
        SystemExit: a schema cannot be used; with the reason.
    """
    schemas = [common if request.schema is None else request.schema for request in requests]
    try:
        return [None if schema is None else functions.constraint(schema) for schema in schemas]
    except (ValueError, RecursionError) as error:
        raise SystemExit(str(error)) from error


def answer_each(functions: ModelFunctions, requests: Iterable[bytes], answers: TextIO) -> None:
    """Answer the requests of stdin one by one, after a line that reports that the model is ready.

    A line is a request with its own `max_new_tokens` and `schema`. A request that is malformed or too long, or whose
    schema cannot be used, gets an error as answer.
    Any other error ends the worker, because the state of the toolkit is then unknown.
    """
    _write_line(answers, {"ready": True})
    for line in requests:
        _write_line(answers, _answer_to_line(functions, line))


def _write_line(answers: TextIO, fields: dict[str, Any]) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def _answer_to_line(functions: ModelFunctions, line: bytes) -> dict[str, Any]:
    name = None
    try:
        fields = json.loads(line)
        name = fields.get("id") if isinstance(fields, dict) else None
        limit = fields.pop("max_new_tokens", None) if isinstance(fields, dict) else None
        request = _request(fields)
        if type(limit) is not int or limit < 1:
            raise ValueError("max_new_tokens must be a positive number")
        prompt = functions.prompt_ids(request)
        _check_lengths([request], [prompt], limit, functions.max_tokens)
        constraint = None if request.schema is None else functions.constraint(request.schema)
    except (ValueError, RecursionError, SystemExit) as error:
        return {"id": name, "error": str(error)}
    [generated] = functions.generate([prompt], limit, [constraint])
    fields = _answer(request, prompt, generated, functions.decode)
    return {key: fields[key] for key in ("id", "answer", "prompt_tokens", "answer_tokens", "finished")}


def _check_lengths(requests: list[WorkerRequest], prompts: list[list[int]], new_tokens: int, max_tokens: int) -> None:
    problems = [
        f"request {request.id}: {len(prompt):,} prompt tokens and {new_tokens:,} new ones "
        f"are more than the model's {max_tokens:,}"
        for request, prompt in zip(requests, prompts, strict=True)
        if len(prompt) + new_tokens > max_tokens
    ]
    if problems:
        raise SystemExit("\n".join(problems))


def _answer(request: WorkerRequest, prompt: list[int], generated: Generated, decode: Callable[[list[int]], str]) -> Any:
    return {
        "id": request.id,
        "answer": decode(generated.ids),
        "prompt_tokens": len(prompt),
        "answer_tokens": len(generated.ids),
        "finished": generated.finished,
        "prompt_ids": prompt,
        "answer_ids": generated.ids,
    }


def by_length(prompts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Return the indices of prompts in batches of similar lengths, which need little padding."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path of a file or folder to write; it is renamed to `path` if the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent, path.name) as folder:
        partial = folder / "content"
        yield partial
        if partial.is_dir() and path.is_dir():
            path.replace(folder / "retired")  # a folder cannot replace one that is not empty
        partial.replace(path)
