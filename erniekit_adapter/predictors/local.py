"""Predictor of a service without a server: a worker process that answers one request after the other."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from erniekit_adapter.backends.environments.hugging_face import Transformers, find_transformers, setup_hint
from erniekit_adapter.backends.environments.installed import Toolkit, find_erniekit
from erniekit_adapter.backends.processes.failures import cause_of_failure, describe_signal
from erniekit_adapter.backends.processes.leftovers import VARIABLE, end_marked, new_mark
from erniekit_adapter.backends.processes.process import supervised
from erniekit_adapter.errors import AdapterError, failure, usage_error
from erniekit_adapter.predictors.toolkit import ModelReply

EnvironmentName = Literal["transformers", "erniekit"]

START_LIMIT_S = 600.0
_END_LIMIT_S = 2.0
_MAX_LINE_BYTES = 8 * 1024 * 1024
_END_OF_LOG_BYTES = 16 * 1024


@dataclass(frozen=True)
class LocalModel:
    """A model that a worker can load.

    Attributes:
        environment: the environment that the worker runs in.
        model_dir: the base model, in the tensor layout that this environment reads.
        adapter: a LoRA adapter for it, in `peft` format for transformers and `native` for ERNIEKit; or None.
        majors: major versions of transformers that can read it.
    """

    environment: EnvironmentName
    model_dir: Path
    adapter: Path | None = None
    majors: tuple[int, ...] = (4, 5)


class WorkerError(AdapterError):
    """The worker did not start, has ended, or wrote something other than an answer; a new one may succeed."""


class RefusedError(AdapterError):
    """The worker refuses the request; it continues to run."""


def environment_of(model: LocalModel) -> Toolkit | Transformers:
    """Return the environment that a model's worker runs in.

    Raises:
        UsageError: it is not installed.
    """
    if model.environment == "erniekit":
        return find_erniekit()
    found = find_transformers(*model.majors)
    if isinstance(found, str):
        raise usage_error("ernie_vl.local", f"no transformers with PEFT: {found}", setup_hint(*model.majors))
    return found


def command_line(model: LocalModel) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts the worker of a model, and its variables.

    Raises:
        UsageError: its environment is not installed.
    """
    options = ["--serve", "--model", str(model.model_dir.resolve())]
    options += ["--adapter", str(model.adapter.resolve())] if model.adapter else []
    found = environment_of(model)
    if isinstance(found, Toolkit):
        return found.worker("erniekit_generate", *options), found.environment(on_cpu=True)
    return found.worker("transformers_generate", *options), dict(found.environment())


async def start_worker(model: LocalModel, log: Path, limit_s: float = START_LIMIT_S) -> Worker:
    """Start a worker and wait until its model is loaded.

    Args:
        model: the model that it loads.
        log: file to which the output of the worker is appended; the worker runs in its folder.
        limit_s: time limit for loading.

    Raises:
        WorkerError: it cannot be started, has ended, or was not ready in time; with the cause.
        UsageError: its environment is not installed.
    """
    command, environment = await asyncio.to_thread(command_line, model)
    mark = new_mark(log)
    try:
        with log.open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                # It ends with this process, also if this process is killed.
                *supervised(command, grace_s=0.0),
                cwd=log.parent,
                env={**environment, VARIABLE: mark},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stream,
                limit=_MAX_LINE_BYTES,
                start_new_session=True,
            )
    except OSError as error:
        raise WorkerError(failure(command[0], f"cannot be started: {error.strerror or error}").problems) from error
    worker = Worker(process, log, mark)
    try:
        await asyncio.wait_for(worker.ready(), limit_s)
    except (asyncio.TimeoutError, TimeoutError) as error:
        await worker.end()
        finding = f"was not ready within {limit_s:g} seconds"
        raise WorkerError(failure(model.model_dir, finding, f"the whole log is {log}").problems) from error
    except BaseException:
        await worker.end()
        raise
    return worker


class Worker:
    """A running worker, made by `start_worker`; for one caller at a time."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, mark: str) -> None:
        self.process, self.log, self._mark = process, log, mark
        self._requests = cast(asyncio.StreamWriter, process.stdin)
        self._answers = cast(asyncio.StreamReader, process.stdout)
        self._count = 0
        self._ended = False

    @property
    def running(self) -> bool:
        """True if it runs, as far as is known."""
        return self.process.returncode is None and not self._ended

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            WorkerError: it has ended; with the cause.
        """
        if await self._read() != {"ready": True}:
            raise await self._failure("wrote something other than that it is ready")

    async def ask(self, request: str, max_new_tokens: int, schema: str | None = None) -> tuple[ModelReply, int]:
        """Return the model's greedy answer to a user's message, and the number of tokens of the prompt.

        With a JSON Schema, as text, the answer matches it; `structured_answers` decides from `environment_of` whether
        that is possible. Cancelling this call ends the worker, which would otherwise finish an answer that is not
        needed.

        Raises:
            RefusedError: the request is too long for the model, or the schema cannot be used.
            WorkerError: the worker has ended; with the cause.
        """
        self._count += 1
        name = str(self._count)
        line = orjson.dumps(
            {"id": name, "request": request, "max_new_tokens": max_new_tokens}
            | ({} if schema is None else {"schema": schema})
        )
        try:
            # If the worker has ended, `_read` reports the cause.
            with suppress(ConnectionError):
                self._requests.write(line + b"\n")
                await self._requests.drain()
            answer = await self._read()
        except asyncio.CancelledError:
            await self.end()
            raise
        if answer.get("id") != name:
            raise await self._failure("answered another request")
        if "error" in answer:
            raise RefusedError(failure("request", answer["error"]).problems)
        return ModelReply(name, answer["answer"], answer["answer_tokens"], answer["finished"]), answer["prompt_tokens"]

    async def _read(self) -> dict[str, Any]:
        """Return the next line of the worker.

        Raises:
            WorkerError: the output has ended, or the line is not a JSON object.
        """
        line = b"?"
        with suppress(ValueError):  # longer than the limit, or not JSON
            line = await self._answers.readline()
            if line and isinstance(value := orjson.loads(line), dict):
                return value
        raise await self._failure("wrote something other than an answer" if line else "")

    async def _failure(self, finding: str = "") -> WorkerError:
        """End the worker and return an error with the cause of its failure."""
        if not finding:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self.process.wait(), _END_LIMIT_S)
            code = self.process.returncode
            ended_by = describe_signal(-code) if code and code < 0 else ""
            finding = ended_by or await asyncio.to_thread(_cause, self.log)
        await self.end()
        return WorkerError(failure("worker", finding, f"the whole log is {self.log}").problems)

    async def end(self) -> None:
        """End the worker and its processes at once, and wait for them; it writes no files that could be cut off."""
        if not self._ended:
            self._ended = True
            with suppress(ProcessLookupError):
                self.process.terminate()
                self.process.send_signal(signal.SIGCONT)
        self._requests.close()
        await self.process.wait()
        end_marked(self._mark)
        # asyncio releases a process when both pipes have ended, which must happen before the event loop is closed.
        with suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
            await self._requests.wait_closed()
            await asyncio.wait_for(self._drain(), _END_LIMIT_S)

    async def _drain(self) -> None:
        with suppress(RuntimeError):  # another caller waits for an answer: it gets none and ends the worker again
            await self._answers.read()


def _cause(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _END_OF_LOG_BYTES))
        return cause_of_failure(stream.read().decode(errors="replace").splitlines())
