"""Lines of `active_learning.jsonl`: many writers, one file; each shape is known by its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.logged_answers import declared_fault, read_corrected_answer, read_logged_answer
from data_tools.sources.logged_ocr import ocr_of
from data_tools.sources.reading import (
    NumberedLines,
    identifier,
    image_inside,
    parse_object,
    parse_value,
    shown,
    unused,
)
from data_tools.sources.truth import DEFAULT, ReadSettings, Truth
from erniekit_adapter.files import read_lines

MAX_ENVELOPES = 8
_ENVELOPE = frozenset({"ts", "payload"})
# Where a line names its document; what stands first counts.
_NAMES = ("document_id", "doc_id", "invoice_id", "job_id", "result_id")
_IMAGES = ("source_file", "image_path", "filename")
# Where a line says things about itself.
_ABOUT_ITSELF = ("metadata", "meta")
# What says when, by whom and from what a line was logged: read by people or as OCR, and not trained on.
_ABOUT = frozenset({
    *_NAMES, *_ABOUT_ITSELF, "source_file", "timestamp", "prompt", "instruction", "input",
    "ocr_context", "ocr_payload", "ocr_text", "model_version", "demo_mode", "user_id", "correction_type",
})  # fmt: skip
# What an automatic log says about its output.
_OF_AUTOMATIC_LOGS = ("validation", "needs_review", "difficulty_label", "error_type")
_REVIEWED = "if people confirmed everything in this file, set reviewed: true on its source"
_EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class _Line:
    """A line with its place, out of its envelopes; `beside` are keys of the envelopes that nothing reads."""

    path: Path
    number: int
    value: dict[str, Any]
    beside: tuple[str, ...] = ()
    settings: ReadSettings = DEFAULT

    @property
    def parts(self) -> Iterator[dict[str, Any]]:
        """The line, and what it says about itself."""
        yield self.value
        yield from (part for name in _ABOUT_ITSELF if isinstance(part := self.value.get(name), dict))

    @property
    def name(self) -> str:
        """The document's name; empty where the line gives it none."""
        for part in self.parts:
            for key in _NAMES:
                if key in part and (name := identifier(part[key], "")):
                    return name
        return ""

    @property
    def image(self) -> Path | None:
        """The page that the line names, where it is a file in the log's folder."""
        for part in self.parts:
            for key in _IMAGES:
                if (name := part.get(key)) is not None and (image := image_inside(self.path.parent, name)):
                    return image
        return None

    @property
    def is_signed(self) -> bool:
        """Whether the line says that somebody corrected it; a user alone may only have sent the document."""
        signs = ("user_id", "correction_type")
        return any(all(identifier(part.get(sign), "") for sign in signs) for part in self.parts)

    @property
    def is_confirmed(self) -> bool:
        """Whether people confirmed the line: it is signed, or the project says so of the file."""
        return self.settings.reviewed or self.is_signed

    def rejected(self, gate: str, reason: str) -> Rejection:
        document_id = self.name or f"{self.path.name}:{self.number}"
        return Rejection(str(self.path), self.number, document_id, gate, reason[:2000])

    def unreviewed(self, reason: str) -> Rejection:
        return self.rejected("reviewed", f"{reason}; {_REVIEWED}")

    def accepted(self, truth: Truth, *used: str, model_output: Any = None) -> DocumentRecord:
        image, name = self.image, self.name
        return DocumentRecord(
            document_id=name or f"{self.path.name}:{self.number}",
            source=str(self.path),
            line=self.number,
            images=(image,) if image else (),
            ocr=ocr_of(self.value),
            answer=truth.answer,
            reviewed=True,
            group=name,
            declared_fault=truth.fault or declared_fault(truth.answer),
            unused_keys=unused(self.value, _ABOUT.union(used)) + self.beside + truth.unused_keys,
            language=truth.language,
            model_output=model_output,
            complete=truth.complete,
        )


def read_active_learning(
    path: Path, lines: NumberedLines | None = None, settings: ReadSettings = DEFAULT
) -> Iterator[Reading]:
    """Read a log of corrections, one JSON object a line; each line gives one record or one rejection.

    Args:
        path: the log.
        lines: the lines to read; all of them where it is None.
        settings: what the project states about the log.

    Raises:
        AdapterError: the file is missing, no regular file, or unreadable.
    """
    for number, raw in read_lines(path) if lines is None else lines:
        try:
            yield read_logged(path, number, parse_object(raw), settings)
        except (ValueError, RecursionError) as error:
            yield Rejection(str(path), number, None, "source", str(error) or "nested too deeply")


def read_logged(path: Path, number: int, value: dict[str, Any], settings: ReadSettings = DEFAULT) -> Reading:
    """Read the object on line `number` of the log `path`: the first shape whose keys it has decides.

    Raises:
        ValueError: envelopes that hold no object, or too many of them.
    """
    line = _Line(path, number, *_unwrapped(value), settings)
    demo = line.value.get("demo_mode")
    for keys, read in _SHAPES:
        if not keys <= line.value.keys():
            continue
        if demo not in (None, False):
            return line.rejected("reviewed", f"demo_mode is {shown(demo)}: a demonstration, and nobody's correction")
        return read(line)
    found = ", ".join(sorted(line.value))[:1000]
    return line.rejected(
        "source",
        f"no known shape of a logged correction: its keys are {found or 'none'}; "
        "log corrections as document_id, corrected_output and ocr_context, or in another shape of docs/data.md",
    )


