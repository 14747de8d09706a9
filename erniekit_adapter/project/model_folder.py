"""The base model's folder as a toolkit can use it, and what tells one base model from another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json
from erniekit_adapter.project.catalogue import Kind, find_model, is_local, kind_of_config
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend

_NEEDED = ("config.json", "tokenizer.model", "tokenizer_config.json")
# What a model that takes images is prepared with, beside the tokenizer.
_NEEDED_FOR_IMAGES = ("preprocessor_config.json",)
# Attention without a flash kernel reads scale_qk_coeff, which published configurations leave out; the fused norm is a
# GPU's.
_ON_CPU: dict[Backend, dict[str, Any]] = {
    "erniekit": {"scale_qk_coeff": 1.0},
    "paddleformers": {"fuse_rms_norm": False},
}


def model_kind(name: str) -> Kind | None:
    """What kind of model a `model_name_or_path` is: from the catalogue, or from the folder's config.json; None where
    neither says."""
    known = find_model(name)
    if known and not is_local(name):
        return known.kind
    path = Path(name).expanduser() / "config.json"
    if not path.is_file():
        return known.kind if known else None
    try:
        config = read_json(path)
    except AdapterError:
        return None
    return kind_of_config(config) if isinstance(config, dict) else None


def local_model_dir(project: Project) -> Path:
    """The folder that the base model must lie in: the path as given, or a published id as a path, as ERNIEKit's own
    documentation downloads it."""
    return Path(project.model.model_name_or_path).expanduser()


def check_model_dir(model_dir: Path, name: str, backend: Backend = "erniekit", kind: Kind | None = None) -> None:
    """Refuse a folder that the toolkit could not train from.

    Raises:
        UsageError: every missing file at once, and weights in a layout that the toolkit does not read.
    """
    where = f"model.model_name_or_path {name}"
    remedy = f"download it, for example: hf download {name} --local-dir {model_dir}"
    if not (model_dir / "config.json").is_file():
        raise UsageError(Problem(where, f"no model in the folder {model_dir}", remedy))
    needed = (*_NEEDED, *(_NEEDED_FOR_IMAGES if kind in ("vl-moe", "ocr-vl") else ()))
    problems = [
        Problem(where, f"{model_dir} lacks {file}", remedy) for file in needed if not (model_dir / file).is_file()
    ]
    if not list(model_dir.glob("*.safetensors")):
        problems.append(Problem(where, f"{model_dir} has no safetensors weights", remedy))
    layout = weights_layout(model_dir)
    # PaddleOCR-VL has one repository for both toolkits; ERNIEKit converts it while it loads.
    if layout == "torch" and backend == "erniekit" and kind not in ("vl-moe", "ocr-vl"):
        problems.append(Problem(where, f"{model_dir} holds torch weights", "use the repository that ends in -Paddle"))
    if layout == "paddle" and backend == "paddleformers":
        what = f"{model_dir} holds weights in ERNIEKit's layout, and PaddleFormers reads that of transformers"
        problems.append(Problem(where, what, "use the repository that ends in -PT"))
    if problems:
        raise UsageError(problems)


def weights_layout(model_dir: Path) -> Literal["paddle", "torch"] | None:
    """Whose names the weights have, from a file's header alone; None where there are no weights to ask."""
    from safetensors import SafetensorError, safe_open

    if "torch_dtype" in read_json(model_dir / "config.json"):
        return "torch"
    for file in sorted(model_dir.glob("*.safetensors")):
        try:
            with safe_open(file, framework="np") as tensors:
                names = list(tensors.keys())
        except SafetensorError:
            continue
        if any(name.startswith("ernie.") for name in names):
            return "paddle"
        if any(name.startswith("model.") for name in names):
            return "torch"
    return None


def usable_model_dir(model_dir: Path, copy: Path, device: str, backend: Backend = "erniekit") -> Path:
    """The model folder itself, or a folder of links beside its config.json: completed with what the kernels of a CPU
    need, or because PaddleFormers writes into the folder that it reads."""
    config = read_json(model_dir / "config.json")
    missing = _missing(config, device, backend)
    if not needs_copy(config, device, backend):
        return model_dir
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for file in model_dir.iterdir():
        if file.name != "config.json" and file.is_file():
            (copy / file.name).symlink_to(file.resolve())
    write_json(copy / "config.json", {**config, **missing})
    return copy.resolve()


def needs_copy(config: dict[str, Any], device: str, backend: Backend) -> bool:
    """Whether the toolkit reads a folder of links instead of the model folder with this config.json."""
    return backend == "paddleformers" or bool(_missing(config, device, backend))


def _missing(config: dict[str, Any], device: str, backend: Backend) -> dict[str, Any]:
    wanted = _ON_CPU[backend] if device == "cpu" else {}
    # A model of ours may have the key already, with its own number.
    return {key: value for key, value in wanted.items() if key not in config or (value is False and config[key])}


def model_fingerprint(model_dir: Path) -> str:
    """Tells base models apart by configuration, tokenizer, and names and sizes of the weights, which are not read."""
    weights = {file.name: file.stat().st_size for file in sorted(model_dir.glob("*.safetensors"))}
    small = ("config.json", "tokenizer.model", "model.safetensors.index.json")
    hashes = {name: sha256(model_dir / name) for name in small if (model_dir / name).is_file()}
    return fingerprint({"weights": weights, "files": hashes})
