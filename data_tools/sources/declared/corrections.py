"""Corrected output of a model for a declared document type: the correction replaces values of the output."""

from __future__ import annotations

import re

from data_tools.sources.answers.canonical import errors_named, unquoted
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.declared.content import GivenFields
from data_tools.sources.declared.objects import content_in, given_fields, is_envelope, read_declared
from data_tools.sources.files.json_values import shown

# A row by its number, `items[0].total`, or a name of several fields.
_UNCLEAR = re.compile(r"[\[.]\d+(?:[\].]|$)| \(can mean ")


def read_declared_correction(
    output: object, correction: object, names: tuple[str, str], settings: ReadSettings
) -> GroundTruth:
    """Read a corrected output: the correction has priority, and values that it does not change were reviewed too.

    A whole answer with its envelope replaces the output. Other corrections change the fields that they name; null
    removes a value, and a table is replaced as a whole.

    Args:
        output: output of a model.
        correction: a whole answer, or the changed fields.
        names: keys of both in the log, for messages.
        settings: statements of the project about the source, with the type.

    Raises:
        ValueError: one of them cannot be read; the message names it.
    """
    output_name, correction_name = names
    with errors_named(correction_name):
        correction = unquoted(correction)
        if is_envelope(correction, settings.document_type):
            return read_declared(correction, settings)
        changes = given_fields(correction, settings)
        if changes.is_empty:
            raise ValueError(f"{shown(correction)} has no field of {settings.document_type.name}")
        if unclear := [key for key in changes.unused if _UNCLEAR.search(key)]:
            # Without them, values would be taught that a person corrected.
            raise ValueError(f"{unclear[0][:200]}: give the whole table, and fields by their paths")
        changes.unused = [f"{correction_name}.{key}" for key in changes.unused]
    with errors_named(output_name):
        output = unquoted(output)
        given = _given(output, settings)
        if given.is_empty and output not in ([], {}):
            raise ValueError(f"{shown(output)} has no field of {settings.document_type.name}")
        given.unused = [f"{output_name}.{key}" for key in given.unused]
    merged = GivenFields(
        changes.names,
        {**given.values, **changes.values},
        {**given.rows, **changes.rows},
        [*changes.unused, *given.unused],
    )
    answer, unused = merged.answer(settings)
    return GroundTruth(answer, "corrected fields", unused)


def _given(output: object, settings: ReadSettings) -> GivenFields:
    """Return the fields of an output, without its verdict, which a correction makes out of date."""
    return given_fields(content_in(output, settings.document_type), settings)
