"""Build training examples from records: the request as the service sends it, and the answer that the model learns."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from data_tools.build_settings import BuildSettings
from data_tools.examples.faults import inject_fault
from data_tools.examples.personal import mask_value
from data_tools.examples.visible_values import VisibilityResult, check_values
from data_tools.records import DocumentRecord, RecordOrRejection, RejectedError, Rejection
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.prompt_set import TASKS, Task
from erniekit_adapter.documents.rules.context import rows_at, values_at
from erniekit_adapter.documents.rules.rule import Finding, failures

# The message of a missing value that a schema requires.
_REQUIRED = ": Field required"


@dataclass(frozen=True)
class TrainingExample:
    """A request and its answer.

    Attributes:
        document_id: document ID of the record.
        group: group of the record.
        request: exact text of the request.
        answer_text: the answer to learn, one line of JSON.
        images: page images of the request.
        left_out: fields of the answer that were removed because the request does not show them.
        tokens: tokens of request and answer together; None if they were not counted.
        task: task of the request.
        faults: kinds of the faults injected into the data to validate.
    """

    document_id: str
    group: str
    request: str
    answer_text: str
    images: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    tokens: int | None = None
    task: Task = "analysis"
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class VisibleContent:
    """The part of a record's answer that its request shows.

    Attributes:
        ocr: OCR output, without personal data if that is masked.
        request: request of a ready-made example.
        data: structured data as JSON, without values that the request does not show.
        findings: results of the rules on the complete document.
        shown_findings: results of the rules on `data`, which may lack values; None if they equal `findings`.
        left_out: fields removed from the answer because the request does not show them.
        unseen: fields that the request does not show but that stay in the answer.
        masked: kinds of personal data that were masked.
        answer_digest: hash of `data`; it does not depend on the spelling of amounts.
        input_json: the model's input as JSON: the OCR output, or the request of a ready-made example.
        input_digest: hash of `input_json`.
        mismatch: why page and answer belong to two documents; None if nothing indicates it.
        left_out_rows: line items that were removed completely: number and description, without masked data.
    """

    ocr: Any
    request: str | None
    data: dict[str, Any]
    findings: tuple[Finding, ...]
    shown_findings: tuple[Finding, ...] | None
    left_out: tuple[str, ...]
    unseen: tuple[str, ...]
    masked: tuple[str, ...]
    answer_digest: bytes
    input_json: str
    input_digest: bytes
    mismatch: str | None = None
    left_out_rows: tuple[str, ...] = ()


def visible_content(record: DocumentRecord, findings: tuple[Finding, ...], settings: BuildSettings) -> VisibleContent:
    """Remove from a record's answer the values that its request does not show.

    Args:
        record: a record with an answer.
        findings: results of the rules on the complete document.
        settings: decides whether personal data is masked, and whether unseen values are removed.

    Raises:
        ValueError: the record has no answer, or contains text that UTF-8 cannot represent.
    """
    if record.answer is None:
        raise ValueError(f"{record.document_id} has no answer")
    document_type = settings.document_type
    data, ocr, request = document_type.content_of(record.answer), record.ocr, record.request
    drop_unprinted(data, document_type)
    masked: tuple[str, ...] = ()
    if settings.filters.personal == "mask":
        data, ocr, request, masked = _masked(data, ocr, request)
    visibility = check_values(record, data, ocr, request, settings)
    unseen, drops = visibility.unseen, settings.filters.visible in ("error", "unchecked")
    shown_findings = None
    if (unseen and drops) or record.findings is not None:
        is_wrong = record.declared_fault is not None
        shown = _read_shown(document_type, data, visibility)
        shown_findings = document_type.rules.check(shown, as_given=is_wrong)
        if masked:
            shown_findings = _with_masked(document_type, record, data, findings, shown_findings)
    input_json = json_text.compose_parsed(ocr if request is None else request)
    answer_digest = sha256(orjson.dumps(data, default=_plain_number)).digest()
    left_out, kept = (unseen, ()) if drops else ((), unseen)
    return VisibleContent(
        ocr=ocr,
        request=request,
        data=data,
        findings=findings,
        shown_findings=shown_findings,
        left_out=left_out,
        unseen=kept,
        masked=masked,
        answer_digest=answer_digest,
        input_json=input_json,
        input_digest=sha256(input_json.encode()).digest(),
        mismatch=visibility.mismatch,
        left_out_rows=visibility.rows,
    )


def _read_shown(document_type: DocumentType, data: dict[str, Any], visibility: VisibilityResult) -> AnyAnswer:
    """Return the answer with the values that the request shows.

    Raises:
        RejectedError: the page belongs to another document, or the schema requires a value that the page does not show.
    """
    try:
        return document_type.read_content(data)
    except ValueError as error:
        if visibility.mismatch is not None:
            raise RejectedError("page_mismatch", visibility.mismatch) from error
        if not data:
            raise RejectedError(
                "visible", f"none of its values is on the page: {', '.join(visibility.unseen)}"
            ) from error
        names = [name for name, mark, _ in (part.partition(_REQUIRED) for part in str(error).split("; ")) if mark]
        if not names:
            raise
        reason = f"the page does not show values that the schema of {document_type.name} requires: {', '.join(names)}"
        raise RejectedError("visible", reason) from error


def _with_masked(
    document_type: DocumentType,
    record: DocumentRecord,
    data: Mapping[str, Any],
    findings: tuple[Finding, ...],
    shown: tuple[Finding, ...],
) -> tuple[Finding, ...]:
    """Return findings of which those on masked values are replaced by those on the values themselves."""
    if record.answer is None:
        return shown
    truth = document_type.content_of(record.answer)
    changed = {path for path in document_type.fields if not set(values_at(data, path)).issubset(values_at(truth, path))}
    known = {finding.rule: finding for finding in findings}
    rules = document_type.rules.by_name
    masked = {name for name in known if name in rules and not changed.isdisjoint(rules[name].paths)}
    return tuple(known[finding.rule] if finding.rule in masked else finding for finding in shown)


def _masked(data: Any, ocr: Any, request: str | None) -> tuple[Any, Any, str | None, tuple[str, ...]]:
    # Masked together: a number that only one part names as personal must be masked in all parts.
    masked, kinds = mask_value({"data": data, "ocr": ocr, "request": request})
    return masked["data"], masked["ocr"], masked["request"], kinds


def make_example(
    record: DocumentRecord, content: VisibleContent, images: Sequence[Path], settings: BuildSettings
) -> TrainingExample:
    """Make the training example of a record; task, prompt template and faults depend on seed and content."""
    if content.request is not None:
        return make_analysis_example(record, content, images, settings)
    task = _choose_task(content.answer_digest, settings)
    if task == "validation" and not _can_be_validated(content, settings.document_type):
        task = "analysis"
    template = _seeded_number(content.answer_digest, settings.seed, "wording") % settings.prompt_templates
    if task == "validation":
        return _validation_example(record, content, template, settings)
    with_image = bool(images)
    document_type = settings.document_type
    prompts, is_analysis = document_type.prompts, task == "analysis"
    ask = prompts.analysis_request if is_analysis else prompts.extraction_request
    answer = _analysis(content, document_type) if is_analysis else document_type.wrapped(content.data)
    request = ask(content.ocr, with_image=with_image, template=template, written_ocr=content.input_json)
    return _new_example(record, content, task, request, answer, images)


def make_analysis_example(
    record: DocumentRecord, content: VisibleContent, images: Sequence[Path], settings: BuildSettings
) -> TrainingExample:
    """Make the example that matches the service and is used in tests: an analysis with the first prompt template."""
    request = content.request
    if request is None:
        prompts = settings.document_type.prompts
        request = prompts.analysis_request(content.ocr, with_image=bool(images), written_ocr=content.input_json)
    return _new_example(record, content, "analysis", request, _analysis(content, settings.document_type), images)


def _new_example(
    record: DocumentRecord, content: VisibleContent, task: Task, request: str, answer: object, images: Sequence[Path]
) -> TrainingExample:
    return TrainingExample(
        document_id=record.document_id,
        group=record.group,
        # A ready-made request did not come from the prompt templates.
        request=neutralised(request),
        answer_text=neutralised(json_text.compose_parsed(answer)),
        images=tuple(images),
        left_out=content.left_out,
        task=task,
    )


def _analysis(content: VisibleContent, document_type: DocumentType) -> dict[str, Any]:
    # The verdict is never copied from a log: logs mark everything as valid, and the model would learn that.
    return document_type.wrapped(content.data, document_type.rules.summarize(content.findings, content.shown_findings))


def _can_be_validated(content: VisibleContent, document_type: DocumentType) -> bool:
    """Return whether `data` alone breaks only rules that the complete document breaks too.

    A type without a verdict has no validation task.
    """
    if document_type.verdict is None or not document_type.prompts.validation:
        return False
    given = failures(document_type.rules.check(document_type.read_content(content.data), as_given=True))
    return {found.rule for found in given} <= {found.rule for found in failures(content.findings)}


def _validation_example(
    record: DocumentRecord, content: VisibleContent, template: int, settings: BuildSettings
) -> TrainingExample:
    """Make a validation example without pages; a share of them gets one or two faults."""
    document_type = settings.document_type
    answer = document_type.read_content(content.data)
    faults: tuple[str, ...] = ()
    if _seeded_share(content.answer_digest, settings.seed, "fault") < settings.fault_share:
        rng = random.Random(_seeded_number(content.answer_digest, settings.seed, "kind"))  # noqa: S311 - content, no secrets
        answer, faults = inject_fault(document_type, answer, rng, 1 + rng.randrange(2))
    data = document_type.wrapped(document_type.content_of(answer))
    found = document_type.rules
    summary = document_type.written_summary(found.summarize(found.check(answer, as_given=True)))
    return TrainingExample(
        document_id=record.document_id,
        group=record.group,
        request=document_type.prompts.validation_request(data, template=template),
        answer_text=neutralised(json_text.compose_parsed({document_type.verdict_key: summary})),
        left_out=content.left_out,
        task="validation",
        faults=faults,
    )


def _choose_task(answer_digest: bytes, settings: BuildSettings) -> Task:
    weights = [getattr(settings.tasks, task) for task in TASKS]
    place = _seeded_share(answer_digest, settings.seed, "task") * sum(weights)
    for task, weight in zip(TASKS, weights, strict=True):
        if place < weight:
            return task
        place -= weight
    return next(task for task, weight in zip(reversed(TASKS), reversed(weights), strict=True) if weight)


def _seeded_number(answer_digest: bytes, seed: int, purpose: str) -> int:
    """Return a 64-bit number that depends on the seed, the record's content and the purpose."""
    return int.from_bytes(sha256(f"{seed}:{purpose}:".encode() + answer_digest).digest()[:8], "big")


