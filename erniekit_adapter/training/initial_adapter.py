"""The adapter that training starts from: the one way to tell ERNIEKit which modules to train and with what dropout.

ERNIEKit fixes its LoRA targets in code and has no key for dropout, but `lora_path` takes over an adapter with its
`lora_config.json` as a whole. So we make one: A random, B zero, which changes nothing until it is trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from erniekit_adapter.backends.lora_modules import target_matrices
from erniekit_adapter.errors import fail
from erniekit_adapter.files import read_json, write_json, writing_folder
from erniekit_adapter.project.toolkit_sections import LoraSection

WEIGHTS_FILE = "peft_model-00001-of-00001.safetensors"
INDEX_FILE = "peft_model.safetensors.index.json"


def base_linear_shapes(model_dir: Path) -> dict[str, tuple[int, int]]:
    """`{"ernie.layers.0.self_attn.qkv_proj": (in, out), …}` of every linear layer, from the weights' headers alone.

    Raises:
        AdapterError: there are no safetensors weights, or the index names a file that is not there.
    """
    from safetensors import safe_open

    shapes = {}
    for file in weight_files(model_dir):
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a handle of safetensors, no dict
                shape = tensors.get_slice(name).get_shape()
                if name.endswith("_proj.weight") and len(shape) == 2:
                    shapes[name.removesuffix(".weight")] = (shape[0], shape[1])
    if not shapes:
        raise fail(model_dir, "has no linear layers under the names that ERNIEKit uses", "is it an ERNIE 4.5 model?")
    return shapes


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files of a model folder, as its index lists them.

    Raises:
        AdapterError: no weights, or an index that names a missing file.
    """
    index = model_dir / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        files = [model_dir / Path(name).name for name in names]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise fail(index, f"names files that are not there: {', '.join(missing)}", "download the model again")
        return files
    single = model_dir / "model.safetensors"
    if not single.is_file():
        raise fail(model_dir, "has no model.safetensors and no index of shards", "download the -Paddle weights into it")
    return [single]


def write_initial_adapter(lora: LoraSection, model_dir: Path, output: Path, seed: int) -> None:
    """Write an adapter in ERNIEKit's layout for the project's target modules: A (in, r) uniform, B (r, out) zero.

    A is drawn from ±1/√in, what Kaiming's uniform initialisation with a = √5 gives, as in PEFT and ERNIEKit.
    """
    from safetensors.numpy import save_file

    targets = target_matrices(lora)
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for name, (rows, columns) in sorted(base_linear_shapes(model_dir).items()):
        if name.rpartition(".")[2] in targets:
            bound = rows**-0.5
            tensors[f"{name}.lora_A"] = random.uniform(-bound, bound, (rows, lora.r)).astype(np.float32)
            tensors[f"{name}.lora_B"] = np.zeros((lora.r, columns), np.float32)
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    with writing_folder(output) as folder:
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "np"})
        index = {"metadata": {"total_size": size_bytes}, "weight_map": dict.fromkeys(tensors, WEIGHTS_FILE)}
        write_json(folder / INDEX_FILE, index)
        write_json(folder / "lora_config.json", _lora_config(lora, targets, model_dir))


def _lora_config(lora: LoraSection, targets: tuple[str, ...], model_dir: Path) -> dict[str, object]:
    """What ERNIEKit 1.0.1 writes itself, with our targets and dropout."""
    scaling = lora.alpha / (lora.r**0.5 if lora.rslora else lora.r)
    return {
        "base_model_name_or_path": str(model_dir),
        "do_qat": False,
        "dtype": "float32",
        "enable_lora_list": None,
        "head_dim": None,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.lora_dropout,
        "lora_plus_scale": lora.lora_plus_scale,
        "lora_use_mixer": False,
        "loraga": False,
        "lorapro": False,
        "merge_weights": False,
        "pissa": False,
        "r": lora.r,
        "rslora": lora.rslora,
        "scaling": scaling,
        "target_modules": [f".*{target}.*" for target in targets],
        "tensor_parallel_degree": -1,
        "trainable_bias": None,
        "trainable_modules": None,
        "use_mora": False,
        "use_quick_lora": False,
    }
