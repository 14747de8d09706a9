"""From a toolkit's folder to PEFT's form and back: a native LoRA adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.adapters.layouts import Array, ModelShape
from erniekit_adapter.adapters.layouts_detection import Layout, layout_of, linears_of
from erniekit_adapter.adapters.layouts_experts import ExpertShape, Toolkit, convert_lora_v5, peft_config_v5
from erniekit_adapter.adapters.layouts_from_peft import lora_from_peft
from erniekit_adapter.adapters.layouts_lora import (
    check_lora,
    convert_lora,
    degree_problems,
    peft_config,
    shapes_of,
)
from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.files import read_json, write_json, writing_folder
from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.tensor_files import read_indexed, read_tensors, write_tensors

Reader = Literal["v4", "v5"]
# Who reads a PEFT form, by the kind of base model and the form's reader; a dense model has one form for all.
READERS: Mapping[tuple[Kind, Reader], str] = {
    ("dense", "v4"): "PEFT on transformers 4 and 5, vLLM",
    ("moe", "v4"): "PEFT on transformers 4, vLLM",
    ("moe", "v5"): "PEFT on transformers 5",
    ("ocr-vl", "v4"): "PEFT on transformers 5",
}
NATIVE_INDEX = "peft_model.safetensors.index.json"
NATIVE_WEIGHTS = "peft_model-00001-of-00001.safetensors"
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_native(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a native adapter's tensors, mapped into memory, and its lora_config.json.

    Raises:
        AdapterError: the adapter is a pickle, or a file is missing or damaged.
    """
    if not (folder / NATIVE_INDEX).is_file():
        pickles = sorted(path.name for path in folder.glob("*.pdparams"))
        found = f" but {', '.join(pickles)}, a pickle, which is not opened" if pickles else ""
        raise fail(folder, f"has no {NATIVE_INDEX}{found}", "train with unified_checkpoint: true")
    config = read_json(folder / "lora_config.json")
    if not isinstance(config, dict):
        raise fail(folder / "lora_config.json", "is not an object")
    return read_indexed(folder / NATIVE_INDEX), config


def write_peft(
    native: Path,
    base_config: dict[str, Any],
    output: Path,
    base_model_name: str,
    reader: Reader = "v4",
) -> Layout:
    """Write a toolkit's adapter in PEFT's form, whole or not at all; the same input gives the same bytes.

    Args:
        native: the adapter's folder as ERNIEKit or PaddleFormers wrote it.
        base_config: the content of the base model's config.json.
        output: the folder to write.
        base_model_name: what PEFT shall look for as base model.
        reader: who shall read it, see `READERS`. It matters for mixture-of-experts models alone: each reader loads the
            other's file with a warning at most, and computes something else.

    Returns:
        the layout that the adapter was found to have.

    Raises:
        AdapterError: the adapter cannot be represented exactly; all reasons at once.
    """
    tensors, lora_config = read_native(native)
    sizes = shapes_of(tensors)
    layout = layout_of(sizes, base_config)
    apart = layout == "paddleformers-apart" or layout == "paddleocr-vl"
    if not apart and (problems := list(degree_problems(lora_config))):
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
    """Write a PEFT adapter of a dense model in a toolkit's layout, as `lora_path` takes it, whole or not at all.

    Args:
        peft: a folder with adapter_config.json and adapter_model.safetensors.
        base_config: the content of the base model's config.json.
        output: the folder to write.
        toolkit: whose layout is wanted.

    Raises:
        AdapterError: the adapter is a pickle, cannot be represented exactly, or a file is missing or damaged.
    """
    if not (peft / PEFT_WEIGHTS).is_file():
        pickles = sorted(path.name for path in peft.glob("adapter_model.*"))
        found = f" but {', '.join(pickles)}, which is not opened" if pickles else ""
        raise fail(peft, f"has no {PEFT_WEIGHTS}{found}", "save the adapter as safetensors")
    config = read_json(peft / PEFT_CONFIG)
    if not isinstance(config, dict):
        raise fail(peft / PEFT_CONFIG, "is not an object")
    shape = ModelShape.from_config({"tie_word_embeddings": True, **base_config})
    native, lora_config = lora_from_peft(read_tensors(peft / PEFT_WEIGHTS), shape, config, toolkit)
    write_native(output, native, lora_config)


def write_native(output: Path, tensors: Mapping[str, Array], lora_config: Mapping[str, Any]) -> None:
    """Write an adapter as a toolkit takes it, whole or not at all."""
    size_bytes = sum(array.nbytes for array in tensors.values())
    with writing_folder(output) as folder:
        write_tensors(folder / NATIVE_WEIGHTS, tensors, form="np")
        index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(tensors, NATIVE_WEIGHTS)}
        write_json(folder / NATIVE_INDEX, index)
        write_json(folder / "lora_config.json", lora_config)


def read_base(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a base model's tensors, mapped into memory, and its config.json.

    Raises:
        AdapterError: a file is missing or damaged.
    """
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise fail(folder / "config.json", "is not an object")
    index = folder / "model.safetensors.index.json"
    return read_indexed(index) if index.is_file() else read_tensors(folder / "model.safetensors"), config
