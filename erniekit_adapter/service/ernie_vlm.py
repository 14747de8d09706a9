"""`ErnieVLMService`: analyse documents, and switch to a new bundle without downtime."""

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
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import httpx

from erniekit_adapter.errors import failure
from erniekit_adapter.service.calling import connect, load_adapter, unload_adapter, with_retries
from erniekit_adapter.service.chat_reply import CallError, ChatReply
from erniekit_adapter.service.local import LocalWorkers, text_of
from erniekit_adapter.service.loop import LoopThread, Value
from erniekit_adapter.service.request import chat_body, is_small
from erniekit_adapter.service.result import ParseResult, Reason, Structured, result_of_text
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.structured import StructuredGeneration
from erniekit_adapter.service.target import Target, first_target, logger, swapped_target

_PROBE = {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1, "temperature": 0, "stream": False}
_SHORT = 4096  # characters of an answer that is parsed in less than a millisecond; a longer one blocks no request


@dataclass
class _ServedModel:
    """A model on a server or in a worker; used only by the service's own event loop.

    Two targets with the same model, such as a bundle that is replaced and put back, share one object. This shows
    whether an adapter is still needed.

    Attributes:
        requests: number of running requests.
        loaded: whether the server has loaded the adapter and was not asked to unload it.
        changing: held while the server loads or unloads the adapter.
    """

    requests: int = 0
    loaded: bool = False
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class ErnieVLMService:
    """Analyse documents with a fine-tuned ERNIE on an OpenAI-compatible server, or in a local worker process.

    One instance serves a whole process, from any thread and event loop; its limits apply to all of them together.
    """

    def __init__(
        self, config: Mapping[str, Any] | ServiceSettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Read the settings and verify the bundle; no request is sent and no process started yet.

        Args:
            config: the application's configuration with its key `ernie_vl`, or the settings.
            transport: replaces the network in tests.

        Raises:
            UsageError: the configuration is wrong.
            AdapterError: the bundle is bad and no fallback is configured; the error names the files.
        """
        self.settings = config if isinstance(config, ServiceSettings) else ServiceSettings.read(config)
        self._target = first_target(self.settings)
        self._structured = StructuredGeneration(self.settings)
        self._transport = transport
        self._connections = connect(self.settings, transport)  # fails early if certificates or proxies are wrong
        self._made_by = os.getpid()
        self._starting = threading.Lock()
        _services.add(self)
        self._closed = False
        self._process = 0

    @property
    def target(self) -> Target:
        """The model that the next request is sent to."""
        return self._target

    def parse(self, ocr_payload: object | None, image_bytes: bytes | None = None) -> ParseResult:
        """Analyse one document and wait for the result. Errors of a server or a model are results, not exceptions.

        Args:
            ocr_payload: output of the OCR engine, any JSON value; None without OCR.
            image_bytes: the page as JPEG, PNG or WebP; None for a text model or without an image.
        """
        started = time.monotonic()
        future = self._start(self._parse(ocr_payload, image_bytes, started))
        return future.result() if future else _closed(started)

    async def parse_async(self, ocr_payload: object | None, image_bytes: bytes | None = None) -> ParseResult:
        """Like `parse`, for callers with an event loop; cancelling the caller cancels the request."""
        started = time.monotonic()
        future = self._start(self._parse(ocr_payload, image_bytes, started))
        return await asyncio.wrap_future(future) if future else _closed(started)

    def use(self, bundle: Path | str, *, url: str | None = None, model: str | None = None) -> Target:
        """Verify another bundle, load it, request one token from it, and switch to it between two requests.

        Running requests end with the old bundle. Then the server unloads it if the service had it loaded, and a local
        worker is ended.

        Args:
            bundle: its folder.
            url: the server that holds it, if not `vllm_server_url`.
            model: its name on the server; with `lora: load` the service chooses one. Not allowed with `local`.

        Returns:
            The target of the next request.

        Raises:
            AdapterError: the bundle is bad or the server does not answer with it; the old one stays in use.
            UsageError: the server cannot load it, and neither `url` nor `model` is given.
        """
        future = self._start(self._use(Path(bundle), url, model))
        try:
            return future.result() if future else _refuse_closed()
        except CancelledError:
            return _refuse_closed()

    async def use_async(self, bundle: Path | str, *, url: str | None = None, model: str | None = None) -> Target:
        """Like `use`, for callers with an event loop."""
        future = self._start(self._use(Path(bundle), url, model))
        try:
            return await asyncio.wrap_future(future) if future else _refuse_closed()
        except asyncio.CancelledError:
            if self._closed:
                _refuse_closed()
            raise

    def close(self) -> None:
        """Close the service; running requests end as failed with reason `closed`. Do not call this in a coroutine."""
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
        """Start work on the service's event loop; None if the service was closed."""
        with self._starting:
            if self._closed:
                work.close()
                return None
            # In a forked process, the thread of the event loop does not exist.
            if self._process != os.getpid():
                if self._made_by != os.getpid():
                    self._connections = connect(self.settings, self._transport)
                self._loop = LoopThread("ernie-vlm-service")
                self._local = LocalWorkers(self.settings.structured)
                self._slots = asyncio.Semaphore(self.settings.max_concurrency)
                self._swapping = asyncio.Lock()
                self._models: dict[tuple[str, str, object], _ServedModel] = {}
                self._tasks: set[asyncio.Task[Any]] = set()
                self._process = os.getpid()
            return self._loop.start(self._tracked(work))

    async def _tracked(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run work that `close` cancels, so that no caller waits forever."""
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
        state = _RequestState()
        try:
            remaining = self.settings.timeout - (time.monotonic() - started)
            reply = await asyncio.wait_for(self._complete(ocr, image, state), max(remaining, 0))
            judge = partial(self._result, reply, state)
            result = judge() if len(reply.text) <= _SHORT else await asyncio.to_thread(judge)
            result = replace(result, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
        except CallError as failed:
            result = _failed(failed.reason, failed.detail)
        except (asyncio.TimeoutError, TimeoutError):
            waited = "" if state.attempts else ", all of them waiting for a free slot"
            result = _failed("timeout", f"no answer in {self.settings.timeout:g} seconds{waited}")
        except asyncio.CancelledError:
            if not self._closed:
                raise
            result = _failed("closed", "the service was closed")
        target = state.target or self._target
        if result.structured == "ignored":
            self._structured.log_ignored(target)
        result = replace(
            result,
            documents=target.documents,
            model=target.model,
            bundle=target.bundle,
            attempts=state.attempts,
            latency_s=time.monotonic() - started,
        )
        if result.status != "success":
            # The detail is not logged, because it may quote the page.
            logger.warning(
                "%s, %s: %s attempts, %.1f s", result.status, result.reason, state.attempts, result.latency_s
            )
        return result

    async def _complete(self, ocr: object | None, image: bytes | None, state: _RequestState) -> ChatReply:
        """Build the request and wait for a free slot, then send it to the current target."""
        target = self._target
        body = await self._body(target, ocr, image)
        async with self._slots:
            while target.documents is not self._target.documents:  # the service has switched to another type
                target = self._target
                body = await self._body(target, ocr, image)
            state.target = target = self._target
            return await self._send(target, body, state)

    async def _body(self, target: Target, ocr: object | None, image: bytes | None) -> dict[str, Any]:
        build = partial(chat_body, self.settings, ocr, image, target.documents)
        try:
            body = build() if image is None and is_small(ocr) else await asyncio.to_thread(build)
        except ValueError as error:
            raise CallError("bad_input", str(error)) from error
        if target.local:
            text_of(body)  # raises an error before the request waits for a slot
        return body

    def _result(self, reply: ChatReply, state: _RequestState) -> ParseResult:
        documents = (state.target or self._target).documents
        result = result_of_text(
            reply.text,
            stopped=reply.stopped,
            max_raw_text=self.settings.max_raw_text,
            reasoning=reply.reasoning,
            finish_reason=reply.finish_reason,
            documents=documents,
            schema=documents.schema if state.structured == "used" else None,
            must_be_structured=self.settings.structured == "require",
        )
        return replace(result, structured=result.structured or state.structured)

    async def _send(self, target: Target, body: dict[str, Any], state: _RequestState) -> ChatReply:
        async def call(attempt: int) -> ChatReply:
            state.attempts = attempt
            if target.local:
                reply, state.structured = await self._local.complete(target, target.local, body)
                return reply
            await self._load(target, model)
            try:
                return await self._ask(target, body, state)
            except CallError as failed:
                if not (failed.not_found and target.lora_path):
                    raise
                # A restarted server has lost its adapters.
                model.loaded = False
                await self._load(target, model)
                return await self._ask(target, body, state)

        with self._using(target) as model:
            return await with_retries(self.settings, call)

    async def _ask(self, target: Target, body: dict[str, Any], state: _RequestState) -> ChatReply:
        reply, state.structured = await self._structured.complete(self._connections, target, body)
        return reply

    async def _load(self, target: Target, model: _ServedModel) -> None:
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
                with self._using(target):
                    await asyncio.wait_for(self._send(target, _PROBE, _RequestState()), self.settings.timeout)
                    # The switch fails if the counter cannot be written.
                    await asyncio.to_thread(target.remember)
                    self._target = target
            except (CallError, asyncio.TimeoutError, TimeoutError) as error:
                await self._unload(target)
                system = "worker" if target.local else "server"
                finding = f"the {system} does not answer with it, the old bundle stays in use: {error or 'timeout'}"
                raise failure(bundle, finding) from error
            logger.info("switched from %s to %s, bundle %s", old.model, target.model, target.bundle)
            self._unload_later(old)
            return target

    @contextmanager
    def _using(self, target: Target) -> Iterator[_ServedModel]:
        """Count a request to a model; after the last request, an unused model is unloaded."""
        model = self._models.setdefault(_model_key(target), _ServedModel())
        model.requests += 1
        try:
            yield model
        finally:
            model.requests -= 1
            self._unload_later(target)

    def _is_needed(self, target: Target) -> bool:
        key = _model_key(target)
        model = self._models.get(key)
        return key == _model_key(self._target) or bool(model and model.requests)

    def _unload_later(self, target: Target) -> None:
        """Unload a model in the background if no request needs it."""
        if not self._is_needed(target):
            self._in_background(self._unload(target))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unload(self, target: Target) -> None:
        model = self._models.get(_model_key(target))
        if model is None:
            return
        # A request that starts now waits for the lock, sees that the adapter is not loaded, and loads it.
        async with model.changing:
            if self._is_needed(target) or self._models.get(_model_key(target)) is not model:
                return
            if target.local:
                del self._models[_model_key(target)]
                await self._local.end_worker(target)
                logger.info("ended the worker of %s, bundle %s", target.model, target.bundle)
                return
            if model.loaded:
                model.loaded = False
                with suppress(CallError):
                    await unload_adapter(self._connections, target)
                    logger.info("unloaded %s", target.model)
            if not self._is_needed(target):
                del self._models[_model_key(target)]


_services: weakref.WeakSet[ErnieVLMService] = weakref.WeakSet()


def _renew_locks() -> None:
    """Replace the locks in a forked child: the threads that may hold them exist only in the parent."""
    for service in _services:
        service._starting = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)


@dataclass
class _RequestState:
    """State of a request, for its result if it ends early."""

    attempts: int = 0
    target: Target | None = None
    structured: Structured | None = None


def _model_key(target: Target) -> tuple[str, str, object]:
    """Return the key of a model: its server and name, or the content of its worker."""
    return target.url, target.model, target.local


def _failed(reason: Reason, detail: str) -> ParseResult:
    return ParseResult("failed", reason, detail)


def _refuse_closed() -> NoReturn:
    raise failure("service", "was closed", "create a new ErnieVLMService")


def _closed(started: float) -> ParseResult:
    return replace(_failed("closed", "the service was closed"), latency_s=time.monotonic() - started)
