"""The base model's folder: its checks, its copy for a toolkit, and its fingerprint."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.architectures.families import Kind, kind_of_config, takes_images
from erniekit_adapter.architectures.models import find_model, is_local, repository_of
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json
from erniekit_adapter.project.schema import Project

_NEEDED = ("config.json", "tokenizer.model", "tokenizer_config.json")
# A model that takes images needs it too.
_NEEDED_FOR_IMAGES = ("preprocessor_config.json",)
# Attention without a flash kernel reads scale_qk_coeff, which published configurations lack; the fused norm has no
# kernel for CPUs.
_ON_CPU: dict[Backend, dict[str, Any]] = {
    "erniekit": {"scale_qk_coeff": 1.0},
    "paddleformers": {"fuse_rms_norm": False},
}


def model_kind(name: str) -> Kind | None:
    """Return the kind of a `model_name_or_path`, from the published models or its config.json; None if unknown."""
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
    """Return the folder of the base model: the path as given, or a published id as a path, as ERNIEKit's documentation
    downloads it."""
    return Path(project.model.model_name_or_path).expanduser()


def check_model_dir(model_dir: Path, name: str, backend: Backend = "erniekit", kind: Kind | None = None) -> None:
    """Check that the toolkit can train from a folder.

    Raises:
        UsageError: files are missing, or the weights have a layout that the toolkit does not read; all at once.
    """
    location = f"model.model_name_or_path {name}"
    hint = download_hint(name, model_dir)
    if not (model_dir / "config.json").is_file():
        raise UsageError(Problem(location, f"no model in the folder {model_dir}", hint))
    needed = (*_NEEDED, *(_NEEDED_FOR_IMAGES if takes_images(kind) else ()))
    problems = [
        Problem(location, f"{model_dir} lacks {file}", hint) for file in needed if not (model_dir / file).is_file()
    ]
    if not list(model_dir.glob("*.safetensors")):
        problems.append(Problem(location, f"{model_dir} has no safetensors weights", hint))
    layout = weights_layout(model_dir)
    # PaddleOCR-VL has one repository for both toolkits; ERNIEKit converts it while loading.
    if layout == "torch" and backend == "erniekit" and not takes_images(kind):
        problems.append(
            Problem(location, f"{model_dir} contains torch weights", "use the repository that ends in -Paddle")
        )
    if layout == "paddle" and backend == "paddleformers":
        finding = f"{model_dir} contains weights in ERNIEKit's layout, and PaddleFormers reads that of transformers"
        problems.append(Problem(location, finding, "use the repository that ends in -PT"))
    if problems:
        raise UsageError(problems)


def download_hint(name: str, folder: Path) -> str:
    """Return how to get a model into a folder: a command for a published model, words for a user's own."""
    if repository := repository_of(name):
        return f"download it, for example: hf download {repository} --local-dir {shlex.quote(str(folder))}"
    return "copy the model there, or set model.model_name_or_path to another folder or a published id (docs/models.md)"


def weights_layout(model_dir: Path) -> Literal["paddle", "torch"] | None:
    """Return the layout of the weights, from the names in a file's header; None without weights."""
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
    """Return the model folder, or `copy`, a folder of links and a config.json.

    The copy adds keys that CPU kernels need, and protects the model folder, as PaddleFormers writes into the folder
    that it reads.
    """
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
    """Return whether the toolkit reads a folder of links instead of the model folder with this config.json."""
    return backend == "paddleformers" or bool(_missing(config, device, backend))


def _missing(config: dict[str, Any], device: str, backend: Backend) -> dict[str, Any]:
    needed = _ON_CPU[backend] if device == "cpu" else {}
    # A tiny model may have the key already, with another number.
    return {key: value for key, value in needed.items() if key not in config or (value is False and config[key])}


def model_fingerprint(model_dir: Path) -> str:
    """Return a hash of a base model's configuration, tokenizer, and the names and sizes of its weight files."""
    weights = {file.name: file.stat().st_size for file in sorted(model_dir.glob("*.safetensors"))}
    small = ("config.json", "tokenizer.model", "model.safetensors.index.json")
    hashes = {name: sha256(model_dir / name) for name in small if (model_dir / name).is_file()}
    return fingerprint({"weights": weights, "files": hashes})
