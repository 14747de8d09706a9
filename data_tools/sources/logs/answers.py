"""Answers of a log in each of its formats, made into an answer of the project's document type."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

from data_tools.sources.answers.canonical import errors_named, unquoted
from data_tools.sources.answers.flat_fields import read_fields, with_changes, with_known_names
from data_tools.sources.answers.generated_invoice import is_generated_invoice
from data_tools.sources.answers.objects import flat_pairs, is_canonical
from data_tools.sources.answers.truth import DEFAULT, GroundTruth, ReadSettings
from data_tools.sources.declared.corrections import read_declared_correction
from data_tools.sources.files.json_values import shown
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.shapes.registry import recognise
from erniekit_adapter.documents.invoice.answer import as_invoice
from erniekit_adapter.documents.loading import INVOICE


def read_logged_answer(value: object, settings: ReadSettings = DEFAULT) -> GroundTruth:
    """Read a whole answer in any shape of ground truth, also as JSON in a string.

    Raises:
        ValueError: the value has no such shape, or values that cannot be read; the message lists them.
    """
    return read_ground_truth(value, settings)


def read_corrected_answer(
    output: object, correction: object, names: tuple[str, str], settings: ReadSettings = DEFAULT
) -> GroundTruth:
    """Read a corrected output: the correction has priority, and values that it does not change were reviewed too.

    Args:
        output: output of a model, in any shape.
        correction: a whole answer, or the changed fields.
        names: keys of both in the log, for messages.
        settings: statements of the project about the source.

    Raises:
        ValueError: one of them cannot be read; the message names it.
    """
    if settings.document_type is not INVOICE:
        return read_declared_correction(output, correction, names, settings)
    output_name, correction_name = names
    with errors_named(correction_name):
        correction = unquoted(correction)
        if _is_whole(correction):
            return read_ground_truth(correction, settings)
        changes, unused = _fields(correction, settings)
        if not changes:
            raise ValueError(f"{shown(correction)} has no field")
    unused = [f"{correction_name}.{key}" for key in unused]
    with errors_named(output_name):
        output = unquoted(output)
        if _is_whole(output):
            before = read_ground_truth(output, settings)
            unused += [f"{output_name}.{key}" for key in before.unused_keys]
            with errors_named(correction_name):
                answer = with_changes(as_invoice(before.answer), changes, settings)
                return replace(before, answer=answer, unused_keys=tuple(unused), fault=None)
        fields, more = _fields(output, settings, changes)
        if not fields and output not in ([], {}):
            raise ValueError(f"{shown(output)} has no field")
    answer, rest = read_fields({**fields, **changes}, settings)
    unused += [f"{output_name}.{key}" for key in more]
    unused += [f"{correction_name if key.split('[')[0] in changes else output_name}.{key}" for key in rest]
    return GroundTruth(answer, "flat fields", tuple(unused))


def _is_whole(value: object) -> bool:
    """Return whether a value is a whole answer, rather than flat fields that can be merged with others."""
    if is_canonical(value) or recognise(value) is not None:
        return True
    return isinstance(value, dict) and (is_generated_invoice(value) or "merchant_info" in value)


def _fields(value: object, settings: ReadSettings, corrected: Container[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return flat fields under their known names, and the keys without a place in an answer."""
    pairs, unused = flat_pairs(value, settings)
    return with_known_names(pairs, corrected), unused
