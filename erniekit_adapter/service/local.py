"""The mode without a server: worker processes that the service starts, asks, starts anew when they die, and ends."""

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

from erniekit_adapter.answering.local import LocalModel, RefusedError, Worker, WorkerError, start_worker
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.service.chat_reply import CallFailed, Reply
from erniekit_adapter.service.target import Target, logger
from erniekit_adapter.temporary import make_temporary_folder, remove_temporary_folder


def text_of(body: dict[str, Any]) -> str:
    """The text of a request's one message.

    Raises:
        CallFailed: there is an image beside it.
    """
    content = body["messages"][0]["content"]
    if not isinstance(content, str):
        raise CallFailed("bad_input", "local answering reads text alone: leave the image out, or ask a server")
    return content


@dataclass
class _Slot:
    """The worker of one target: one request at a time is asked of it, the others wait."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: asyncio.Task[Worker] | None = None


class LocalWorkers:
    """The workers of one service, one for each target in use; touched by the service's own loop alone."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._slots: dict[Target, _Slot] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._started = 0
        self._converting = threading.Lock()

    async def complete(self, target: Target, model: LocalModel, body: dict[str, Any]) -> Reply:
        """Ask a target's worker, once; it is started first where none runs.

        Raises:
            CallFailed: there is no answer.
        """
        text = text_of(body)
        slot = self._slots.setdefault(target, _Slot())
        async with slot.turn:
            worker = await self._running(slot, model)
            try:
                reply, prompt_tokens = await worker.ask(text, body["max_tokens"])
            except RefusedError as error:
                raise CallFailed("refused", str(error)) from error
            except WorkerError as error:
                raise CallFailed("unreachable", str(error), passing=True) from error
        return Reply(reply.text, None if reply.finished else "cut", prompt_tokens, reply.answer_tokens)

    async def _running(self, slot: _Slot, model: LocalModel) -> Worker:
        if slot.worker and slot.worker.done() and not slot.worker.exception() and not slot.worker.result().running:
            await slot.worker.result().end()
            slot.worker = None
        start = slot.worker = slot.worker or asyncio.create_task(self._start(model))
        try:
            # A start goes on when the request that waits for it gives up: a model that loads for long would never be
            # there otherwise.
            return await asyncio.shield(start)
        except (AdapterError, OSError) as error:
            slot.worker = None
            raise CallFailed("unreachable", f"the worker does not start: {error}") from error
        except asyncio.CancelledError:
            if not start.cancelled():
                raise
            # Its bundle was replaced and put back meanwhile, and the request under way with it before has ended.
            raise CallFailed("unreachable", "the worker was ended", passing=True) from None

    async def _start(self, model: LocalModel) -> Worker:
        if not self._folder:
            self._folder = make_temporary_folder(Path(tempfile.gettempdir()), "ernie-vlm-service")
            atexit.register(_remove, self._folder, os.getpid())
        self._started += 1
        usable = await asyncio.to_thread(self._usable, model, self._folder / "base")
        worker = await start_worker(usable, self._folder / f"worker-{self._started}.log")
        logger.info("started a worker in the environment of %s", model.environment)
        return worker

    def _usable(self, model: LocalModel, converted: Path) -> LocalModel:
        """The model with its base as the environment reads it: transformers does not read ERNIEKit's layout."""
        from erniekit_adapter.adapters.merge import write_hf_base
        from erniekit_adapter.project.model_folder import weights_layout

        if model.environment == "erniekit" or weights_layout(model.model_dir) != "paddle":
            return model
        with self._converting:
            if not converted.is_dir():
                write_hf_base(model.model_dir, converted)
        return replace(model, model_dir=converted)

    async def forget(self, target: Target) -> None:
        """End a target's worker, if there is one; it ends even where the caller is cancelled meanwhile."""
        if slot := self._slots.pop(target, None):
            ending = asyncio.create_task(_end(slot))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def end(self) -> None:
        """End all workers."""
        await asyncio.gather(*self._ending, *map(self.forget, list(self._slots)))

    def remove_folder(self) -> None:
        """Remove the logs and the converted base model, when nothing writes there any more."""
        if self._folder:
            _remove(self._folder, os.getpid())


async def _end(slot: _Slot) -> None:
    if slot.worker:
        slot.worker.cancel()
        with suppress(AdapterError, OSError, asyncio.CancelledError):
            await (await slot.worker).end()


def _remove(folder: Path, process: int) -> None:
    """Remove a folder in the process that made it alone: one forked off it ends too."""
    if os.getpid() == process:
        remove_temporary_folder(folder)
