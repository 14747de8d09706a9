"""Atomic writes, hashes, size limits, and paths that stay in their folder."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import (
    fingerprint,
    is_inside,
    read_bytes,
    read_json,
    read_lines,
    refuse_foreign_folder,
    sha256,
    write_json,
    write_text,
    writing,
    writing_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_a_file_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "grüße")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "grüße".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a.txt") as stream:
        stream.write(b"new" * (1 // 0))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AdapterError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with writing_folder(tmp_path / "bundle") as folder:
            (folder / content).touch()
    assert names(tmp_path / "bundle") == ["second"]
    assert names(tmp_path) == ["bundle"]


def test_failed_folder_write_keeps_the_old_folder(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "bundle") as folder:
        (folder / "first").touch()
    with pytest.raises(ZeroDivisionError), writing_folder(tmp_path / "bundle") as folder:
        write_text(folder / "second", "x" * (1 // 0))
    assert names(tmp_path / "bundle") == ["first"]
    assert names(tmp_path) == ["bundle"]


def test_rejects_a_folder_with_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match=r"was not made by erniekit-adapter \(it has no manifest\.json\)"):
        refuse_foreign_folder(tmp_path, "manifest.json")
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        refuse_foreign_folder(tmp_path / "thesis.txt", "manifest.json")
    assert names(tmp_path) == ["thesis.txt"]


def test_accepts_missing_empty_and_own_folders(tmp_path: Path) -> None:
    refuse_foreign_folder(tmp_path / "missing", "manifest.json")
    refuse_foreign_folder(tmp_path, "manifest.json")
    (tmp_path / "manifest.json").touch()
    (tmp_path / "more").touch()
    refuse_foreign_folder(tmp_path, "manifest.json")
    assert names(tmp_path) == ["manifest.json", "more"]


def test_writes_json_with_sorted_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [Decimal("1.50")]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    "1.50"\n  ],\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": ["1.50"], "b": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"NaN"])
def test_rejects_a_file_that_is_not_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(AdapterError, match=r"a\.json: not JSON"):
        read_json(tmp_path / "a.json")


def test_rejects_a_file_over_the_size_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    assert len(read_bytes(tmp_path / "a", 11)) == 11
    with pytest.raises(AdapterError, match="11 bytes, more than the limit of 10"):
        read_bytes(tmp_path / "a", 10)


def test_reads_regular_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("missing", "no such file"), (".", "not a regular file"), ("pipe", "not a regular file")):
        with pytest.raises(AdapterError, match=message):
            read_bytes(tmp_path / name)
        with pytest.raises(AdapterError, match=message):
            list(read_lines(tmp_path / name))


def test_numbers_lines_and_skips_blank_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\n\n  \nfour")
    assert list(read_lines(tmp_path / "a")) == [(1, b"one"), (4, b"four")]


def test_line_over_the_limit_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"short\n" + b"x" * 3_000_000 + b"\nlast\n")
    assert list(read_lines(tmp_path / "a", limit_bytes=10)) == [(1, b"short"), (2, None), (3, b"last")]


lines_without_ends = st.binary(max_size=6).filter(lambda line: b"\n" not in line and line.strip() == line)


@given(lines=st.lists(lines_without_ends, max_size=6))
def test_round_trip_of_any_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in [b"#", *lines]))
    expected = [(n, line if len(line) <= 4 else None) for n, line in enumerate(lines, start=2) if line]
    assert list(read_lines(path, limit_bytes=4)) == [(1, b"#"), *expected]


def test_hash_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_fingerprint_ignores_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert orjson.loads(orjson.dumps(fingerprint({"a": 2**70}))).isalnum()


@pytest.mark.parametrize(
    ("path", "inside"), [("a", True), ("a/b", True), (".", True), ("../a", False), ("a/../..", False)]
)
def test_is_inside_resolves_dots(tmp_path: Path, path: str, inside: bool) -> None:
    assert is_inside(tmp_path, tmp_path / path) is inside


def test_is_inside_resolves_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/etc")
    assert not is_inside(tmp_path / "folder", tmp_path / "folder" / "link" / "passwd")


def test_circular_link_is_not_inside(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert not is_inside(tmp_path, tmp_path / "loop")
