"""The adapter that training starts from, which sets the target modules and the dropout.

The toolkits have no keys for targets or dropout, and PaddleFormers computes its own alpha. But `lora_path` loads an
adapter together with its `lora_config.json`. So this module writes an adapter with A random and B zero, which does not
change the model until it is trained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from erniekit_adapter.architectures.families import DEFAULT_KIND, Kind
from erniekit_adapter.architectures.linear_layers import FUSED, SEPARATE
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import failure
from erniekit_adapter.files import read_json, write_json, writing_folder
from erniekit_adapter.layouts.adapter_files import NATIVE_INDEX, NATIVE_WEIGHTS
from erniekit_adapter.lora.config import scaling
from erniekit_adapter.lora.modules import matrices, target_matrices
from erniekit_adapter.project.toolkit_sections import LoraSection

# Prefix of the language model's layers in PaddleFormers.
LANGUAGE_MODEL = "model.layers."

# (in, out) of linear layers, by name.
Shapes = dict[str, tuple[int, int]]


def base_linear_shapes(model_dir: Path, backend: Backend = "erniekit", kind: Kind = DEFAULT_KIND) -> Shapes:
    """`{"ernie.layers.0.self_attn.qkv_proj": (in, out), …}` of every linear layer, from the weights' headers alone.

    The names are those of the toolkit. PaddleFormers reads weights in the layout of Hugging Face, (out, in) with
    separate q, k and v, and fuses them for a text model as ERNIEKit does. Of a multimodal model only the layers of the
    language model are returned.

    Raises:
        AdapterError: the safetensors weights are missing, or the index names a missing file.
    """
    shapes: Shapes = {}
    matrix_of = {part: name for name, parts in matrices(backend, kind).items() for part in parts}
    for name, shape in _projections(model_dir):
        if backend == "erniekit":
            shapes[name] = shape
        elif name.startswith(LANGUAGE_MODEL):
            stem, _, part = name.rpartition(".")
            columns, rows = shape
            fused = f"{stem}.{matrix_of.get(part, part)}"
            shapes[fused] = (rows, columns + shapes.get(fused, (rows, 0))[1])
    if not shapes:
        raise failure(model_dir, f"has no linear layers with the names of {backend}", "use an ERNIE 4.5 model")
    return shapes


def _projections(model_dir: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    from safetensors import safe_open

    known = {*FUSED, *SEPARATE}
    for file in weight_files(model_dir):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a handle of safetensors, no dict
                shape = tensors.get_slice(name).get_shape()
                if name.removesuffix(".weight").rpartition(".")[2] in known and len(shape) == 2:
                    yield name.removesuffix(".weight"), (shape[0], shape[1])


def weight_files(model_dir: Path) -> list[Path]:
    """Return the safetensors files of a model folder, as its index lists them.

    Raises:
        AdapterError: there are no weights, or the index names a missing file.
    """
    index = model_dir / "model.safetensors.index.json"
    if index.is_file():
        content = read_json(index)
        places = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(places, dict) or not places:
            raise failure(index, "has no weight_map", "download the model again")
        files = [model_dir / Path(name).name for name in sorted({str(place) for place in places.values()})]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise failure(index, f"names missing files: {', '.join(missing)}", "download the model again")
        return files
    single = model_dir / "model.safetensors"
    if not single.is_file():
        raise failure(
            model_dir, "has neither model.safetensors nor an index of shards", "download the -Paddle weights into it"
        )
    return [single]


def write_initial_adapter(
    lora: LoraSection, backend: Backend, kind: Kind, model_dir: Path, output: Path, *, seed: int
) -> None:
    """Write an adapter in the toolkit's tensor layout: A (in, r) uniform, B (r, out) zero.

    A is uniform in ±1/√in. This is Kaiming's uniform initialisation with a = √5, as in PEFT and ERNIEKit.

    Args:
        lora: the LoRA settings of the project, with the target modules.
        backend: the toolkit that will read the adapter.
        kind: the family of the base model.
        model_dir: the base model's folder.
        output: folder to write.
        seed: seed of the random numbers.
    """
    from safetensors.numpy import save_file

    targets = target_matrices(lora, backend, kind)
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for name, (rows, columns) in sorted(base_linear_shapes(model_dir, backend, kind).items()):
        if name.rpartition(".")[2] in targets:
            bound = rows**-0.5
            tensors[f"{name}.lora_A"] = random.uniform(-bound, bound, (rows, lora.r)).astype(np.float32)
            tensors[f"{name}.lora_B"] = np.zeros((lora.r, columns), np.float32)
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    with writing_folder(output, alone=True) as folder:
        save_file(tensors, folder / NATIVE_WEIGHTS, metadata={"format": "np"})
        index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(tensors, NATIVE_WEIGHTS)}
        write_json(folder / NATIVE_INDEX, index)
        write_json(folder / "lora_config.json", _lora_config(lora, targets, model_dir, backend))


def _lora_config(lora: LoraSection, targets: tuple[str, ...], model_dir: Path, backend: Backend) -> dict[str, object]:
    """Return the configuration that the toolkit writes itself, with the project's targets, alpha and dropout.

    The keys are those of ERNIEKit 1.0.1 and PaddleFormers 1.2.0. Both apply `re.fullmatch` to the whole name of a
    module. In PaddleFormers, names of the vision tower contain names of the language model, so the patterns begin with
    the prefix of the language model.
    """
    both: dict[str, object] = {
        "base_model_name_or_path": str(model_dir),
        "do_qat": False,
        "dtype": "float32",
        "enable_lora_list": None,
        "head_dim": None,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.lora_dropout,
        "lora_plus_scale": lora.lora_plus_scale,
        "loraga": False,
        "merge_weights": False,
        "r": lora.r,
        "rslora": lora.rslora,
        "scaling": scaling(lora.alpha, lora.r, rslora=lora.rslora),
        "trainable_bias": None,
        "trainable_modules": None,
    }
    if backend == "paddleformers":
        patterns = [rf"{re.escape(LANGUAGE_MODEL)}.*\.{target}" for target in targets]
        return {**both, "target_modules": patterns, "tensor_model_parallel_size": -1}
    return {
        **both,
        "lora_use_mixer": False,
        "lorapro": False,
        "pissa": False,
        "target_modules": [f".*{target}.*" for target in targets],
        "tensor_parallel_degree": -1,
        "use_mora": False,
        "use_quick_lora": False,
    }
