"""The file with the highest counter of each key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from erniekit_adapter.bundle.counters import check_counter, remember
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import read_json

MANIFEST = Path("manifest.json")


def test_rejects_a_lower_counter(tmp_path: Path) -> None:
    file = tmp_path / "state" / "counters"
    check_counter(file, "a", 1, MANIFEST)
    remember(file, "a", 7)
    check_counter(file, "a", 7, MANIFEST)
    check_counter(file, "b", 1, MANIFEST)
    with pytest.raises(AdapterError, match="6, but a bundle with 7 was already used"):
        check_counter(file, "a", 6, MANIFEST)


@pytest.mark.parametrize(
    ("seen", "hint"), [(7, r"--counter 8"), (2**53 - 1, "another key"), (10**15, r"--counter 1000000000000001")]
)
def test_hint_names_the_next_counter(seen: int, hint: str, tmp_path: Path) -> None:
    remember(tmp_path / "counters", "a", seen)
    with pytest.raises(AdapterError, match=hint):
        check_counter(tmp_path / "counters", "a", 6, MANIFEST)


@pytest.mark.parametrize("counter", [None, 0, -1, True, 1.0, "7", 2**53])
def test_rejects_invalid_counters(counter: object, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"manifest\.json counter"):
        check_counter(tmp_path / "counters", "a", counter, MANIFEST)


def test_keeps_the_highest_of_concurrent_calls(tmp_path: Path) -> None:
    file = tmp_path / "counters"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: remember(file, f"k{number % 3}", number), range(1, 61)))
    assert read_json(file)["counters"] == {"k0": 60, "k1": 58, "k2": 59}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 2, "counters": {}}', '{"counters": []}'])
def test_rejects_a_damaged_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "counters").write_text(content)
    with pytest.raises(UsageError, match="restore it"):
        check_counter(tmp_path / "counters", "a", 1, MANIFEST)
    with pytest.raises(UsageError):
        remember(tmp_path / "counters", "a", 1)


def test_names_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"counter_file \(or ERNIE_COUNTER_FILE\)"):
        remember(tmp_path / "file" / "counters", "a", 1)
