"""The merge: base + scaling · A·B in the type of the base model, streamed and atomic."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merge_examples import (
    CONFIG,
    DTYPES,
    EQUAL,
    GROUPED,
    Tensors,
    as_floats,
    bits,
    contents,
    random_adapter,
    random_base,
    write_adapter,
    write_base,
    write_file,
)

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.layouts.base_model import dense_base, to_hugging_face
from erniekit_adapter.layouts.dense import PARTS, DenseShape
from erniekit_adapter.merge.merging import merge
from erniekit_adapter.tensor_files import Array, read_indexed, read_tensors

ROOT = Path(__file__).resolve().parents[2]
DIGITS = {"BF16": 8, "F16": 11, "F32": 24}
DOWN = "ernie.layers.0.mlp.down_proj"


@pytest.mark.slow
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 2100),
    rank=st.integers(1, 40),
    dtype=st.sampled_from(sorted(DTYPES)),
    rslora=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_merged_numbers_are_rounded_once(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, rank: int, dtype: str, rslora: bool, seed: int
) -> None:
    folder, numbers = tmp_path_factory.mktemp("merge"), np.random.default_rng(seed)
    weight = numbers.normal(size=(rows, columns)).astype(DTYPES[dtype])
    a, b = (numbers.normal(0, 0.1, size).astype(np.float32) for size in ((rows, rank), (rank, columns)))
    base = write_base(folder / "base", {f"{DOWN}.weight": weight})
    config = {**CONFIG, "r": rank, "lora_alpha": 5, "rslora": rslora}
    adapter = write_adapter(folder / "adapter", {f"{DOWN}.lora_A": a, f"{DOWN}.lora_B": b}, config)
    report = merge(base, adapter, folder / "merged", "paddle")
    found = read_tensors(folder / "merged" / "model.safetensors")[f"{DOWN}.weight"]
    scaling = 5 / (math.sqrt(rank) if rslora else rank)
    exact = weight.astype(np.float64) + scaling * (a.astype(np.float64) @ b.astype(np.float64))
    # Half a unit of the type's last digit, and the error of rank + 3 operations in float32.
    half_unit = np.exp2(np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-14))) - DIGITS[dtype])
    lost = (rank + 3) * 2.0**-24 * (np.abs(weight.astype(np.float64)) + scaling * (np.abs(a) @ np.abs(b)))
    off = np.abs(found.view(DTYPES[dtype]).astype(np.float64) - exact)
    assert (off <= half_unit * (1 + 1e-6) + 2 * lost).all()
    assert report.greatest_change == pytest.approx(np.abs(scaling * (a @ b)).max(), rel=1e-4)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [(1.0, 2.0**-8, 1.0), (1.0 + 2.0**-7, 2.0**-8, 1.0 + 2.0**-6), (1.0, 2.0**-8 + 2.0**-16, 1.0 + 2.0**-7)],
)
def test_bfloat16_rounds_to_nearest_even(tmp_path: Path, before: float, change: float, after: float) -> None:
    weight = np.full((1, 1), before, DTYPES["BF16"])
    base = write_base(tmp_path / "base", {f"{DOWN}.weight": weight})
    factors = {f"{DOWN}.lora_A": np.ones((1, 1), "<f4"), f"{DOWN}.lora_B": np.full((1, 1), change, "<f4")}
    merge(base, write_adapter(tmp_path / "a", factors, {**CONFIG, "r": 1, "lora_alpha": 1}), tmp_path / "out", "paddle")
    found = read_tensors(tmp_path / "out" / "model.safetensors")[f"{DOWN}.weight"]
    assert found.view(DTYPES["BF16"]).item() == after


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_other_tensors_stay_bit_for_bit_the_same(tmp_path: Path, dtype: str, shards: int) -> None:
    tensors = random_base(EQUAL, dtype)
    tensors["ernie.norm.weight"][0] = np.nan  # any value is copied
    base = write_base(tmp_path / "base", tensors, EQUAL, shards)
    adapter = write_adapter(tmp_path / "adapter", random_adapter(EQUAL, ("mlp.down_proj",)))
    report = merge(base, adapter, tmp_path / "merged", "paddle")
    index = tmp_path / "merged" / "model.safetensors.index.json"
    merged = read_indexed(index) if shards > 1 else read_tensors(tmp_path / "merged" / "model.safetensors")
    before, after = bits(tensors), bits(merged)
    assert {name for name in before if before[name] != after[name]} == {
        f"ernie.layers.{layer}.mlp.down_proj.weight" for layer in range(2)
    }
    assert (report.tensors, report.adapted, report.without_effect) == (len(tensors), 2, ())
    assert sorted(contents(base)) == sorted(contents(tmp_path / "merged"))


def test_copies_tensors_of_any_type(tmp_path: Path) -> None:
    tensors = random_base(GROUPED) | {"steps": np.arange(8, dtype="<f4")}
    base = write_base(tmp_path / "base", tensors)
    write_file(base / "model.safetensors", tensors, {"steps": "I32"})
    merge(base, write_adapter(tmp_path / "adapter", random_adapter(GROUPED)), tmp_path / "merged", "paddle")
    content = (tmp_path / "merged" / "model.safetensors").read_bytes()
    assert b'"steps":{"dtype":"I32","shape":[8]' in content
    assert content.endswith(tensors["steps"].tobytes())


def test_merges_experts_by_name(tmp_path: Path) -> None:
    stems = [f"ernie.layers.1.mlp.experts.{expert}.down_proj" for expert in range(3)]
    numbers = np.random.default_rng(0)
    tensors = {f"{stem}.weight": numbers.normal(size=(5, 4)).astype(np.float32) for stem in stems}
    factors: Tensors = {}
    for stem in stems:
        factors[f"{stem}.lora_A"] = numbers.normal(size=(5, 3)).astype(np.float32)
        factors[f"{stem}.lora_B"] = numbers.normal(size=(3, 4)).astype(np.float32)
    base, adapter = write_base(tmp_path / "base", tensors), write_adapter(tmp_path / "adapter", factors)
    assert merge(base, adapter, tmp_path / "merged", "paddle").adapted == 3
    for name, array in read_tensors(tmp_path / "merged" / "model.safetensors").items():
        a, b = (factors[name.replace(".weight", f".lora_{kind}")] for kind in "AB")
        np.testing.assert_allclose(array, tensors[name] + 2.0 * (a @ b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [GROUPED, EQUAL], ids=["grouped-tied", "equal-untied"])
@pytest.mark.parametrize("modules", [tuple(PARTS), ("self_attn.qkv_proj",)], ids=["all", "attention"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_hugging_face_layout_has_the_same_numbers(
    tmp_path: Path, shape: DenseShape, modules: tuple[str, ...], dtype: str
) -> None:
    base = write_base(tmp_path / "base", random_base(shape, dtype), shape, shards=3)
    adapter = write_adapter(tmp_path / "adapter", random_adapter(shape, modules))
    merge(base, adapter, tmp_path / "paddle", "paddle")
    report = merge(base, adapter, tmp_path / "hf", "hugging-face")
    paddle = read_indexed(tmp_path / "paddle" / "model.safetensors.index.json")
    found = read_indexed(tmp_path / "hf" / "model.safetensors.index.json")
    expected = to_hugging_face(paddle, dense_base(shape))
    assert {name: array.shape for name, array in found.items()} == {n: a.shape for n, a in expected.items()}
    for name, array in expected.items():
        one, other = (as_floats(each, dtype) for each in (array, found[name]))
        np.testing.assert_allclose(one, other, rtol=2.0**-7 if dtype == "BF16" else 1e-5, atol=1e-6, err_msg=name)
    assert (report.tensors, report.adapted) == (len(expected), 2 * len(modules))
    assert b'"format":"pt"' in next((tmp_path / "hf").glob("*.safetensors")).read_bytes()[:200]


def test_hugging_face_layout_omits_a_stored_tied_head(tmp_path: Path) -> None:
    tensors = random_base(GROUPED)
    base = write_base(tmp_path / "base", tensors | {"lm_head.weight": tensors["ernie.embed_tokens.weight"]})
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED))
    merge(base, adapter, tmp_path / "hf", "hugging-face")
    merge(base, adapter, tmp_path / "paddle", "paddle")
    assert "lm_head.weight" not in read_tensors(tmp_path / "hf" / "model.safetensors")
    assert "lm_head.weight" in read_tensors(tmp_path / "paddle" / "model.safetensors")


def test_reports_changes_lost_to_rounding(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {f"{DOWN}.weight": np.ones((4, 4), DTYPES["BF16"])})
    tiny = {f"{DOWN}.lora_A": np.full((4, 3), 1e-3, "<f4"), f"{DOWN}.lora_B": np.full((3, 4), 1e-3, "<f4")}
    report = merge(base, write_adapter(tmp_path / "adapter", tiny), tmp_path / "merged", "paddle")
    assert report.greatest_change == pytest.approx(6e-6)
    assert report.without_effect == (f"{DOWN}.weight",)


def test_progress_counts_bytes(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    adapter, seen = write_adapter(tmp_path / "adapter", random_adapter(GROUPED)), []
    report = merge(base, adapter, tmp_path / "out", "paddle", lambda written, total: seen.append((written, total)))
    assert [written for written, _ in seen] == sorted(written for written, _ in seen)
    assert seen[-1] == (report.size_bytes, report.size_bytes)


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: array for key, array in tensors.items() if not key.startswith(name)}


def with_tensor(name: str, array: Array) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: array}


QKV0 = "ernie.layers.0.self_attn.qkv_proj"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without(f"{QKV0}.lora_B"), f"{QKV0}.lora_A: has no counterpart"),
        (without(QKV0), f"{QKV0}: has no adapter, but other layers or experts have one"),
        (with_tensor("ernie.layers.9.mlp.down_proj.lora_A", np.ones((10, 3), "<f4")), "belongs to no weight"),
        (with_tensor(f"{QKV0}.bias", np.ones(3, "<f4")), f"{QKV0}.bias: neither lora_A nor lora_B"),
        (with_tensor(f"{QKV0}.lora_A", np.ones((12, 4), "<f4")), "has shape (12, 4), expected (12, 3)"),
        (with_tensor(f"{QKV0}.lora_B", np.ones((32, 3), "<f4")), "has shape (32, 3), expected (3, 32)"),
        (
            with_tensor(f"{QKV0}.lora_B", np.full((3, 32), np.nan, "<f4")),
            f"{QKV0}.weight: the adapter contains NaN",
        ),
        (lambda tensors: {}, "has no weight_map"),
    ],
)
def test_rejects_unmatched_missing_and_misshaped_tensors(
    tmp_path: Path, change: Callable[[Tensors], Tensors], expected: str
) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    adapter = write_adapter(tmp_path / "adapter", change(random_adapter(GROUPED)))
    with pytest.raises(AdapterError) as error:
        merge(base, adapter, tmp_path / "merged", "paddle")
    assert expected in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]


def test_reports_all_problems_of_an_adapter(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    tensors = without(f"{QKV0}.lora_B")(random_adapter(GROUPED)) | {"unknown.lora_A": np.ones((2, 3), "<f4")}
    with pytest.raises(AdapterError) as error:
        merge(base, write_adapter(tmp_path / "adapter", tensors), tmp_path / "merged", "paddle")
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("pissa", True), ("lora_bias", True), ("trainable_bias", "lora"), ("use_mora", True), ("loraga", True)),
        *(("use_dora", True), ("lora_use_mixer", True), ("trainable_modules", [".*norm.*"])),
        *(("tensor_parallel_degree", 2), ("r", 0), ("r", None), ("lora_alpha", "8"), ("rslora", None)),
    ],
)
def test_rejects_lora_variants(tmp_path: Path, key: str, value: object) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED), {**CONFIG, key: value})
    with pytest.raises(AdapterError, match=rf"lora_config\.json {key}"):
        merge(base, adapter, tmp_path / "merged", "paddle")


def test_rejects_a_base_with_integer_weights(tmp_path: Path) -> None:
    tensors = random_base(GROUPED)
    base = write_base(tmp_path / "base", tensors)
    write_file(base / "model.safetensors", tensors, {f"{QKV0}.weight": "I32"})
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED))
    with pytest.raises(AdapterError, match="has type I32; adapters are merged into"):
        merge(base, adapter, tmp_path / "merged", "paddle")


def test_rejects_overflow_in_float16(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {f"{DOWN}.weight": np.full((2, 2), 6e4, "<f2")})
    large = {f"{DOWN}.lora_A": np.full((2, 3), 100, "<f4"), f"{DOWN}.lora_B": np.full((3, 2), 100, "<f4")}
    with pytest.raises(AdapterError, match="too large for the base's type"):
        merge(base, write_adapter(tmp_path / "adapter", large), tmp_path / "merged", "paddle")


def test_rejects_a_base_in_another_layout(tmp_path: Path) -> None:
    tensors = to_hugging_face(random_base(GROUPED), dense_base(GROUPED))
    base = write_base(tmp_path / "base", {name: np.ascontiguousarray(array) for name, array in tensors.items()})
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED))
    with pytest.raises(AdapterError, match="is ERNIEKit's, and the base model is in the layout of transformers"):
        merge(base, adapter, tmp_path / "merged", "paddle")


def test_reports_a_full_disk_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(AdapterError, match="and 100 are free"):
        merge(base, adapter, tmp_path / "merged", "paddle")


@pytest.mark.parametrize("output", ["base", "adapter", "."])
def test_refuses_to_replace_its_inputs(tmp_path: Path, output: str) -> None:
    base = write_base(tmp_path / "base", random_base(GROUPED))
    adapter = write_adapter(tmp_path / "adapter", random_adapter(GROUPED))
    with pytest.raises(UsageError, match="which the merge would replace"):
        merge(base, adapter, tmp_path / output, "paddle")


STOPPING = """
import sys, time
from pathlib import Path
from erniekit_adapter.merge.merging import merge
base, adapter, output = map(Path, sys.argv[1:])
def stop(written, total):
    if written > total / 3:
        print("running", flush=True)
        time.sleep(60)
