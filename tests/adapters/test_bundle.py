"""The bundle that export writes, from a made-up training: its forms, its manifest, and what stays out of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_examples import CONFIG, LORA_CONFIG, SHAPE, exported, trained
from merge_examples import random_adapter_of, random_base, write_adapter, write_base

from erniekit_adapter.adapters.layouts_base import dense_base, to_hugging_face
from erniekit_adapter.adapters.layouts_paddleformers import text_linears
from erniekit_adapter.errors import AdapterError, GateError, UsageError
from erniekit_adapter.files import sha256, write_json
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import read_tensors

pytestmark = pytest.mark.usefixtures("nothing_to_read_with")
LORA_OF_ALL = {**LORA_CONFIG, "lora_dropout": 0.0, "target_modules": [".*_proj"]}


@pytest.mark.parametrize(
    ("forms", "folders"), [(("native",), {"native"}), (("peft",), {"peft"}), (("native", "peft"), {"native", "peft"})]
)
def test_the_bundle_holds_the_forms_that_were_asked_for(
    tmp_path: Path, forms: tuple[str, ...], folders: set[str]
) -> None:
    files = exported(trained(tmp_path, forms=forms))
    assert {name.partition("/")[0] for name in files if "/" in name} == folders
    assert json.loads(files["manifest.json"])["forms"] == list(forms)


def by_paddleformers(project: Project) -> Project:
    """The same run, had PaddleFormers trained it; its names and columns are another matter."""
    path = project.training_dir / "manifest.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps({**made, "toolkit": {"name": "paddleformers", "version": "1.2.0", "distributions": {}}}))
    return project


def test_merged_weights_of_a_paddleformers_adapter_are_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found merged, .* PaddleFormers trained this .*\n.*take merged-hf"):
        exported(by_paddleformers(trained(tmp_path, forms=("native", "merged"))))


def trained_by_paddleformers(folder: Path, **export_settings: Any) -> Project:
    """A run of PaddleFormers: its base model in transformers' layout, an adapter of all its linear layers."""
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


def test_without_a_word_on_forms_a_paddleformers_bundle_has_those_that_fit_its_base(tmp_path: Path) -> None:
    project = trained_by_paddleformers(tmp_path)
    files = exported(project)
    manifest = json.loads(files["manifest.json"])
    assert manifest["forms"] == ["native", "peft", "merged-hf"]
    assert manifest["checks"]["merge_hf"]["changed"] == 7 * SHAPE.layers
    base = read_tensors(tmp_path / "model" / "model.safetensors")
    merged = read_tensors(project.bundle_dir / "merged-hf" / "model.safetensors")
    assert {name: array.shape for name, array in merged.items()} == {name: array.shape for name, array in base.items()}


def test_merged_hf_of_a_paddleformers_adapter_can_be_asked_for_alone(tmp_path: Path) -> None:
    files = exported(trained_by_paddleformers(tmp_path, forms=["merged-hf"]))
    assert {name.partition("/")[0] for name in files if "/" in name} == {"merged-hf"}


def test_a_paddleformers_bundle_says_whose_adapter_it_is(tmp_path: Path) -> None:
    files = exported(by_paddleformers(trained(tmp_path, forms=("native",))))
    assert b"trained with PaddleFormers 1.2.0" in files["README.md"]
    assert json.loads(files["manifest.json"])["training"]["toolkit"]["name"] == "paddleformers"


def test_the_form_for_experts_is_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="peft-v5 is for mixtures of experts, and this is none"):
        exported(trained(tmp_path, forms=("native", "peft-v5")))


def test_the_card_says_who_reads_the_peft_form(tmp_path: Path) -> None:
    files = exported(trained(tmp_path, forms=("peft",)))
    assert json.loads(files["manifest.json"])["readers"] == {"peft": "PEFT on transformers 4 and 5, vLLM"}
    assert b"for PEFT on transformers 4 and 5, vLLM: `peft.PeftModel`, `vllm serve" in files["README.md"]


def test_no_pickle_gets_into_a_bundle(tmp_path: Path) -> None:
    assert set(exported(trained(tmp_path))) == {
        "README.md",
        "manifest.json",
        "native/lora_config.json",
        "native/peft_model-00001-of-00001.safetensors",
        "native/peft_model.safetensors.index.json",
        "peft/adapter_config.json",
        "peft/adapter_model.safetensors",
    }


def test_the_manifest_has_size_and_sha256_of_every_other_file(tmp_path: Path) -> None:
    project = trained(tmp_path)
    files = exported(project)
    listed = json.loads(files.pop("manifest.json"))["files"]
    assert listed == {
        name: {"size_bytes": len(content), "sha256": sha256(project.bundle_dir / name)}
        for name, content in files.items()
    }


def test_the_manifest_says_what_the_bundle_was_made_from(tmp_path: Path) -> None:
    project = trained(tmp_path)
    manifest = json.loads(exported(project)["manifest.json"])
    assert manifest["base_model"]["fingerprint"] == model_fingerprint(tmp_path / "model")
    assert manifest["data_fingerprint"] == "d" * 64
    assert (manifest["lora"]["rank"], manifest["lora"]["alpha"], manifest["lora"]["dropout"]) == (3, 6, 0.1)
    assert manifest["training"]["settings"] == {"learning_rate": 2e-4}


def test_two_exports_of_the_same_training_give_the_same_bytes(tmp_path: Path) -> None:
    project = trained(tmp_path)
    assert exported(project) == exported(project)


