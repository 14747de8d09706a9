"""`ErnieVLMService`: an invoice in, a typed result out, and a new bundle between two requests."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import httpx

from erniekit_adapter.errors import fail
from erniekit_adapter.service.calling import complete, connect, load_adapter, unload_adapter, with_retries
from erniekit_adapter.service.chat_reply import CallFailed, Reply
from erniekit_adapter.service.local import LocalWorkers, text_of
from erniekit_adapter.service.loop import LoopThread, Value
from erniekit_adapter.service.request import chat_body, is_small
from erniekit_adapter.service.result import ParseResult, Reason, result_of_text
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target, first_target, logger, swapped_target

_PROBE = {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1, "temperature": 0, "stream": False}

_SHORT = 4096  # characters of an answer that is read in less than a millisecond


@dataclass
class _Model:
    """A model on a server, or in a worker, by its name there; touched by the service's own loop alone.

    Two targets of one model, such as the same bundle that is replaced and put back, share one of these: only so is it
    known whether an adapter is still needed.

    Attributes:
        requests: under way to it.
        loaded: whether the server was asked to load its adapter, and not to unload it since.
        changing: held while the server loads or unloads the adapter.
    """

    requests: int = 0
    loaded: bool = False
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class ErnieVLMService:
    """Analyses invoices with a fine-tuned ERNIE behind an OpenAI-compatible server, or in a process of its own.

    One instance serves a whole process, from any thread and event loop; what is bounded is bounded for all together.
    """

    def __init__(
        self, config: Mapping[str, Any] | ServiceSettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Read the settings and verify the bundle; the server is not asked yet, and no process started.

        Args:
            config: the application's configuration with its key `ernie_vl`, or the settings themselves.
            transport: in the place of the network, for tests.

        Raises:
            UsageError: the configuration is wrong.
            AdapterError: the bundle is bad and no fallback is configured; the error names the files.
        """
        self.settings = config if isinstance(config, ServiceSettings) else ServiceSettings.read(config)
        self._target = first_target(self.settings)
        self._transport = transport
        self._connections = connect(self.settings, transport)  # here, so that what is wrong with it ends the start
        self._made_by = os.getpid()
        self._starting = threading.Lock()
        _services.add(self)
        self._closed = False
        self._process = 0

    @property
    def target(self) -> Target:
        """The model that the next request goes to."""
        return self._target

    def parse(self, ocr_payload: object | None, image_bytes: bytes | None = None) -> ParseResult:
        """Analyse one invoice; waits for the result, and never raises for what a server or a model did.

        Args:
            ocr_payload: what the OCR engine gave, any JSON value; None where there is none.
            image_bytes: the page as JPEG, PNG or WebP; None where there is none, or the model reads text alone.
        """
        started = time.monotonic()
        future = self._start(self._parse(ocr_payload, image_bytes, started))
        return future.result() if future else _closed(started)

    async def parse_async(self, ocr_payload: object | None, image_bytes: bytes | None = None) -> ParseResult:
        """The same as `parse` for callers with an event loop; a caller that is cancelled cancels the request."""
        started = time.monotonic()
        future = self._start(self._parse(ocr_payload, image_bytes, started))
        return await asyncio.wrap_future(future) if future else _closed(started)

    def use(self, bundle: Path | str, *, url: str | None = None, model: str | None = None) -> Target:
        """Verify another bundle, have it loaded, ask it one token, and switch to it between two requests.

        Requests under way end with the old one, which the server then forgets where the service had it loaded; a
        worker of the service's own is ended.

        Args:
            bundle: its folder.
            url: the server that holds it, if not `vllm_server_url`.
            model: its name there; with `lora: load` the service gives it one. With `local` neither can be given.

        Returns:
            what the next request goes to.

        Raises:
            AdapterError: the bundle is bad or the server does not answer with it; the old one stays in use.
            UsageError: the server cannot load it, and neither `url` nor `model` says where it is served.
        """
        future = self._start(self._use(Path(bundle), url, model))
        try:
            return future.result() if future else _refuse_closed()
        except CancelledError:
            return _refuse_closed()

    async def use_async(self, bundle: Path | str, *, url: str | None = None, model: str | None = None) -> Target:
        """The same as `use` for callers with an event loop."""
        future = self._start(self._use(Path(bundle), url, model))
        try:
            return await asyncio.wrap_future(future) if future else _refuse_closed()
        except asyncio.CancelledError:
            if self._closed:
                _refuse_closed()
            raise

    def close(self) -> None:
        """End the service; requests under way end as failed, closed. Not to be called in a coroutine."""
        with self._starting:
            if self._closed:
                return
            self._closed = True
            if self._process == os.getpid():
                self._loop.start(self._end()).result()
                self._loop.stop()
                self._local.remove_folder()

    def __enter__(self) -> ErnieVLMService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, work: Coroutine[Any, Any, Value]) -> Future[Value] | None:
        """Start work on the service's loop; None when the service was closed."""
        with self._starting:
            if self._closed:
                work.close()
                return None
            # A server that forks after making the service has no thread of ours in its children.
            if self._process != os.getpid():
                if self._made_by != os.getpid():
                    self._connections = connect(self.settings, self._transport)
                self._loop = LoopThread("ernie-vlm-service")
                self._local = LocalWorkers()
                self._places = asyncio.Semaphore(self.settings.max_concurrency)
                self._swapping = asyncio.Lock()
                self._models: dict[tuple[str, str, object], _Model] = {}
                self._tasks: set[asyncio.Task[Any]] = set()
                self._process = os.getpid()
            return self._loop.start(self._kept(work))

    async def _kept(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Do work that is cancelled when the service is closed, so that nobody waits for ever."""
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await work

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._local.end()
        await self._connections.close()

    async def _parse(self, ocr: object | None, image: bytes | None, started: float) -> ParseResult:
        asked = _Asked()
        try:
            # What takes longer than the change to another thread is done in one, so that other requests go on.
            quick = image is None and is_small(ocr)
            body = self._body(ocr, image) if quick else await asyncio.to_thread(self._body, ocr, image)
            remaining = self.settings.timeout - (time.monotonic() - started)
            reply = await asyncio.wait_for(self._in_turn(body, asked), max(remaining, 0))
            quick = len(reply.text) <= _SHORT
            result = self._result(reply) if quick else await asyncio.to_thread(self._result, reply)
            result = replace(result, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
        except CallFailed as failed:
            result = _failed(failed.reason, failed.detail)
        except (asyncio.TimeoutError, TimeoutError):
            waited = "" if asked.attempts else ", all of it waiting for its turn"
            result = _failed("timeout", f"no answer in {self.settings.timeout:g} seconds{waited}")
        except asyncio.CancelledError:
            if not self._closed:
                raise
            result = _failed("closed", "the service was closed")
        target = asked.target or self._target
        result = replace(
            result,
            model=target.model,
            bundle=target.bundle,
            attempts=asked.attempts,
            latency_s=time.monotonic() - started,
        )
        if result.status != "success":
            # What the page says stays out of the log: details of answers may quote it.
            logger.warning(
                "%s, %s: %s attempts, %.1f s", result.status, result.reason, asked.attempts, result.latency_s
            )
        return result

    def _body(self, ocr: object | None, image: bytes | None) -> dict[str, Any]:
        try:
            body = chat_body(self.settings, ocr, image)
        except ValueError as error:
            raise CallFailed("bad_input", str(error)) from error
        if self._target.local:
            text_of(body)  # for its refusal, before anybody waits for a turn
        return body

    def _result(self, reply: Reply) -> ParseResult:
        return result_of_text(
            reply.text,
            stopped=reply.stopped,
            max_raw_text=self.settings.max_raw_text,
            reasoning=reply.reasoning,
            finish_reason=reply.finish_reason,
        )

    async def _in_turn(self, body: dict[str, Any], asked: _Asked) -> Reply:
        """Wait for a place, then ask whatever is in use at that time."""
        async with self._places:
            asked.target = target = self._target
            return await self._ask(target, body, asked)

    async def _ask(self, target: Target, body: dict[str, Any], asked: _Asked) -> Reply:
        async def call(attempt: int) -> Reply:
            asked.attempts = attempt
            if target.local:
                return await self._local.complete(target, target.local, body)
            await self._load(target, model)
            try:
                return await complete(self._connections, target, body)
            except CallFailed as failed:
                if not (failed.missing and target.lora_path):
                    raise
                # A server that was started again has forgotten what it was told to load.
                model.loaded = False
                await self._load(target, model)
                return await complete(self._connections, target, body)

        with self._needing(target) as model:
            return await with_retries(self.settings, call)

    async def _load(self, target: Target, model: _Model) -> None:
        if target.lora_path is None or model.loaded:
            return
        async with model.changing:
            if not model.loaded:
                await load_adapter(self._connections, target)
                model.loaded = True

    async def _use(self, bundle: Path, url: str | None, model: str | None) -> Target:
        async with self._swapping:
            target = await asyncio.to_thread(swapped_target, self.settings, bundle, url, model)
            old = self._target
            if target == old:
                return target
            try:
                with self._needing(target):
                    await asyncio.wait_for(self._ask(target, _PROBE, _Asked()), self.settings.timeout)
                    # If the counter cannot be kept, the switch is refused.
                    await asyncio.to_thread(target.remember)
                    self._target = target
            except (CallFailed, asyncio.TimeoutError, TimeoutError) as error:
                await self._forget(target)
                who = "the worker" if target.local else "the server"
                what = f"{who} does not answer with it, the old one stays in use: {error or 'no reply in time'}"
                raise fail(bundle, what) from error
            logger.info("switched from %s to %s, bundle %s", old.model, target.model, target.bundle)
            self._forget_later(old)
            return target

    @contextmanager
    def _needing(self, target: Target) -> Iterator[_Model]:
        """Count a request to a model; the last one has the model forgotten if it is no longer in use."""
        model = self._models.setdefault(_name_of(target), _Model())
        model.requests += 1
        try:
            yield model
        finally:
            model.requests -= 1
            self._forget_later(target)

    def _is_needed(self, target: Target) -> bool:
        name = _name_of(target)
        model = self._models.get(name)
        return name == _name_of(self._target) or bool(model and model.requests)

    def _forget_later(self, target: Target) -> None:
        """Have a model forgotten once nothing needs it."""
        if not self._is_needed(target):
            self._later(self._forget(target))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, target: Target) -> None:
        model = self._models.get(_name_of(target))
        if model is None:
            return
        # A request that begins meanwhile waits for the lock, finds that the adapter is not loaded, and has it loaded.
        async with model.changing:
            if self._is_needed(target) or self._models.get(_name_of(target)) is not model:
                return
            if target.local:
                del self._models[_name_of(target)]
                await self._local.forget(target)
                logger.info("ended the worker of %s, bundle %s", target.model, target.bundle)
                return
            if model.loaded:
                model.loaded = False
                with suppress(CallFailed):
                    await unload_adapter(self._connections, target)
                    logger.info("unloaded %s", target.model)
            if not self._is_needed(target):
                del self._models[_name_of(target)]


_services: weakref.WeakSet[ErnieVLMService] = weakref.WeakSet()


def _renew_locks() -> None:
    """Free the locks in a forked child: the threads that may have held them exist in the parent alone."""
    for service in _services:
        service._starting = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)


@dataclass
class _Asked:
    """What is known of a request when it ends early."""

    attempts: int = 0
    target: Target | None = None


def _name_of(target: Target) -> tuple[str, str, object]:
    """Return the key of a model: its name on a server, and what a worker loads."""
    return target.url, target.model, target.local


def _failed(reason: Reason, detail: str) -> ParseResult:
    return ParseResult("failed", reason, detail)


def _refuse_closed() -> NoReturn:
    raise fail("service", "was closed", "make a new one")


def _closed(started: float) -> ParseResult:
    return replace(_failed("closed", "the service was closed"), latency_s=time.monotonic() - started)
