"""The bundle of an export: formats, manifest, model card, and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_examples import CONFIG, LORA_CONFIG, SHAPE, exported, trained
from merge_examples import random_adapter_of, random_base, write_adapter, write_base

from erniekit_adapter.errors import AdapterError, UncheckedError, UsageError
from erniekit_adapter.files import sha256, write_json
from erniekit_adapter.layouts.base_model import dense_base, to_hugging_face
from erniekit_adapter.layouts.paddleformers import text_linears
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import read_tensors

pytestmark = pytest.mark.usefixtures("no_readers")
LORA_OF_ALL = {**LORA_CONFIG, "lora_dropout": 0.0, "target_modules": [".*_proj"]}


@pytest.mark.parametrize(
    ("formats", "folders"), [(("native",), {"native"}), (("peft",), {"peft"}), (("native", "peft"), {"native", "peft"})]
)
def test_bundle_has_the_requested_formats(tmp_path: Path, formats: tuple[str, ...], folders: set[str]) -> None:
    files = exported(trained(tmp_path, formats=formats))
    assert {name.partition("/")[0] for name in files if "/" in name} == folders
    assert json.loads(files["manifest.json"])["forms"] == list(formats)


def by_paddleformers(project: Project) -> Project:
    """Change the toolkit of a run to PaddleFormers; the adapter stays ERNIEKit's."""
    path = project.training_dir / "manifest.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps({**made, "toolkit": {"name": "paddleformers", "version": "1.2.0", "distributions": {}}}))
    return project


def test_rejects_merged_for_a_paddleformers_adapter(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"merged is in ERNIEKit's layout: PaddleFormers trained this .*\n.*use merged-hf"
    ):
        exported(by_paddleformers(trained(tmp_path, formats=("native", "merged"))))


def trained_by_paddleformers(folder: Path, **export_settings: Any) -> Project:
    """Write a run of PaddleFormers: a base model in the layout of transformers, an adapter of all linear layers."""
    project = by_paddleformers(trained(folder))
    shutil.rmtree(folder / "model")
    weights = to_hugging_face(random_base(SHAPE), dense_base(SHAPE))
    weights = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    write_base(folder / "model", weights, SHAPE)
    shutil.rmtree(project.training_dir / "output")
    write_adapter(project.training_dir / "output", random_adapter_of(text_linears(SHAPE)), LORA_OF_ALL)
    path = project.training_dir / "manifest.json"
    made = json.loads(path.read_text())
    write_json(path, {**made, "base_model": model_fingerprint(folder / "model")})
    settings = project.model_dump(exclude_unset=True) | {"export": export_settings}
    return Project.model_validate(settings)


def test_default_formats_of_a_paddleformers_bundle(tmp_path: Path) -> None:
    project = trained_by_paddleformers(tmp_path)
    files = exported(project)
    manifest = json.loads(files["manifest.json"])
    assert manifest["forms"] == ["native", "peft", "merged-hf"]
    assert manifest["checks"]["merge_hf"]["changed"] == 7 * SHAPE.layers
    base = read_tensors(tmp_path / "model" / "model.safetensors")
    merged = read_tensors(project.bundle_dir / "merged-hf" / "model.safetensors")
    assert {name: array.shape for name, array in merged.items()} == {name: array.shape for name, array in base.items()}


def test_paddleformers_bundle_with_merged_hf_only(tmp_path: Path) -> None:
    files = exported(trained_by_paddleformers(tmp_path, formats=["merged-hf"]))
    assert {name.partition("/")[0] for name in files if "/" in name} == {"merged-hf"}


def test_model_card_names_paddleformers(tmp_path: Path) -> None:
    files = exported(by_paddleformers(trained(tmp_path, formats=("native",))))
    assert b"trained with PaddleFormers 1.2.0" in files["README.md"]
    assert json.loads(files["manifest.json"])["training"]["toolkit"]["name"] == "paddleformers"


def test_rejects_peft_v5_without_experts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="peft-v5 requires a mixture of experts"):
        exported(trained(tmp_path, formats=("native", "peft-v5")))


def test_model_card_names_the_readers_of_peft(tmp_path: Path) -> None:
    files = exported(trained(tmp_path, formats=("peft",)))
    assert json.loads(files["manifest.json"])["readers"] == {"peft": "PEFT on transformers 4 and 5, vLLM"}
    assert b"for PEFT on transformers 4 and 5, vLLM: `peft.PeftModel`, `vllm serve" in files["README.md"]


def test_bundle_has_no_pickles(tmp_path: Path) -> None:
    assert set(exported(trained(tmp_path))) == {
        "README.md",
        "manifest.json",
        "native/lora_config.json",
        "native/peft_model-00001-of-00001.safetensors",
        "native/peft_model.safetensors.index.json",
        "peft/adapter_config.json",
        "peft/adapter_model.safetensors",
    }


def test_manifest_has_size_and_hash_of_every_file(tmp_path: Path) -> None:
    project = trained(tmp_path)
    files = exported(project)
    listed = json.loads(files.pop("manifest.json"))["files"]
    assert listed == {
        name: {"size_bytes": len(content), "sha256": sha256(project.bundle_dir / name)}
        for name, content in files.items()
    }


def test_manifest_has_the_inputs_of_the_bundle(tmp_path: Path) -> None:
    project = trained(tmp_path)
    manifest = json.loads(exported(project)["manifest.json"])
    assert manifest["base_model"]["fingerprint"] == model_fingerprint(tmp_path / "model")
    assert manifest["data_fingerprint"] == "d" * 64
    assert (manifest["lora"]["rank"], manifest["lora"]["alpha"], manifest["lora"]["dropout"]) == (3, 6, 0.1)
    assert manifest["training"]["settings"] == {"learning_rate": 2e-4}


