"""Source `active_learning`: a JSON Lines log of corrections; the keys of a line decide which of 12 formats it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.answers.canonical import declared_fault
from data_tools.sources.answers.truth import DEFAULT, GroundTruth, ReadSettings
from data_tools.sources.files.json_values import identifier, parse_value, shown, unused
from data_tools.sources.files.paths import image_inside
from data_tools.sources.line_file import LineFile
from data_tools.sources.logs.answers import read_corrected_answer, read_logged_answer
from data_tools.sources.logs.ocr import ocr_of
from erniekit_adapter.project.schema import ActiveLearningSource

MAX_ENVELOPES = 8
_ENVELOPE = frozenset({"ts", "payload"})
# Keys with the name of the document; the first one with a value is used.
_NAMES = ("document_id", "doc_id", "invoice_id", "job_id", "result_id")
_IMAGES = ("source_file", "image_path", "filename")
# Keys with information about the line.
_METADATA = ("metadata", "meta")
# Keys that are read by reviewers or as OCR, and are not part of the answer.
_NOT_TAUGHT = frozenset({
    *_NAMES, *_METADATA, "source_file", "timestamp", "prompt", "instruction", "input",
    "ocr_context", "ocr_payload", "ocr_text", "model_version", "demo_mode", "user_id", "correction_type",
})  # fmt: skip
# Keys that an automatic log writes about its output.
_OF_AUTOMATIC_LOGS = ("validation", "needs_review", "difficulty_label", "error_type")
_REVIEWED = "if people confirmed everything in this file, set reviewed: true on its source"
_EMPTY: tuple[object, ...] = (None, "", [], {})


class ActiveLearningLog(LineFile[ActiveLearningSource]):
    """A log of corrections."""

    def read_line(self, number: int, line: dict[str, Any]) -> RecordOrRejection:
        """Return the record of a line, or its rejection."""
        settings = ReadSettings(self.date_order, self.settings.reviewed, document_type=self.document_type)
        return read_logged(self.path, number, line, settings)


@dataclass(frozen=True)
class _LogLine:
    """A line of the log without its envelopes.

    Attributes:
        path: the log.
        number: number of the line, from 1.
        value: its object.
        envelope_keys: keys of the envelopes that are not used.
        settings: how to read its values.
    """

    path: Path
    number: int
    value: dict[str, Any]
    envelope_keys: tuple[str, ...] = ()
    settings: ReadSettings = DEFAULT

    @property
    def parts(self) -> Iterator[dict[str, Any]]:
        """Yield the object and its metadata."""
        yield self.value
        yield from (part for name in _METADATA if isinstance(part := self.value.get(name), dict))

    @property
    def name(self) -> str:
        """The name of the document; empty without one."""
        for part in self.parts:
            for key in _NAMES:
                if key in part and (name := identifier(part[key], "")):
                    return name
        return ""

    @property
    def image(self) -> Path | None:
        """The page that the line names, if it is a file in the folder of the log."""
        for part in self.parts:
            for key in _IMAGES:
                if (name := part.get(key)) is not None and (image := image_inside(self.path.parent, name)):
                    return image
        return None

    @property
    def is_signed(self) -> bool:
        """True if the line names a user and a type of correction; a user without one may have sent the document."""
        keys = ("user_id", "correction_type")
        return any(all(identifier(part.get(key), "") for key in keys) for part in self.parts)

    @property
    def is_confirmed(self) -> bool:
        """True if a reviewer confirmed the line: it is signed, or the project sets `reviewed` for the log."""
        return self.settings.reviewed or self.is_signed

    def rejected(self, filter_name: str, reason: str) -> Rejection:
        document_id = self.name or f"{self.path.name}:{self.number}"
        return Rejection(str(self.path), self.number, document_id, filter_name, reason[:2000])

    def unreviewed(self, reason: str) -> Rejection:
        return self.rejected("reviewed", f"{reason}; {_REVIEWED}")

    def accepted(self, truth: GroundTruth, *used: str, model_output: Any = None) -> DocumentRecord:
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
            declared_fault=truth.fault or declared_fault(self.settings.document_type, truth.answer),
            unused_keys=unused(self.value, _NOT_TAUGHT.union(used)) + self.envelope_keys + truth.unused_keys,
            language=truth.language,
            model_output=model_output,
            complete=truth.complete,
        )


def read_logged(path: Path, number: int, value: dict[str, Any], settings: ReadSettings = DEFAULT) -> RecordOrRejection:
    """Read the object on line `number` of the log `path`, in the first format whose keys it has.

    Raises:
        ValueError: an envelope without an object, or too many envelopes.
    """
    line = _LogLine(path, number, *_unwrapped(value), settings)
    demo = line.value.get("demo_mode")
    for keys, read in _FORMATS:
        if not keys <= line.value.keys():
            continue
        if demo not in (None, False):
            return line.rejected("reviewed", f"demo_mode is {shown(demo)}: a demonstration, not a correction")
        return read(line)
    found = ", ".join(sorted(line.value))[:1000]
    return line.rejected(
        "source",
        f"unknown format of a logged correction: its keys are {found or 'none'}; "
        "log corrections as document_id, corrected_output and ocr_context, or in another format of docs/data.md",
    )


def _unwrapped(value: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Format 8: return the object inside the envelopes, and the unused keys of the envelopes."""
    envelope_keys: tuple[str, ...] = ()
    for _ in range(MAX_ENVELOPES + 1):
        if not value.keys() >= _ENVELOPE:
            return value, envelope_keys
        envelope_keys += unused(value, _ENVELOPE)
        payload = value["payload"]
        value = parse_value(payload.encode()) if isinstance(payload, str) else payload
        if not isinstance(value, dict):
            raise ValueError(f"payload is not an object: {shown(value)}")
    raise ValueError(f"more than {MAX_ENVELOPES} envelopes (ts, payload), one inside another")


