"""Requests to an OpenAI-compatible server, and their retries."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import time
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httpx
import orjson
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from erniekit_adapter.errors import usage_error
from erniekit_adapter.service.addresses import is_loopback
from erniekit_adapter.service.chat_reply import CallError, ChatReply, read_reply
from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.secrecy import Keys
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target

MAX_REPLY_BYTES = 8 * 1024 * 1024
_RETRYABLE: Mapping[int, Reason] = {408: "timeout", 425: "overloaded", 429: "overloaded"}
_CONNECT_S = 10
_POOL_SIZE = 8
_MAX_DETAIL = 500
_LARGE_BYTES = 64 * 1024  # a longer reply is parsed in a thread, so that it does not block other requests


@dataclass(frozen=True)
class Connections:
    """The HTTP clients of a service.

    Attributes:
        direct: sends requests without a proxy.
        proxied: sends requests to other machines through the environment's proxies; None without proxies.
        keys: the keys of the settings, which are searched in everything that a server sends.
        require_finish_reason: value of the setting.
    """

    direct: httpx.AsyncClient
    proxied: httpx.AsyncClient | None
    keys: Keys
    require_finish_reason: bool

    async def close(self) -> None:
        """Close all connections."""
        await self.direct.aclose()
        if self.proxied:
            await self.proxied.aclose()


class _Pools(httpx.AsyncBaseTransport):
    """Small connection pools used in turn, because a pool's cost grows with the square of its connections."""

    def __init__(self, pools: Sequence[httpx.AsyncBaseTransport]) -> None:
        self._pools, self._turns = pools, itertools.cycle(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


def connect(settings: ServiceSettings, transport: httpx.AsyncBaseTransport | None = None) -> Connections:
    """Create the HTTP clients. They follow no redirects, because requests carry documents and a key.

    Raises:
        UsageError: certificates or proxies of the environment cannot be used.
    """
    timeout = httpx.Timeout(settings.timeout, connect=min(_CONNECT_S, settings.timeout))
    if settings.local != "no":
        transport = httpx.AsyncBaseTransport()  # unused with `local`; reading certificates takes long
    direct = httpx.AsyncClient(timeout=timeout, transport=transport or _pools(settings), trust_env=False)
    proxied = None
    if settings.proxy == "environment":
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=settings.max_concurrency)
        try:
            proxied = httpx.AsyncClient(timeout=timeout, limits=limits)
        except (ValueError, ImportError, httpx.InvalidURL):
            proxied = None
        if not proxied:  # outside the block above, whose error may quote a proxy's password
            finding = "one of these environment variables is not a proxy URL such as http://proxy.example:3128"
            variables = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY"
            raise usage_error(variables, finding, "correct the variable, or remove the setting proxy")
    keys = Keys((settings.api_key, settings.fallback_api_key, *(_passwords_of_proxies() if proxied else ())))
    return Connections(direct, proxied, keys, settings.require_finish_reason)


def _passwords_of_proxies() -> Iterator[SecretStr]:
    for url in urllib.request.getproxies().values():
        if password := urlsplit(url if "://" in url else f"//{url}").password:
            yield SecretStr(unquote(password))


def _pools(settings: ServiceSettings) -> _Pools:
    # Pools are not limited, because the service limits all requests together. SSL_CERT_FILE and SSL_CERT_DIR are used
    # even if the environment's proxies are not.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * _POOL_SIZE)
    try:
        verify = httpx.create_ssl_context(trust_env=True)
    except OSError as error:
        finding = f"the certificates cannot be read: {error.strerror or error}"
        raise usage_error("SSL_CERT_FILE, SSL_CERT_DIR", finding, "set it to a PEM file, or unset it") from error
    count = -(-settings.max_concurrency // _POOL_SIZE)
    return _Pools([httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False) for _ in range(count)])


async def complete(connections: Connections, target: Target, body: dict[str, Any]) -> ChatReply:
    """Request a chat completion once.

    Raises:
        CallError: the reply cannot be used, or did not arrive.
    """
    content = await post(connections, target, "chat/completions", {"model": target.model, **body})
    read = partial(read_reply, content, connections.keys, require_finish_reason=connections.require_finish_reason)
    return read() if len(content) <= _LARGE_BYTES else await asyncio.to_thread(read)


async def load_adapter(connections: Connections, target: Target) -> None:
    """Let the server load the target's adapter; an adapter that is loaded already is the same, as its name has a hash.

    Raises:
        CallError: the server does not load it.
    """
    try:
        content = {"lora_name": target.model, "lora_path": target.lora_path}
        await post(connections, target, "load_lora_adapter", content)
    except CallError as failed:
        if "already been loaded" not in failed.detail:
            raise


