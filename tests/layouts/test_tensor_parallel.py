"""Reordering of columns from tensor-parallel processes to a whole model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_examples import (
    CONFIG,
    EXPERTS,
    GROUPED,
    adapter_of,
    apply_tensor_parallel,
    assert_same,
    lora_tensors,
    tensor_parallel_adapter,
)

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.dense import PARTS, QKV, UP_GATE, DenseShape, linear_shapes
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.layouts.tensor_parallel import joined, undo_tensor_parallel


@st.composite
def parallel(draw: st.DrawFn) -> tuple[DenseShape, int]:
    """Draw a model and a degree that divides its heads and width."""
    degree, group = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kv_heads, ffn = degree * draw(st.integers(1, 2)), degree * draw(st.integers(1, 3))
    shape = DenseShape(1, 4, kv_heads * group, kv_heads, draw(st.integers(1, 3)), ffn, 9, tied=True)
    return shape, degree


@given(case=parallel(), module=st.sampled_from(sorted(PARTS)))
def test_undo_is_the_inverse_of_apply(case: tuple[DenseShape, int], module: str) -> None:
    shape, degree = case
    width = linear_shapes(shape)[module][1]
    array = np.arange(2 * width).reshape(2, width)
    shuffled = apply_tensor_parallel(module, array, shape, degree)
    np.testing.assert_array_equal(undo_tensor_parallel(module, shuffled, shape, degree), array)


def test_each_process_has_a_share_of_every_projection() -> None:
    shares = apply_tensor_parallel(QKV, np.arange(32)[None], GROUPED, 2)[0].tolist()
    assert shares == [*range(8), *range(16, 20), *range(24, 28), *range(8, 16), *range(20, 24), *range(28, 32)]
    assert apply_tensor_parallel(UP_GATE, np.arange(12)[None], GROUPED, 2)[0].tolist() == [
        *(0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11)
    ]


def test_restores_the_order_of_a_whole_model() -> None:
    whole = lora_tensors(GROUPED)
    assert any(not np.array_equal(array, whole[name]) for name, array in tensor_parallel_adapter(whole, 2).items())
    assert_same(joined(tensor_parallel_adapter(whole, 2), CONFIG, 2), whole)


def test_paddleformers_reorders_gate_and_up_only() -> None:
    names = {f"model.{name.removeprefix('ernie.')}": name for name in lora_tensors(GROUPED)}
    whole = {renamed: lora_tensors(GROUPED)[name] for renamed, name in names.items()}
    left = {
        name: apply_tensor_parallel(UP_GATE, array, GROUPED, 2) if name.endswith("up_gate_proj.lora_B") else array
        for name, array in whole.items()
    }
    assert_same(joined(left, CONFIG, 2), whole)


@pytest.mark.parametrize("degree", [3, 4])
def test_rejects_a_degree_that_does_not_divide(degree: int) -> None:
    with pytest.raises(AdapterError, match=rf"export\.tensor_parallel_degree: {degree} does not divide"):
        joined(lora_tensors(GROUPED), CONFIG, degree)


def test_rejects_experts() -> None:
    adapter = adapter_of(expert_linears(ExpertShape.from_config(EXPERTS), "erniekit"))
    with pytest.raises(AdapterError, match="order depends on expert parallelism"):
        joined(adapter, EXPERTS, 2)
