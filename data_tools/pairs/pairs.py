"""From a record to what is trained on: the request as the service sends it, the answer as the model shall give it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from data_tools.build_settings import BuildSettings
from data_tools.pairs.faults import inject_fault
from data_tools.pairs.looking import look_for_values
from data_tools.pairs.personal import mask_value
from data_tools.records import DocumentRecord, Reading, Rejection
from erniekit_adapter.invoice import jsontext, rules
from erniekit_adapter.invoice.answer import as_json, read_answer
from erniekit_adapter.invoice.control_tokens import neutralised
from erniekit_adapter.invoice.prompts import (
    TASKS,
    Task,
    analysis_request,
    extraction_request,
    validation_request,
)

_NO_CONTENT = ("confidence", "logo_detected", "logo_brand")


@dataclass(frozen=True)
class Pair:
    """A request and its answer.

    Attributes:
        document_id: the record's.
        group: the record's.
        request: what the model is asked, word for word.
        answer_text: what it shall answer, one line of JSON.
        images: the pages that go with the request.
        left_out: fields of the answer that the request does not show.
        tokens: of request and answer together; None where they were not counted.
        task: what is asked.
        faults: kinds of the faults that were injected into the data to be validated.
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
class Shown:
    """What the request of a record shows, and what of the answer stands in it.

    Attributes:
        ocr: what the OCR gave, without personal data where that is masked.
        request: the request of a ready-made line.
        data: the structured data as JSON, with what the request shows.
        findings: results of the rules on the complete document.
        shown_findings: results on the data, which may lack values; None if they are those of the complete document.
        left_out: fields that left the answer, because the request does not show them.
        unseen: fields that the request does not show and that stay in the answer.
        masked: kinds of personal data that were masked.
        said: hash of the data, however its amounts are spelt.
        written: what there is to read, as JSON: the OCR, or the request of a ready-made line.
        read: hash of it.
        mismatch: why page and answer are of two documents; None if nothing speaks against one.
        left_out_rows: line items that left the answer whole: number and description, without masked data.
    """

    ocr: Any
    request: str | None
    data: dict[str, Any]
    findings: tuple[rules.Finding, ...]
    shown_findings: tuple[rules.Finding, ...] | None
    left_out: tuple[str, ...]
    unseen: tuple[str, ...]
    masked: tuple[str, ...]
    said: bytes
    written: str
    read: bytes
    mismatch: str | None = None
    left_out_rows: tuple[str, ...] = ()


def show(record: DocumentRecord, findings: tuple[rules.Finding, ...], settings: BuildSettings) -> Shown:
    """Take out of a record's answer what its request does not show.

    Args:
        record: one that has an answer.
        findings: results of the rules on the complete document.
        settings: whether personal data is masked, and whether unseen values leave the answer.

    Raises:
        ValueError: the record has no answer, or holds text that cannot be written as UTF-8.
    """
    if record.answer is None:
        raise ValueError(f"{record.document_id} has no answer")
    value = as_json(record.answer)
    drop_confidence(value)
    data, ocr, request = value["structured_data"], record.ocr, record.request
    masked: tuple[str, ...] = ()
    if settings.gates.personal == "mask":
        data, ocr, request, masked = _masked(data, ocr, request)
    looked = look_for_values(record, data, ocr, request, settings)
    unseen, drops = looked.unseen, settings.gates.visible in ("error", "unchecked")
    shown_findings = None
    if (unseen and drops) or record.findings is not None:
        is_wrong = record.declared_fault is not None
        shown_findings = rules.check(read_answer({"structured_data": data}), as_given=is_wrong)
    written = jsontext.compose_parsed(ocr if request is None else request)
    said = sha256(orjson.dumps(data, default=_plain_number)).digest()
    left_out, kept = (unseen, ()) if drops else ((), unseen)
    return Shown(
        ocr=ocr,
        request=request,
        data=data,
        findings=findings,
        shown_findings=shown_findings,
        left_out=left_out,
        unseen=kept,
        masked=masked,
        said=said,
        written=written,
        read=sha256(written.encode()).digest(),
        mismatch=looked.mismatch,
        left_out_rows=looked.rows,
    )


def _masked(data: Any, ocr: Any, request: str | None) -> tuple[Any, Any, str | None, tuple[str, ...]]:
    # Together, because a number that is named in one of them alone has to be masked in all.
    masked, kinds = mask_value({"data": data, "ocr": ocr, "request": request})
    return masked["data"], masked["ocr"], masked["request"], kinds


def make_pair(record: DocumentRecord, shown: Shown, images: Sequence[Path], settings: BuildSettings) -> Pair:
    """Make the pair of a record; task, wording and faults depend on the seed and on what the record says."""
    if shown.request is not None:
        return plain_pair(record, shown, images, settings)
    task = _task(shown.said, settings)
    if task == "validation" and not _can_be_validated(shown):
        task = "analysis"
    wording = _number(shown.said, settings.seed, "wording") % settings.wordings
    if task == "validation":
        return _validation_pair(record, shown, wording, settings)
    with_image = bool(images)
    ask = analysis_request if task == "analysis" else extraction_request
    answer = _analysis(shown) if task == "analysis" else {"structured_data": shown.data}
    request = ask(shown.ocr, with_image=with_image, wording=wording, written_ocr=shown.written)
    return _pair(record, shown, task, request, answer, images)


