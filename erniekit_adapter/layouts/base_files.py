"""Files of a base model: its weights, in one file or several, and config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.errors import failure
from erniekit_adapter.files import read_json
from erniekit_adapter.tensor_files import (
    Array,
    StoredTensor,
    TorchDtype,
    list_indexed,
    list_tensors,
    read_indexed,
    read_tensors,
)

SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
_TORCH_DTYPES: Mapping[str, TorchDtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's config.json.

    Raises:
        AdapterError: the file is missing or is not a JSON object.
    """
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise failure(folder / "config.json", "is not an object", "download the model again")
    return config


def read_weights(folder: Path) -> dict[str, Array]:
    """Map the weights of a model into memory.

    Raises:
        AdapterError: a file is missing or damaged, or index and files disagree.
    """
    index = folder / INDEX
    return read_indexed(index) if index.is_file() else read_tensors(folder / SINGLE_FILE)


def list_weights(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a model by name. Only the headers are read.

    Raises:
        AdapterError: a file is missing or damaged, or index and files disagree.
    """
    if (folder / INDEX).is_file():
        return list_indexed(folder / INDEX)
    if not (folder / SINGLE_FILE).is_file():
        raise failure(folder, f"has neither {SINGLE_FILE} nor {INDEX}", "download the model again, as safetensors")
    return list_tensors(folder / SINGLE_FILE)


def main_dtype(tensors: Mapping[str, StoredTensor]) -> TorchDtype:
    """Return the type that most bytes of a model have, by its name in torch."""
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size_bytes
    return _TORCH_DTYPES.get(max(sizes, key=lambda dtype: sizes[dtype], default=""), "float32")