async def unload_adapter(connections: Connections, target: Target) -> None:
    """Let the server unload the target's adapter.

    Raises:
        CallError: the server does not unload it.
    """
    await post(connections, target, "unload_lora_adapter", {"lora_name": target.model})


async def post(connections: Connections, target: Target, route: str, body: dict[str, Any]) -> bytes:
    """Send JSON to a route of the target's server and return the bytes of the reply.

    Raises:
        CallError: no connection, a timeout, a status other than 2xx, or a reply that is too long or contains a key.
    """
    # An error raised here does not refer to the HTTP client's error and frames, which hold headers.
    outcome = await _send(connections, target, f"{target.url}/{route}", orjson.dumps(body))
    if isinstance(outcome, CallError):
        raise outcome
    return outcome


async def _send(connections: Connections, target: Target, location: str, body: bytes) -> bytes | CallError:
    # A few bytes that are compressed twice can become gigabytes in memory before their size is known.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if target.api_key:
        headers["Authorization"] = f"Bearer {target.api_key.get_secret_value()}"
    client = connections.direct if is_loopback(location) else connections.proxied or connections.direct
    content = bytearray()
    try:
        async with client.stream("POST", location, content=body, headers=headers) as response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
                return CallError(
                    "bad_answer", f"{location}: the reply is compressed: switch off compression in the server"
                )
            received = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
            async with aclosing(received) as pieces:
                async for piece in pieces:
                    content += piece
                    if len(content) > MAX_REPLY_BYTES:
                        return CallError("bad_answer", f"{location}: the reply has more than {MAX_REPLY_BYTES:,} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        return _connection_error(location, error, connections.keys)
    check = partial(_checked, location, response, bytes(content), connections.keys)
    return check() if len(content) <= _LARGE_BYTES else await asyncio.to_thread(check)


def _checked(location: str, response: httpx.Response, content: bytes, keys: Keys) -> bytes | CallError:
    if not response.is_success:
        return _status_error(location, response, content, keys)
    if keys.are_in_answer(content.decode(errors="replace")):
        return CallError("bad_answer", f"{location}: the reply contains the key that was sent with the request")
    return content


def _connection_error(location: str, error: Exception, keys: Keys) -> CallError:
    # The error's text may quote the bytes that broke the protocol.
    finding = keys.hidden(str(error)) or type(error).__name__
    if isinstance(error, (httpx.ConnectTimeout, httpx.ConnectError)):
        return CallError("unreachable", f"{location}: no connection: {finding}", retryable=True)
    if isinstance(error, httpx.TimeoutException):
        return CallError("timeout", f"{location}: no reply in time")
    if isinstance(error, httpx.TransportError):
        return CallError("unreachable", f"{location}: {finding}", retryable=True)
    return CallError("bad_answer", f"{location}: {finding}")


def _status_error(location: str, response: httpx.Response, content: bytes, keys: Keys) -> CallError:
    # Searched for keys before it is shortened, because a part of a key is a secret too.
    shown = keys.hidden(content.decode(errors="replace"))[:_MAX_DETAIL]
    detail = f"{location}: status {response.status_code}: {shown}"
    wait = _retry_after(response.headers.get("Retry-After", ""))
    code = response.status_code
    if reason := _RETRYABLE.get(code):
        return CallError(reason, detail, retryable=True, retry_after=wait, status_code=code)
    if response.is_server_error:
        return CallError("server_error", detail, retryable=True, retry_after=wait, status_code=code)
    return CallError("refused", detail, status_code=code)


def _retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date; None for anything else."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


async def with_retries(settings: ServiceSettings, call: Callable[[int], Awaitable[ChatReply]]) -> ChatReply:
    """Call a function until it succeeds, fails permanently, or all attempts are used.

    Args:
        settings: attempts and waits.
        call: makes the call; its argument is the number of the attempt, from 1.

    Raises:
        CallError: the error of the last attempt.
    """
    backoff = wait_random_exponential(multiplier=settings.first_wait, max=settings.max_wait)

    def is_retryable(error: BaseException) -> bool:
        return isinstance(error, CallError) and error.retryable and (error.retry_after or 0) <= settings.max_wait

    def seconds(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        requested = error.retry_after if isinstance(error, CallError) else None
        return max(requested or 0, backoff(state))

    retrying = AsyncRetrying(
        stop=stop_after_attempt(settings.max_attempts),
        retry=retry_if_exception(is_retryable),
        wait=seconds,
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            return await call(attempt.retry_state.attempt_number)
    raise AssertionError("tenacity ends with a reply or an error")
