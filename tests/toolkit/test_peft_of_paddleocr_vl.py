"""A PaddleOCR-VL adapter computes the same in PaddleFormers and, as PEFT adapter and merged, in transformers 5.

The random adapter covers the language model, the vision tower and the projector between them. Largest differences on
CPU in float32, with logits up to 6: base model 7e-6, adapter 1.3e-5, merged 1.1e-5.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from erniekit_adapter.layouts.adapter_files import write_peft
from erniekit_adapter.layouts.paddleformers import paddleocr_vl_linears
from erniekit_adapter.merge.merging import merge
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
    """Return logits for a text and a page: PaddleFormers with its adapter, transformers 5 with PEFT's, both merged."""
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
    write_tensors(root / "native" / shard, tensors, framework="np")
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


@pytest.mark.parametrize("case", ["base text", "base page", "adapted text", "adapted page"])
def test_logits_of_paddleformers_and_transformers(logits: dict[str, Logits], case: str) -> None:
    paddle, torch = logits["paddle"][case], logits["torch"][case]
    largest = float(np.abs(paddle - torch).max())
    print(f"{case}: logits differ by {largest:.1e}, largest {np.abs(paddle).max():.1f}")
    assert largest < TOLERANCE


@pytest.mark.parametrize("library", ["paddle", "torch"])
@pytest.mark.parametrize("kind", ["text", "page"])
def test_logits_of_merged_paddleocr_vl(logits: dict[str, Logits], kind: str, library: str) -> None:
    largest = float(np.abs(logits["paddle"][f"adapted {kind}"] - logits[library][f"merged {kind}"]).max())
    print(f"merged, {kind}, {library}: logits differ by {largest:.1e}")
    assert largest < TOLERANCE


@pytest.mark.parametrize("kind", ["text", "page"])
def test_adapter_changes_the_logits(logits: dict[str, Logits], kind: str) -> None:
    found = logits["paddle"]
    change, scale = np.abs(found[f"adapted {kind}"] - found[f"base {kind}"]).max(), np.abs(found[f"base {kind}"]).max()
    assert change > scale / 10
