"""Temporary files and folders: removed after a kill, and never confused with other files."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from erniekit_adapter import temporary
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import empty_folder, explaining_full_disk, write_text, writing_folder
from erniekit_adapter.processes import Process, read_process, this_process
from erniekit_adapter.temporary import MARK, remove_abandoned

ROOT = Path(__file__).resolve().parents[1]
ENDED = replace(this_process("export"), started=1)
ELSEWHERE = replace(this_process("export"), place="another machine")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed_while(statement: str, folder: Path) -> None:
    """Run a statement on `folder` in a process that kills itself with `die()`."""
    lines = [
        "import os, signal, pathlib",
        "from erniekit_adapter import temporary",
        "from erniekit_adapter.files import *",
        "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
        f"folder = pathlib.Path({str(folder)!r})",
        statement,
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def left_by(parent: Path, process: Process, name: str = "bundle") -> Path:
    folder = parent / f".{name}.{process.token}.partial"
    (folder / "content").mkdir(parents=True)
    (folder / MARK).write_bytes(process.content())
    folder.with_suffix(".new").mkdir()
    return folder


def test_next_run_removes_leftovers_of_a_killed_run(tmp_path: Path) -> None:
    killed_while("with writing_folder(folder / 'bundle') as half:\n    (half / 'a').touch(); die()", tmp_path)
    assert len(names(tmp_path)) == 2
    with writing_folder(tmp_path / "bundle") as folder:
        (folder / "whole").touch()
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["whole"]


def test_restores_a_folder_moved_by_a_killed_run(tmp_path: Path) -> None:
    write_text(tmp_path / "bundle" / "first", "")
    # Killed between the two renames: the old folder is moved away, the new one is not in place yet.
    killed_while(
        "rename, count = pathlib.Path.rename, []\n"
        "pathlib.Path.rename = lambda *a: die() if count else (count.append(1), rename(*a))\n"
        "with writing_folder(folder / 'bundle'): pass",
        tmp_path,
    )
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(ZeroDivisionError), writing_folder(tmp_path / "bundle") as folder:
        write_text(folder / "second", "x" * (1 // 0))
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["first"]


@pytest.mark.parametrize(
    ("process", "alone", "removed"),
    [
        (ENDED, False, True),
        (this_process(""), True, False),
        (ELSEWHERE, False, False),
        (ELSEWHERE, True, True),
        (replace(this_process(""), pid=2**22 + 1), False, True),
    ],
    ids=["ended", "running", "elsewhere", "elsewhere, locked", "no such process"],
)
def test_removes_only_abandoned_folders(tmp_path: Path, process: Process, alone: bool, removed: bool) -> None:
    left_by(tmp_path, process)
    remove_abandoned(tmp_path, "bundle", alone=alone)
    assert (names(tmp_path) == []) is removed


def foreign(folder: Path) -> None:
    (folder / "thesis.txt").write_text("x")


def empty_mark(folder: Path) -> None:
    (folder / MARK).touch()


def mark_of_another(folder: Path) -> None:
    (folder / MARK).write_bytes(replace(ENDED, token="0" * 16).content())


def linked_mark(folder: Path) -> None:
    (folder.parent / "elsewhere").write_bytes(ENDED.content())
    (folder / MARK).symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("fill", [foreign, empty_mark, mark_of_another, linked_mark])
def test_keeps_a_folder_without_a_valid_mark(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    folder = tmp_path / f".bundle.{ENDED.token}.partial"
    folder.mkdir()
    fill(folder)
    before = names(folder)
    for _ in range(2):
        with writing_folder(tmp_path / "bundle", alone=True):
            pass
    assert names(folder) == before


@pytest.mark.parametrize("name", [".bundle.1234.partial", ".bundle.retired", ".bundle.0123456789abcdef.new"])
def test_keeps_names_of_earlier_versions(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name / "mine", "")
    with writing_folder(tmp_path / "bundle", alone=True):
        pass
    assert names(tmp_path / name) == ["mine"]


def test_does_not_follow_a_marked_link(tmp_path: Path) -> None:
    real = left_by(tmp_path / "mine", ENDED)
    (tmp_path / f".bundle.{ENDED.token}.partial").symlink_to(real)
    remove_abandoned(tmp_path, "bundle", alone=True)
    assert real.is_dir()


@pytest.mark.parametrize("has_unnamed", [True, False], ids=["unnamed files", "named files"])
def test_writes_files_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed: bool) -> None:
    if not has_unnamed:
        monkeypatch.setattr(temporary, "open_unnamed", lambda folder: None)
    for content in ("first", "second"):
        write_text(tmp_path / "a", content)
        assert (tmp_path / "a").read_text() == content
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\ud800")
    assert names(tmp_path) == ["a"]


def test_killed_write_leaves_no_file(tmp_path: Path) -> None:
    killed_while("with writing(folder / 'a') as stream:\n    stream.write(b'half'); stream.flush(); die()", tmp_path)
    assert names(tmp_path) == []


def test_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_replaces_the_target_of_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to("../disk/data")
    for content in ("first", "second", "third"):
        with writing_folder(tmp_path / "run" / "data") as folder:
            (folder / content).touch()
        assert (tmp_path / "run" / "data").is_symlink()
        assert names(tmp_path / "disk" / "data") == [content]
    assert (names(tmp_path / "disk"), names(tmp_path / "run")) == (["data"], ["data"])


@pytest.mark.parametrize("target", ["nowhere/data", "data"], ids=["dangling", "circle"])
def test_rejects_dangling_and_circular_links(tmp_path: Path, target: str) -> None:
    (tmp_path / "data").symlink_to(target)
    with (
        pytest.raises(UsageError, match=r"data: is (a link to|not a usable folder)"),
        writing_folder(tmp_path / "data"),
    ):
        pass
    assert (tmp_path / "data").is_symlink()


@pytest.mark.parametrize("folder", ["x" * 300, "/".join(["x" * 200] * 25)], ids=["name", "path"])
def test_names_a_path_that_is_too_long(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UsageError, match="File name too long"), writing_folder(tmp_path / folder):
        pass


@pytest.mark.parametrize("name", ["x" * 255, "发" * 85, "[a]*?", "a b'\"$"])
def test_writes_any_valid_name(tmp_path: Path, name: str) -> None:
    killed_while(f"with writing_folder(folder / {name!r}): die()", tmp_path)
    for _ in range(2):
        with writing_folder(tmp_path / name):
            pass
    assert names(tmp_path) == [name]


def test_empty_folder_keeps_links_and_kept_names(tmp_path: Path) -> None:
    write_text(tmp_path / "disk" / "a" / "b", "")
    write_text(tmp_path / "disk" / "c", "")
    (tmp_path / "disk" / "link").symlink_to(tmp_path / "elsewhere")
    write_text(tmp_path / "elsewhere" / "x", "")
    (tmp_path / "run").symlink_to("disk")
    empty_folder(tmp_path / "run", keep={"c"})
    assert names(tmp_path / "run") == ["c"]
    assert names(tmp_path / "elsewhere") == ["x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
def test_full_disk_error_has_a_hint(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        write_text(disk / "bundle" / "a", "old")
        for name in ("bundle", "other"):
            with pytest.raises(AdapterError, match="No space left on device\n    → free space on this disk"):
                fill_up(disk / name)
        assert names(disk) == ["bundle"]
        assert names(disk / "bundle") == ["a"]
        with pytest.raises(AdapterError, match=r"bundle/a: cannot be written: No space left"):
            write_text(disk / "bundle" / "a", "x" * 100_000)
        assert (disk / "bundle" / "a").read_text() == "old"
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_up(folder: Path) -> None:
    source = folder.parent.parent / "source"
    source.write_bytes(bytes(100_000))
    with writing_folder(folder) as partial:
        shutil.copyfile(source, partial / "big")


def test_full_disk_error_names_the_written_file(tmp_path: Path) -> None:
    def run(*arguments: object) -> None:
        with explaining_full_disk(tmp_path / "run"):
            raise OSError(errno.ENOSPC, "No space left on device", *arguments)

    for arguments, named in (((), "run"), (("run/a",), "run/a"), (("source", None, "run/a"), "run/a")):
        with pytest.raises(
            AdapterError, match=rf"{named}: cannot be written: No space left on device\n    → free space"
        ):
            run(*arguments)
    with pytest.raises(FileNotFoundError), explaining_full_disk(tmp_path):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"{" * 9000,
        b'{"made_by": "erniekit_adapter"}',
        ENDED.content().replace(b'"pid": ', b'"pid": 9999999'),
        ENDED.content().replace(b'"since": ', b'"since": 1e300, "x": '),
        b"x" * 100_000,
    ],
)
def test_rejects_a_damaged_process_description(content: bytes) -> None:
    assert read_process(content) is None


def test_process_description_has_no_control_characters() -> None:
    assert read_process(ENDED.content()) == ENDED
    hostile = read_process(replace(ENDED, command="\x1b[2J", host="h" * 1000).content())
    assert hostile
    assert (hostile.command, len(hostile.host)) == ("?[2J", 80)


def test_detects_a_running_process() -> None:
    assert this_process("").is_running() is True
    assert ENDED.is_running() is False
    assert ELSEWHERE.is_running() is None
