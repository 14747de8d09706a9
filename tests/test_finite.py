"""Search for NaN and infinity in safetensors files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.finite import count_not_finite, describe, not_finite


@given(st.lists(st.floats(width=32), max_size=40))
def test_count_in_float32_equals_numpy(values: list[float]) -> None:
    array = np.array(values, "<f4")
    assert count_not_finite(array.tobytes(), "F32") == np.count_nonzero(~np.isfinite(array))


@pytest.mark.parametrize("name", ["F16", "F64"])
def test_counts_in_ieee_types(name: str) -> None:
    array = np.array([1, -np.inf, np.nan, 6e4, 0], {"F16": "<f2", "F64": "<f8"}[name])
    assert count_not_finite(array.tobytes(), name) == 2


@given(st.lists(st.integers(0, 0xFFFF), max_size=40))
def test_counts_in_bfloat16(bits: list[int]) -> None:
    array = np.array(bits, "<u2")
    wide = (array.astype("<u4") << 16).view("<f4")
    assert count_not_finite(array.tobytes(), "BF16") == np.count_nonzero(~np.isfinite(wide))


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [
        ("F8_E4M3", b"\x7f\xff\x7e\x00", 2),  # NaN of both signs, the largest number, zero
        ("F8_E5M2", b"\x7c\xfc\x7d\x7b", 3),  # infinity of both signs, NaN, the largest number
        ("I64", b"\xff" * 8, 0),
        ("BF16", b"", 0),
    ],
)
def test_counts_in_other_types(name: str, data: bytes, count: int) -> None:
    assert count_not_finite(data, name) == count


def test_describes_tensors_of_several_files(tmp_path: Path) -> None:
    save_file({"good": np.ones(4, np.float32), "bad": np.array([1, np.nan], np.float32)}, tmp_path / "a.safetensors")
    save_file({"worse": np.full(3, np.inf, np.float32)}, tmp_path / "b.safetensors")
    found = not_finite([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])
    assert [(each.tensor.name, each.count, each.values) for each in found] == [("bad", 1, 2), ("worse", 3, 3)]
    assert describe(found) == "4 values of 2 tensors, the first of them a.safetensors bad"
    assert describe(found[:1]) == "1 of 2 values of a.safetensors bad"


def test_finds_a_value_in_the_last_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erniekit_adapter.finite._BLOCK_BYTES", 64)
    values = np.zeros(101, np.float32)
    values[100] = np.nan
    save_file({"long": values}, tmp_path / "a.safetensors")
    seen: list[tuple[int, int]] = []
    assert not_finite([tmp_path / "a.safetensors"], lambda done, total: seen.append((done, total)))[0].count == 1
    assert seen[-1] == (404, 404)


def test_names_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"short")
    with pytest.raises(AdapterError, match=r"a\.safetensors"):
        not_finite([tmp_path / "a.safetensors"])
