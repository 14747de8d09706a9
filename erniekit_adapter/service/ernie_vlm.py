"""`ErnieVLMService`: an invoice in, a typed result out, and a new bundle between two requests."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import httpx

from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.service.calling import (
    CallFailed,
    Reply,
    complete,
    load_adapter,
    new_client,
    unload_adapter,
    with_retries,
)
from erniekit_adapter.service.local import LocalWorkers, text_of
from erniekit_adapter.service.loop import LoopThread, Value
from erniekit_adapter.service.request import chat_body
from erniekit_adapter.service.result import ParseResult, Reason, result_of_text
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target, first_target, logger, swapped_target

_PROBE = {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1, "temperature": 0, "stream": False}


@dataclass
class _InUse:
    """A target with the requests that are under way to it; touched by the service's own loop alone."""

    target: Target
    requests: int = 0
    retired: bool = False
    loaded: bool = False
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


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
        self._current = _InUse(first_target(self.settings))
        self._transport = transport
        self._starting = threading.Lock()
        self._closed = False
        self._process = 0

    @property
    def target(self) -> Target:
        """The model that the next request goes to."""
        return self._current.target

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
                self._loop = LoopThread("ernie-vlm-service")
                self._client = new_client(self.settings, self._transport)
                self._local = LocalWorkers()
                self._places = asyncio.Semaphore(self.settings.max_concurrency)
                self._swapping = asyncio.Lock()
                self._current = _InUse(self._current.target)
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
        await self._client.aclose()

    async def _parse(self, ocr: object | None, image: bytes | None, started: float) -> ParseResult:
        asked = _Asked()
        try:
            body = await asyncio.to_thread(self._body, ocr, image)
            remaining = self.settings.timeout - (time.monotonic() - started)
            reply = await asyncio.wait_for(self._in_turn(body, asked), max(remaining, 0))
            result = await asyncio.to_thread(
                result_of_text, reply.text, cut=reply.cut, max_raw_text=self.settings.max_raw_text
            )
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
        target = asked.target or self._current.target
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
        if self._current.target.local:
            text_of(body)  # for its refusal, before anybody waits for a turn
        return body

    async def _in_turn(self, body: dict[str, Any], asked: _Asked) -> Reply:
        """Wait for a place, then ask whatever is in use at that time."""
        async with self._places:
            used = self._current
            used.requests += 1
            asked.target = used.target
            try:
                return await self._ask(used, body, asked)
            finally:
                used.requests -= 1
                if used.retired and not used.requests:
                    self._later(self._forget(used))

    async def _ask(self, used: _InUse, body: dict[str, Any], asked: _Asked) -> Reply:
        async def call(attempt: int) -> Reply:
            asked.attempts = attempt
            if used.target.local:
                return await self._local.complete(used.target, used.target.local, body)
            await self._load(used)
            try:
                return await complete(self._client, used.target, body)
            except CallFailed as failed:
                if not (failed.missing and used.target.lora_path):
                    raise
                # A server that was started again has forgotten what it was told to load.
                used.loaded = False
                await self._load(used)
                return await complete(self._client, used.target, body)

        return await with_retries(self.settings, call)

    async def _load(self, used: _InUse) -> None:
        if used.target.lora_path is None or used.loaded:
            return
        async with used.loading:
            if not used.loaded:
                await load_adapter(self._client, used.target)
                used.loaded = True

    async def _use(self, bundle: Path, url: str | None, model: str | None) -> Target:
        async with self._swapping:
            target = await asyncio.to_thread(swapped_target, self.settings, bundle, url, model)
            old = self._current
            if target == old.target:
                return target
            new = _InUse(target)
            try:
                await asyncio.wait_for(self._ask(new, _PROBE, _Asked()), self.settings.timeout)
            except (CallFailed, asyncio.TimeoutError, TimeoutError) as error:
                await self._forget(new)
                who = "the worker" if target.local else "the server"
                what = f"{who} does not answer with it, the old one stays in use: {error or 'no reply in time'}"
                raise fail(bundle, what) from error
            try:
                await asyncio.to_thread(target.remember)
            except AdapterError:
                await self._forget(new)
                raise
            self._current, old.retired = new, True
            logger.info("switched from %s to %s, bundle %s", old.target.model, target.model, target.bundle)
            if not old.requests:
                self._later(self._forget(old))
            return target

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, used: _InUse) -> None:
        if used.target.local and used.target != self._current.target:
            await self._local.forget(used.target)
            logger.info("ended the worker of %s, bundle %s", used.target.model, used.target.bundle)
        if not used.loaded or used.target.model == self._current.target.model:
            return
        used.loaded = False
        with suppress(CallFailed):
            await unload_adapter(self._client, used.target)
            logger.info("unloaded %s", used.target.model)


@dataclass
class _Asked:
    """What is known of a request when it ends early."""

    attempts: int = 0
    target: Target | None = None


def _failed(reason: Reason, detail: str) -> ParseResult:
    return ParseResult("failed", reason, detail)


def _refuse_closed() -> NoReturn:
    raise fail("service", "was closed", "make a new one")


def _closed(started: float) -> ParseResult:
    return replace(_failed("closed", "the service was closed"), latency_s=time.monotonic() - started)
