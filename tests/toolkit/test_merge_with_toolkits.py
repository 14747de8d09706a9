"""Merged weights equal those of `erniekit export`, and give the adapter's logits in toolkits and transformers.

Largest differences with PaddleFormers' adapter on CPU in float32, with logits up to 10: 2.4e-5 in PaddleFormers, 3.2e-5
in transformers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from test_equal_to_hugging_face import (
    REQUESTS,
    ModelAnswers,
    ModelFolders,
    answer_with_paddleformers,
    difference,
    write_paddleformers_adapter,
)
from tiny_ernie import SIZES, as_bfloat16, build_loud, louder_weights, write_adapter_folder, write_native_adapter

from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.backends.erniekit.settings import export_settings
from erniekit_adapter.backends.settings import values
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import write_json
from erniekit_adapter.layouts.adapter_files import read_native, write_peft
from erniekit_adapter.layouts.base_files import list_weights, read_weights
from erniekit_adapter.layouts.dense import DenseShape
from erniekit_adapter.merge.merge_checks import check_merge
from erniekit_adapter.merge.merging import merge, write_hf_base
from erniekit_adapter.tensor_files import BFLOAT16, StoredTensor, write_tensors

pytestmark = pytest.mark.toolkit


@pytest.fixture(scope="module", params=list(SIZES))
def folders(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    run_python: Callable[..., str],
    erniekit_python: Path,
    transformers_python: Path,
) -> ModelFolders:
    """Write a base model in float32 in both layouts, an adapter of each toolkit, and merged models in all layouts."""
    root = tmp_path_factory.mktemp(f"merge-{request.param}")
    folders = ModelFolders(root, run_python, erniekit_python, transformers_python)
    shape = build_loud(root / "model", request.param, run_python, erniekit_python, bfloat16=False)
    write_native_adapter(root / "native", shape, "float32", rslora=not shape.tied)
    merge(root / "model", root / "native", root / "merged", "paddle")
    merge(root / "model", root / "native", root / "merged-hf", "hugging-face")
    write_hf_base(root / "model", root / "hf")
    write_paddleformers_adapter(folders)
    merge(root / "hf", root / "pf-native", root / "pf-merged", "hugging-face")
    return folders


def exported_by_erniekit(model: Path, native: Path, work: Path) -> dict[str, StoredTensor]:
    shutil.copytree(native, work)
    toolkit = find_erniekit()
    write_json(work / "export.json", values(export_settings(str(model), ".", "cpu", toolkit.version)))
    environment = {**os.environ, **toolkit.environment(on_cpu=True)}
    command = toolkit.command("export", "export.json")
    subprocess.run(command, cwd=work, env=environment, capture_output=True, check=True, timeout=300)
    return list_weights(work / "export")


def test_float32_weights_equal_those_of_erniekit_export(folders: ModelFolders) -> None:
    expected = exported_by_erniekit(folders.root / "model", folders.root / "native", folders.root / "exported")
    found = read_weights(folders.root / "merged")
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name].map("<f4"), rtol=0, atol=1e-6, err_msg=name)


def test_bfloat16_weights_are_as_exact_as_erniekit_export(folders: ModelFolders) -> None:
    """On a CPU, `erniekit export` writes merged bfloat16 with the type U16."""
    root = folders.root / "bfloat16"
    shutil.copytree(folders.root / "model", root / "model")
    config = orjson.loads((root / "model" / "config.json").read_bytes())
    shape = DenseShape.from_config(config)
    write_tensors(root / "model" / "model.safetensors", as_bfloat16(louder_weights(shape)), framework="np")
    write_native_adapter(root / "native", shape, "bfloat16", rslora=False)
    write_json(root / "model" / "config.json", {**config, "dtype": "bfloat16"})
    merge(root / "model", root / "native", root / "merged", "paddle")
    expected = exported_by_erniekit(root / "model", root / "native", root / "exported")
    found = list_weights(root / "merged")
    assert {tensor.dtype for tensor in found.values()} == {"BF16"}
    assert {tensor.dtype for tensor in expected.values()} == {"BF16", "U16"}
    adapter, lora_config = read_native(root / "native")
    base = read_weights(root / "model")
    errors = [
        check_merge(base, adapter, lora_config, {name: tensor.map(BFLOAT16) for name, tensor in merged.items()})
        for merged in (found, expected)
    ]
    assert errors[0].largest_difference <= errors[1].largest_difference


def drawn_prompts(vocab: int) -> ModelAnswers:
    """Return prompts of random tokens, for a model without training."""
    numbers = np.random.default_rng(3)
    drawn = {request["id"]: numbers.integers(10, vocab, 6 + len(request["request"]) // 8) for request in REQUESTS}
    return ModelAnswers({name: {"prompt_ids": ids.tolist()} for name, ids in drawn.items()}, {}, [])


def test_merged_weights_in_transformers(folders: ModelFolders) -> None:
    root = folders.root
    config = orjson.loads((root / "model" / "config.json").read_bytes())
    write_peft(root / "native", config, root / "peft", str(root / "hf"))
    prompts = drawn_prompts(config["vocab_size"])
    adapted = folders.answer_with_transformers("adapted", prompts, adapter="peft")
    merged = folders.answer_with_transformers("merged-hf", prompts, model="merged-hf")
    plain = folders.answer_with_transformers("plain", prompts)
    for name, logits in adapted.logits.items():
        assert np.abs(merged.logits[name] - logits).max() < 1e-4, name
        assert np.abs(plain.logits[name] - logits).max() > 1, name


def test_merged_weights_in_erniekit(folders: ModelFolders) -> None:
    adapted = folders.answer_with_erniekit("erniekit-adapted", adapter="native")
    merged = folders.answer_with_erniekit("erniekit-merged", model="merged")
    for name, logits in adapted.logits.items():
        assert np.abs(merged.logits[name] - logits).max() < 1e-3, name


def test_merged_weights_of_a_paddleformers_adapter(folders: ModelFolders, paddleformers_python: Path) -> None:
    config = orjson.loads((folders.root / "model" / "config.json").read_bytes())
    prompts = drawn_prompts(config["vocab_size"])
    plain = answer_with_paddleformers(folders, paddleformers_python, prompts, "hf")
    adapted = answer_with_paddleformers(folders, paddleformers_python, prompts, "hf", "pf-native")
    merged = {
        "PaddleFormers": answer_with_paddleformers(folders, paddleformers_python, prompts, "pf-merged"),
        "transformers": folders.answer_with_transformers("pf-merged", prompts, model="pf-merged"),
    }
    assert difference(plain, adapted) > 1
    for reader, answers in merged.items():
        print(f"PaddleFormers' adapter, merged, in {reader}: logits differ by {difference(adapted, answers):.1e}")
        assert difference(adapted, answers) < 1e-4


def test_rejects_an_incomplete_paddleformers_adapter(folders: ModelFolders) -> None:
    tensors, config = read_native(folders.root / "pf-native")
    tensors = {name: array for name, array in tensors.items() if name != "model.layers.1.mlp.down_proj.lora_B"}
    write_adapter_folder(folders.root / "pf-incomplete", tensors, config)
    with pytest.raises(AdapterError, match=r"model\.layers\.1\.mlp\.down_proj\.lora_B: missing"):
        merge(folders.root / "hf", folders.root / "pf-incomplete", folders.root / "nothing", "hugging-face")
    assert not (folders.root / "nothing").exists()
