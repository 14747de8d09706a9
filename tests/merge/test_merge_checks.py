"""Checks of merged models against base + scaling · A·B."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.dense import merged_weight
from erniekit_adapter.layouts.lora_tensors import Array
from erniekit_adapter.merge.merge_checks import check_adapter_changes_something, check_merge
from erniekit_adapter.tensor_files import BFLOAT16

CONFIG = {"r": 2, "lora_alpha": 4, "rslora": False}
TOUCHED, OTHER = "ernie.layers.0.mlp.down_proj", "ernie.norm.weight"


def base(seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        f"{TOUCHED}.weight": random.normal(size=(6, 4)).astype(np.float32),
        OTHER: random.normal(size=6).astype(np.float32),
    }


def lora(seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed + 1)
    return {
        f"{TOUCHED}.lora_A": random.normal(size=(6, 2)).astype(np.float32),
        f"{TOUCHED}.lora_B": random.normal(size=(2, 4)).astype(np.float32),
    }


def merge(tensors: dict[str, Array], adapter: dict[str, Array], scaling: float = 2.0) -> dict[str, Array]:
    a, b = adapter[f"{TOUCHED}.lora_A"], adapter[f"{TOUCHED}.lora_B"]
    return {**tensors, f"{TOUCHED}.weight": merged_weight(tensors[f"{TOUCHED}.weight"], a, b, scaling)}


def refusal(merged: dict[str, Array], adapter: dict[str, Array] | None = None) -> str:
    with pytest.raises(AdapterError) as error:
        check_merge(base(), lora() if adapter is None else adapter, CONFIG, merged)
    return str(error.value)


def test_accepts_a_correct_merge_and_counts_tensors() -> None:
    found = check_merge(base(), lora(), CONFIG, merge(base(), lora()))
    assert (found.changed, found.same, found.largest_difference) == (1, 1, 0.0)
    a, b = lora().values()
    assert found.largest_change == pytest.approx(np.abs(2 * a @ b).max(), rel=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), rslora=st.booleans(), alpha=st.integers(1, 64))
def test_rejects_another_scaling(seed: int, rslora: bool, alpha: int) -> None:
    config = {"r": 2, "lora_alpha": alpha, "rslora": rslora}
    scaling = alpha / (2**0.5 if rslora else 2)
    check_merge(base(seed), lora(seed), config, merge(base(seed), lora(seed), scaling))
    with pytest.raises(AdapterError, match="off from base"):
        check_merge(base(seed), lora(seed), config, merge(base(seed), lora(seed), scaling * 1.5))


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_accepts_rounding_of_half_precision(kind: str) -> None:
    def halved(tensors: dict[str, Array]) -> dict[str, Array]:
        return {n: t.astype(BFLOAT16 if kind == "bfloat16" else np.float16) for n, t in tensors.items()}

    tensors = halved(base())
    exact = merge({name: array.astype(np.float32) for name, array in tensors.items()}, lora())
    found = check_merge(tensors, lora(), CONFIG, halved(exact))
    assert 0 < found.largest_difference < 0.05
    with pytest.raises(AdapterError, match="off from base"):
        check_merge(tensors, lora(), CONFIG, halved(merge(exact, lora())))


def test_rejects_an_unchanged_model() -> None:
    assert f"{TOUCHED}.weight: is " in refusal(base())


def test_rejects_reversed_rows() -> None:
    wrong = merge(base(), lora())
    wrong[f"{TOUCHED}.weight"] = wrong[f"{TOUCHED}.weight"][::-1].copy()
    assert "off from base + scaling · A·B" in refusal(wrong)


def test_rejects_nan_in_a_merged_weight() -> None:
    wrong = merge(base(), lora())
    wrong[f"{TOUCHED}.weight"][0, 0] = np.nan
    assert "is nan off" in refusal(wrong)


def test_rejects_a_change_of_another_weight() -> None:
    wrong = merge(base(), lora())
    wrong[OTHER] = np.nextafter(wrong[OTHER], np.float32(np.inf))
    assert f"{OTHER}: differs from the base model" in refusal(wrong)


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_rejects_missing_and_additional_tensors(change: str) -> None:
    wrong = merge(base(), lora())
    if change == "missing":
        del wrong[OTHER]
    else:
        wrong["lm_head.weight"] = np.zeros(3, np.float32)
    assert "is in only one of base and merged model" in refusal(wrong)


@pytest.mark.parametrize("changed", [np.zeros((4, 6), np.float32), np.zeros((6, 4), np.float16)], ids=["shape", "type"])
def test_rejects_another_shape_or_type(changed: Array) -> None:
    assert "expected float32 (6, 4)" in refusal({**base(), f"{TOUCHED}.weight": changed})


def test_reports_all_wrong_tensors() -> None:
    wrong: dict[str, Any] = {f"{TOUCHED}.weight": base()[f"{TOUCHED}.weight"], "more": np.zeros(1, np.float32)}
    assert len(refusal(wrong).splitlines()) == 3


def test_rejects_an_adapter_for_an_unknown_layer() -> None:
    more = {name.replace("layers.0", "layers.7"): array for name, array in lora().items()}
    assert "layers.7" in refusal(merge(base(), lora()), {**lora(), **more})


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    numbers = np.array([1.0, -2.5, 0.0, 3.140625], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
    assert halves.astype(np.float32).tolist() == numbers.tolist()


def test_rejects_an_adapter_without_effect() -> None:
    adapter = lora()
    check_adapter_changes_something(adapter)
    adapter[f"{TOUCHED}.lora_B"][:] = 0
    with pytest.raises(AdapterError, match="every lora_B is zero: it changes nothing"):
        check_adapter_changes_something(adapter)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rejects_nan_and_infinity_in_lora_b(number: float) -> None:
    adapter = lora()
    adapter[f"{TOUCHED}.lora_B"][0, 0] = number
    with pytest.raises(AdapterError, match=f"NaN or infinity in {TOUCHED}.lora_B"):
        check_adapter_changes_something(adapter)


def test_rejects_nan_in_lora_a() -> None:
    adapter = lora()
    adapter[f"{TOUCHED}.lora_A"][0, 0] = np.nan
    with pytest.raises(AdapterError, match="NaN or infinity"):
        check_adapter_changes_something(adapter)