def test_two_exports_give_equal_bytes(tmp_path: Path) -> None:
    project = trained(tmp_path)
    assert exported(project) == exported(project)


def test_bundle_is_independent_of_the_training_folder(tmp_path: Path) -> None:
    here, there = exported(trained(tmp_path / "here")), exported(trained(tmp_path / "there"))
    weights = [name for name in here if name.endswith(".safetensors")]
    assert weights
    assert [name for name in weights if here[name] != there[name]] == []


def test_native_names_the_base_model_of_the_project(tmp_path: Path) -> None:
    project = trained(tmp_path)
    native = json.loads(exported(project)["native/lora_config.json"])
    assert native["base_model_name_or_path"] == project.model.model_name_or_path
    assert native["r"] == 3


def test_native_has_the_same_bytes_as_the_adapter(tmp_path: Path) -> None:
    project = trained(tmp_path)
    name = "peft_model-00001-of-00001.safetensors"
    assert exported(project)[f"native/{name}"] == (project.training_dir / "output" / name).read_bytes()


def test_peft_is_the_transposed_adapter(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    native = read_tensors(project.training_dir / "output" / "peft_model-00001-of-00001.safetensors")
    peft = read_tensors(project.bundle_dir / "peft" / "adapter_model.safetensors")
    found = peft["base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight"]
    assert np.array_equal(found, native["ernie.layers.1.self_attn.o_proj.lora_A"].T)
    assert len(peft) == len(native)


def test_model_card_lists_formats_and_figures(tmp_path: Path) -> None:
    card = exported(trained(tmp_path, formats=("peft",)))["README.md"].decode()
    assert "# invoices" in card
    assert "--max-lora-rank 3" in card
    assert "7, 5.5" in card
    assert "native/" not in card


def test_export_replaces_an_earlier_bundle(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    (project.bundle_dir / "leftover").touch()
    assert "leftover" not in exported(project)


def test_keeps_a_folder_with_other_files(tmp_path: Path) -> None:
    project = trained(tmp_path)
    project.bundle_dir.mkdir()
    (project.bundle_dir / "thesis.txt").touch()
    with pytest.raises(UsageError, match="was not made by erniekit-adapter"):
        exported(project)
    assert (project.bundle_dir / "thesis.txt").exists()


def test_failed_export_keeps_the_earlier_bundle(tmp_path: Path) -> None:
    project = trained(tmp_path)
    before = exported(project)
    (project.training_dir / "output" / "lora_config.json").write_text('{"r": 3}')
    with pytest.raises((AdapterError, KeyError)):
        exported(project)
    assert {name: (project.bundle_dir / name).read_bytes() for name in before} == before
    assert sorted(path.name for path in project.output_dir.iterdir()) == ["bundle", "training"]


def test_rejects_an_incomplete_lora_config(tmp_path: Path) -> None:
    project = trained(tmp_path, formats=("native",))
    (project.training_dir / "output" / "lora_config.json").write_text('{"r": 3, "lora_alpha": 6, "rslora": false}')
    with pytest.raises(AdapterError, match="lora_dropout"):
        exported(project)


def test_rejects_an_adapter_that_changes_nothing(tmp_path: Path) -> None:
    project = trained(tmp_path, lora_b=0.0)
    with pytest.raises(AdapterError, match="changes nothing"):
        exported(project)
    assert not project.bundle_dir.exists()


def test_rejects_an_unfinished_training(tmp_path: Path) -> None:
    project = trained(tmp_path)
    (project.training_dir / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"has no finished training\n.*run erniekit-adapter train PROJECT first"):
        exported(project)


def test_rejects_a_full_fine_tune(tmp_path: Path) -> None:
    project = trained(tmp_path)
    path = project.training_dir / "manifest.json"
    write_json(path, {**json.loads(path.read_text()), "adapter": None})
    with pytest.raises(UsageError, match=r"lora\.enabled: is false"):
        exported(project)


def test_rejects_a_replaced_base_model(tmp_path: Path) -> None:
    project = trained(tmp_path)
    write_json(tmp_path / "model" / "config.json", {**CONFIG, "rope_theta": 1})
    with pytest.raises(UsageError, match="is not the base model that was trained on"):
        exported(project)


def test_rejects_an_adapter_in_a_pickle(tmp_path: Path) -> None:
    project = trained(tmp_path)
    (project.training_dir / "output" / "peft_model.safetensors.index.json").unlink()
    with pytest.raises(AdapterError, match="pickles are not opened"):
        exported(project)


def test_refuses_formats_without_a_reader(tmp_path: Path) -> None:
    project = trained(tmp_path)
    with pytest.raises(UncheckedError) as refused:
        exported(project, allow_unchecked=False)
    assert [str(problem) for problem in refused.value.problems] == [
        f"format {name}: not checked: no toolkit is installed: /home/user lacks it\n"
        "    → install one, or accept it with --allow-unchecked"
        for name in ("native", "peft")
    ]
    assert not project.bundle_dir.exists()


def test_reports_formats_that_were_not_checked(tmp_path: Path) -> None:
    files = exported(trained(tmp_path, formats=("peft",)))
    assert json.loads(files["manifest.json"])["proof"] == {
        "device": "cpu",
        "forms": {"peft": {"state": "not checked", "reason": "no toolkit is installed"}},
    }
    assert "| `peft` | not checked: no toolkit is installed |" in files["README.md"].decode()
