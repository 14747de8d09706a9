"""The adapter that training starts from: the one way to tell a toolkit which modules to train, and with what dropout.

Neither toolkit has a key for targets or dropout, and PaddleFormers goes by an alpha of its own; but `lora_path` takes
over an adapter with its `lora_config.json` as a whole. So we make one: A random, B zero, which changes nothing until it
is trained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from erniekit_adapter.backends.lora_modules import matrices, target_matrices
from erniekit_adapter.errors import fail
from erniekit_adapter.files import read_json, write_json, writing_folder
from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend, LoraSection

WEIGHTS_FILE = "peft_model-00001-of-00001.safetensors"
INDEX_FILE = "peft_model.safetensors.index.json"
# What the names of the language model's layers begin with in PaddleFormers.
LANGUAGE_MODEL = "model.layers."

# (in, out) of linear layers, by name.
Shapes = dict[str, tuple[int, int]]


def base_linear_shapes(model_dir: Path, backend: Backend = "erniekit", kind: Kind = "dense") -> Shapes:
    """`{"ernie.layers.0.self_attn.qkv_proj": (in, out), …}` of every linear layer, from the weights' headers alone.

    Under the names that the toolkit gives them: PaddleFormers reads weights of Hugging Face's layout, (out, in) with q,
    k and v apart, and keeps those of a text model in one matrix as ERNIEKit does. Of a model with images only the
    language model's layers count.

    Raises:
        AdapterError: there are no safetensors weights, or the index names a file that is not there.
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
        raise fail(model_dir, f"has no linear layers under the names that {backend} uses", "is it an ERNIE 4.5 model?")
    return shapes


def _projections(model_dir: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    from safetensors import safe_open

    for file in weight_files(model_dir):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a handle of safetensors, no dict
                shape = tensors.get_slice(name).get_shape()
                if name.endswith("_proj.weight") and len(shape) == 2:
                    yield name.removesuffix(".weight"), (shape[0], shape[1])


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model folder, as its index lists them.

    Raises:
        AdapterError: no weights, or an index that names a missing file.
    """
    index = model_dir / "model.safetensors.index.json"
    if index.is_file():
        content = read_json(index)
        places = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(places, dict) or not places:
            raise fail(index, "has no weight_map", "download the model again")
        files = [model_dir / Path(name).name for name in sorted({str(place) for place in places.values()})]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise fail(index, f"names files that are not there: {', '.join(missing)}", "download the model again")
        return files
    single = model_dir / "model.safetensors"
    if not single.is_file():
        raise fail(model_dir, "has no model.safetensors and no index of shards", "download the -Paddle weights into it")
    return [single]


def write_initial_adapter(project: Project, kind: Kind, model_dir: Path, output: Path) -> None:
    """Write an adapter in the toolkit's layout for the project's target modules: A (in, r) uniform, B (r, out) zero.

    A is drawn from ±1/√in, what Kaiming's uniform initialisation with a = √5 gives, as in PEFT and ERNIEKit.
    """
    from safetensors.numpy import save_file

    lora = project.lora
    targets = target_matrices(lora, project.backend, kind)
    random = np.random.default_rng(project.training.seed)
    tensors: dict[str, np.ndarray] = {}
    for name, (rows, columns) in sorted(base_linear_shapes(model_dir, project.backend, kind).items()):
        if name.rpartition(".")[2] in targets:
            bound = rows**-0.5
            tensors[f"{name}.lora_A"] = random.uniform(-bound, bound, (rows, lora.r)).astype(np.float32)
            tensors[f"{name}.lora_B"] = np.zeros((lora.r, columns), np.float32)
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    with writing_folder(output, alone=True) as folder:
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "np"})
        index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(tensors, WEIGHTS_FILE)}
        write_json(folder / INDEX_FILE, index)
        write_json(folder / "lora_config.json", _lora_config(lora, targets, model_dir, project.backend))


def _lora_config(lora: LoraSection, targets: tuple[str, ...], model_dir: Path, backend: Backend) -> dict[str, object]:
    """What the toolkit writes itself (ERNIEKit 1.0.1, PaddleFormers 1.2.0), with our targets, alpha and dropout.

    Both ask `re.fullmatch` of a module's whole name. PaddleFormers' names of the vision tower hold those of the
    language model, so there they begin where that does.
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
        "scaling": lora.alpha / (lora.r**0.5 if lora.rslora else lora.r),
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
