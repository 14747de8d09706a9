"""Adapters that a tensor-parallel run left in the order of its processes, in the order of a whole model again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundle_examples import exported, trained
from hypothesis import given
from hypothesis import strategies as st
from layout_examples import CONFIG, EXPERTS, GROUPED, LORA_CONFIG, adapter_of, lora_tensors, lora_to_peft, native_folder

from erniekit_adapter.adapters.layouts import PARTS, QKV, UP_GATE, ModelShape, linear_shapes
from erniekit_adapter.adapters.layouts_experts import ExpertShape, expert_linears
from erniekit_adapter.adapters.peft import read_native
from erniekit_adapter.adapters.tensor_parallel import apply_tensor_parallel, joined, undo_tensor_parallel
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import Array, read_tensors


@st.composite
def parallel(draw: st.DrawFn) -> tuple[ModelShape, int]:
    """A model and a degree that divides its heads and width."""
    degree, group = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kv_heads, ffn = degree * draw(st.integers(1, 2)), degree * draw(st.integers(1, 3))
    shape = ModelShape(1, 4, kv_heads * group, kv_heads, draw(st.integers(1, 3)), ffn, 9, tied=True)
    return shape, degree


@given(case=parallel(), module=st.sampled_from(sorted(PARTS)))
def test_undoing_tensor_parallel_order_is_its_inverse(case: tuple[ModelShape, int], module: str) -> None:
    shape, degree = case
    width = linear_shapes(shape)[module][1]
    array = np.arange(2 * width).reshape(2, width)
    shuffled = apply_tensor_parallel(module, array, shape, degree)
    np.testing.assert_array_equal(undo_tensor_parallel(module, shuffled, shape, degree), array)


def test_each_process_holds_a_share_of_q_k_and_v_and_of_gate_and_up() -> None:
    shares = apply_tensor_parallel(QKV, np.arange(32)[None], GROUPED, 2)[0].tolist()
    assert shares == [*range(8), *range(16, 20), *range(24, 28), *range(8, 16), *range(20, 24), *range(28, 32)]
    assert apply_tensor_parallel(UP_GATE, np.arange(12)[None], GROUPED, 2)[0].tolist() == [
        *(0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11)
    ]


def shuffled(tensors: dict[str, Array], degree: int) -> dict[str, Array]:
    """An adapter of GROUPED as `degree` processes leave it."""
    return {
        name: apply_tensor_parallel(name.split(".", 3)[3].removesuffix(".lora_B"), array, GROUPED, degree)
        if name.endswith("lora_B")
        else array
        for name, array in tensors.items()
    }


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_known_degree_is_undone() -> None:
    whole = lora_tensors(GROUPED)
    assert any(not np.array_equal(array, whole[name]) for name, array in shuffled(whole, 2).items())
    assert_same(joined(shuffled(whole, 2), CONFIG, 2), whole)


def test_paddleformers_cuts_between_groups_so_only_gate_and_up_are_brought_into_order() -> None:
    names = {f"model.{name.removeprefix('ernie.')}": name for name in lora_tensors(GROUPED)}
    whole = {ours: lora_tensors(GROUPED)[name] for ours, name in names.items()}
    left = {
        name: apply_tensor_parallel(UP_GATE, array, GROUPED, 2) if name.endswith("up_gate_proj.lora_B") else array
        for name, array in whole.items()
    }
    assert_same(joined(left, CONFIG, 2), whole)


@pytest.mark.parametrize("degree", [3, 4])
def test_a_degree_that_cannot_have_been_is_refused(degree: int) -> None:
    with pytest.raises(AdapterError, match=rf"export\.tensor_parallel_degree: {degree} does not divide"):
        joined(lora_tensors(GROUPED), CONFIG, degree)


def test_experts_of_a_tensor_parallel_run_are_not_undone() -> None:
    adapter = adapter_of(expert_linears(ExpertShape.from_config(EXPERTS), "erniekit"))
    with pytest.raises(AdapterError, match="depends on expert parallelism"):
        joined(adapter, EXPERTS, 2)


def left_by_two_processes(folder: Path, *, degree: int | None, said: int = 2) -> Project:
    """A run of two tensor-parallel processes, and what the project says of it."""
    project = trained(folder, forms=("native", "peft", "merged"))
    output = project.training_dir / "output"
    shutil.rmtree(output)
    config = {**LORA_CONFIG, "tensor_parallel_degree": said, "target_modules": [".*_proj.*"]}
    native_folder(output, shuffled(lora_tensors(GROUPED), 2), config)
    section = {"forms": ["native", "peft"], "tensor_parallel_degree": degree}
    return Project.model_validate({**project.model_dump(exclude_unset=True), "export": section})


@pytest.mark.usefixtures("nothing_to_read_with")
def test_every_form_of_such_an_adapter_is_in_the_order_of_a_whole_model(tmp_path: Path) -> None:
    project = left_by_two_processes(tmp_path, degree=2)
    exported(project)
    tensors, config = read_native(project.bundle_dir / "native")
    assert_same(tensors, lora_tensors(GROUPED))
    assert config["tensor_parallel_degree"] == 1
    peft = read_tensors(project.bundle_dir / "peft" / "adapter_model.safetensors")
    expected = {name: np.ascontiguousarray(array) for name, array in lora_to_peft(tensors, GROUPED, config).items()}
    assert_same(peft, expected)


@pytest.mark.usefixtures("nothing_to_read_with")
def test_columns_that_are_joined_already_stay_as_they_are(tmp_path: Path) -> None:
    project = left_by_two_processes(tmp_path, degree=1)
    exported(project)
    assert_same(read_native(project.bundle_dir / "native")[0], shuffled(lora_tensors(GROUPED), 2))


@pytest.mark.usefixtures("nothing_to_read_with")
def test_a_degree_that_the_configuration_names_is_refused_until_the_order_is_said(tmp_path: Path) -> None:
    project = left_by_two_processes(tmp_path, degree=None)
    with pytest.raises(AdapterError, match=r"no shape tells\n.*say it in export\.tensor_parallel_degree"):
        exported(project)
