"""What a build has written, read back to be looked at: its manifest, and lines with what they were made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from data_tools.lines.formats import read_check_line, read_training_line
from data_tools.pairs.pairs import Pair
from data_tools.records import Rejection
from data_tools.stage.data_manifest import MANIFEST, SAMPLES, DataManifest
from data_tools.stage.split import SplitName
from erniekit_adapter.errors import fail, misuse
from erniekit_adapter.files import MAX_JSON_BYTES, read_json, read_lines
from erniekit_adapter.project.schema import DataFormat

BUILD_AGAIN = "run data-tools build again, or name the data folder that it wrote"
_FORM: TypeAdapter[DataFormat] = TypeAdapter(DataFormat)


@dataclass(frozen=True)
class Sample:
    """A line with what it was made of.

    Attributes:
        split, task: where the line stands, and what it asks.
        source: path of the file that the document came from.
        line: line or entry number in that file, from 1; None where the whole file is one document.
        document_id: the name that the source gives the document.
        images: its pages, as the source gives them; a text model does not see them.
        faults: kinds of the faults that were injected.
        left_out: fields that left the answer because the request does not show them.
        tokens: of request and answer together; None where they were not counted.
        text: the line itself, as it stands in the split's file or as it would be trained on.
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
    def place(self) -> str:
        """`file:line` of the document."""
        return f"{self.source}:{self.line}" if self.line else self.source


_MANIFEST: TypeAdapter[DataManifest] = TypeAdapter(DataManifest)
_SAMPLE: TypeAdapter[Sample] = TypeAdapter(Sample)
_REJECTION: TypeAdapter[Rejection] = TypeAdapter(Rejection)


def read_manifest(data_dir: Path) -> DataManifest:
    """The manifest of a data folder.

    Raises:
        UsageError: the folder holds none, or one that another version wrote.
    """
    path = data_dir / MANIFEST
    if not path.is_file():
        raise misuse(data_dir, f"holds no {MANIFEST}", BUILD_AGAIN)
    value = read_json(path)
    names = {field.name for field in fields(DataManifest)}
    if not isinstance(value, dict) or value.keys() != names:
        found = sorted(names ^ value.keys())[:10] if isinstance(value, dict) else type(value).__name__
        raise misuse(path, f"is not this version's manifest: {found}", BUILD_AGAIN)
    try:
        return _MANIFEST.validate_python(value)
    except ValidationError as error:
        raise misuse(path, _first(error), BUILD_AGAIN) from error


def data_format(manifest: DataManifest) -> DataFormat:
    """The format of a build's lines.

    Raises:
        UsageError: the manifest names none.
    """
    try:
        return _FORM.validate_python(manifest.settings.get("form"))
    except ValidationError as error:
        raise misuse(MANIFEST, f"settings.form: {_first(error)}", BUILD_AGAIN) from error


def read_samples(data_dir: Path) -> list[Sample]:
    """The lines of a data folder of which is known what they were made of: some of each split and task, in order.

    Raises:
        AdapterError: the file is missing, or a line of it is no sample.
    """
    return [_read(_SAMPLE, data_dir / SAMPLES, *line) for line in read_whole_lines(data_dir / SAMPLES)]


def read_rejections(path: Path) -> Iterator[Rejection]:
    """The records that gates refused or warn of, one by one, however many there are.

    Raises:
        AdapterError: the file is missing, or a line of it tells of no record.
    """
    for line in read_whole_lines(path):
        yield _read(_REJECTION, path, *line)


def read_whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give (line number, line) for each line of a file that a build wrote.

    Raises:
        AdapterError: the file is missing or cannot be read, or a line is longer than any that a build writes.
    """
    for number, raw in read_lines(path, MAX_JSON_BYTES):
        if raw is None:
            raise fail(f"{path}:{number}", f"longer than {MAX_JSON_BYTES:,} bytes", BUILD_AGAIN)
        yield number, raw


def sample_pair(sample: Sample, form: DataFormat, data_dir: Path) -> Pair:
    """Request and answer of a sample, with the pages that go with them.

    Raises:
        AdapterError: its text is no line of the format.
    """
    try:
        raw = orjson.dumps(sample.text)
        # A test line stands in evaluate's form, which has an id.
        return read_check_line(raw, data_dir) if "id" in sample.text else read_training_line(raw, form, data_dir)
    except ValueError as error:
        raise fail(data_dir / SAMPLES, f"{sample.document_id}: {error}", BUILD_AGAIN) from error


def shown_images(sample: Sample | None, pair: Pair) -> tuple[Path, ...]:
    """The pages to show with a pair: those that go with it, else those of the document, which only people see."""
    return pair.images or tuple(map(Path, sample.images if sample else ()))


def visible(text: str) -> str:
    """A text of a document, with everything in it that would steer a terminal or turn text around spelt out.

    Line ends and blanks of every width stay as they are; a control character becomes its picture (␛), any other that
    shows nothing its number (‹U+202E›).
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _spelt(character) for character in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == "\n" or unicodedata.category(character) == "Zs"


def _spelt(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"‹U+{code:04X}›"


def _read(kind: TypeAdapter[Any], path: Path, number: int, raw: bytes) -> Any:
    try:
        return kind.validate_json(raw, strict=True)
    except ValidationError as error:
        raise fail(f"{path}:{number}", _first(error), BUILD_AGAIN) from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with a value, without the value itself."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
