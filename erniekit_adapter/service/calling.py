"""One call to an OpenAI-compatible server, and when it is made again."""

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

from erniekit_adapter.errors import misuse
from erniekit_adapter.service.addresses import is_loopback
from erniekit_adapter.service.chat_reply import CallFailed, Reply, read_reply
from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.secrecy import Keys
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target

MAX_REPLY_BYTES = 8 * 1024 * 1024
_MISSING = 404
_PASSING: Mapping[int, Reason] = {408: "timeout", 425: "overloaded", 429: "overloaded"}
_CONNECT_S = 10
_POOL_SIZE = 8
_MAX_DETAIL = 500
_LARGE_BYTES = 64 * 1024  # a longer reply is read in a thread, so that other requests go on


@dataclass(frozen=True)
class Connections:
    """The HTTP clients of one service, and what they never show.

    Attributes:
        direct: asks servers without a proxy.
        proxied: asks servers elsewhere through the environment's proxies; None to ask them directly.
        keys: the keys of the settings, searched in everything that a server sends.
        require_finish_reason: as in the settings.
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
    """Small pools of connections that take turns: the work of one pool grows with the square of its connections."""

    def __init__(self, pools: Sequence[httpx.AsyncBaseTransport]) -> None:
        self._pools, self._turns = pools, itertools.cycle(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


def connect(settings: ServiceSettings, transport: httpx.AsyncBaseTransport | None = None) -> Connections:
    """Make the clients, with the settings' limits; they follow no redirect: requests carry documents and a key.

    Raises:
        UsageError: certificates or proxies that the environment names cannot be used.
    """
    timeout = httpx.Timeout(settings.timeout, connect=min(_CONNECT_S, settings.timeout))
    if settings.local != "no":
        transport = httpx.AsyncBaseTransport()  # no server is asked, and certificates take long to read
    direct = httpx.AsyncClient(timeout=timeout, transport=transport or _pools(settings), trust_env=False)
    proxied = None
    if settings.proxy == "environment":
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=settings.max_concurrency)
        try:
            proxied = httpx.AsyncClient(timeout=timeout, limits=limits)
        except (ValueError, ImportError, httpx.InvalidURL):
            proxied = None
        if not proxied:  # outside of the block above: the error may quote a proxy's password
            what = "one of these environment variables holds no URL of an HTTP proxy, such as http://proxy.example:3128"
            raise misuse("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", what, "correct it, or leave out proxy")
    keys = Keys((settings.api_key, settings.fallback_api_key, *(_passwords_of_proxies() if proxied else ())))
    return Connections(direct, proxied, keys, settings.require_finish_reason)


def _passwords_of_proxies() -> Iterator[SecretStr]:
    for url in urllib.request.getproxies().values():
        if password := urlsplit(url if "://" in url else f"//{url}").password:
            yield SecretStr(unquote(password))


def _pools(settings: ServiceSettings) -> _Pools:
    # No pool needs a bound, since the service bounds the requests of all together. SSL_CERT_FILE and SSL_CERT_DIR are
    # heeded, whether or not the environment's proxies are.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * _POOL_SIZE)
    try:
        verify = httpx.create_ssl_context(trust_env=True)
    except OSError as error:
        what = f"the certificates cannot be read: {error.strerror or error}"
        raise misuse("SSL_CERT_FILE, SSL_CERT_DIR", what, "let it name a PEM file, or unset it") from error
    count = -(-settings.max_concurrency // _POOL_SIZE)
    return _Pools([httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False) for _ in range(count)])


async def complete(connections: Connections, target: Target, body: dict[str, Any]) -> Reply:
    """Ask for a chat completion, once.

    Raises:
        CallFailed: there is no usable reply.
    """
    content = await post(connections, target, "chat/completions", {"model": target.model, **body})
    read = partial(read_reply, content, connections.keys, require_finish_reason=connections.require_finish_reason)
    return read() if len(content) <= _LARGE_BYTES else await asyncio.to_thread(read)


async def load_adapter(connections: Connections, target: Target) -> None:
    """Have the server load the target's adapter; one that it has already is fine, since the name holds its hash.

    Raises:
        CallFailed: the server does not load it.
    """
    try:
        content = {"lora_name": target.model, "lora_path": target.lora_path}
        await post(connections, target, "load_lora_adapter", content)
    except CallFailed as failed:
        if "already been loaded" not in failed.detail:
            raise


async def unload_adapter(connections: Connections, target: Target) -> None:
    """Have the server forget the target's adapter.

    Raises:
        CallFailed: the server does not.
    """
    await post(connections, target, "unload_lora_adapter", {"lora_name": target.model})


async def post(connections: Connections, target: Target, route: str, body: dict[str, Any]) -> bytes:
    """Send JSON to a route of the target's server and return the reply's bytes.

    Raises:
        CallFailed: no connection, no reply in time, a status other than 2xx, a reply that is too long, or one that
            contains a key.
    """
    # Raised here, the failure keeps neither the HTTP client's error nor its frames, which hold headers.
    outcome = await _sent(connections, target, f"{target.url}/{route}", orjson.dumps(body))
    if isinstance(outcome, CallFailed):
        raise outcome
    return outcome


async def _sent(connections: Connections, target: Target, where: str, body: bytes) -> bytes | CallFailed:
    # A few bytes that are compressed twice can be gigabytes, which would be in memory before their size is known.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if target.api_key:
        headers["Authorization"] = f"Bearer {target.api_key.get_secret_value()}"
    client = connections.direct if is_loopback(where) else connections.proxied or connections.direct
    content = bytearray()
    try:
        async with client.stream("POST", where, content=body, headers=headers) as response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
                return CallFailed(
                    "bad_answer", f"{where}: a compressed reply, which was not asked for: switch compression off"
                )
            received = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
            async with aclosing(received) as pieces:
                async for piece in pieces:
                    content += piece
                    if len(content) > MAX_REPLY_BYTES:
                        return CallFailed("bad_answer", f"{where}: a reply of more than {MAX_REPLY_BYTES:,} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        return _no_reply(where, error, connections.keys)
    judge = partial(_judged, where, response, bytes(content), connections.keys)
    return judge() if len(content) <= _LARGE_BYTES else await asyncio.to_thread(judge)


def _judged(where: str, response: httpx.Response, content: bytes, keys: Keys) -> bytes | CallFailed:
    if not response.is_success:
        return _refusal(where, response, content, keys)
    if keys.are_in_answer(content.decode(errors="replace")):
        return CallFailed("bad_answer", f"{where}: the reply contains the key that was sent with the request")
    return content


def _no_reply(where: str, error: Exception, keys: Keys) -> CallFailed:
    # What broke the protocol may be quoted in the error's text.
    what = keys.hidden(str(error)) or type(error).__name__
    if isinstance(error, (httpx.ConnectTimeout, httpx.ConnectError)):
        return CallFailed("unreachable", f"{where}: no connection: {what}", passing=True)
    if isinstance(error, httpx.TimeoutException):
        return CallFailed("timeout", f"{where}: no reply in time")
    if isinstance(error, httpx.TransportError):
        return CallFailed("unreachable", f"{where}: {what}", passing=True)
    return CallFailed("bad_answer", f"{where}: {what}")


def _refusal(where: str, response: httpx.Response, content: bytes, keys: Keys) -> CallFailed:
    # Searched before it is cut: half a key is too much as well.
    shown = keys.hidden(content.decode(errors="replace"))[:_MAX_DETAIL]
    detail = f"{where}: status {response.status_code}: {shown}"
    wait = _retry_after(response.headers.get("Retry-After", ""))
    if reason := _PASSING.get(response.status_code):
        return CallFailed(reason, detail, passing=True, retry_after=wait)
    if response.is_server_error:
        return CallFailed("server_error", detail, passing=True, retry_after=wait)
    return CallFailed("refused", detail, missing=response.status_code == _MISSING)


def _retry_after(text: str) -> float | None:
    """Seconds to wait by a Retry-After header, which gives seconds or a date; None where it gives neither."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


async def with_retries(settings: ServiceSettings, call: Callable[[int], Awaitable[Reply]]) -> Reply:
    """Make a call until it succeeds, fails for good, or the attempts are used up.

    Args:
        settings: attempts and waits.
        call: makes the call; it is given the number of the attempt, from 1.

    Raises:
        CallFailed: the last attempt's failure.
    """
    backoff = wait_random_exponential(multiplier=settings.first_wait, max=settings.max_wait)

    def is_worth_another(error: BaseException) -> bool:
        return isinstance(error, CallFailed) and error.passing and (error.retry_after or 0) <= settings.max_wait

    def seconds(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallFailed) else None
        return max(asked or 0, backoff(state))

    retrying = AsyncRetrying(
        stop=stop_after_attempt(settings.max_attempts),
        retry=retry_if_exception(is_worth_another),
        wait=seconds,
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            return await call(attempt.retry_state.attempt_number)
    raise AssertionError("tenacity ends with a reply or an error")
