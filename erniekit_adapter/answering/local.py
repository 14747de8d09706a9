"""The predictor of a service without a server: a worker that stays, and answers one request after the other."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from erniekit_adapter.answering.toolkit import Reply
from erniekit_adapter.backends.failures import cause_of_failure, describe_signal
from erniekit_adapter.backends.hugging_face import find_transformers, setup_remedy
from erniekit_adapter.backends.installed import find_erniekit
from erniekit_adapter.backends.leftovers import VARIABLE, end_marked, new_mark
from erniekit_adapter.backends.process import supervised
from erniekit_adapter.errors import AdapterError, fail, misuse

Environment = Literal["transformers", "erniekit"]

START_LIMIT_S = 600.0
_END_LIMIT_S = 2.0
_MAX_LINE_BYTES = 8 * 1024 * 1024
_END_OF_LOG_BYTES = 16 * 1024


@dataclass(frozen=True)
class LocalModel:
    """A model that a worker of ours can load.

    Attributes:
        environment: whose environment the worker runs in.
        model_dir: the base model, in the layout that this environment reads.
        adapter: a LoRA adapter for it, in PEFT's form for transformers and the native one for ERNIEKit; None for none.
        majors: the major versions of transformers that read it.
    """

    environment: Environment
    model_dir: Path
    adapter: Path | None = None
    majors: tuple[int, ...] = (4, 5)


class WorkerError(AdapterError):
    """The worker did not come up, ended, or said something that is no answer; a new one may do better."""


class RefusedError(AdapterError):
    """The worker does not take the request; it goes on."""


def command_line(model: LocalModel) -> tuple[list[str], dict[str, str]]:
    """The command that starts a model's worker, and the variables it needs.

    Raises:
        UsageError: its environment is not installed.
    """
    options = ["--serve", "--model", str(model.model_dir.resolve())]
    options += ["--adapter", str(model.adapter.resolve())] if model.adapter else []
    if model.environment == "erniekit":
        toolkit = find_erniekit()
        return toolkit.worker("erniekit_generate", *options), toolkit.environment(on_cpu=True)
    found = find_transformers(*model.majors)
    if isinstance(found, str):
        raise misuse("ernie_vl.local", f"no transformers with PEFT: {found}", setup_remedy(*model.majors))
    return found.worker("transformers_generate", *options), dict(found.environment())


async def start_worker(model: LocalModel, log: Path, limit_s: float = START_LIMIT_S) -> Worker:
    """Start a worker and wait until its model is loaded.

    Args:
        model: what it loads.
        log: the file that all it prints is added to; its folder is where the worker runs.
        limit_s: how long loading may take.

    Raises:
        WorkerError: it cannot be started, ended, or was not ready in time; with the cause.
        UsageError: its environment is not installed.
    """
    command, environment = await asyncio.to_thread(command_line, model)
    mark = new_mark(log)
    try:
        with log.open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                # Nothing is left of it when we are killed, whatever it does at that moment.
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
        raise WorkerError(fail(command[0], f"cannot be started: {error.strerror or error}").problems) from error
    worker = Worker(process, log, mark)
    try:
        await asyncio.wait_for(worker.ready(), limit_s)
    except (asyncio.TimeoutError, TimeoutError) as error:
        await worker.end()
        what = f"was not ready within {limit_s:g} seconds"
        raise WorkerError(fail(model.model_dir, what, f"the whole log is {log}").problems) from error
    except BaseException:
        await worker.end()
        raise
    return worker


class Worker:
    """A worker that runs, to be asked by one caller at a time; made by `start_worker`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, mark: str) -> None:
        self.process, self.log, self._mark = process, log, mark
        self._requests = cast(asyncio.StreamWriter, process.stdin)
        self._answers = cast(asyncio.StreamReader, process.stdout)
        self._asked = 0
        self._ended = False

    @property
    def running(self) -> bool:
        """Whether it can be asked, as far as is known."""
        return self.process.returncode is None and not self._ended

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            WorkerError: it ended before; with the cause.
        """
        if await self._read() != {"ready": True}:
            raise await self._failure("said something else than that it is ready")

    async def ask(self, request: str, max_new_tokens: int) -> tuple[Reply, int]:
        """What the model answers to a user's message, greedily, and how many tokens the prompt had.

        A caller that gives up, as at a time limit, ends the worker: it would go on with an answer that nobody wants.

        Raises:
            RefusedError: the request is too long for the model.
            WorkerError: the worker ended meanwhile; with the cause.
        """
        self._asked += 1
        name = str(self._asked)
        line = orjson.dumps({"id": name, "request": request, "max_new_tokens": max_new_tokens})
        try:
            # A worker that is gone is found out by the read, which knows why.
            with suppress(ConnectionError):
                self._requests.write(line + b"\n")
                await self._requests.drain()
            answer = await self._read()
        except asyncio.CancelledError:
            await self.end()
            raise
        if answer.get("id") != name:
            raise await self._failure("answered something that it was not asked")
        if "error" in answer:
            raise RefusedError(fail("request", answer["error"]).problems)
        return Reply(name, answer["answer"], answer["answer_tokens"], answer["finished"]), answer["prompt_tokens"]

    async def _read(self) -> dict[str, Any]:
        """The worker's next line.

        Raises:
            WorkerError: there is none, or it is no JSON object.
        """
        line = b"?"
        with suppress(ValueError):  # it is longer than the limit, or no JSON
            line = await self._answers.readline()
            if line and isinstance(value := orjson.loads(line), dict):
                return value
        raise await self._failure("said something that is no answer" if line else "")

    async def _failure(self, what: str = "") -> WorkerError:
        """End what is left of the worker, and say why it failed."""
        if not what:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self.process.wait(), _END_LIMIT_S)
            code = self.process.returncode
            ended_by = describe_signal(-code) if code and code < 0 else ""
            what = ended_by or await asyncio.to_thread(_cause, self.log)
        await self.end()
        return WorkerError(fail("worker", what, f"the whole log is {self.log}").problems)

    async def end(self) -> None:
        """End it and all it started, at once, and wait until it is gone: it writes no file that could be half done."""
        if not self._ended:
            self._ended = True
            with suppress(ProcessLookupError):
                self.process.terminate()
                self.process.send_signal(signal.SIGCONT)
        self._requests.close()
        await self.process.wait()
        end_marked(self._mark)
        # asyncio lets go of a process when both pipes have ended; an event loop that is closed before cannot any more.
        with suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
            await self._requests.wait_closed()
            await asyncio.wait_for(self._drain(), _END_LIMIT_S)

    async def _drain(self) -> None:
        with suppress(RuntimeError):  # somebody waits for an answer: he finds none, and ends the worker once more
            await self._answers.read()


def _cause(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _END_OF_LOG_BYTES))
        return cause_of_failure(stream.read().decode(errors="replace").splitlines())