def _seeded_share(answer_digest: bytes, seed: int, purpose: str) -> float:
    return _seeded_number(answer_digest, seed, purpose) / 2**64


def known_names(
    document_type: DocumentType, record: RecordOrRejection, *, with_vendor: bool = False
) -> list[tuple[str, str]]:
    """Return the names by which records of one document are recognised, even without an example: (kind, name) each.

    The kinds are `vendor` (if all documents of a vendor must stay together), `number` (the vendor's invoice number) and
    `name` (the document's name in the source).
    """
    if isinstance(record, Rejection):
        return [("name", record.document_id)] if record.document_id else []
    # An unconfirmed number may belong to another document.
    answer = record.answer if record.reviewed else None
    vendor, number = (document_type.text_with_role(answer, role) for role in ("issuer", "number"))
    names = [("name", record.group)] if record.group else []
    if vendor and number:
        names.append(("number", f"{number} of {vendor.casefold()}"))
    if vendor and with_vendor:
        names.append(("vendor", vendor.casefold()))
    return names


def drop_unprinted(data: dict[str, Any], document_type: DocumentType) -> None:
    """Remove values from a content that no page shows, such as confidence values and logos."""
    for (table, parents), names in document_type.unprinted.items():
        for part in rows_at(data, table) if table else (data,):
            for parent in parents:
                part = part.get(parent) if isinstance(part, dict) else None
            if isinstance(part, dict):
                for name in names:
                    part.pop(name, None)


def _plain_number(value: Any) -> str:
    """Return the same text for 3025.0 and 3025.00."""
    return str(value.normalize())
