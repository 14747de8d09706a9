"""Hostile files do not stop the stage: each is reported, and the counts add up."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import simplejson
from data_examples import OCR, automatic_log, correction, flat_correction, ground_truth, interchange, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.schema import ActiveLearningSource, AnySource, ManifestSource, TrainingExamplesSource

pytestmark = pytest.mark.slow

GOOD = numbered(correction(), 10**6)
HOSTILE: dict[str, bytes] = {
    "invalid UTF-8": b'{"document_id": "\xff\xfe"}',
    "half a character": b'{"document_id": "\\ud800", "corrected_output": {}}',
    "NaN": b'{"document_id": NaN}',
    "infinity": b'{"document_id": -Infinity}',
    "beyond all limits": b'{"document_id": 1e99999999999999999999}',
    "thousands of digits": b'{"document_id": ' + b"9" * 5000 + b"}",
    "5 MB": b'{"document_id": "' + b"x" * 5_000_000 + b'"}',
    "deep": b'{"corrected_output": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep enough to be read": simplejson.dumps({**correction(), "ocr_context": {"raw_ocr": "@"}})
    .replace('"@"', "[" * 300 + "]" * 300)
    .encode(),
    "a key given twice": b'{"document_id": "a", "document_id": "b"}',
    "a list": b"[]",
    "a number": b"7",
    "cut off": b'{"document_id": "a", "corrected_output": {"struc',
    "NUL": b"\0\0\0",
    "no JSON": b"hello",
    "wrong types": simplejson.dumps(
        {"document_id": [1], "corrected_output": 5, "metadata": "x", "ocr_context": 7}
    ).encode(),
    "wrong types in fields": simplejson.dumps(
        {"document_id": {}, "extracted_data": {"a": 1}, "correction": {"vendor_name": []}}
    ).encode(),
    "half a character in an answer": simplejson.dumps(
        correction(corrected_output='{"structured_data":{"vendor_block":{"name":"\\ud800"}}}')
    ).encode(),
}


def source_of(kind: str, path: Path) -> AnySource:
    return (
        TrainingExamplesSource(kind="training_examples", path=path)
        if kind == "lines"
        else ActiveLearningSource(kind="active_learning", path=path)
    )


def build_lines(folder: Path, kind: str, content: bytes) -> DataManifest:
    path = folder / "input.jsonl"
    path.write_bytes(content)
    return build([source_of(kind, path)], folder / "out", BuildSettings())


@pytest.mark.parametrize("name", HOSTILE)
def test_rejects_only_the_hostile_line_of_a_log(tmp_path: Path, name: str) -> None:
    good = simplejson.dumps(GOOD).encode()
    found = build_lines(tmp_path, "active_learning", HOSTILE[name] + b"\n" + good + b"\n")
    assert found.read == 2
    assert found.written >= 1


@pytest.mark.parametrize("name", HOSTILE)
def test_rejects_only_the_hostile_training_example(tmp_path: Path, name: str) -> None:
    good = simplejson.dumps(interchange()).encode()
    found = build_lines(tmp_path, "lines", good + b"\n" + HOSTILE[name])
    assert (found.read, found.written, found.rejected) == (2, 1, 1)


@pytest.mark.parametrize("name", HOSTILE)
def test_rejects_only_the_document_of_hostile_ground_truth(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.json").write_bytes(HOSTILE[name])
    (tmp_path / "good.json").write_text(simplejson.dumps(ground_truth()))
    (tmp_path / "ocr.json").write_text(simplejson.dumps(OCR))
    rows = [{"invoice_id": n, "ground_truth_path": f"{n}.json", "ocr_path": "ocr.json"} for n in ("bad", "good")]
    (tmp_path / "m.json").write_text(simplejson.dumps(rows))
    found = build([ManifestSource(kind="manifest", path=tmp_path / "m.json")], tmp_path / "out", BuildSettings())
    assert (found.read, found.written, found.rejected) == (2, 1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + simplejson.dumps(GOOD).encode(),
        simplejson.dumps(GOOD).encode() + b"\r\n",
        b"\r\n\r\n  \n" + simplejson.dumps(GOOD).encode() + b"\n\n\n",
    ],
    ids=["byte-order mark", "CRLF", "blank lines"],
)
def test_ignores_harmless_bytes_around_a_line(tmp_path: Path, content: bytes) -> None:
    found = build_lines(tmp_path, "active_learning", content)
    assert (found.read, found.written) == (1, 1)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(AdapterError, match="contain no records"):
        build_lines(tmp_path, "active_learning", content)


def test_folder_instead_of_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "input.jsonl").mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        build([source_of("lines", tmp_path / "input.jsonl")], tmp_path / "out", BuildSettings())


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["€ 12", "1,234", "31.02.2025", "../../etc/passwd", "{", '{"structured_data":{}}', "¥", "-0.00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_in(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield the path to every value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [here, *(place for key, part in inner for place in paths_in(part, (*here, key)))]
        if here
        else [place for key, part in inner for place in paths_in(part, (key,))]
    )


@st.composite
def mutated(draw: st.DrawFn, originals: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw one of the originals with a few values removed or replaced by any other."""
    value = copy.deepcopy(draw(st.sampled_from(originals)))
    if isinstance(value.get("corrected_output"), str) and draw(st.booleans()):
        value["corrected_output"] = json.loads(value["corrected_output"])
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(paths_in(value)))
        part: Any = value
        for key in way:
            part = part[key]
        if draw(st.booleans()):
            part[last] = draw(VALUES)
        elif isinstance(part, dict):
            del part[last]
        if not value:
            break
    return value


