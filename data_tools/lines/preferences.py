"""What a model had said and what a person made of it, as a pair for DPO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_tools.build_settings import BuildSettings
from data_tools.lines.preference_lines import Preference
from data_tools.pairs.pairs import Pair, Shown, drop_confidence
from data_tools.pairs.personal import mask_value
from data_tools.records import DocumentRecord
from data_tools.sources.logged_answers import read_logged_answer
from erniekit_adapter.invoice import jsontext, rules
from erniekit_adapter.invoice.answer import as_json
from erniekit_adapter.invoice.control_tokens import neutralised


def make_preference(
    record: DocumentRecord, shown: Shown, chosen: Pair, images: Sequence[Path], settings: BuildSettings
) -> Preference:
    """Make the preference of a record whose answer is a correction.

    What the model said keeps its own verdict on the invoice, however wrong; where it gave none, the verdict is that of
    its own amounts, so that the two answers differ in nothing but what the person changed.

    Args:
        record: one with a model's output.
        shown: what its request shows.
        chosen: the pair of the whole analysis.
        images: the pages that go with the request.
        settings: whether personal data is masked.

    Raises:
        ValueError: the output is no answer that maps without loss, or says the same as the correction.
    """
    truth = read_logged_answer(record.model_output)
    if truth.unused_keys:
        raise ValueError(f"the model's output has keys without a place in the answer: {', '.join(truth.unused_keys)}")
    said = truth.answer
    value = as_json(said)
    drop_confidence(value)
    if settings.gates.personal == "mask":
        value, _ = mask_value(value)
    if value["structured_data"] == shown.data:
        raise ValueError("the person changed nothing that the answer holds")
    value.setdefault("validation_summary", rules.summarize(rules.check(said)).model_dump())
    return Preference(
        document_id=record.document_id,
        group=record.group,
        request=chosen.request,
        chosen=chosen.answer_text,
        rejected=neutralised(jsontext.compose(value)),
        images=tuple(images),
    )