def _read_field_correction(line: _LogLine) -> RecordOrRejection:
    """Format 1: extracted fields and a reviewer's changes; unchanged fields were reviewed too."""
    return _corrected(line, "extracted_data", "correction")


def _read_corrected_completion(line: _LogLine) -> RecordOrRejection:
    """Format 4: output of a model and a reviewer's changes."""
    return _corrected(line, "completion", "corrections")


def _read_user_correction(line: _LogLine) -> RecordOrRejection:
    """Format 6: the same with the keys of a service with jobs."""
    return _corrected(line, "model_output", "user_correction")


def _corrected(line: _LogLine, output: str, correction: str) -> RecordOrRejection:
    if line.value[correction] in _EMPTY:
        if line.settings.reviewed and output in line.value:
            return _confirmed(line, output, output, correction)
        return line.unreviewed(f"{correction} is empty: no reviewer confirmed this {output}")
    names = (output, correction)
    try:
        truth = read_corrected_answer(line.value.get(output), line.value[correction], names, line.settings)
    except ValueError as error:
        return line.rejected("canonical", str(error))
    return line.accepted(truth, output, correction, model_output=line.value.get(output))


def _read_corrected_output(line: _LogLine) -> RecordOrRejection:
    """Format 3: the corrected output is the truth; without one, the completion that was used for training."""
    kind = line.value.get("type", "correction")
    if kind != "correction" and not line.settings.reviewed:
        return line.unreviewed(f"type is {shown(kind)}, and only a correction is reviewed")
    name = "corrected_output" if line.value.get("corrected_output") is not None else "completion"
    used = ("type", "corrected_output", "completion", "original_output")
    return _confirmed(line, name, *used, model_output=line.value.get("original_output"))


def _read_corrected_document(line: _LogLine) -> RecordOrRejection:
    """Format 10: the whole document after a reviewer's changes."""
    if line.value["corrected"] in _EMPTY:
        return line.unreviewed("corrected is empty: the document was not confirmed")
    return _confirmed(line, "corrected", "corrected")


def _confirmed(line: _LogLine, name: str, *used: str, model_output: Any = None) -> RecordOrRejection:
    try:
        truth = read_logged_answer(line.value.get(name), line.settings)
    except ValueError as error:
        return line.rejected("canonical", f"{name}: {error}")
    if truth.unused_keys:
        truth = replace(truth, unused_keys=tuple(f"{name}.{key}" for key in truth.unused_keys))
    return line.accepted(truth, *used, model_output=model_output)


def _read_automatic(line: _LogLine) -> RecordOrRejection:
    """Format 2, and formats 1 and 6 without a correction: output of a model, with any confidence."""
    if line.settings.reviewed:
        name = "model_output" if "model_output" in line.value else "extracted_data"
        return _confirmed(line, name, name, *_OF_AUTOMATIC_LOGS)
    return line.unreviewed("an automatic log: no reviewer confirmed this model output")


def _read_completion(line: _LogLine) -> RecordOrRejection:
    """Formats 5 and 7: a request and the output of a model."""
    return _confirmed(line, "completion", "completion") if line.is_confirmed else _unsigned(line, "completion")


def _read_instruction(line: _LogLine) -> RecordOrRejection:
    """Formats 11 and 12: training examples whose outputs may come from a model."""
    return _confirmed(line, "output", "output") if line.is_confirmed else _unsigned(line, "output")


def _unsigned(line: _LogLine, name: str) -> Rejection:
    missing = "no correction, and no user_id with a correction_type"
    return line.unreviewed(f"no sign that a reviewer confirmed this {name}: {missing}")


def _read_pointers(line: _LogLine) -> RecordOrRejection:
    """Format 9: paths to the files of a job, and its confidence."""
    return line.rejected("canonical", "has no answer to train on, only paths of stored files")


# A format with a correction comes before the same format without one.
_FORMATS: tuple[tuple[frozenset[str], Callable[[_LogLine], RecordOrRejection]], ...] = (
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
