"""How a worker takes requests and gives answers: from file to file with lines of progress, or line by line over pipes.

Runs inside every toolkit's environment, so it needs nothing but the standard library and numpy.
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

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """One request of the file.

    Attributes:
        id: its name, unique in the file.
        request: the user's text.
        system: the system text, if any.
        prompt_ids: the prompt's token ids, if they are given.
    """

    id: str
    request: str
    system: str | None = None
    prompt_ids: list[int] | None = None


@dataclass(frozen=True)
class Generated:
    """The tokens that came back for one prompt.

    Attributes:
        ids: the answer's token ids, without the one that ended it.
        finished: whether the model ended the answer; False means that the limit cut it.
    """

    ids: list[int]
    finished: bool


@dataclass(frozen=True)
class Engine:
    """What a toolkit does for this module.

    Attributes:
        prompt_ids: the token ids of a request's prompt.
        generate: greedy answers to a batch of prompts, each of at most the given number of tokens.
        logits: for each prompt of a batch its logits, float32 (tokens, vocabulary).
        decode: the text of token ids.
        max_tokens: the most tokens that a prompt and its answer may have together.
    """

    prompt_ids: Callable[[Request], list[int]]
    generate: Callable[[list[list[int]], int], list[Generated]]
    logits: Callable[[list[list[int]]], list[Logits]]
    decode: Callable[[list[int]], str]
    max_tokens: int


def read_options(description: str) -> argparse.Namespace:
    """The command line of an answering worker; with --serve it keeps stdout for answers from here on, as `channel`.

    Raises:
        SystemExit: it cannot be, or it asked for help.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--model", type=Path, required=True, help="folder of the base model")
    options.add_argument("--adapter", type=Path, help="folder of a LoRA adapter for it")
    options.add_argument("--requests", type=Path, help="JSON lines: id, request[, system, prompt_ids]")
    options.add_argument("--answers", type=Path, help="JSON lines to write, in the requests' order")
    options.add_argument("--max-new-tokens", type=_positive, help="where a long answer is cut")
    options.add_argument("--serve", action="store_true", help="answer lines of stdin on stdout, until stdin ends")
    options.add_argument("--batch-size", type=_positive, default=1, help="prompts answered together")
    options.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    options.add_argument("--logits", type=Path, help="also write the prompts' logits to this .npz")
    given = options.parse_args()
    if not given.serve and not (given.requests and given.answers and given.max_new_tokens):
        options.error("needs --requests, --answers and --max-new-tokens, or --serve")
    given.channel = _own_stdout() if given.serve else None
    return given


