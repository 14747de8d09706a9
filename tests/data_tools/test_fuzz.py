"""Twenty thousand broken lines in one log: none stops the run, opens a file elsewhere, or is lost."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import simplejson
from data_examples import correction, interchange
from logged_examples import SHAPES

from data_tools.build_settings import BuildSettings, RunnerSettings
from data_tools.pipeline.build import build
from erniekit_adapter.project.schema import (
    ActiveLearningSource,
    AnySource,
    FiltersSection,
    TasksSection,
    TrainingExamplesSource,
)

pytestmark = pytest.mark.slow

LINES = 20_000
HERE = RunnerSettings(workers=1)
EVERYTHING_ON = BuildSettings(
    filters=FiltersSection(personal="mask", dates="error"),
    tasks=TasksSection(extraction=1, validation=1),
    prompt_templates=4,
    preference=True,
)

Json = Any
Mutation = Callable[[random.Random, bytes], bytes]
ODD_VALUES: tuple[Json, ...] = (
    None, True, 0, -1, 10**40, 1.5, 1e308, "", " ", "NaN", "¥", "1,234", "03/04/2025", "31.02.2025", "\u0000", "\u2028",
    "<|end_of_sentence|>", "../../etc/passwd", "/etc/passwd", "https://example.com/1.png", "file:///etc/passwd",
    "a" * 5000, "€ -12,00", "DE89 3704 0044 0532 0130 00", [], {}, [[]], [None], {"a": {"b": []}},
    {"field_name": "total"}, {"structured_data": {}}, "{", '{"structured_data":{"line_items":[{}]}}', "\ud83d\ude00",
)  # fmt: skip


def flip_bytes(rng: random.Random, line: bytes) -> bytes:
    """Replace bytes by any others: broken UTF-8, broken JSON, other digits."""
    changed = bytearray(line)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(len(changed))] = rng.choice(b'"{}[]:,\\ 0Ee-.\x00\x80\xff\xc3\xed')
    return bytes(changed).replace(b"\n", b" ")


def cut(rng: random.Random, line: bytes) -> bytes:
    """Keep only the beginning or the end."""
    place = rng.randrange(1, len(line))
    return line[:place] if rng.random() < 0.5 else line[place:]


def repeat(rng: random.Random, line: bytes) -> bytes:
    """Repeat a part several times: repeated keys, two values on a line, deep nesting."""
    start = rng.randrange(len(line))
    end = min(len(line), start + rng.randrange(1, 40))
    return line[:start] + line[start:end] * rng.choice((2, 3, 2000)) + line[end:]


def odd_ends(rng: random.Random, line: bytes) -> bytes:
    """Add a byte-order mark, a carriage return, blanks, a comma or a null byte."""
    before, after = rng.choice((b"\xef\xbb\xbf", b"", b"\t ")), rng.choice((b"\r", b",", b"\x00", b" \t", b"\x0c"))
    return before + line + after


def nest(rng: random.Random, line: bytes) -> bytes:
    """Nest the value too deeply."""
    depth = rng.choice((50, 500, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"ts":1,"payload":', b"}")))
    return opening * depth + line + closing * depth


def replace_values(rng: random.Random, line: bytes) -> bytes:
    """Replace values anywhere in it by odd ones, remove them, or change their keys."""
    value = simplejson.loads(line)
    for _ in range(rng.randint(1, 4)):
        holder = rng.choice(list(holders(value)))
        if not holder:
            continue
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        odd = copy.deepcopy(rng.choice(ODD_VALUES))
        if rng.random() < 0.2 and isinstance(holder, dict):
            holder[rng.choice(("", "a.b", "structured_data", "image", key * 2))] = odd
        elif rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = odd
    return simplejson.dumps(value, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")


def holders(value: Json) -> list[Json]:
    """Yield every object and list in a value."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (dict, list)):
            found.append(part)
            waiting += part.values() if isinstance(part, dict) else part
    return found


MUTATIONS: tuple[Mutation, ...] = (flip_bytes, cut, repeat, odd_ends, nest, *[replace_values] * 3)


def mutated(originals: list[Json], count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)  # noqa: S311
    lines = []
    texts = [simplejson.dumps(value).encode() for value in originals]
    for _ in range(count):
        line = rng.choice(texts)
        for _ in range(rng.choice((1, 1, 2))):
            try:
                line = rng.choice(MUTATIONS)(rng, line) or b"{"
            except (ValueError, RecursionError):
                continue  # no longer JSON: left unchanged
        lines.append(line.replace(b"\n", b" ")[:3_000_000])
    return lines


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return every path that is opened while the test runs."""
    paths: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], (str, bytes)):
            paths.append(arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0])

    sys.addaudithook(watch)
    yield paths
    watching.clear()  # an audit hook cannot be removed


@pytest.mark.parametrize(
    ("kind", "originals"),
    [("active_learning", list(SHAPES.values())), ("lines", [interchange(), {"src": ["a"], "tgt": ["{}"]}])],
)
def test_every_mutated_line_is_written_or_rejected(
    kind: str, originals: list[Json], tmp_path: Path, opened: list[str]
) -> None:
    lines = [simplejson.dumps(correction() if kind == "active_learning" else interchange()).encode()]
    lines += mutated(originals, LINES, seed=11)
    (tmp_path / "input.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    source: AnySource = (
        ActiveLearningSource(kind="active_learning", path=tmp_path / "input.jsonl")
        if kind == "active_learning"
        else TrainingExamplesSource(kind="training_examples", path=tmp_path / "input.jsonl")
    )
    found = build([source], tmp_path / "out", replace(EVERYTHING_ON, eval_ratio=0.1), runner=HERE)
    assert found.read == sum(1 for line in lines if line.strip())
    assert found.read == found.written + found.rejected + found.duplicates
    assert found.written >= 1
    rejected = [orjson.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_bytes().splitlines()]
    assert all(row["line"] and row["filter"] and row["reason"] for row in rejected)
    assert len({row["line"] for row in rejected}) == len(rejected)
    assert not [path for path in opened if "passwd" in path]


def test_reads_on_after_a_line_of_ten_megabytes(tmp_path: Path) -> None:
    huge = b'{"corrected_output": "' + b"a" * 10_000_000 + b'"}'
    (tmp_path / "log.jsonl").write_bytes(huge + b"\n" + simplejson.dumps(correction()).encode() + b"\n")
    source = ActiveLearningSource(kind="active_learning", path=tmp_path / "log.jsonl")
    found = build([source], tmp_path / "out", BuildSettings(0, 0), runner=HERE)
    assert (found.written, found.by_filter) == (1, {"source": 1})
    assert found.first_reasons["source"].startswith(f"{source.path}:1: longer than")