merge(base, adapter, output, "paddle", stop)
"""


def test_same_bytes_after_a_killed_merge(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", random_base(EQUAL, "BF16"), EQUAL, shards=2)
    adapter = write_adapter(tmp_path / "adapter", random_adapter(EQUAL))
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "merged"
    command = [sys.executable, "-c", STOPPING, str(base), str(adapter), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    # Leftovers have temporary names, which no stage reads.
    assert all(path.name.endswith((".new", ".partial")) for path in output.parent.iterdir())
    merge(base, adapter, output, "paddle")
    assert [path.name for path in output.parent.iterdir()] == ["merged"]
    merge(base, adapter, tmp_path / "undisturbed", "paddle")
    assert contents(output) == contents(tmp_path / "undisturbed")


MEASURING = """
import resource, sys
from pathlib import Path
from erniekit_adapter.layouts.base_files import list_weights
from erniekit_adapter.merge.merging import merge, write_hf_base
base, adapter, output = map(Path, sys.argv[1:4])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[4] == "only base":
    write_hf_base(base, output)
else:
    merge(base, adapter, output, sys.argv[4])
added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(added, max(tensor.size_bytes for tensor in list_weights(base).values()) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["paddle", "hugging-face", "only base"])
def test_memory_is_independent_of_the_number_of_tensors(tmp_path: Path, layout: str) -> None:
    added_kib = []
    for layers in (2, 12):
        shape = replace(GROUPED, layers=layers, hidden=512, head_dim=128, ffn=2048, vocab=64)
        folder = tmp_path / str(layers)
        folder.mkdir()
        base = write_base(folder / "base", random_base(shape, "BF16"), shape)
        adapter = write_adapter(folder / "adapter", random_adapter(shape))
        command = [sys.executable, "-c", MEASURING, *map(str, (base, adapter, folder / "merged", layout))]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        kib, largest_kib = map(int, done.stdout.split())
        added_kib.append(kib)
        assert kib < 2 * largest_kib + 300 * 1024
    assert added_kib[1] - added_kib[0] < 16 * 1024  # the second model is 90 MB larger
