"""What became of one invoice: the typed result, and how a model's text becomes one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import Answer, ValidationSummary, as_json
from erniekit_adapter.invoice.parsing import MAX_ANSWER_CHARACTERS, parse_answer
from erniekit_adapter.invoice.rules import Finding, check, summarize

Status = Literal["success", "partial", "failed"]
Reason = Literal[
    "bad_input",  # the image or the OCR data cannot be sent
    "timeout",  # no answer within the time limit
    "unreachable",  # no connection, or one that broke, in every attempt
    "overloaded",  # 429 or 425 in every attempt, or asked to wait longer than allowed
    "server_error",  # 5xx in every attempt
    "refused",  # the server does not take the request: any other status
    "bad_answer",  # the reply is not a chat completion, contains the key, or the model's text holds no JSON object
    "bad_shape",  # JSON, but not of the structure that was asked for
    "cut",  # the answer was cut, or mended, and may lack its end
    "content_filter",  # the server's filter ended or replaced the answer
    "tool_calls",  # the model called a tool
    "aborted",  # the server gave the answer up, in every attempt
    "generation_error",  # the server failed while it answered, in every attempt
    "no_finish_reason",  # the server gives no reason why the model stopped
    "other_finish_reason",  # the server gives a reason that is not known here
    "closed",  # the service was closed meanwhile
]
_STOPPED: dict[Reason, str] = {
    "cut": "the answer reached the limit of tokens",
    "content_filter": "the server's content filter ended the answer",
    "tool_calls": "the model called a tool: start the server without tools, or with tool_choice none",
    "no_finish_reason": "the reply has no finish_reason, so the answer may lack its end; if the server never gives "
    "one, set require_finish_reason: false",
    "other_finish_reason": "the reply's finish_reason is not known, so the answer may lack its end",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ParseResult:
    """What became of one invoice.

    Attributes:
        status: success, a whole answer; partial, something to look at, `reason` says what is wrong; failed, nothing.
        reason: why it is no success; None for a success.
        detail: the reason in words.
        answer: the canonical answer as the model gave it; None where there is none.
        value: the JSON object that the model gave; also where it is not of the canonical shape.
        validation: what the rules make of the answer: recomputed, whatever the model said.
        claimed: what the model said of its own answer; None where it said nothing.
        findings: every rule with what it found.
        form: strict, the text was JSON as it is; repaired, it became JSON with help; none.
        raw_text: the beginning of the model's text, with the reasoning that it holds.
        reasoning: the beginning of what the model thought, out of its text or as the server separated it.
        model: the name under which the model was asked.
        bundle: the SHA-256 of the bundle's manifest; None for a model without a bundle.
        attempts: how often the request was sent.
        latency_s: seconds from the call to the result, waiting included.
        prompt_tokens: as the server counts them; None where it does not say.
        completion_tokens: the same of the answer.
    """

    status: Status
    reason: Reason | None = None
    detail: str = ""
    answer: Answer | None = None
    value: dict[str, Any] | None = None
    validation: ValidationSummary | None = None
    claimed: ValidationSummary | None = None
    findings: tuple[Finding, ...] = ()
    form: Literal["strict", "repaired", "none"] = "none"
    raw_text: str = ""
    reasoning: str = ""
    model: str = ""
    bundle: str | None = None
    attempts: int = 0
    latency_s: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def as_json(self) -> str:
        """The result as JSON for a client: amounts with their digits, the recomputed summary in the answer's place."""
        found: dict[str, Any] = {}
        if self.answer and self.validation:
            recomputed = {"validation_summary": self.validation.model_dump()}
            claimed = self.claimed.model_dump() if self.claimed else None
            found = {"answer": as_json(self.answer) | recomputed, "claimed_validation_summary": claimed}
        elif self.value is not None:
            found = {"value": self.value}
        plain = ("status", "reason", "detail", "model", "bundle", "attempts", "prompt_tokens", "completion_tokens")
        about = {name: getattr(self, name) for name in plain} | {"latency_s": round(self.latency_s, 3)}
        return _writable(jsontext.compose(about | found))


def result_of_text(
    text: str, *, stopped: Reason | None, max_raw_text: int, reasoning: str = "", finish_reason: str = ""
) -> ParseResult:
    """Read a model's text, apply the rules, and judge whether it is whole; never raises.

    Args:
        text: what the model wrote.
        stopped: why the text may lack its end; None if the model ended it.
        max_raw_text: characters of the text, and of the reasoning, that the result keeps.
        reasoning: what the server separated from the text.
        finish_reason: as the server wrote it, for the detail.
    """
    parsed = parse_answer(text)
    raw = ParseResult(
        "failed",
        form=parsed.form,
        value=parsed.value,
        raw_text=_writable(text[:max_raw_text]),
        reasoning=_writable((reasoning or parsed.reasoning)[:max_raw_text]),
    )
    why = _STOPPED[stopped] if stopped else ""
    if stopped == "other_finish_reason":
        why = f"{why}: {finish_reason!a}"
    if parsed.value is None:
        detail = _no_object(parsed.problem, thought=bool(reasoning) and not parsed.text.strip())
        return replace(raw, reason=stopped or "bad_answer", detail=_writable(f"{why}; {detail}" if why else detail))
    if parsed.answer is None:
        return replace(
            raw,
            status="partial",
            reason=stopped or "bad_shape",
            detail=_writable(f"{why}; {parsed.problem}" if why else parsed.problem),
        )
    findings = check(parsed.answer)
    read = replace(
        raw,
        status="success",
        answer=parsed.answer,
        findings=findings,
        validation=summarize(findings),
        claimed=parsed.answer.validation_summary,
    )
    if stopped:
        return replace(read, status="partial", reason=stopped, detail=why)
    if parsed.form == "repaired" and not _holds_whole_object(parsed.text):
        return replace(read, status="partial", reason="cut", detail="the answer's JSON had to be mended")
    return read


def _no_object(problem: str, *, thought: bool) -> str:
    if thought:
        return (
            "the reply holds reasoning and no answer: raise max_tokens, set chat_template_kwargs to "
            '{"enable_thinking": false}, or start the server without its reasoning parser'
        )
    return f"the text holds no JSON object: {problem}"


def _writable(text: str) -> str:
    """A text with U+FFFD in the place of each half surrogate pair, which no encoding can write."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _holds_whole_object(text: str) -> bool:
    """Whether a text is one JSON object with words or a code fence around it."""
    segment = text[text.find("{") : text.rfind("}") + 1]
    try:
        return isinstance(jsontext.parse(segment[:MAX_ANSWER_CHARACTERS]), dict)
    except ValueError:
        return False
