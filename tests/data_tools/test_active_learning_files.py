"""Whole logs with all formats: records, rejections and counts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import simplejson
from data_examples import numbered, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from logged_examples import AUTOMATIC, CORRECTED, SHAPES, envelope
from source_examples import read_log

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.files.json_values import parse_value
from erniekit_adapter.project.schema import ActiveLearningSource

TRAIN_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)


def about(number: int, shape: str, name: str | None = None) -> dict[str, Any]:
    """Return a line of a format about another invoice, with its own number in OCR and answer."""
    text = simplejson.dumps(SHAPES[shape], use_decimal=True).replace("RE-1", f"RE-{number}")
    return simplejson.loads(text.replace("doc-1", name or f"doc-{number}"), use_decimal=True)


def build_log(folder: Path, *values: Any) -> DataManifest:
    path = write_lines(folder / "log.jsonl", list(values))
    return build([ActiveLearningSource(kind="active_learning", path=path)], folder / "out", TRAIN_ONLY)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_text().splitlines()]


def written_numbers(folder: Path) -> list[str]:
    answers = [json.loads(row["tgt"][0]) for row in rows(folder, "train")]
    return [answer["structured_data"]["client_info"]["invoice_number"] for answer in answers]


def test_builds_a_log_of_all_formats(tmp_path: Path) -> None:
    lines = [about(number, shape) for number, shape in enumerate(SHAPES, start=1)]
    odd = [envelope(about(4, "4", "again"), depth=2), {"colour": "red"}, about(99, "10") | {"demo_mode": True}, b"{"]
    found = build_log(tmp_path, *lines, *odd)
    shapes = dict(zip(SHAPES, range(1, 20), strict=False))
    assert written_numbers(tmp_path) == [f"RE-{shapes[shape]}" for shape in CORRECTED]
    rejected = {(row["line"], row["filter"]) for row in rows(tmp_path, "rejected")}
    assert rejected == {
        *((shapes[shape], "reviewed") for shape in AUTOMATIC),
        (shapes["9"], "canonical"),
        (14, "duplicate"),
        (15, "source"),
        (16, "reviewed"),
        (17, "source"),
    }
    assert (found.read, found.written, found.rejected, found.duplicates) == (17, 6, 10, 1)
    assert found.unused_keys == {}


@pytest.mark.parametrize("shape", CORRECTED)
def test_finds_a_repeated_document(tmp_path: Path, shape: str) -> None:
    again = about(1, shape, "another-name")
    inner = again["payload"] if shape == "8" else again
    inner["timestamp"] = "2026-01-15T10:00:00"
    found = build_log(tmp_path, SHAPES[shape], again)
    assert (found.written, found.duplicates) == (1, 1)
    (row,) = rows(tmp_path, "rejected")
    assert row["filter"] == "duplicate"
    assert row["reason"].endswith("log.jsonl:1")


def test_finds_a_document_repeated_in_another_format(tmp_path: Path) -> None:
    found = build_log(tmp_path, *(about(1, shape, f"name-{shape}") for shape in ("3", "4", "6", "8", "10")))
    assert (found.written, found.duplicates) == (1, 4)


def test_rejects_a_log_without_ocr_for_a_text_model(tmp_path: Path) -> None:
    found = build_log(tmp_path, SHAPES["3"], about(2, "10") | {"ocr_context": None})
    assert found.by_filter == {"visible": 1}


# Replaced by JSON that is nested too deeply for the writer of the tests.
DEEP = "@deep@"
ODD = st.one_of(
    st.just(DEEP),
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "{", "{}", "[]", "NaN", '{"structured_data":{}}', "¥", "1,234", "03/04/2025", "correction"]),
    st.sampled_from([[], {}, [[]], [{}], {"structured_data": None}, {"field_name": "total", "value": []}]),
    st.builds(lambda depth: envelope({}, depth), st.integers(1, 90)),
    st.builds(lambda character, size: character * size, st.sampled_from("x9[€"), st.sampled_from([5000, 200_000])),
    st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=3),
)


def containers(value: Any) -> list[tuple[Any, Any]]:
    """Yield every object and list in a value, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in containers(value[key])]


@st.composite
def mutated(draw: st.DrawFn, shapes: tuple[str, ...]) -> bytes:
    """Draw a line of one of the formats with a few values removed or replaced, also inside JSON in a string."""
    value = copy.deepcopy(SHAPES[draw(st.sampled_from(shapes))])
    for _ in range(draw(st.integers(1, 3))):
        if not (found := containers(value)):
            break
        part, key = draw(st.sampled_from(found))
        if isinstance(part[key], str) and part[key].startswith('{"structured_data"'):
            part[key] = parse_value(part[key].encode())
        elif draw(st.booleans()):
            del part[key]
        else:
            part[key] = copy.deepcopy(draw(ODD))
        if draw(st.integers(0, 3)) == 0 and isinstance(key, str) and isinstance(part.get(key), dict):
            part[key] = written(part[key])
    return written(value).encode()


def written(value: Any) -> str:
    text = simplejson.dumps(value, use_decimal=True, allow_nan=True)
    return text.replace(f'"{DEEP}"', "[" * 3000 + "]" * 3000)


def read_bytes(raw: bytes) -> list[RecordOrRejection]:
    with TemporaryDirectory() as folder:
        return read_log(Path(folder), raw)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(mutated(tuple(SHAPES)))
def test_any_line_gives_a_record_or_a_rejection(raw: bytes) -> None:
    (found,) = read_bytes(raw)
    assert isinstance(found, DocumentRecord) or (found.filter in {"source", "canonical", "reviewed"} and found.reason)
    assert isinstance(found, DocumentRecord) or len(found.reason) <= 2000


@settings(max_examples=200, deadline=None)
@given(mutated((*AUTOMATIC, "9")))
def test_accepts_only_reviewed_lines(raw: bytes) -> None:
    (found,) = read_bytes(raw)
    assert isinstance(found, Rejection)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(mutated(tuple(SHAPES)), min_size=1, max_size=5))
def test_counts_of_any_log_add_up(lines: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        found = build_log(Path(folder), numbered(SHAPES["3"], 10**6), *lines)
    assert found.read == 1 + len(lines)
    assert found.read == found.written + found.rejected + found.duplicates