def check_any_file(kind: str, good: dict[str, Any], values: list[dict[str, Any]], cut: int) -> None:
    lines = [simplejson.dumps(value).encode() for value in values]
    lines[0] = lines[0][: len(lines[0]) - cut] if cut else lines[0]
    content = b"\n".join([simplejson.dumps(good).encode(), *(line or b"{" for line in lines)])
    with TemporaryDirectory() as folder:
        found = build_lines(Path(folder), kind, content)
    assert found.read == 1 + sum(1 for line in content.split(b"\n")[1:] if line.strip())
    assert found.read == found.written + found.rejected + found.duplicates


@settings(max_examples=150, deadline=None)
@given(st.lists(mutated([correction(), flat_correction(), automatic_log()]), min_size=1, max_size=6), st.integers(0, 9))
def test_reads_any_log_to_its_end(values: list[dict[str, Any]], cut: int) -> None:
    check_any_file("active_learning", GOOD, values, cut)


@settings(max_examples=100, deadline=None)
@given(st.lists(mutated([interchange(), {"src": ["a"], "tgt": ["{}"]}]), min_size=1, max_size=6), st.integers(0, 9))
def test_reads_any_training_examples_to_their_end(values: list[dict[str, Any]], cut: int) -> None:
    check_any_file("lines", interchange(), values, cut)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(mutated([ground_truth()]), min_size=1, max_size=4),
    mutated(
        [{"invoice_id": "a", "image_path": "x", "ground_truth_path": "0.json", "ocr_path": "o.json", "page_num": 1}]
    ),
)
def test_reads_any_manifest_to_its_end(truths: list[dict[str, Any]], odd_row: dict[str, Any]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "o.json").write_text(simplejson.dumps(OCR))
        for number, truth in enumerate([*truths, ground_truth()]):
            (folder / f"{number}.json").write_text(simplejson.dumps(truth))
        rows = [
            {"invoice_id": f"id-{n}", "ground_truth_path": f"{n}.json", "ocr_path": "o.json"}
            for n in range(len(truths) + 1)
        ]
        (folder / "m.json").write_text(simplejson.dumps([*rows, odd_row]))
        found = build([ManifestSource(kind="manifest", path=folder / "m.json")], folder / "out", BuildSettings())
    assert found.written >= 1
    assert found.read == found.written + found.rejected + found.duplicates
