"""Reading of a chat completion: the model's text, its reasoning, and why the model stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.secrecy import Keys

# What servers write beside OpenAI's own: TGI, Together, FastDeploy, vLLM, SGLang, LMDeploy, DeepSeek.
_STOPPED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
_CUT_OFF: Mapping[str, Reason] = {
    "length": "cut",
    "max_tokens": "cut",
    "repetition": "cut",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
}
# The server gave the answer up for its own sake: the same request may succeed later.
_GIVEN_UP: Mapping[str, Reason] = {
    "abort": "aborted",
    "aborted": "aborted",
    "cancelled": "aborted",
    "recover_stop": "aborted",
    "insufficient_system_resource": "aborted",
    "error": "generation_error",
}


class CallFailed(Exception):  # noqa: N818  it is a result that travels, not an error that anybody sees
    """A call without a usable reply.

    Attributes:
        reason: the kind of failure.
        detail: what happened.
        passing: whether the same call may succeed later.
        retry_after: seconds that the server asks to wait; None if it does not.
        missing: whether the server answers that it does not have it, such as a model that is not loaded.
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
    """A usable chat completion.

    Attributes:
        text: the model's text.
        stopped: why the text may lack its end; None if the model ended it.
        prompt_tokens: as the server counts them; None if it does not.
        completion_tokens: the same of the answer.
        reasoning: what the server separated from the text.
        finish_reason: as the server wrote it, in lower case; empty if it wrote none.
    """

    text: str
    stopped: Reason | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning: str = ""
    finish_reason: str = ""


def read_reply(content: bytes, keys: Keys | None = None, *, require_finish_reason: bool = True) -> Reply:
    """Read a chat completion.

    Args:
        content: the server's reply.
        keys: searched in the texts when they are decoded; None for none.
        require_finish_reason: whether a text without a `finish_reason` may lack its end.

    Raises:
        CallFailed: it is not one, contains a key, or reports that the server gave the answer up.
    """
    found = _found(content)
    if found is None:
        # Searched before it is cut: half a key is too much as well.
        said = content.decode(errors="replace")
        raise CallFailed(
            "bad_answer", f"the reply is not a chat completion: {(keys.hidden(said) if keys else said)[:200]}"
        )
    message, finish, usage = found
    text, reasoning = _text(message.get("content")), _reasoning(message)
    if keys and (keys.are_in_answer(f"{text}\n{reasoning}") or keys.are_in(finish)):
        raise CallFailed("bad_answer", "the reply contains the key that was sent with the request")
    if given_up := _GIVEN_UP.get(finish):
        raise CallFailed(given_up, f"the server gave the answer up: finish_reason {finish}", passing=True)
    stopped = _stopped(finish, require_finish_reason=require_finish_reason)
    if text is None and not reasoning and stopped not in ("cut", "content_filter", "tool_calls"):
        raise CallFailed("bad_answer", "the reply holds no text")
    prompt, completion = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(text or "", stopped, prompt, completion, reasoning, finish[:40])


def _found(content: bytes) -> tuple[dict[str, Any], str, dict[str, Any]] | None:
    try:
        value = orjson.loads(content)
        choice = value["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        usage = value.get("usage")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(message, dict):
        return None
    return message, "" if finish is None else str(finish).strip().lower(), usage if isinstance(usage, dict) else {}


def _text(content: object) -> str | None:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else None


def _reasoning(message: dict[str, Any]) -> str:
    """The field that vLLM before 0.12, SGLang and FastDeploy name `reasoning_content`, and vLLM since `reasoning`."""
    named = (message.get(name) for name in ("reasoning_content", "reasoning"))
    return next((text for text in named if isinstance(text, str) and text), "")


def _stopped(finish: str, *, require_finish_reason: bool) -> Reason | None:
    if finish in _STOPPED or (not finish and not require_finish_reason):
        return None
    return _CUT_OFF.get(finish, "other_finish_reason" if finish else "no_finish_reason")


def _count(count: object) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) else None
