"""The start of a run in synthetic folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.training.checkpoints import step_of
from erniekit_adapter.training.resume import (
    Start,
    discard_final_checkpoint,
    earlier_parts,
    find_start,
    newest_checkpoint,
    note_extension,
    prepare_start,
)


def checkpoint(
    training: Path, step: int, *, planned: int | None = 100, part: str = "output", whole: bool = True
) -> Path:
    folder = training / part / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if whole:
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": planned}))
    return folder


@pytest.mark.parametrize("with_adapter", [False, True])
def test_run_without_a_checkpoint_is_new(tmp_path: Path, with_adapter: bool) -> None:
    assert prepare_start(tmp_path / "nothing", with_initial_adapter=with_adapter) == Start("new")
    (tmp_path / "output").mkdir()
    assert prepare_start(tmp_path, with_initial_adapter=with_adapter) == Start("new")


def test_erniekit_resumes_from_the_highest_step(tmp_path: Path) -> None:
    for step in (50, 9, 100):
        checkpoint(tmp_path, step, planned=200)
    start = prepare_start(tmp_path, with_initial_adapter=False)
    assert start == Start("resume", tmp_path / "output" / "checkpoint-100", 100, 200)
    assert start.remaining_steps == 100


def test_ignores_an_incomplete_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path, 50)
    checkpoint(tmp_path, 100, whole=False)
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == 50


@pytest.mark.parametrize("content", [b"", b'{"global_step": 100, "max', b"[]"])
def test_ignores_a_checkpoint_with_a_truncated_last_file(tmp_path: Path, content: bytes) -> None:
    checkpoint(tmp_path, 50)
    (checkpoint(tmp_path, 100) / "trainer_state.json").write_bytes(content)
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == 50


@pytest.mark.parametrize(("kept_bytes", "steps"), [(None, 100), (-1, 50), (20, 50), (4, 50), (0, 50)])
def test_ignores_a_checkpoint_with_truncated_tensors(tmp_path: Path, kept_bytes: int | None, steps: int) -> None:
    checkpoint(tmp_path, 50)
    whole = save({"a": np.ones((3, 4), np.float32), "b": np.ones(2, np.int64)}, metadata={"format": "np"})
    (checkpoint(tmp_path, 100) / "optimizer-00001-of-00001.safetensors").write_bytes(whole[:kept_bytes])
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == steps


@pytest.mark.parametrize("is_link", [False, True])
def test_removes_a_renamed_copy_of_a_checkpoint(tmp_path: Path, is_link: bool) -> None:
    """A toolkit would resume from it at a step that it never reached."""
    original, copy = checkpoint(tmp_path, 50), tmp_path / "output" / "checkpoint-999999999999"
    if is_link:
        copy.symlink_to(original, target_is_directory=True)
    else:
        shutil.copytree(original, copy)
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == 50
    assert not copy.is_symlink()
    assert not copy.exists()
    assert (original / "trainer_state.json").is_file()


def test_ignores_a_folder_named_like_an_earlier_part(tmp_path: Path) -> None:
    checkpoint(tmp_path, 50)
    (tmp_path / "earlier-copy").mkdir()
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == 50


@pytest.mark.parametrize("with_adapter", [False, True])
def test_removes_an_incomplete_checkpoint(tmp_path: Path, with_adapter: bool) -> None:
    """ERNIEKit resumes from the checkpoint with the highest number, whole or not."""
    checkpoint(tmp_path, 50)
    older, newer = (checkpoint(tmp_path, step, whole=False) for step in (40, 100))
    part = prepare_start(tmp_path, with_initial_adapter=with_adapter).checkpoint
    assert part == (tmp_path / ("earlier-1" if with_adapter else "output") / "checkpoint-50")
    assert not newer.exists()
    assert (part.parent / older.name).exists()


@pytest.mark.parametrize("content", ["", "{", '{"global_step": 10', "[]", "\0\0"])
def test_ignores_a_checkpoint_with_a_truncated_state(tmp_path: Path, content: str) -> None:
    checkpoint(tmp_path, 50)
    (checkpoint(tmp_path, 100) / "trainer_state.json").write_text(content)
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == 50


def test_keeps_a_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 50) / "peft_model.safetensors").mkdir()  # opening it fails, as on a disk with errors
    with pytest.raises(AdapterError, match="cannot be read"):
        prepare_start(tmp_path, with_initial_adapter=False)
    assert (tmp_path / "output" / "checkpoint-50").is_dir()


@pytest.mark.parametrize("backend", ["erniekit", "paddleformers"])
def test_extended_run_keeps_its_final_checkpoint(tmp_path: Path, backend: Backend) -> None:
    for step in (2, 4):
        (checkpoint(tmp_path, step) / "scheduler.pdparams").write_bytes(b"pickle")
    log = tmp_path / "train.log"
    log.write_text("Total optimization steps = 4\n")
    note_extension(log)
    discard_final_checkpoint(tmp_path, None, backend)
    assert find_start(tmp_path, with_initial_adapter=False, backend=backend).done_steps == 4
    # Once the toolkit has printed the new number of steps, that one counts.
    with log.open("a") as stream:
        stream.write("Total optimization steps = 6\n")
    discard_final_checkpoint(tmp_path, None, backend)
    assert find_start(tmp_path, with_initial_adapter=False, backend=backend).done_steps == 4


@pytest.mark.parametrize(("steps", "left"), [((2, 4), 2), ((4,), 4), ((2, 3), 3)])
def test_discards_the_final_checkpoint_of_erniekit(tmp_path: Path, steps: tuple[int, ...], left: int) -> None:
    """If it is the only one it stays: one extra step costs less than the whole run."""
    for step in steps:
        checkpoint(tmp_path, step)
    discard_final_checkpoint(tmp_path, 4, "erniekit")
    discard_final_checkpoint(tmp_path, 4, "erniekit")
    assert prepare_start(tmp_path, with_initial_adapter=False).done_steps == left


@pytest.mark.parametrize("with_adapter", [False, True])
def test_paddleformers_resumes_from_complete_checkpoints(tmp_path: Path, with_adapter: bool) -> None:
    for step in (2, 4):
        (tmp_path / "output" / f"checkpoint-{step}").mkdir(parents=True)
    (tmp_path / "output" / "checkpoint-2" / "scheduler.pdparams").write_bytes(b"pickle")
    start = prepare_start(tmp_path, with_initial_adapter=with_adapter, backend="paddleformers")
    assert start == Start("resume", tmp_path / "output" / "checkpoint-2", 2, None)


@pytest.mark.parametrize(("max_steps", "log"), [(4, ""), (None, "Total optimization steps = 4\n")])
def test_discards_the_final_checkpoint_of_paddleformers(tmp_path: Path, max_steps: int | None, log: str) -> None:
    for step in (2, 4):
        (tmp_path / "output" / f"checkpoint-{step}").mkdir(parents=True)
        (tmp_path / "output" / f"checkpoint-{step}" / "scheduler.pdparams").write_bytes(b"pickle")
    (tmp_path / "train.log").write_text(log)
    discard_final_checkpoint(tmp_path, max_steps)
    discard_final_checkpoint(tmp_path, max_steps)
    assert newest_checkpoint(tmp_path / "output", "paddleformers") == tmp_path / "output" / "checkpoint-2"


def test_ignores_other_folders(tmp_path: Path) -> None:
    for name in ("checkpoint-best", "checkpoint-", "checkpoint-5.tmp", "my-checkpoint-7"):
        (tmp_path / "output" / name).mkdir(parents=True)
        (tmp_path / "output" / name / "trainer_state.json").write_text("{}")
    assert newest_checkpoint(tmp_path / "output") is None


def test_new_part_starts_from_the_newest_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path, 60)
    start = prepare_start(tmp_path, with_initial_adapter=True)
    assert start == Start("new_part", tmp_path / "earlier-1" / "checkpoint-60", 60, 100)
    assert start.remaining_steps == 40
    assert not (tmp_path / "output").exists()


def test_find_start_changes_no_file(tmp_path: Path) -> None:
    checkpoint(tmp_path, 60)
    assert find_start(tmp_path, with_initial_adapter=True).kind == "new_part"
    assert (tmp_path / "output" / "checkpoint-60").is_dir()


def test_prepare_start_is_idempotent(tmp_path: Path) -> None:
    checkpoint(tmp_path, 60)
    first = prepare_start(tmp_path, with_initial_adapter=True)
    assert prepare_start(tmp_path, with_initial_adapter=True) == first
    assert [part.name for part in earlier_parts(tmp_path)] == ["earlier-1"]


def test_restarts_a_part_without_a_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path, 60)
    first = prepare_start(tmp_path, with_initial_adapter=True)
    (tmp_path / "output").mkdir()
    checkpoint(tmp_path, 20, planned=40, whole=False)
    assert prepare_start(tmp_path, with_initial_adapter=True) == first


def test_steps_of_all_parts_add_up(tmp_path: Path) -> None:
    checkpoint(tmp_path, 60, planned=100)
    prepare_start(tmp_path, with_initial_adapter=True)
    checkpoint(tmp_path, 30, planned=40)
    start = prepare_start(tmp_path, with_initial_adapter=True)
    assert start == Start("new_part", tmp_path / "earlier-2" / "checkpoint-30", 90, 100)
    assert start.remaining_steps == 10


def test_sorts_parts_by_number(tmp_path: Path) -> None:
    for part in range(1, 11):
        checkpoint(tmp_path, part, part=f"earlier-{part}")
    assert [part.name for part in earlier_parts(tmp_path)][-2:] == ["earlier-9", "earlier-10"]
    start = find_start(tmp_path, with_initial_adapter=True)
    assert start.checkpoint == tmp_path / "earlier-10" / "checkpoint-10"


@pytest.mark.parametrize("planned", [None, -1, 0])
def test_remaining_steps_are_unknown_without_a_total(tmp_path: Path, planned: int | None) -> None:
    checkpoint(tmp_path, 60, planned=planned)
    start = prepare_start(tmp_path, with_initial_adapter=False)
    assert (start.total_steps, start.remaining_steps) == (None, None)


@given(done=st.integers(0, 1000), total=st.integers(1, 1000))
def test_remaining_steps_are_never_negative(done: int, total: int) -> None:
    assert Start("resume", Path("c"), done, total).remaining_steps == max(total - done, 0)


def test_reads_the_step_from_the_folder_name() -> None:
    assert step_of(Path("output/checkpoint-130")) == 130
