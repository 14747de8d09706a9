"""Local worker processes that answer without a server: starting, restarting after a crash, and ending them."""

from __future__ import annotations

import asyncio
import atexit
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.predictors.local import (
    LocalModel,
    RefusedError,
    Worker,
    WorkerError,
    environment_of,
    start_worker,
)
from erniekit_adapter.predictors.structured import structured_answers
from erniekit_adapter.project.schema import Structured
from erniekit_adapter.service.chat_reply import CallError, ChatReply
from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.result import Structured as StructuredUse
from erniekit_adapter.service.target import Target, logger
from erniekit_adapter.temporary import make_temporary_folder, remove_temporary_folder


def text_of(body: dict[str, Any]) -> str:
    """Return the text of a request's single message.

    Raises:
        CallError: the message has an image.
    """
    content = body["messages"][0]["content"]
    if not isinstance(content, str):
        raise CallError("bad_input", "local workers read only text: leave out the image, or use a server")
    return content


@dataclass
class _WorkerSlot:
    """The worker of one target, which answers one request at a time.

    Attributes:
        turn: held while the worker answers.
        worker: the worker; None before the first request.
        schema: JSON Schema that its answers match, as text; None if they may be any text.
    """

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: asyncio.Task[Worker] | None = None
    schema: str | None = None


class LocalWorkers:
    """The workers of one service, one for each target in use; used only by the service's own event loop.

    Args:
        structured: the setting of the service: off, auto or require.
    """

    def __init__(self, structured: Structured) -> None:
        self._structured = structured
        self._folder: Path | None = None
        self._slots: dict[Target, _WorkerSlot] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._started = 0
        self._converting = threading.Lock()

    async def complete(
        self, target: Target, model: LocalModel, body: dict[str, Any]
    ) -> tuple[ChatReply, StructuredUse]:
        """Send a request to a target's worker once; start the worker first if none runs.

        Returns:
            The reply, and whether the answer was limited to the schema of its document type: `used` or `off`.

        Raises:
            CallError: the worker did not answer.
        """
        text = text_of(body)
        slot = self._slots.setdefault(target, _WorkerSlot())
        async with slot.turn:
            worker = await self._running(slot, target, model)
            try:
                reply, prompt_tokens = await worker.ask(text, body["max_tokens"], slot.schema)
            except RefusedError as error:
                raise CallError("refused", str(error)) from error
            except WorkerError as error:
                raise CallError("unreachable", str(error), retryable=True) from error
        stopped: Reason | None = None if reply.finished else "cut"
        return ChatReply(reply.text, stopped, prompt_tokens, reply.answer_tokens), "used" if slot.schema else "off"

    async def _running(self, slot: _WorkerSlot, target: Target, model: LocalModel) -> Worker:
        if slot.worker and slot.worker.done() and not slot.worker.exception() and not slot.worker.result().running:
            await slot.worker.result().end()
            slot.worker = None
        start = slot.worker = slot.worker or asyncio.create_task(self._start(slot, target, model))
        try:
            # The start continues after its request has timed out; otherwise a model that loads slowly would never be
            # ready.
            return await asyncio.shield(start)
        except (AdapterError, OSError) as error:
            slot.worker = None
            raise CallError("unreachable", f"the worker does not start: {error}") from error
        except asyncio.CancelledError:
            if not start.cancelled():
                raise
            # Its bundle was replaced and put back, and the last request of the old worker has ended.
            raise CallError("unreachable", "the worker was ended", retryable=True) from None

    async def _start(self, slot: _WorkerSlot, target: Target, model: LocalModel) -> Worker:
        if not self._folder:
            self._folder = make_temporary_folder(Path(tempfile.gettempdir()), "ernie-vlm-service")
            atexit.register(_remove, self._folder, os.getpid())
        self._started += 1
        slot.schema = await asyncio.to_thread(self._schema, target, model)
        usable = await asyncio.to_thread(self._usable, model, self._folder / "base")
        worker = await start_worker(usable, self._folder / f"worker-{self._started}.log")
        logger.info("started a worker in the environment of %s", model.environment)
        return worker

    def _schema(self, target: Target, model: LocalModel) -> str | None:
        """Return the schema of the target's answers if its worker can limit answers to it.

        Raises:
            UsageError: the setting is require, and the worker cannot.
        """
        environment = environment_of(model)
        found = structured_answers(
            self._structured,
            target.documents.schema,
            environment.python,
            environment.versions,
            key="ernie_vl.structured",
        )
        if found.note:
            logger.warning("%s: %s", target.model, found.note)
        return found.schema

    def _usable(self, model: LocalModel, converted: Path) -> LocalModel:
        """Return the model with a base that the environment can read: transformers cannot read ERNIEKit's layout."""
        from erniekit_adapter.merge.merging import write_hf_base
        from erniekit_adapter.project.model_folder import weights_layout

        if model.environment == "erniekit" or weights_layout(model.model_dir) != "paddle":
            return model
        with self._converting:
            if not converted.is_dir():
                write_hf_base(model.model_dir, converted)
        return replace(model, model_dir=converted)

    async def end_worker(self, target: Target) -> None:
        """End a target's worker if it has one, even if the caller is cancelled."""
        if slot := self._slots.pop(target, None):
            ending = asyncio.create_task(_end(slot))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def end(self) -> None:
        """End all workers."""
        await asyncio.gather(*self._ending, *map(self.end_worker, list(self._slots)))

    def remove_folder(self) -> None:
        """Remove the logs and the converted base model, after all workers have ended."""
        if self._folder:
            _remove(self._folder, os.getpid())


async def _end(slot: _WorkerSlot) -> None:
    if slot.worker:
        slot.worker.cancel()
        with suppress(AdapterError, OSError, asyncio.CancelledError):
            await (await slot.worker).end()


def _remove(folder: Path, process: int) -> None:
    """Remove a folder, but only in the process that created it, because forked processes end too."""
    if os.getpid() == process:
        remove_temporary_folder(folder)
