"""Preferences for DPO from logs: a model's answer and the answer that a person corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_tools.examples.building import TrainingExample, VisibleContent, drop_unprinted
from data_tools.examples.personal import mask_value
from data_tools.records import DocumentRecord
from data_tools.sources.answers.truth import ReadSettings
from data_tools.sources.logs.answers import read_logged_answer
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.document_type import DocumentType


@dataclass(frozen=True)
class Preference:
    """A request with two answers.

    Attributes:
        document_id: document ID of the record.
        group: group of the record.
        request: exact text of the request.
        chosen: the answer to prefer.
        rejected: the answer to avoid.
        images: page images of the request; empty for a text-only request.
    """

    document_id: str
    group: str
    request: str
    chosen: str
    rejected: str
    images: tuple[Path, ...] = ()


def make_preference(
    record: DocumentRecord,
    content: VisibleContent,
    chosen: TrainingExample,
    images: Sequence[Path],
    document_type: DocumentType,
    *,
    mask_personal: bool,
) -> Preference:
    """Make the preference of a record whose answer is a correction.

    The model's answer keeps its own verdict on the document, even if the verdict is wrong. If it has none, the verdict
    is computed from its own amounts, so that the two answers differ only in the person's changes.

    Args:
        record: a record with a model's output.
        content: content that the request shows.
        chosen: the analysis example of the record.
        images: page images of the request.
        document_type: the type of the document.
        mask_personal: whether personal data is masked.

    Raises:
        ValueError: the output does not map to an answer without loss, or has the same content as the correction.
    """
    truth = read_logged_answer(record.model_output, ReadSettings(document_type=document_type))
    if truth.unused_keys:
        raise ValueError(f"the model's output has keys without a place in the answer: {', '.join(truth.unused_keys)}")
    value = document_type.dump(truth.answer)
    data = document_type.unwrapped(value)
    drop_unprinted(data, document_type)
    summary = document_type.claimed_summary(truth.answer) or document_type.rules.summarize(
        document_type.rules.check(truth.answer)
    )
    if mask_personal:
        data, _ = mask_value(data)
    if data == content.data:
        raise ValueError("the correction changed no field of the answer")
    value = document_type.wrapped(data, summary)
    return Preference(
        document_id=record.document_id,
        group=record.group,
        request=chosen.request,
        chosen=chosen.answer_text,
        rejected=neutralised(json_text.compose(value)),
        images=tuple(images),
    )