def plain_pair(record: DocumentRecord, shown: Shown, images: Sequence[Path], settings: BuildSettings) -> Pair:
    """The pair that the service asks and evaluate tests: the whole analysis in its first wording."""
    request = shown.request
    if request is None:
        request = analysis_request(shown.ocr, with_image=bool(images), written_ocr=shown.written)
    return _pair(record, shown, "analysis", request, _analysis(shown), images)


def _pair(
    record: DocumentRecord, shown: Shown, task: Task, request: str, answer: object, images: Sequence[Path]
) -> Pair:
    return Pair(
        document_id=record.document_id,
        group=record.group,
        # A ready-made request has not been through `invoice.prompts`.
        request=neutralised(request),
        answer_text=neutralised(jsontext.compose_parsed(answer)),
        images=tuple(images),
        left_out=shown.left_out,
        task=task,
    )


def _analysis(shown: Shown) -> dict[str, Any]:
    # Never copied from a log: logs call anything valid, and the model would learn to.
    return {
        "structured_data": shown.data,
        "validation_summary": rules.summarize(shown.findings, shown.shown_findings).model_dump(),
    }


def _can_be_validated(shown: Shown) -> bool:
    """Return whether the shown data, judged by itself, breaks no rule that its document keeps or leaves open."""
    given = rules.failures(rules.check(read_answer({"structured_data": shown.data}), as_given=True))
    return {found.rule for found in given} <= {found.rule for found in rules.failures(shown.findings)}


def _validation_pair(record: DocumentRecord, shown: Shown, wording: int, settings: BuildSettings) -> Pair:
    """Data to be checked, of which a share gets one or two faults; pages play no part in it."""
    answer = read_answer({"structured_data": shown.data})
    faults: tuple[str, ...] = ()
    if _share(shown.said, settings.seed, "fault") < settings.fault_share:
        rng = random.Random(_number(shown.said, settings.seed, "kind"))  # noqa: S311 - content, no secrets
        answer, faults = inject_fault(answer, rng, 1 + rng.randrange(2))
    data = {"structured_data": as_json(answer)["structured_data"]}
    summary = rules.summarize(rules.check(answer, as_given=True)).model_dump()
    return Pair(
        document_id=record.document_id,
        group=record.group,
        request=validation_request(data, wording=wording),
        answer_text=neutralised(jsontext.compose_parsed({"validation_summary": summary})),
        left_out=shown.left_out,
        task="validation",
        faults=faults,
    )


def _task(said: bytes, settings: BuildSettings) -> Task:
    weights = [getattr(settings.tasks, task) for task in TASKS]
    place = _share(said, settings.seed, "task") * sum(weights)
    for task, weight in zip(TASKS, weights, strict=True):
        if place < weight:
            return task
        place -= weight
    return next(task for task, weight in zip(reversed(TASKS), reversed(weights), strict=True) if weight)


def _number(said: bytes, seed: int, purpose: str) -> int:
    """A number that depends on the seed, on what a record says and on what it is for."""
    return int.from_bytes(sha256(f"{seed}:{purpose}:".encode() + said).digest()[:8], "big")


def _share(said: bytes, seed: int, purpose: str) -> float:
    return _number(said, seed, purpose) / 2**64


def known_names(reading: Reading, *, with_vendor: bool = False) -> list[tuple[str, str]]:
    """What tells that two records are of one document even where one gets no pair: each name with its kind.

    The kinds are `vendor`, where all documents of one vendor are to stay together, `number` (of the vendor's invoice)
    and `name` (in the source).
    """
    if isinstance(reading, Rejection):
        return [("name", reading.document_id)] if reading.document_id else []
    # A number that nobody confirmed may be another document's.
    data = reading.answer.structured_data if reading.answer and reading.reviewed else None
    vendor = data.vendor_block.name if data and data.vendor_block else None
    number = data.client_info.invoice_number if data and data.client_info else None
    names = [("name", reading.group)] if reading.group else []
    if vendor and number:
        names.append(("number", f"{number} of {vendor.casefold()}"))
    if vendor and with_vendor:
        names.append(("vendor", vendor.casefold()))
    return names


def drop_confidence(value: dict[str, Any]) -> None:
    """Take out of an answer what no page says: how sure somebody was, and logos, which text does not show."""
    value.pop("confidence_scores", None)
    data = value["structured_data"]
    for part in (data.get("vendor_block", {}), data.get("client_info", {}), *data.get("line_items", [])):
        for name in _NO_CONTENT:
            part.pop(name, None)


def _plain_number(value: Any) -> str:
    """3025.0 and 3025.00 spelt alike."""
    return str(value.normalize())
