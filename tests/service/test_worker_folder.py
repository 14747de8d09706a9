"""A service removes the temporary folders of services that were killed, and no other folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from erniekit_adapter.backends.leftovers import this_process
from erniekit_adapter.service.worker_folder import OWNER_FILE, PREFIX, remove_abandoned

ROOT = Path(__file__).resolve().parents[2]
LOOK = "from erniekit_adapter.backends.leftovers import this_process; print(this_process(), end='')"


@pytest.fixture(scope="module")
def ended() -> str:
    """What identifies a process that has ended."""
    return subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def made(parent: Path, owner: str, name: str = f"{PREFIX}abc") -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / OWNER_FILE).write_text(owner)
    return folder


def test_the_folder_of_a_process_that_has_ended_is_removed(tmp_path: Path, ended: str) -> None:
    folder = made(tmp_path, ended)
    assert remove_abandoned(tmp_path) == [folder]
    assert not folder.exists()


@pytest.mark.parametrize(
    "owner",
    [
        lambda ended: this_process(),
        lambda ended: "another-boot/" + ended.partition("/")[2],
        lambda ended: "/".join([ended.split("/")[0], "pid:[1]", *ended.split("/")[2:]]),
        lambda ended: "",
        lambda ended: "/",
        lambda ended: ended.rpartition("/")[0],
    ],
    ids=["it runs", "other machine", "other container", "none", "nonsense", "cut off"],
)
def test_the_folder_of_any_other_owner_stays(tmp_path: Path, ended: str, owner: Callable[[str], str]) -> None:
    folder = made(tmp_path, owner(ended))
    assert remove_abandoned(tmp_path) == []
    assert folder.exists()


def test_what_only_looks_like_a_folder_of_ours_stays(tmp_path: Path, ended: str) -> None:
    theirs = made(tmp_path, ended, "elsewhere")
    (tmp_path / f"{PREFIX}link").symlink_to(theirs)
    (tmp_path / f"{PREFIX}file").write_text(ended)
    (tmp_path / f"{PREFIX}empty").mkdir()
    linked = tmp_path / f"{PREFIX}linked"
    linked.mkdir()
    (linked / OWNER_FILE).symlink_to(theirs / OWNER_FILE)
    assert remove_abandoned(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 5
