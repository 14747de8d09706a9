"""Answers as logs hold them, in each form that a writer gives them, made into the canonical answer."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from data_tools.sources.flat_fields import changed, read_fields, with_known_names
from data_tools.sources.generator_form import is_generator_form
from data_tools.sources.ground_truth import flat_pairs, is_canonical, read_ground_truth, unquoted
from data_tools.sources.reading import shown
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.truth import DEFAULT, ReadSettings, Truth
from erniekit_adapter.invoice.answer import Answer, read_answer


def read_written_answer(value: object) -> Answer:
    """Read a canonical answer that is an object, or JSON in a string.

    Raises:
        ValueError: no canonical answer; the message lists every key with its problem.
    """
    value = unquoted(value)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object")
    return read_answer(value)


def read_logged_answer(value: object, settings: ReadSettings = DEFAULT) -> Truth:
    """Read a whole answer in any form that a ground truth may have; also as JSON in a string.

    Raises:
        ValueError: none of them, or values that cannot be read; the message lists them.
    """
    return read_ground_truth(value, settings)


def read_corrected_answer(
    output: object, correction: object, names: tuple[str, str], settings: ReadSettings = DEFAULT
) -> Truth:
    """Read what a person made of an output: the correction wins, and what it leaves alone was looked at too.

    Args:
        output: what a model gave, in any form.
        correction: a whole answer, or the fields that were changed.
        names: what the log calls the two, for messages.
        settings: what the project states about the source.

    Raises:
        ValueError: one of them cannot be read; the message says which.
    """
    output_name, correction_name = names
    with _named(correction_name):
        correction = unquoted(correction)
        if _is_whole(correction):
            return read_ground_truth(correction, settings)
        changes, unused = _fields(correction, settings)
        if not changes:
            raise ValueError(f"{shown(correction)} holds no field")
    unused = [f"{correction_name}.{key}" for key in unused]
    with _named(output_name):
        output = unquoted(output)
        if _is_whole(output):
            before = read_ground_truth(output, settings)
            unused += [f"{output_name}.{key}" for key in before.unused_keys]
            with _named(correction_name):
                answer = changed(before.answer, changes, settings)
                return replace(before, answer=answer, unused_keys=tuple(unused), fault=None)
        fields, more = _fields(output, settings, changes)
        if not fields and output not in ([], {}):
            raise ValueError(f"{shown(output)} holds no field")
    answer, rest = read_fields({**fields, **changes}, settings)
    unused += [f"{output_name}.{key}" for key in more]
    unused += [f"{correction_name if key.split('[')[0] in changes else output_name}.{key}" for key in rest]
    return Truth(answer, "flat fields", tuple(unused))


def _is_whole(value: object) -> bool:
    """Whether a value is a whole answer, and no set of flat fields that others can be merged into."""
    if is_canonical(value) or recognise(value) is not None:
        return True
    return isinstance(value, dict) and (is_generator_form(value) or "merchant_info" in value)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say in every message what was being read."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def declared_fault(answer: Answer) -> str | None:
    """What a reviewed answer itself says is wrong with the printed page; None where it says nothing."""
    summary = answer.validation_summary
    if summary is None or summary.is_valid or not summary.issues:
        return None
    return "; ".join(summary.issues)


def _fields(value: object, settings: ReadSettings, corrected: Container[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Flat fields under their known names, and what has no place in an answer."""
    pairs, unused = flat_pairs(value, settings)
    return with_known_names(pairs, corrected), unused