def _unwrapped(value: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Shape 8: the line inside its envelopes, and what else stands on them."""
    beside: tuple[str, ...] = ()
    for _ in range(MAX_ENVELOPES + 1):
        if not value.keys() >= _ENVELOPE:
            return value, beside
        beside += unused(value, _ENVELOPE)
        payload = value["payload"]
        value = parse_value(payload.encode()) if isinstance(payload, str) else payload
        if not isinstance(value, dict):
            raise ValueError(f"payload is no object: {shown(value)}")
    raise ValueError(f"more than {MAX_ENVELOPES} envelopes (ts, payload), one in another")


def _read_field_correction(line: _Line) -> Reading:
    """Shape 1: extracted fields and what a person changed; the fields left alone were looked at too."""
    return _corrected(line, "extracted_data", "correction")


def _read_corrected_completion(line: _Line) -> Reading:
    """Shape 4: what the model wrote, and what a person changed."""
    return _corrected(line, "completion", "corrections")


def _read_user_correction(line: _Line) -> Reading:
    """Shape 6: the same in the words of a service with jobs."""
    return _corrected(line, "model_output", "user_correction")


def _corrected(line: _Line, output: str, correction: str) -> Reading:
    if line.value[correction] in _EMPTY:
        if line.settings.reviewed and output in line.value:
            return _confirmed(line, output, output, correction)
        return line.unreviewed(f"{correction} is empty: nobody confirmed this {output}")
    names = (output, correction)
    try:
        truth = read_corrected_answer(line.value.get(output), line.value[correction], names, line.settings)
    except ValueError as error:
        return line.rejected("canonical", str(error))
    return line.accepted(truth, output, correction, model_output=line.value.get(output))


def _read_corrected_output(line: _Line) -> Reading:
    """Shape 3: the corrected output is the truth; where the log has none, the completion it was trained with."""
    kind = line.value.get("type", "correction")
    if kind != "correction" and not line.settings.reviewed:
        return line.unreviewed(f"type is {shown(kind)}, and only a correction was reviewed")
    name = "corrected_output" if line.value.get("corrected_output") is not None else "completion"
    used = ("type", "corrected_output", "completion", "original_output")
    return _confirmed(line, name, *used, model_output=line.value.get("original_output"))


def _read_corrected_document(line: _Line) -> Reading:
    """Shape 10: the whole document as a person left it."""
    if line.value["corrected"] in _EMPTY:
        return line.unreviewed("corrected is empty: nobody confirmed anything")
    return _confirmed(line, "corrected", "corrected")


def _confirmed(line: _Line, name: str, *used: str, model_output: Any = None) -> Reading:
    try:
        truth = read_logged_answer(line.value.get(name), line.settings)
    except ValueError as error:
        return line.rejected("canonical", f"{name}: {error}")
    if truth.unused_keys:
        truth = replace(truth, unused_keys=tuple(f"{name}.{key}" for key in truth.unused_keys))
    return line.accepted(truth, *used, model_output=model_output)


def _read_automatic(line: _Line) -> Reading:
    """Shape 2, and shapes 1 and 6 without a correction: a model's own output, however sure of itself."""
    if line.settings.reviewed:
        name = "model_output" if "model_output" in line.value else "extracted_data"
        return _confirmed(line, name, name, *_OF_AUTOMATIC_LOGS)
    return line.unreviewed("an automatic log: nobody confirmed this model output")


def _read_completion(line: _Line) -> Reading:
    """Shapes 5 and 7: a request and what a model wrote."""
    return _confirmed(line, "completion", "completion") if line.is_confirmed else _unsigned(line, "completion")


def _read_instruction(line: _Line) -> Reading:
    """Shapes 11 and 12: lines for training whose outputs anybody, or a model, may have written."""
    return _confirmed(line, "output", "output") if line.is_confirmed else _unsigned(line, "output")


def _unsigned(line: _Line, name: str) -> Rejection:
    missing = "no correction, and no user_id with a correction_type"
    return line.unreviewed(f"nothing says that a person confirmed this {name}: {missing}")


def _read_pointers(line: _Line) -> Reading:
    """Shape 9: where a job's files are stored, and how sure it was."""
    return line.rejected("canonical", "has no answer: nothing to train on, only pointers to where files are stored")


# A line with a person's correction comes before the same line without one.
_SHAPES: tuple[tuple[frozenset[str], Callable[[_Line], Reading]], ...] = (
    (frozenset({"extracted_data", "correction"}), _read_field_correction),
    (frozenset({"corrected_output"}), _read_corrected_output),
    (frozenset({"type", "prompt", "completion", "metadata"}), _read_corrected_output),
    (frozenset({"user_correction"}), _read_user_correction),
    (frozenset({"completion", "corrections"}), _read_corrected_completion),
    (frozenset({"doc_id", "corrected"}), _read_corrected_document),
    (frozenset({"model_output"}), _read_automatic),
    (frozenset({"extracted_data"}), _read_automatic),
    (frozenset({"prompt", "completion"}), _read_completion),
    (frozenset({"instruction", "input", "output"}), _read_instruction),
    (frozenset({"invoice_id", "input", "output"}), _read_instruction),
    (frozenset({"page_key", "ocr_artifact_key", "structured_key"}), _read_pointers),
)
