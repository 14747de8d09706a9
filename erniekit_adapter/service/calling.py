"""One call to an OpenAI-compatible server, and when it is made again."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target

MAX_REPLY_BYTES = 8 * 1024 * 1024
_TOO_MANY = 429
_MISSING = 404
_CONNECT_S = 10


class CallFailed(Exception):  # noqa: N818  it is a result that travels, not an error that anybody sees
    """A call without a usable reply.

    Attributes:
        reason: the kind of failure.
        detail: what happened.
        passing: whether the same call may succeed later.
        retry_after: seconds that the server asks to wait; None where it does not say.
        missing: whether the server says that there is no such thing, as of a model that it does not hold.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        passing: bool = False,
        retry_after: float | None = None,
        missing: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.passing = passing
        self.retry_after = retry_after
        self.missing = missing


@dataclass(frozen=True)
class Reply:
    """What a chat completion says.

    Attributes:
        text: the model's text.
        cut: whether it stopped at the limit of tokens.
        prompt_tokens: as the server counts them; None where it does not say.
        completion_tokens: the same of the answer.
    """

    text: str
    cut: bool
    prompt_tokens: int | None
    completion_tokens: int | None


def new_client(settings: ServiceSettings, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client with the settings' limits; it follows no redirect, since requests carry documents and a key."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.timeout, connect=min(_CONNECT_S, settings.timeout)),
        limits=httpx.Limits(max_connections=settings.max_concurrency + 4),
        transport=transport,
    )


async def complete(client: httpx.AsyncClient, target: Target, body: dict[str, Any]) -> Reply:
    """Ask for a chat completion, once.

    Raises:
        CallFailed: there is no usable reply.
    """
    return read_reply(await post(client, target, "chat/completions", {"model": target.model, **body}))


async def load_adapter(client: httpx.AsyncClient, target: Target) -> None:
    """Have the server load the target's adapter; one that it has already is fine, since the name holds its hash.

    Raises:
        CallFailed: the server does not load it.
    """
    try:
        content = {"lora_name": target.model, "lora_path": target.lora_path}
        await post(client, target, "load_lora_adapter", content)
    except CallFailed as failed:
        if "already been loaded" not in failed.detail:
            raise


async def unload_adapter(client: httpx.AsyncClient, target: Target) -> None:
    """Have the server forget the target's adapter.

    Raises:
        CallFailed: the server does not.
    """
    await post(client, target, "unload_lora_adapter", {"lora_name": target.model})


async def post(client: httpx.AsyncClient, target: Target, route: str, body: dict[str, Any]) -> bytes:
    """Send JSON to a route of the target's server and give the reply's bytes.

    Raises:
        CallFailed: no connection, no reply in time, a status other than 2xx, or a reply that is too long.
    """
    headers = {"Content-Type": "application/json"}
    if target.api_key:
        headers["Authorization"] = f"Bearer {target.api_key.get_secret_value()}"
    where = f"{target.url}/{route}"
    try:
        async with client.stream("POST", where, content=orjson.dumps(body), headers=headers) as response:
            content = b""
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_REPLY_BYTES:
                    raise CallFailed("bad_answer", f"{where}: a reply of more than {MAX_REPLY_BYTES:,} bytes")
    except (httpx.ConnectTimeout, httpx.ConnectError) as error:
        raise CallFailed("unreachable", f"{where}: no connection: {error}", passing=True) from error
    except httpx.TimeoutException as error:
        raise CallFailed("timeout", f"{where}: no reply in time") from error
    except httpx.TransportError as error:
        raise CallFailed("unreachable", f"{where}: {error or type(error).__name__}", passing=True) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CallFailed("bad_answer", f"{where}: {error or type(error).__name__}") from error
    if not response.is_success:
        raise _refusal(where, response, content)
    return content


def _refusal(where: str, response: httpx.Response, content: bytes) -> CallFailed:
    detail = f"{where}: status {response.status_code}: {content[:500].decode(errors='replace')}"
    wait = _retry_after(response.headers.get("Retry-After", ""))
    if response.status_code == _TOO_MANY:
        return CallFailed("overloaded", detail, passing=True, retry_after=wait)
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


def read_reply(content: bytes) -> Reply:
    """Read a chat completion.

    Raises:
        CallFailed: it is none.
    """
    try:
        value = orjson.loads(content)
        choice = value["choices"][0]
        text = choice["message"]["content"]
        finish = choice.get("finish_reason")
        usage = value.get("usage") or {}
        counted = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        begin = content[:200].decode(errors="replace")
        raise CallFailed("bad_answer", f"the reply is no chat completion: {begin}") from error
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    if not isinstance(text, str):
        raise CallFailed("bad_answer", "the reply holds no text")
    prompt, completion = (count if isinstance(count, int) else None for count in counted)
    return Reply(text, finish == "length", prompt, completion)


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