def _own_stdout() -> TextIO:
    """stdout for answers alone: whatever a toolkit prints from now on, as they do when imported, goes to stderr."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def read_requests(path: Path) -> list[Request]:
    """Read the requests; any line that is not one stops the worker with all such lines named.

    Raises:
        SystemExit: with the message to print.
    """
    requests: list[Request] = []
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
                problems.append(f"{path}:{number}: id {request.id!r} appears twice")
            seen.add(request.id)
            requests.append(request)
    if problems:
        raise SystemExit("\n".join(problems))
    return requests


def _request(fields: Any) -> Request:
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    if unknown := sorted(set(fields) - {"id", "request", "system", "prompt_ids"}):
        raise ValueError(f"unknown keys {unknown}")
    system, prompt_ids = fields.get("system"), fields.get("prompt_ids")
    texts = (fields.get("id"), fields.get("request"), "" if system is None else system)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("id, request and system have to be texts")
    if not fields["request"].strip():
        raise ValueError("the request is empty")
    if prompt_ids is not None and not (prompt_ids and all(isinstance(token, int) for token in prompt_ids)):
        raise ValueError("prompt_ids has to be a list of token ids")
    return Request(fields["id"], fields["request"], system, prompt_ids)


def answer(engine: Engine, options: argparse.Namespace) -> None:
    """Answer what the command line says: the lines of stdin, or the requests of a file.

    Raises:
        SystemExit: a request of the file is malformed or too long; the message names it.
    """
    if options.channel:
        answer_each(engine, sys.stdin.buffer, options.channel)
    else:
        answer_all(engine, options)


def answer_all(engine: Engine, options: argparse.Namespace) -> None:
    """Answer every request of a file: print a line of progress per batch, and write the answers whole or not at all.

    Raises:
        SystemExit: a request is malformed or too long; the message names it.
    """
    requests = read_requests(options.requests)
    prompts = [engine.prompt_ids(request) for request in requests]
    _check_lengths(requests, prompts, options.max_new_tokens, engine.max_tokens)
    generated: dict[int, Generated] = {}
    logits: dict[str, Any] = {}
    for batch in by_length(prompts, options.batch_size):
        batch_prompts = [prompts[index] for index in batch]
        generated |= dict(zip(batch, engine.generate(batch_prompts, options.max_new_tokens), strict=True))
        if options.logits:
            for index, values in zip(batch, engine.logits(batch_prompts), strict=True):
                logits[requests[index].id] = values
                logits[f"{requests[index].id}:prompt_ids"] = np.array(prompts[index], dtype=np.int64)
        print(json.dumps({"done": len(generated), "total": len(requests)}), flush=True)
    if options.logits:
        with whole(options.logits) as partial, partial.open("wb") as stream:
            np.savez(stream, **logits)
    with whole(options.answers) as partial, partial.open("w", encoding="utf-8") as stream:
        for index, request in enumerate(requests):
            fields = _answer(request, prompts[index], generated[index], engine.decode)
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")


def answer_each(engine: Engine, requests: Iterable[bytes], answers: TextIO) -> None:
    """Answer each line as it comes, after a line that says that the model is ready, until there are no more.

    A line is a request with its own `max_new_tokens`. One that is malformed or too long gets an error for its answer;
    anything else that goes wrong ends the worker, since nobody knows what it left behind.
    """
    _say(answers, {"ready": True})
    for line in requests:
        _say(answers, _answer_to_line(engine, line))


def _say(answers: TextIO, fields: dict[str, Any]) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def _answer_to_line(engine: Engine, line: bytes) -> dict[str, Any]:
    name = None
    try:
        fields = json.loads(line)
        name = fields.get("id") if isinstance(fields, dict) else None
        limit = fields.pop("max_new_tokens", None) if isinstance(fields, dict) else None
        request = _request(fields)
        if type(limit) is not int or limit < 1:
            raise ValueError("max_new_tokens has to be a positive number")
        prompt = engine.prompt_ids(request)
        _check_lengths([request], [prompt], limit, engine.max_tokens)
    except (ValueError, RecursionError, SystemExit) as error:
        return {"id": name, "error": str(error)}
    [generated] = engine.generate([prompt], limit)
    fields = _answer(request, prompt, generated, engine.decode)
    return {key: fields[key] for key in ("id", "answer", "prompt_tokens", "answer_tokens", "finished")}


def _check_lengths(requests: list[Request], prompts: list[list[int]], new_tokens: int, max_tokens: int) -> None:
    problems = [
        f"request {request.id}: {len(prompt):,} prompt tokens and {new_tokens:,} new ones "
        f"are more than the model's {max_tokens:,}"
        for request, prompt in zip(requests, prompts, strict=True)
        if len(prompt) + new_tokens > max_tokens
    ]
    if problems:
        raise SystemExit("\n".join(problems))


def _answer(request: Request, prompt: list[int], generated: Generated, decode: Callable[[list[int]], str]) -> Any:
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
    """Indices of the prompts in batches of like lengths, so that little of a batch is padding."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the temporary path of a file or folder to write; it gets its own name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent, path.name) as folder:
        partial = folder / "content"
        yield partial
        if partial.is_dir() and path.is_dir():
            path.replace(folder / "retired")  # a folder cannot take the name of one that is not empty
        partial.replace(path)
