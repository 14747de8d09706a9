"""The folders in which files of a manifest are searched for; files elsewhere are never opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, ground_truth, write_json, write_page
from source_examples import make_source, read_source

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.files.paths import find_file

TEXT = "a file"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder `project` with `data/images/a.png`, beside a file outside."""
    for name in ("project/data/images/a.png", "project/data/a.txt", "outside.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("data/images/a.png", ["."]),
        ("images/a.png", ["data"]),
        ("data/images/a.png", ["data"]),
        ("images/a.png", ["data/images"]),
        ("data/images/a.png", ["data/images"]),
        ("a.png", ["data", "data/images"]),
        ("./images/a.png", ["data"]),
        ("images\\a.png", ["data"]),
    ],
)
def test_does_not_repeat_a_prefix(tree: Path, name: str, folders: list[str]) -> None:
    assert find_file(name, [tree / folder for folder in folders]).read_text() == TEXT


def test_error_lists_every_tried_path(tree: Path) -> None:
    with pytest.raises(ValueError, match="no such file; tried") as error:
        find_file("images/b.png", [tree, tree / "data", tree / "data/images"])
    for place in ("project/images/b.png", "data/images/b.png", "data/images/images/b.png"):
        assert str(tree.parent / place.replace("data", "project/data")) in str(error.value)


@pytest.mark.parametrize("name", ["../outside.txt", "data/../../outside.txt", "link.txt", "folder/outside.txt"])
def test_rejects_paths_outside_the_folder(tree: Path, name: str) -> None:
    (tree / "link.txt").symlink_to(tree.parent / "outside.txt")
    (tree / "folder").symlink_to(tree.parent)
    with pytest.raises(ValueError, match="leaves the folder"):
        find_file(name, [tree])


def test_rejects_an_absolute_path_outside(tree: Path) -> None:
    with pytest.raises(ValueError, match="leaves the folder"):
        find_file(str(tree.parent / "outside.txt"), [tree, tree / "data"])


@pytest.mark.parametrize("name", [None, 5, "", "  ", "https://a.example/a.png", "data:text/plain,x"])
def test_rejects_values_that_are_not_paths(tree: Path, name: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a path|is a URL"):
        find_file(name, [tree])


def write_corpus(folder: Path, prefix: str) -> Path:
    """Write a manifest whose paths begin with a prefix, as a generator writes them."""
    write_page(folder / "data/images/a.png")
    write_json(folder / "data/ground_truth/a.json", ground_truth())
    write_json(folder / "data/ocr/a.json", OCR)
    row = {
        "invoice_id": "RE-1",
        "image_path": f"{prefix}images/a.png",
        "ground_truth_path": f"{prefix}ground_truth/a.json",
        "ocr_path": f"{prefix}ocr/a.json",
    }
    return write_json(folder / "data/training_manifest.json", [row])


def read(manifest: Path, **folders: Path) -> RecordOrRejection:
    (found,) = read_source(make_source("manifest", manifest, **folders))
    return found


@pytest.mark.parametrize("prefix", ["", "data/", "./data/"])
def test_finds_files_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    write_corpus(tmp_path, prefix)
    monkeypatch.chdir(tmp_path)
    found = read(
        Path("data/training_manifest.json"), images_dir=Path("data"), ground_truth_dir=Path("data/ground_truth")
    )
    assert isinstance(found, DocumentRecord), found
    assert (found.images, found.ocr) == ((Path("data/images/a.png"),), OCR)


def test_finds_files_in_the_root_of_the_source(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path / "elsewhere", "")
    moved = tmp_path / "m.json"
    moved.write_bytes(manifest.read_bytes())
    assert isinstance(read(moved), Rejection)
    assert isinstance(read(moved, root=tmp_path / "elsewhere/data"), DocumentRecord)


def test_does_not_search_the_root_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    row = {"invoice_id": "1", "ground_truth_path": "truth.json", "ocr_path": "etc/passwd"}
    write_json(tmp_path / "truth.json", ground_truth())
    found = read(write_json(tmp_path / "m.json", [row]))
    assert isinstance(found, Rejection)
    assert "no such file; tried" in found.reason
