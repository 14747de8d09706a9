"""Inputs that the train stage checks before it starts the toolkit: training examples, base model, folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from training_examples import make_project, model_tensors, trained, write_examples, write_model

from erniekit_adapter.errors import UsageError
from erniekit_adapter.training import base_weights

pytestmark = pytest.mark.usefixtures("faked")


def test_rejects_a_base_model_with_a_nan(folder: Path) -> None:
    tensors = model_tensors()
    tensors["ernie.norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model" / "model.safetensors", metadata={"format": "np"})
    with pytest.raises(UsageError, match=r"1 of 8 values of model\.safetensors ernie\.norm\.weight"):
        trained(make_project(folder))


def test_ignores_other_files_of_the_base_model(folder: Path) -> None:
    save_file({"a": np.full(3, np.nan, np.float32)}, folder / "model" / "other.safetensors")
    assert trained(make_project(folder))[0]["steps"] == 6


def test_restart_does_not_read_the_base_model_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(make_project(folder))
    monkeypatch.setattr(base_weights, "not_finite", lambda *_: pytest.fail("the weights are read again"))
    assert trained(make_project(folder), restart=True)[0]["started"] == "new"


@pytest.mark.parametrize("restart", [False, True])
def test_keeps_a_foreign_training_folder(folder: Path, restart: bool) -> None:
    thesis = folder / "run" / "training" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.touch()
    with pytest.raises(UsageError, match="was not made by erniekit-adapter"):
        trained(make_project(folder), restart=restart)
    assert thesis.exists()


def test_checks_the_project_before_the_examples(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="VL-SFT is for models that take images"):
        trained(make_project(tmp_path, method="VL-SFT"))


def test_missing_examples_name_make_data(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "data")
    with pytest.raises(
        UsageError, match=r"holds no training examples yet\n.*run erniekit-adapter data build PROJECT first"
    ):
        trained(make_project(folder))


def test_rejects_edited_examples(folder: Path) -> None:
    with (folder / "run" / "data" / "train.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(UsageError, match=r"train\.jsonl: was changed after the data stage wrote it"):
        trained(make_project(folder))


def test_rejects_an_empty_training_split(folder: Path) -> None:
    write_examples(folder / "run" / "data", train=0)
    with pytest.raises(UsageError, match="no document is left for training"):
        trained(make_project(folder))


def test_rejects_examples_longer_than_a_pack(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"examples of up to 1024 tokens, more than training\.max_seq_length \(512\)"):
        trained(make_project(folder, max_seq_length=512))


def test_rejects_examples_of_another_tokenizer(folder: Path) -> None:
    write_examples(folder / "run" / "data", tokenizer=b"other pieces")
    with pytest.raises(UsageError, match="measured with another tokenizer"):
        trained(make_project(folder))


def test_missing_model_folder_names_the_download(folder: Path) -> None:
    shutil.rmtree(folder / "model")
    with pytest.raises(UsageError) as error:
        trained(make_project(folder))
    assert f"no model in the folder {folder}/model" in str(error.value)
    assert "copy the model there" in str(error.value)


def test_names_all_missing_files_of_a_model(folder: Path) -> None:
    for name in ("tokenizer.model", "tokenizer_config.json", "model.safetensors"):
        (folder / "model" / name).unlink()
    with pytest.raises(UsageError) as error:
        trained(make_project(folder))
    assert [problem.finding.removeprefix(f"{folder}/model ") for problem in error.value.problems] == [
        "lacks tokenizer.model",
        "lacks tokenizer_config.json",
        "has no safetensors weights",
    ]


def test_rejects_torch_weights(folder: Path) -> None:
    shutil.rmtree(folder / "model")
    write_model(folder / "model", torch_dtype="bfloat16")
    with pytest.raises(UsageError, match="contains torch weights"):
        trained(make_project(folder))


def test_rejects_examples_of_a_multimodal_format(folder: Path) -> None:
    path = folder / "run" / "data" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["form"] = "erniekit-vl"
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"format erniekit-vl, but method SFT of erniekit reads erniekit"):
        trained(make_project(folder))
