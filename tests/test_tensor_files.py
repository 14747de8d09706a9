"""Reading and writing of safetensors files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_examples import GROUPED, numbered
from safetensors.numpy import load_file, save_file

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.dense import base_shapes
from erniekit_adapter.tensor_files import DTYPES, Array, read_metadata, read_tensors, write_tensors


def tensors_of_all_types() -> dict[str, Array]:
    """Return a tensor of each type, and a transposed view."""
    tensors: dict[str, Array] = {name: np.arange(6).reshape(2, 3).astype(dtype) for name, dtype in DTYPES.items()}
    return tensors | {"transposed": tensors["BF16"].T, "empty": np.empty((0, 3), np.float32)}


def assert_equal(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_safetensors_reads_written_files(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", tensors_of_all_types(), framework="np")
    assert_equal(load_file(tmp_path / "a.safetensors"), tensors_of_all_types())
    assert read_metadata(tmp_path / "a.safetensors") == {"format": "np"}


def test_reads_files_of_safetensors(tmp_path: Path) -> None:
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors_of_all_types().items()}
    save_file(tensors, tmp_path / "a.safetensors")
    assert_equal(read_tensors(tmp_path / "a.safetensors"), tensors)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 16, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{", b'\x09\0\0\0\0\0\0\0{"a": {}}']
)
def test_names_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=r"damaged\.safetensors"):
        read_tensors(path)


def test_names_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    write_tensors(path, numbered(base_shapes(GROUPED)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AdapterError, match="its offsets in the header do not fit the file"):
        read_tensors(path)
