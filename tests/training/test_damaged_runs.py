"""The train stage on folders that are damaged, incomplete or links; the toolkit is a fake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from training_examples import interrupted, make_project, trained

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import empty_folder
from erniekit_adapter.training import stage

pytestmark = pytest.mark.usefixtures("faked")


@pytest.mark.parametrize("restart", [False, True])
def test_empties_a_linked_output_folder(folder: Path, restart: bool) -> None:
    """Otherwise weights of an earlier run would count as trained by this run."""
    elsewhere, training = folder / "disk", folder / "run" / "training"
    elsewhere.mkdir()
    save_file({"old": np.ones(1, np.float32)}, elsewhere / "model-00001-of-00001.safetensors")
    training.mkdir()
    (training / "run.json").write_text("{}")
    (training / "output").symlink_to(elsewhere)
    trained(make_project(folder), restart=restart)
    assert (training / "output").is_symlink()
    assert not (elsewhere / "model-00001-of-00001.safetensors").exists()
    assert (elsewhere / "peft_model-00001-of-00001.safetensors").is_file()


@pytest.mark.parametrize("restart", [False, True])
def test_rejects_a_dangling_output_link(folder: Path, restart: bool) -> None:
    training = folder / "run" / "training"
    training.mkdir()
    (training / "run.json").write_text("{}")
    (training / "output").symlink_to(folder / "nowhere")
    with pytest.raises(UsageError, match=r"output: is a link to .*nowhere, which does not exist"):
        trained(make_project(folder), restart=restart)


def test_rejects_a_damaged_training_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, 3)
    (folder / "run" / "training" / "manifest.json").mkdir()
    with pytest.raises(AdapterError, match=r"manifest\.json: is damaged: not a regular file"):
        trained(make_project(folder))
    assert trained(make_project(folder), restart=True)[0]["steps"] == 6


def test_writes_run_json_before_any_other_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed while it read the base model could not be started again."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "check_base_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(make_project(folder))
    assert trained(make_project(folder))[0]["steps"] == 6


def test_killed_training_restart_can_be_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(make_project(folder))

    def killed(path: Path, **kept: object) -> None:
        empty_folder(path, **kept)  # type: ignore[arg-type]
        if path.name == "training":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "empty_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(make_project(folder), restart=True)
    assert trained(make_project(folder), restart=True)[0]["steps"] == 6


def test_names_the_first_of_many_unreadable_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, 5)
    (folder / "run" / "training" / "metrics.jsonl").write_text("x\n" * 2000)
    assert "unreadable lines were removed: 1, 2, 3, 4, 5 and 1,995 more (" in trained(make_project(folder))[1]


def test_rejects_damaged_weights_of_a_finished_run(folder: Path) -> None:
    trained(make_project(folder))
    (folder / "run" / "training" / "output" / "peft_model-00001-of-00001.safetensors").write_bytes(b"")
    with pytest.raises(AdapterError, match="--restart"):
        trained(make_project(folder))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": [], "settings": {}}', '{"files": {}, "settings": 3}'])
def test_rejects_a_damaged_data_manifest(folder: Path, content: str) -> None:
    (folder / "run" / "data" / "manifest.json").write_text(content)
    with pytest.raises(
        AdapterError, match=r"manifest\.json: is damaged: .*\n.*run erniekit-adapter data build PROJECT again"
    ):
        trained(make_project(folder))
