"""A PaddleOCR-VL adapter of PaddleFormers computes the same there, and on transformers 5 in PEFT's form and merged.

The adapter is made up and covers the language model, the vision tower and the projector between them. Seen on CPU in
float32: base 7e-6, adapted 1.3e-5, merged 1.1e-5 apart on a scale of 6.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from erniekit_adapter.adapters.layouts_paddleformers import paddleocr_vl_linears
from erniekit_adapter.adapters.merge import merge
from erniekit_adapter.adapters.peft import write_peft
from erniekit_adapter.tensor_files import Array, write_tensors

pytestmark = pytest.mark.toolkit

TOOLKIT = Path(__file__).parent
TOKENIZER = TOOLKIT.parents[1] / "tiny_base" / "model"
TOLERANCE = 1e-4
Logits = dict[str, npt.NDArray[np.float32]]
TARGETS = [
    r"model\.layers\..*_proj",
    r"visual\.vision_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
    r"mlp_AR\.linear_.*",
]


@pytest.fixture(scope="module")
def logits(
    tmp_path_factory: pytest.TempPathFactory,
    run_python: Callable[..., str],
    paddleformers_python: Path,
    transformers5_python: Path,
) -> dict[str, Logits]:
    """Of PaddleFormers with its own form, of transformers 5 with PEFT's, of both merged: on a text and on a page."""
    root = tmp_path_factory.mktemp("ocr-vl")
    run_python(paddleformers_python, TOOLKIT / "tiny_paddleocr_vl.py", TOKENIZER, root / "model")
    config = orjson.loads((root / "model" / "config.json").read_bytes())
    numbers = np.random.default_rng(5)
    tensors: dict[str, Array] = {}
    for stem, linear in paddleocr_vl_linears(config).items():
        width_in, width_out = linear.size
        tensors[f"{stem}.lora_A"] = numbers.normal(0, 0.15, (width_in, 4)).astype(np.float32)
        tensors[f"{stem}.lora_B"] = numbers.normal(0, 0.15, (4, width_out)).astype(np.float32)
    (root / "native").mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    write_tensors(root / "native" / shard, tensors, form="np")
    index = {"metadata": {"total_size": 0}, "weight_map": dict.fromkeys(tensors, shard)}
    (root / "native" / "peft_model.safetensors.index.json").write_bytes(orjson.dumps(index))
    settings = {"r": 4, "lora_alpha": 8, "rslora": False, "lora_dropout": 0.0, "tensor_model_parallel_size": -1}
    (root / "native" / "lora_config.json").write_bytes(orjson.dumps(settings | {"target_modules": TARGETS}))
    assert write_peft(root / "native", config, root / "peft", "base") == "paddleocr-vl"
    merge(root / "model", root / "native", root / "merged", "hugging-face")
    found: dict[str, Logits] = {}
    for library, python, adapter in (
        ("paddle", paddleformers_python, root / "native"),
        ("torch", transformers5_python, root / "peft"),
    ):
        output = root / f"{library}.npz"
        folders = (root / "model", adapter, root / "merged")
        run_python(python, TOOLKIT / "paddleocr_vl_logits.py", library, *folders, output)
        with np.load(output) as arrays:
            found[library] = dict(arrays)
    return found


@pytest.mark.parametrize("asked", ["base text", "base page", "adapted text", "adapted page"])
def test_both_compute_the_same(logits: dict[str, Logits], asked: str) -> None:
    ours, theirs = logits["paddle"][asked], logits["torch"][asked]
    largest = float(np.abs(ours - theirs).max())
    print(f"{asked}: logits differ by {largest:.1e} on a scale of {np.abs(ours).max():.1f}")
    assert largest < TOLERANCE


@pytest.mark.parametrize("library", ["paddle", "torch"])
@pytest.mark.parametrize("kind", ["text", "page"])
def test_merged_weights_compute_what_paddleformers_does_with_its_adapter(
    logits: dict[str, Logits], kind: str, library: str
) -> None:
    largest = float(np.abs(logits["paddle"][f"adapted {kind}"] - logits[library][f"merged {kind}"]).max())
    print(f"merged, {kind}, {library}: logits differ by {largest:.1e}")
    assert largest < TOLERANCE


@pytest.mark.parametrize("kind", ["text", "page"])
def test_the_adapter_changes_the_answers(logits: dict[str, Logits], kind: str) -> None:
    found = logits["paddle"]
    change, scale = np.abs(found[f"adapted {kind}"] - found[f"base {kind}"]).max(), np.abs(found[f"base {kind}"]).max()
    assert change > scale / 10
