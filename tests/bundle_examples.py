"""An example of a trained run, and its bundle."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from layout_examples import CONFIG
from rich.console import Console

from erniekit_adapter.architectures.families import BundleFormat
from erniekit_adapter.bundle.export import export
from erniekit_adapter.files import sha256, write_json
from erniekit_adapter.layouts.dense import DenseShape, base_shapes, linear_shapes
from erniekit_adapter.parity.readers import Readers, Unread
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import write_tensors

LORA_CONFIG = {
    "r": 3,
    "lora_alpha": 6,
    "rslora": False,
    "lora_dropout": 0.1,
    "target_modules": [".*o_proj.*"],
    "base_model_name_or_path": "/home/user/model",
}
# A SentencePiece model with one piece.
TOKENIZER = b"\n\x06pieces"
SHAPE = DenseShape.from_config(CONFIG)


def trained(folder: Path, *, lora_b: float = 0.5, formats: tuple[str, ...] = ("native", "peft")) -> Project:
    """Write the output of a train stage, including pickles, with an adapter on every `o_proj`."""
    random = np.random.default_rng(0)
    model = folder / "model"
    model.mkdir(parents=True)
    write_json(model / "config.json", CONFIG)
    weights = {name: random.normal(size=size).astype(np.float32) for name, size in base_shapes(SHAPE).items()}
    write_tensors(model / "model.safetensors", weights, framework="np")
    write_json(model / "tokenizer_config.json", {"tokenizer_class": "Ernie4_5_Tokenizer", "chat_template": "{{ 1 }}"})
    (model / "tokenizer.model").write_bytes(TOKENIZER)
    output = folder / "run" / "training" / "output"
    output.mkdir(parents=True)
    (rows, columns), adapter = linear_shapes(SHAPE)["self_attn.o_proj"], {}
    for layer in range(SHAPE.layers):
        stem = f"ernie.layers.{layer}.self_attn.o_proj"
        adapter[f"{stem}.lora_A"] = random.normal(size=(rows, 3)).astype(np.float32)
        adapter[f"{stem}.lora_B"] = np.full((3, columns), lora_b, np.float32)
    file = "peft_model-00001-of-00001.safetensors"
    write_tensors(output / file, adapter, framework="np")
    write_json(output / "peft_model.safetensors.index.json", {"weight_map": dict.fromkeys(adapter, file)})
    write_json(output / "lora_config.json", LORA_CONFIG)
    for pickle in ("training_args.bin", "scheduler.pdparams", "rng_state.pth", "peft_model.pdparams"):
        (output / pickle).write_bytes(b"\x80\x04.")
    manifest = {
        "toolkit": {"name": "erniekit", "version": "1.0.1", "distributions": {}},
        "steps": 6,
        "seconds": 12.5,
        "first_loss": 7.0,
        "last_loss": 5.5,
        "last_eval_loss": None,
        "trainable_parameters": 1024,
        "adapter": "output",
        "settings": {"learning_rate": 2e-4, "model_name_or_path": str(model), "lora_path": str(folder / "adapter")},
        "data": "d" * 64,
        "base_model": model_fingerprint(model),
    }
    write_json(folder / "run" / "training" / "manifest.json", manifest)
    return Project.model_validate(
        {
            "model": {"model_name_or_path": str(model)},
            "output_dir": str(folder / "run"),
            "run_name": "invoices",
            "export": {"formats": list(formats)},
        }
    )


def write_manifest(folder: Path, **changed: Any) -> None:
    """Write a manifest for the current files, as an attacker who forges a bundle would."""
    path = folder / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    listed = [each for each in sorted(folder.rglob("*")) if each.is_file() and each != path]
    files = {
        each.relative_to(folder).as_posix(): {"size_bytes": each.stat().st_size, "sha256": sha256(each)}
        for each in listed
        if each != folder / "manifest.sig"
    }
    write_json(path, {**manifest, "files": files, **changed})


def exported(project: Project, *, allow_unchecked: bool = True) -> dict[str, bytes]:
    """Export, and return every file of the bundle by its name."""
    export(project, Console(file=io.StringIO()), allow_unchecked=allow_unchecked)
    return {
        path.relative_to(project.bundle_dir).as_posix(): path.read_bytes()
        for path in sorted(project.bundle_dir.rglob("*"))
        if path.is_file()
    }


def find_no_readers(formats: list[BundleFormat], *machine: object) -> Readers:
    """Return readers as on a machine without toolkits."""
    reason = Unread("no toolkit is installed: /home/user lacks it", "install one")
    return Readers({}, dict.fromkeys(formats, reason), "cpu")
