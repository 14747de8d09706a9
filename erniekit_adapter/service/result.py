"""The typed result of a document, and how it is made from a model's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.parsing import MAX_ANSWER_CHARACTERS, ParsedAnswer, parse_answer
from erniekit_adapter.documents.response_format import keeps_structure
from erniekit_adapter.documents.rules.rule import Finding
from erniekit_adapter.documents.validation_summary import ValidationSummary

Status = Literal["success", "partial", "failed"]
Reason = Literal[
    "bad_input",  # the image or the OCR data cannot be sent
    "timeout",  # no answer within the time limit
    "unreachable",  # no connection, or a broken one, in every attempt
    "overloaded",  # 429 or 425 in every attempt, or a wait longer than allowed
    "server_error",  # 5xx in every attempt
    "refused",  # the server rejects the request: any other status
    "bad_answer",  # the reply is not a chat completion, contains the key, or has no JSON object
    "bad_shape",  # JSON of another structure than requested
    "cut",  # the answer was cut off or repaired, and may be incomplete
    "content_filter",  # the server's filter ended or replaced the answer
    "tool_calls",  # the model called a tool
    "aborted",  # the server aborted the answer in every attempt
    "generation_error",  # the server failed during the answer in every attempt
    "no_finish_reason",  # the reply has no finish_reason
    "other_finish_reason",  # the finish_reason is unknown
    "not_structured",  # the server took the schema of the answer and did not keep to it, which `require` needs
    "closed",  # the service was closed during the request
]
Structured = Literal["used", "refused", "ignored", "off"]
_STOPPED: dict[Reason, str] = {
    "cut": "the answer reached the limit of tokens",
    "content_filter": "the server's content filter ended the answer",
    "tool_calls": "the model called a tool: start the server without tools, or with tool_choice none",
    "no_finish_reason": "the reply has no finish_reason, so the answer may be incomplete; if the server never sends "
    "one, set require_finish_reason: false",
    "other_finish_reason": "the finish_reason of the reply is unknown, so the answer may be incomplete",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class ParseResult:
    """Result of one document.

    Attributes:
        status: success, a complete answer; partial, an answer to check by hand because of `reason`; failed, no answer.
        reason: why it is not a success; None for a success.
        detail: the reason as a sentence.
        answer: the answer as the model gave it, a model of the document type; None without one.
        value: the JSON object that the model gave, even if it has another structure than the document type.
        validation: summary of the rules, recomputed from the answer.
        claimed: the model's own summary; None without one.
        findings: the result of every rule.
        form: strict, the text was JSON; repaired, it became JSON after a repair; none.
        raw_text: the beginning of the model's text, with any reasoning in it.
        reasoning: the beginning of the model's reasoning, from its text or separated by the server.
        model: the name of the model in the request.
        bundle: the SHA-256 of the bundle's manifest; None for a model without a bundle.
        attempts: how often the request was sent.
        latency_s: seconds from the call to the result, including waiting.
        prompt_tokens: prompt tokens counted by the server; None if it does not count.
        completion_tokens: tokens of the answer.
        documents: the document type, by which the text was parsed.
        structured: used, the server got the schema of the answer and the answer keeps to it, as far as it was ended;
            ignored, the server got it, but the answer has another structure; refused, the server does not take it;
            off, it was not sent; None if no answer arrived.
    """

    status: Status
    reason: Reason | None = None
    detail: str = ""
    answer: AnyAnswer | None = None
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
    documents: DocumentType = field(default=INVOICE, repr=False, compare=False)
    structured: Structured | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process; the model of a declared type is loaded there, so its answer is JSON."""
        state = dict(vars(self))
        if self.answer is not None and self.documents.folder is not None:
            state["answer"] = self.documents.text_of(self.answer)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the answer of a declared type again; its folder must be there."""
        if isinstance(state["answer"], str):
            state = state | {"answer": state["documents"].read(json_text.parse(state["answer"]))}
        vars(self).update(state)

    @property
    def document_type(self) -> str:
        """Name of the document type."""
        return self.documents.name

    def sentence_of(self, finding: Finding) -> str:
        """Return the rule of a finding as a sentence for people."""
        return self.documents.rules.by_name[finding.rule].sentence

    def as_json(self) -> str:
        """Return the result as JSON for a client.

        Amounts keep their digits. A verdict in the answer is the recomputed one. `broken_rules` has the sentence of
        every rule that failed, `validation` the verdict, also for types whose answers have none.
        """
        found: dict[str, Any] = {}
        if self.answer and self.validation:
            value, keys = self.documents.dump(self.answer), self.documents.verdict
            if keys is not None:
                value |= {keys.key: self.documents.written_summary(self.validation)}
            claimed = self.claimed.model_dump() if self.claimed else None
            failed = [finding for finding in self.findings if finding.status == "fail"]
            found = {
                "answer": value,
                "claimed_validation_summary": claimed,
                "validation": self.validation.model_dump(),
                "broken_rules": [
                    {"rule": each.rule, "level": each.level, "sentence": self.sentence_of(each), "detail": each.detail}
                    for each in failed
                ],
            }
        elif self.value is not None:
            found = {"value": self.value}
        plain: tuple[str, ...] = ("status", "reason", "detail", "document_type", "model", "bundle", "attempts")
        plain += ("structured", "prompt_tokens", "completion_tokens")
        metadata = {name: getattr(self, name) for name in plain} | {"latency_s": round(self.latency_s, 3)}
        return _writable(json_text.compose(metadata | found))


def result_of_text(
    text: str,
    *,
    stopped: Reason | None,
    max_raw_text: int,
    reasoning: str = "",
    finish_reason: str = "",
    documents: DocumentType = INVOICE,
    schema: Mapping[str, Any] | None = None,
    must_be_structured: bool = False,
) -> ParseResult:
    """Parse a model's text, apply the rules, and decide whether the answer is complete; never raises.

    Args:
        text: the model's text.
        stopped: why the text may be incomplete; None if the model ended it.
        max_raw_text: characters of the text, and of the reasoning, that the result keeps.
        reasoning: reasoning that the server separated from the text.
        finish_reason: the server's finish reason, for the detail.
        documents: the document's type.
        schema: the schema that the server got; None if it got none.
        must_be_structured: whether an answer that does not keep to the schema is a failure.
    """
    parsed = parse_answer(documents, text)
    raw = ParseResult(
        "failed",
        form=parsed.form,
        value=parsed.value,
        raw_text=_writable(text[:max_raw_text]),
        reasoning=_writable((reasoning or parsed.reasoning)[:max_raw_text]),
        documents=documents,
    )
    if schema is not None:
        is_kept = _keeps_schema(parsed, schema, is_cut=stopped is not None)
        raw = replace(raw, structured="used" if is_kept else "ignored")
        if must_be_structured and not is_kept:
            detail = "the server took the schema of the answer, but the answer has another structure"
            return replace(raw, value=None, reason="not_structured", detail=detail)
    return _judged(raw, parsed, stopped, reasoning, finish_reason)


def _judged(
    raw: ParseResult, parsed: ParsedAnswer, stopped: Reason | None, reasoning: str, finish_reason: str
) -> ParseResult:
    """Return the result with answer, rules and status."""
    cause = _STOPPED[stopped] if stopped else ""
    if stopped == "other_finish_reason":
        cause = f"{cause}: {finish_reason!a}"
    if parsed.value is None:
        detail = _no_object(parsed.problem, has_reasoning=bool(reasoning) and not parsed.text.strip())
        return replace(raw, reason=stopped or "bad_answer", detail=_writable(f"{cause}; {detail}" if cause else detail))
    if parsed.answer is None:
        return replace(
            raw,
            status="partial",
            reason=stopped or "bad_shape",
            detail=_writable(f"{cause}; {parsed.problem}" if cause else parsed.problem),
        )
    findings = raw.documents.rules.check(parsed.answer)
    read = replace(
        raw,
        status="success",
        answer=parsed.answer,
        findings=findings,
        validation=raw.documents.rules.summarize(findings),
        claimed=raw.documents.claimed_summary(parsed.answer),
    )
    if stopped:
        return replace(read, status="partial", reason=stopped, detail=cause)
    if parsed.form == "repaired" and not _holds_whole_object(parsed.text):
        return replace(read, status="partial", reason="cut", detail="the answer's JSON had to be repaired")
    return read


def _keeps_schema(parsed: ParsedAnswer, schema: Mapping[str, Any], *, is_cut: bool) -> bool:
    """Return whether a text without its reasoning is JSON with the structure of a schema, or its beginning."""
    if is_cut:
        begins = parsed.text.lstrip()[:1] in ("", "{")
        return begins and (parsed.value is None or keeps_structure(parsed.value, schema, is_cut=True))
    value: object = parsed.value
    if parsed.form == "repaired":
        try:
            value = json_text.parse(parsed.text.strip())
        except ValueError:
            return False
    return keeps_structure(value, schema)


def _no_object(problem: str, *, has_reasoning: bool) -> str:
    if has_reasoning:
        return (
            "the reply has reasoning but no answer: raise max_tokens, set chat_template_kwargs to "
            '{"enable_thinking": false}, or start the server without its reasoning parser'
        )
    return f"the text has no JSON object: {problem}"


def _writable(text: str) -> str:
    """Replace each half surrogate pair, which no encoding can write, by U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _holds_whole_object(text: str) -> bool:
    """Return whether a text is one JSON object, possibly with words or a code fence around it."""
    segment = text[text.find("{") : text.rfind("}") + 1]
    try:
        return isinstance(json_text.parse(segment[:MAX_ANSWER_CHARACTERS]), dict)
    except ValueError:
        return False