def test_what_is_written_does_not_depend_on_where_the_training_lay(tmp_path: Path) -> None:
    here, there = exported(trained(tmp_path / "here")), exported(trained(tmp_path / "there"))
    weights = [name for name in here if name.endswith(".safetensors")]
    assert weights
    assert [name for name in weights if here[name] != there[name]] == []


def test_the_native_form_names_the_base_model_and_no_folder_of_ours(tmp_path: Path) -> None:
    project = trained(tmp_path)
    native = json.loads(exported(project)["native/lora_config.json"])
    assert native["base_model_name_or_path"] == project.model.model_name_or_path
    assert native["r"] == 3


def test_the_native_form_holds_the_adapter_bit_for_bit(tmp_path: Path) -> None:
    project = trained(tmp_path)
    name = "peft_model-00001-of-00001.safetensors"
    assert exported(project)[f"native/{name}"] == (project.training_dir / "output" / name).read_bytes()


def test_the_peft_form_is_the_transposed_adapter(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    native = read_tensors(project.training_dir / "output" / "peft_model-00001-of-00001.safetensors")
    peft = read_tensors(project.bundle_dir / "peft" / "adapter_model.safetensors")
    found = peft["base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight"]
    assert np.array_equal(found, native["ernie.layers.1.self_attn.o_proj.lora_A"].T)
    assert len(peft) == len(native)


def test_the_card_lists_the_forms_and_the_figures_of_the_manifest(tmp_path: Path) -> None:
    card = exported(trained(tmp_path, forms=("peft",)))["README.md"].decode()
    assert "# invoices" in card
    assert "--max-lora-rank 3" in card
    assert "7, 5.5" in card
    assert "native/" not in card


def test_a_second_export_replaces_the_first_as_a_whole(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    (project.bundle_dir / "leftover").touch()
    assert "leftover" not in exported(project)


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    project = trained(tmp_path)
    project.bundle_dir.mkdir()
    (project.bundle_dir / "thesis.txt").touch()
    with pytest.raises(UsageError, match="not of our making"):
        exported(project)
    assert (project.bundle_dir / "thesis.txt").exists()


def test_a_failed_export_leaves_the_last_bundle_as_it_was(tmp_path: Path) -> None:
    project = trained(tmp_path)
    before = exported(project)
    (project.training_dir / "output" / "lora_config.json").write_text('{"r": 3}')
    with pytest.raises((AdapterError, KeyError)):
        exported(project)
    assert {name: (project.bundle_dir / name).read_bytes() for name in before} == before
    assert sorted(path.name for path in project.output_dir.iterdir()) == ["bundle", "training"]


def test_an_incomplete_lora_config_is_refused_by_its_key(tmp_path: Path) -> None:
    project = trained(tmp_path, forms=("native",))
    (project.training_dir / "output" / "lora_config.json").write_text('{"r": 3, "lora_alpha": 6, "rslora": false}')
    with pytest.raises(AdapterError, match="lora_dropout"):
        exported(project)


def test_an_adapter_that_changes_nothing_is_not_exported(tmp_path: Path) -> None:
    project = trained(tmp_path, lora_b=0.0)
    with pytest.raises(AdapterError, match="changes nothing"):
        exported(project)
    assert not project.bundle_dir.exists()


def test_without_a_finished_training_there_is_nothing_to_export(tmp_path: Path) -> None:
    project = trained(tmp_path)
    (project.training_dir / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"holds no finished training\n.*run make train first"):
        exported(project)


def test_a_full_fine_tune_has_no_adapter_to_export(tmp_path: Path) -> None:
    project = trained(tmp_path)
    path = project.training_dir / "manifest.json"
    write_json(path, {**json.loads(path.read_text()), "adapter": None})
    with pytest.raises(UsageError, match=r"lora\.enabled: found false"):
        exported(project)


def test_another_base_model_than_the_trained_one_is_refused(tmp_path: Path) -> None:
    project = trained(tmp_path)
    write_json(tmp_path / "model" / "config.json", {**CONFIG, "rope_theta": 1})
    with pytest.raises(UsageError, match="is not the base model that was trained on"):
        exported(project)


def test_an_adapter_that_is_a_pickle_is_never_opened(tmp_path: Path) -> None:
    project = trained(tmp_path)
    (project.training_dir / "output" / "peft_model.safetensors.index.json").unlink()
    with pytest.raises(AdapterError, match="a pickle, which is not opened"):
        exported(project)


def test_a_form_that_nothing_here_can_read_is_not_written(tmp_path: Path) -> None:
    project = trained(tmp_path)
    with pytest.raises(GateError) as refused:
        exported(project, allow_unproven=False)
    assert [str(problem) for problem in refused.value.problems] == [
        f"form {form}: not checked: there is no toolkit here: /home/somebody lacks it\n"
        "    → install one, or accept it with --allow-unproven"
        for form in ("native", "peft")
    ]
    assert not project.bundle_dir.exists()


def test_the_manifest_and_the_card_say_what_was_not_checked_and_why(tmp_path: Path) -> None:
    files = exported(trained(tmp_path, forms=("peft",)))
    assert json.loads(files["manifest.json"])["proof"] == {
        "device": "cpu",
        "forms": {"peft": {"state": "not checked", "reason": "there is no toolkit here"}},
    }
    assert "| `peft` | not checked: there is no toolkit here |" in files["README.md"].decode()
