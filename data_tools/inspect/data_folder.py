"""Read the data folder of a build: its manifest, examples with their origin, and rejections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from data_tools.examples.building import TrainingExample
from data_tools.formats.training_examples import parse_example, parse_test_example
from data_tools.pipeline.manifest import MANIFEST, SAMPLES, DataManifest
from data_tools.pipeline.split import SplitName
from data_tools.records import Rejection
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.prompt_set import PromptSet
from erniekit_adapter.errors import failure, usage_error
from erniekit_adapter.files import MAX_JSON_BYTES, read_json, read_lines
from erniekit_adapter.project.former_data_names import current_manifest, current_rejection

BUILD_AGAIN = "run erniekit-adapter data build PROJECT again, or name a data folder that it wrote"
_FORMAT: TypeAdapter[DataFormat] = TypeAdapter(DataFormat)


@dataclass(frozen=True)
class TracedExample:
    """A training example with its origin.

    Attributes:
        split, task: split and task of the example.
        source: path of the file from which the document was read.
        line: line or entry number in that file, from 1; None if the whole file is one document.
        document_id: name of the document in its source.
        images: its pages, as the source gives them; a text model does not see them.
        faults: kinds of injected faults.
        left_out: fields removed from the answer because the request does not show them.
        tokens: tokens of request and answer together; None if they were not counted.
        text: the example in the format of its file.
    """

    split: SplitName
    task: str
    source: str
    line: int | None
    document_id: str
    images: tuple[str, ...]
    faults: tuple[str, ...]
    left_out: tuple[str, ...]
    tokens: int | None
    text: dict[str, Any]

    @property
    def location(self) -> str:
        """Return `file:line` of the document."""
        return f"{self.source}:{self.line}" if self.line else self.source


_MANIFEST: TypeAdapter[DataManifest] = TypeAdapter(DataManifest)
_SAMPLE: TypeAdapter[TracedExample] = TypeAdapter(TracedExample)
_REJECTION: TypeAdapter[Rejection] = TypeAdapter(Rejection)


def read_manifest(data_dir: Path) -> DataManifest:
    """Read the manifest of a data folder.

    Raises:
        UsageError: the folder has none, or one of another version.
    """
    path = data_dir / MANIFEST
    if not path.is_file():
        raise usage_error(data_dir, f"contains no {MANIFEST}", BUILD_AGAIN)
    value = read_json(path)
    value = current_manifest(value) if isinstance(value, dict) else value
    names = {field.name for field in fields(DataManifest)}
    if not isinstance(value, dict) or value.keys() != names:
        found = sorted(names ^ value.keys())[:10] if isinstance(value, dict) else type(value).__name__
        raise usage_error(path, f"was written by another version of data build; different keys: {found}", BUILD_AGAIN)
    try:
        return _MANIFEST.validate_python(value)
    except ValidationError as error:
        raise usage_error(path, _first(error), BUILD_AGAIN) from error


def manifest_format(manifest: DataManifest) -> DataFormat:
    """Return the format of a build's training examples.

    Raises:
        UsageError: the manifest names none.
    """
    try:
        return _FORMAT.validate_python(manifest.settings.get("form"))
    except ValidationError as error:
        raise usage_error(MANIFEST, f"settings.form: {_first(error)}", BUILD_AGAIN) from error


def request_prompts(manifest: DataManifest) -> PromptSet:
    """Return prompts that find the constant part of a build's requests; earlier builds are of invoices."""
    marks = manifest.settings.get("request_marks")
    prompts = INVOICE.prompts
    if not isinstance(marks, dict):
        return prompts
    ocr, data = (
        str(marks.get(name) or known) for name, known in (("ocr", prompts.ocr_mark), ("data", prompts.data_mark))
    )
    return replace(prompts, ocr_mark=ocr, data_mark=data)


def read_traced_examples(data_dir: Path) -> list[TracedExample]:
    """Read the examples whose origin is known: a few of each split and task, in order.

    Raises:
        AdapterError: the file is missing or invalid.
    """
    return [_read(_SAMPLE, data_dir / SAMPLES, *line) for line in read_whole_lines(data_dir / SAMPLES)]


def read_rejections(path: Path) -> Iterator[Rejection]:
    """Yield the records that filters rejected or warn of, one at a time.

    Raises:
        AdapterError: the file is missing or invalid.
    """
    for number, raw in read_whole_lines(path):
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise failure(f"{path}:{number}", f"not JSON: {error}", BUILD_AGAIN) from error
        current = orjson.dumps(current_rejection(value)) if isinstance(value, dict) and "gate" in value else raw
        yield _read(_REJECTION, path, number, current)


def read_whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) for each line of a file that a build wrote.

    Raises:
        AdapterError: the file is missing or cannot be read, or a line is longer than a build writes.
    """
    for number, raw in read_lines(path, MAX_JSON_BYTES):
        if raw is None:
            raise failure(f"{path}:{number}", f"longer than {MAX_JSON_BYTES:,} bytes", BUILD_AGAIN)
        yield number, raw


def parse_traced_example(traced: TracedExample, data_format: DataFormat, data_dir: Path) -> TrainingExample:
    """Parse the text of an example with known origin.

    Raises:
        AdapterError: the text is not in the format.
    """
    try:
        raw = orjson.dumps(traced.text)
        # Test examples have the format of evaluate, with an ID.
        return parse_test_example(raw, data_dir) if "id" in traced.text else parse_example(raw, data_format, data_dir)
    except ValueError as error:
        raise failure(data_dir / SAMPLES, f"{traced.document_id}: {error}", BUILD_AGAIN) from error


def shown_images(traced: TracedExample | None, example: TrainingExample) -> tuple[Path, ...]:
    """Return the pages to show with an example: those of its request, or else those of the document."""
    return example.images or tuple(map(Path, traced.images if traced else ()))


def _read(kind: TypeAdapter[Any], path: Path, number: int, raw: bytes) -> Any:
    try:
        return kind.validate_json(raw, strict=True)
    except ValidationError as error:
        raise failure(f"{path}:{number}", _first(error), BUILD_AGAIN) from error


def _first(error: ValidationError) -> str:
    """Return the first error of a validation, without the value itself."""
    first = error.errors(include_url=False, include_input=False)[0]
    location = ".".join(map(str, first["loc"]))
    return f"{location}: {first['msg']}" if location else str(first["msg"])
