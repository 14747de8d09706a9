"""Plan of a merge: the tensors to write for each tensor of the base model, computed from headers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.base_model import BaseLayout, hugging_face_name
from erniekit_adapter.layouts.dense import EMBEDDING, HEAD
from erniekit_adapter.layouts.lora_tensors import listed
from erniekit_adapter.merge.matching import MERGED_DTYPES, runs
from erniekit_adapter.tensor_files import ITEM_BYTES, StoredTensor


@dataclass(frozen=True)
class Output:
    """A tensor to write.

    Attributes:
        name: its name.
        shape: its shape.
        size_bytes: length of its data.
        columns: columns of the source that become its rows, in order; None for an unchanged copy of the source.
    """

    name: str
    shape: tuple[int, ...]
    size_bytes: int
    columns: tuple[slice, ...] | None


def planned_outputs(base: Mapping[str, StoredTensor], target: BaseLayout | None) -> dict[str, list[Output]]:
    """Return the tensors to write for each tensor of the base model.

    Args:
        base: the base model's tensors.
        target: the conversion from ERNIEKit's layout to Hugging Face's; None to keep the base model's layout.

    Raises:
        AdapterError: a tensor has no counterpart in the Hugging Face layout, or is missing; all problems at once.
    """
    if target is None:
        return {name: [Output(name, tensor.shape, tensor.size_bytes, None)] for name, tensor in base.items()}
    if problems := list(_layout_problems(base, target)):
        raise AdapterError(problems)
    return {name: list(_hugging_face(tensor, target)) for name, tensor in base.items()}


def _layout_problems(base: Mapping[str, StoredTensor], target: BaseLayout) -> Iterator[Problem]:
    expected = target.sizes
    if target.tied and HEAD in base and EMBEDDING in base:
        expected[HEAD] = base[EMBEDDING].shape
        if not _same_data(base[HEAD], base[EMBEDDING]):
            yield Problem(HEAD, "differs from the embedding, but tie_word_embeddings in config.json is true")
    if extra := sorted(set(base) - set(expected)):
        yield Problem(listed(extra), "has no counterpart in the Hugging Face layout", "merge in the Paddle layout")
    if missing := sorted(set(expected) - set(base)):
        yield Problem(listed(missing), "missing", "download the model again")
    for name in sorted(set(expected) & set(base)):
        if base[name].shape != expected[name]:
            yield Problem(name, f"has shape {base[name].shape}, expected {expected[name]}")
        if base[name].dtype not in MERGED_DTYPES:
            yield Problem(name, f"has type {base[name].dtype}, expected {', '.join(MERGED_DTYPES)}")


def _same_data(one: StoredTensor, other: StoredTensor, block_bytes: int = 1 << 20) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.path.open("rb") as first, other.path.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        lengths = (min(block_bytes, one.size_bytes - start) for start in range(0, one.size_bytes, block_bytes))
        return all(first.read(length) == second.read(length) for length in lengths)


def _hugging_face(tensor: StoredTensor, target: BaseLayout) -> Iterator[Output]:
    if target.tied and tensor.name == HEAD:
        return
    linear = target.linears.get(tensor.name.removesuffix(".weight"))
    if linear is None:
        yield Output(hugging_face_name(tensor.name), tensor.shape, tensor.size_bytes, None)
        return
    rows, width = tensor.shape
    # Splitting the column numbers like the weight gives the target of each column.
    for part, columns in zip(linear.parts, linear.split(np.arange(width)[None, :]), strict=True):
        size_bytes = columns.size * rows * ITEM_BYTES[tensor.dtype]
        yield Output(f"{part}.weight", (columns.size, rows), size_bytes, tuple(runs(columns[0])))
