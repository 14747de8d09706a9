"""Conversion of LoRA adapter folders from a toolkit to PEFT, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.architectures.families import SEPARATE_LAYOUTS
from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.files import read_json, write_json, writing_folder
from erniekit_adapter.layouts.dense import DenseShape
from erniekit_adapter.layouts.detection import Layout, layout_of, linears_of
from erniekit_adapter.layouts.experts import ExpertShape, Toolkit, convert_lora_v5, peft_config_v5
from erniekit_adapter.layouts.from_peft import lora_from_peft
from erniekit_adapter.layouts.lora_tensors import (
    Array,
    check_lora,
    convert_lora,
    degree_problems,
    peft_config,
    shapes_of,
)
from erniekit_adapter.tensor_files import read_indexed, read_tensors, write_tensors

PeftReader = Literal["v4", "v5"]
NATIVE_INDEX = "peft_model.safetensors.index.json"
NATIVE_WEIGHTS = "peft_model-00001-of-00001.safetensors"
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_native(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a native adapter: its tensors, mapped into memory, and its lora_config.json.

    Raises:
        AdapterError: the adapter is a pickle, or a file is missing or damaged.
    """
    if not (folder / NATIVE_INDEX).is_file():
        pickles = sorted(path.name for path in folder.glob("*.pdparams"))
        found = f", only {', '.join(pickles)}: pickles are not opened" if pickles else ""
        raise failure(folder, f"has no {NATIVE_INDEX}{found}", "train with unified_checkpoint: true")
    config = read_json(folder / "lora_config.json")
    if not isinstance(config, dict):
        raise failure(folder / "lora_config.json", "is not an object")
    return read_indexed(folder / NATIVE_INDEX), config


def write_peft(
    native: Path,
    base_config: dict[str, Any],
    output: Path,
    base_model_name: str,
    reader: PeftReader = "v4",
) -> Layout:
    """Write a toolkit's adapter in PEFT's format, atomically. Equal input gives equal bytes.

    Args:
        native: the adapter's folder as ERNIEKit or PaddleFormers wrote it.
        base_config: content of the base model's config.json.
        output: the folder to write.
        base_model_name: name of the base model for PEFT.
        reader: the version of transformers, see `Family.peft_readers`. It matters for mixtures of experts only: each
            version loads the file for the other one with a warning at most, and computes wrong results.

    Returns:
        The detected layout of the adapter.

    Raises:
        AdapterError: the adapter cannot be represented exactly; all reasons at once.
    """
    tensors, lora_config = read_native(native)
    sizes = shapes_of(tensors)
    layout = layout_of(sizes, base_config)
    is_fused = layout not in SEPARATE_LAYOUTS
    if is_fused and (problems := list(degree_problems(lora_config))):
        raise AdapterError(problems)
    linears = linears_of(layout, base_config)
    check_lora(sizes, linears, lora_config)
    if reader == "v5" and (layout == "erniekit-experts" or layout == "paddleformers-experts"):
        toolkit: Toolkit = "erniekit" if layout == "erniekit-experts" else "paddleformers"
        shape = ExpertShape.from_config(base_config)
        converted = convert_lora_v5(tensors, shape, toolkit)
        config = peft_config_v5(lora_config, tensors, shape, toolkit, base_model_name)
    else:
        converted = convert_lora(tensors, linears)
        config = peft_config(lora_config, converted, base_model_name)
    with writing_folder(output) as folder:
        write_json(folder / PEFT_CONFIG, config)
        write_tensors(folder / PEFT_WEIGHTS, converted)
    return layout


def write_from_peft(peft: Path, base_config: dict[str, Any], output: Path, toolkit: Toolkit = "erniekit") -> None:
    """Write a PEFT adapter of a dense model in a toolkit's layout, for `lora_path`, atomically.

    Args:
        peft: a folder with adapter_config.json and adapter_model.safetensors.
        base_config: content of the base model's config.json.
        output: the folder to write.
        toolkit: the toolkit of the layout.

    Raises:
        AdapterError: the adapter is a pickle, cannot be represented exactly, or a file is missing or damaged.
    """
    if not (peft / PEFT_WEIGHTS).is_file():
        pickles = sorted(path.name for path in peft.glob("adapter_model.*"))
        found = f", only {', '.join(pickles)}, which is not opened" if pickles else ""
        raise failure(peft, f"has no {PEFT_WEIGHTS}{found}", "save the adapter as safetensors")
    config = read_json(peft / PEFT_CONFIG)
    if not isinstance(config, dict):
        raise failure(peft / PEFT_CONFIG, "is not an object")
    shape = DenseShape.from_config({"tie_word_embeddings": True, **base_config})
    native, lora_config = lora_from_peft(read_tensors(peft / PEFT_WEIGHTS), shape, config, toolkit)
    write_native(output, native, lora_config)


def write_native(output: Path, tensors: Mapping[str, Array], lora_config: Mapping[str, Any]) -> None:
    """Write an adapter in a toolkit's files, atomically."""
    size_bytes = sum(array.nbytes for array in tensors.values())
    with writing_folder(output) as folder:
        write_tensors(folder / NATIVE_WEIGHTS, tensors, framework="np")
        index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(tensors, NATIVE_WEIGHTS)}
        write_json(folder / NATIVE_INDEX, index)
        write_json(folder / "lora_config.json", lora_config)
