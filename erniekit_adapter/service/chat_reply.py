"""Parse a chat completion: the model's text, its reasoning, and the finish reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from erniekit_adapter.service.result import Reason
from erniekit_adapter.service.secrecy import Keys

_NOT_FOUND = 404
# Finish reasons of OpenAI, TGI, Together, FastDeploy, vLLM, SGLang, LMDeploy and DeepSeek.
_COMPLETE = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
_INCOMPLETE: Mapping[str, Reason] = {
    "length": "cut",
    "max_tokens": "cut",
    "repetition": "cut",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
}
# The server aborted the answer; the same request may succeed later.
_ABORTED: Mapping[str, Reason] = {
    "abort": "aborted",
    "aborted": "aborted",
    "cancelled": "aborted",
    "recover_stop": "aborted",
    "insufficient_system_resource": "aborted",
    "error": "generation_error",
}


class CallError(Exception):
    """A request without a usable reply.

    Attributes:
        reason: the kind of failure.
        detail: description of the failure.
        retryable: whether the same request may succeed later.
        retry_after: seconds that the server asks to wait; None if it does not.
        status_code: the HTTP status of the reply; None without a reply.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retryable = retryable
        self.retry_after = retry_after
        self.status_code = status_code

    @property
    def not_found(self) -> bool:
        """True if the server replied 404, as for a model that is not loaded."""
        return self.status_code == _NOT_FOUND


@dataclass(frozen=True)
class ChatReply:
    """A usable chat completion.

    Attributes:
        text: the model's text.
        stopped: why the text may be incomplete; None if the model ended it.
        prompt_tokens: prompt tokens counted by the server; None if it does not count.
        completion_tokens: tokens of the answer.
        reasoning: reasoning that the server separated from the text.
        finish_reason: the server's finish reason in lower case; empty if it sent none.
    """

    text: str
    stopped: Reason | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning: str = ""
    finish_reason: str = ""


def read_reply(content: bytes, keys: Keys | None = None, *, require_finish_reason: bool = True) -> ChatReply:
    """Parse a chat completion.

    Args:
        content: the server's reply.
        keys: keys to search in the decoded texts; None for no search.
        require_finish_reason: whether a text without a `finish_reason` counts as incomplete.

    Raises:
        CallError: it is not a chat completion, contains a key, or was aborted by the server.
    """
    found = _parsed(content)
    if found is None:
        # Searched for keys before it is shortened, because a part of a key is a secret too.
        shown = content.decode(errors="replace")
        raise CallError(
            "bad_answer", f"the reply is not a chat completion: {(keys.hidden(shown) if keys else shown)[:200]}"
        )
    message, finish, usage = found
    text, reasoning = _text(message.get("content")), _reasoning(message)
    if keys and (keys.are_in_answer(f"{text}\n{reasoning}") or keys.are_in(finish)):
        raise CallError("bad_answer", "the reply contains the key that was sent with the request")
    if aborted := _ABORTED.get(finish):
        raise CallError(aborted, f"the server aborted the answer: finish_reason {finish}", retryable=True)
    stopped = _stopped(finish, require_finish_reason=require_finish_reason)
    if text is None and not reasoning and stopped not in ("cut", "content_filter", "tool_calls"):
        raise CallError("bad_answer", "the reply has no text")
    prompt, completion = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return ChatReply(text or "", stopped, prompt, completion, reasoning, finish[:40])


def _parsed(content: bytes) -> tuple[dict[str, Any], str, dict[str, Any]] | None:
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
    """Return `reasoning_content` (vLLM before 0.12, SGLang, FastDeploy) or `reasoning` (newer vLLM)."""
    named = (message.get(name) for name in ("reasoning_content", "reasoning"))
    return next((text for text in named if isinstance(text, str) and text), "")


def _stopped(finish: str, *, require_finish_reason: bool) -> Reason | None:
    if finish in _COMPLETE or (not finish and not require_finish_reason):
        return None
    return _INCOMPLETE.get(finish, "other_finish_reason" if finish else "no_finish_reason")


def _count(count: object) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) else None
