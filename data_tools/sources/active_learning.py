"""Lines of `active_learning.jsonl`: many writers, one file; each shape is known by its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.flat_fields import answer_of, with_known_names
from data_tools.sources.reading import identifier, image_inside, parse_object, parse_value, shown, unused
from erniekit_adapter.files import read_lines
from erniekit_adapter.invoice.answer import Answer, read_answer


@dataclass(frozen=True)
class _Line:
    """A line with its place."""

    path: Path
    number: int
    value: dict[str, Any]

    @property
    def document_id(self) -> str:
        return identifier(self.value.get("document_id"), f"{self.path.name}:{self.number}")

    def rejected(self, gate: str, reason: str) -> Rejection:
        return Rejection(str(self.path), self.number, self.document_id, gate, reason)

    def accepted(
        self, answer: Answer, image: object, fault: str | None = None, used: frozenset[str] = frozenset()
    ) -> DocumentRecord:
        found = image_inside(self.path.parent, image)
        return DocumentRecord(
            document_id=self.document_id,
            source=str(self.path),
            line=self.number,
            images=(found,) if found else (),
            ocr=_ocr(self.value.get("ocr_context")),
            answer=answer,
            reviewed=True,
            group=identifier(self.value.get("document_id"), ""),
            declared_fault=fault,
            unused_keys=unused(self.value, used | _ABOUT),
        )


# What says when and by whom a line was logged, and what was wrong before: read by people, not trained on.
_ABOUT = frozenset({"document_id", "source_file", "timestamp", "ocr_context"})


def read_active_learning(path: Path) -> Iterator[Reading]:
    """Read a log of corrections, one JSON object a line; each line gives one record or one rejection.

    Raises:
        AdapterError: the file is missing, no regular file, or unreadable.
    """
    for number, raw in read_lines(path):
        try:
            yield read_logged(path, number, parse_object(raw))
        except (ValueError, RecursionError) as error:
            yield Rejection(str(path), number, None, "source", str(error) or "nested too deeply")


def read_logged(path: Path, number: int, value: dict[str, Any]) -> Reading:
    """Read the object on line `number` of the log `path`: the first shape whose keys it has decides."""
    line = _Line(path, number, value)
    for keys, read in _SHAPES:
        if keys <= value.keys():
            return read(line)
    found = shown(sorted(value))
    return line.rejected("source", f"no known shape of a logged correction: its keys are {found}")


def _read_field_correction(line: _Line) -> Reading:
    """Shape 1: extracted fields and what a person changed; the fields left alone were looked at too."""
    extracted, correction = line.value["extracted_data"], line.value["correction"]
    if not isinstance(correction, dict):
        return line.rejected("canonical", f"correction is no object: {shown(correction)}")
    try:
        corrected = with_known_names(correction)
        fields = {**_extracted_fields(extracted, corrected), **corrected}
        answer = answer_of(fields)
    except ValueError as error:
        return line.rejected("canonical", str(error))
    return line.accepted(answer, line.value.get("source_file"), used=frozenset({"extracted_data", "correction"}))


def _extracted_fields(rows: object, corrected: dict[str, Any]) -> dict[str, Any]:
    """The extracted values that the correction leaves alone, by field name."""
    found: dict[str, Any] = {}
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("field_name"), str):
            raise ValueError(f"extracted_data: {shown(row)} has no field_name")
        named = with_known_names({row["field_name"]: row.get("value")})
        for name, value in named.items():
            if name not in corrected and name in found and found[name] != value:
                raise ValueError(f"extracted_data: {name} given twice, {shown(found[name])} and {shown(value)}")
            found[name] = value
    if not isinstance(rows, list):
        raise ValueError(f"extracted_data is no list: {shown(rows)}")
    return found


def _read_automatic(line: _Line) -> Reading:
    """Shape 2: a model's own output, however sure of itself."""
    return line.rejected("reviewed", "an automatic log: nobody confirmed this model output")


def _read_corrected_output(line: _Line) -> Reading:
    """Shape 3: the corrected output is the truth; where the log has none, the completion it was trained with."""
    kind = line.value.get("type", "correction")
    if kind != "correction":
        return line.rejected("reviewed", f"type is {shown(kind)}, and only a correction was reviewed")
    name = "corrected_output" if line.value.get("corrected_output") is not None else "completion"
    try:
        answer = read_written_answer(line.value.get(name))
    except ValueError as error:
        return line.rejected("canonical", f"{name}: {error}")
    metadata = line.value.get("metadata")
    image = metadata.get("image_path") if isinstance(metadata, dict) else None
    return line.accepted(answer, image, declared_fault(answer), _SHAPE_3_KEYS)


_SHAPE_3_KEYS = frozenset({"type", "prompt", "completion", "metadata", "original_output", "corrected_output"})


def read_written_answer(value: object) -> Answer:
    """Read an answer that is an object, or JSON in a string.

    Raises:
        ValueError: no canonical answer; the message lists every key with its problem.
    """
    if isinstance(value, str):
        value = parse_value(value.encode())
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object")
    return read_answer(value)


def declared_fault(answer: Answer) -> str | None:
    """What a reviewed answer itself says is wrong with the printed page; None where it says nothing."""
    summary = answer.validation_summary
    if summary is None or summary.is_valid or not summary.issues:
        return None
    return "; ".join(summary.issues)


def _ocr(context: object) -> Any:
    """The OCR of a line: structured where there is some, else the raw text."""
    if not isinstance(context, dict):
        return None
    return next((context[name] for name in ("structured_ocr", "raw_ocr") if context.get(name)), None)


_SHAPES: tuple[tuple[frozenset[str], Callable[[_Line], Reading]], ...] = (
    (frozenset({"extracted_data", "correction"}), _read_field_correction),
    (frozenset({"corrected_output"}), _read_corrected_output),
    (frozenset({"type", "prompt", "completion", "metadata"}), _read_corrected_output),
    (frozenset({"document_id", "model_output", "validation"}), _read_automatic),
)
