"""The base model's folder as ERNIEKit can use it, and what tells one base model from another."""

from __future__ import annotations

import shutil
from pathlib import Path

from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json

_NEEDED = ("config.json", "tokenizer.model", "tokenizer_config.json")


def check_model_dir(model_dir: Path, name: str) -> None:
    """Refuse a folder that ERNIEKit could not train from.

    Raises:
        UsageError: every missing file at once, and torch weights.
    """
    where = f"model.model_name_or_path {name}"
    remedy = f"download it, for example: hf download {name} --local-dir {model_dir}"
    if not (model_dir / "config.json").is_file():
        raise UsageError(Problem(where, f"no model in the folder {model_dir}", remedy))
    problems = [
        Problem(where, f"{model_dir} lacks {file}", remedy) for file in _NEEDED if not (model_dir / file).is_file()
    ]
    if not list(model_dir.glob("*.safetensors")):
        problems.append(Problem(where, f"{model_dir} has no safetensors weights", remedy))
    if "torch_dtype" in read_json(model_dir / "config.json"):
        problems.append(Problem(where, f"{model_dir} holds torch weights", "use the repository that ends in -Paddle"))
    if problems:
        raise UsageError(problems)


def usable_model_dir(model_dir: Path, copy: Path, device: str) -> Path:
    """The model folder itself, or for CPU a folder of links beside a completed config.json.

    Attention without a flash kernel reads `scale_qk_coeff`, which published configurations leave out.
    """
    config = read_json(model_dir / "config.json")
    if device != "cpu" or "scale_qk_coeff" in config:
        return model_dir
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for file in model_dir.iterdir():
        if file.name != "config.json" and file.is_file():
            (copy / file.name).symlink_to(file.resolve())
    write_json(copy / "config.json", {**config, "scale_qk_coeff": 1.0})
    return copy.resolve()


def model_fingerprint(model_dir: Path) -> str:
    """Tells base models apart by configuration, tokenizer, and names and sizes of the weights, which are not read."""
    weights = {file.name: file.stat().st_size for file in sorted(model_dir.glob("*.safetensors"))}
    small = ("config.json", "tokenizer.model", "model.safetensors.index.json")
    hashes = {name: sha256(model_dir / name) for name in small if (model_dir / name).is_file()}
    return fingerprint({"weights": weights, "files": hashes})
