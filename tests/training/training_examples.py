"""A small model folder, training examples, and a stand-in for ERNIEKit, for the tests of the train stage."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import sha256, write_json
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.run import TrainOptions
from erniekit_adapter.training.stage import train

LAYERS, HIDDEN, QKV, FFN = 2, 8, 16, 6
CONFIG = {
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 2,
    "intermediate_size": FFN,
    "vocab_size": 11,
    "tie_word_embeddings": True,
}
# (in, out) of each linear layer in ERNIEKit's layout.
LINEAR = {
    "self_attn.qkv_proj": (HIDDEN, QKV),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.up_gate_proj": (HIDDEN, 2 * FFN),
    "mlp.down_proj": (FFN, HIDDEN),
}


def model_tensors() -> dict[str, np.ndarray]:
    sizes: dict[str, tuple[int, ...]] = {"ernie.embed_tokens.weight": (11, HIDDEN), "ernie.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        prefix = f"ernie.layers.{layer}"
        sizes |= {f"{prefix}.{name}.weight": size for name, size in LINEAR.items()}
        sizes |= {f"{prefix}.{name}.weight": (HIDDEN,) for name in ("input_layernorm", "post_attention_layernorm")}
    random = np.random.default_rng(0)
    return {name: random.normal(size=size).astype(np.float32) for name, size in sizes.items()}


def write_model(folder: Path, **config: Any) -> Path:
    """Write a model folder with every file that training needs; the weights are random."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {**CONFIG, **config})
    (folder / "tokenizer.model").write_bytes(b"pieces")
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>"})
    save_file(model_tensors(), folder / "model.safetensors", metadata={"format": "np"})
    return folder


def write_examples(folder: Path, *, train: int = 3, evaluation: int = 1, tokenizer: bytes = b"pieces") -> Path:
    """Write the output of the data stage, with examples of up to 1,024 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"train": train, "eval": evaluation, "test": 0}
    for name, count in counts.items():
        line = json.dumps({"src": ["question"], "tgt": ["answer"]}) + "\n"
        (folder / f"{name}.jsonl").write_text(line * count)
    files = {f"{name}.jsonl": {"lines": n, "sha256": sha256(folder / f"{name}.jsonl")} for name, n in counts.items()}
    measured = {"max_seq_length": 1024, "tokenizer": {"sha256": hashlib.sha256(tokenizer).hexdigest()}}
    write_json(folder / "manifest.json", {"by_split": counts, "files": files, "settings": measured})
    return folder


def make_project(folder: Path, *, lora: dict[str, Any] | None = None, **training: Any) -> Project:
    """A project in `folder` for six steps on a CPU that logs each second step and saves after four."""
    steps = {"max_steps": 6, "logging_steps": 2, "save_steps": 4, "eval_steps": 4, "device": "cpu"}
    return Project.model_validate(
        {
            "model": {"model_name_or_path": str(folder / "model")},
            "lora": {"r": 2, **(lora or {})},
            "training": {**steps, **training},
            "output_dir": str(folder / "run"),
        }
    )


@dataclass(frozen=True)
class FakeToolkit(Toolkit):
    """An ERNIEKit whose command is the stand-in `fake_erniekit.py`."""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("fake_erniekit.py")), *arguments]


def fake_toolkit(backend: Backend = "erniekit") -> Toolkit:
    return FakeToolkit(Path(sys.executable), "1.0.1", "a fake", versions={"erniekit": "1.0.1"}, backend=backend)


def trained(project: Project, *, restart: bool = False, stall_minutes: float = 1) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=400)
    manifest = train(project, TrainOptions(restart, stall_minutes), console)
    assert isinstance(console.file, io.StringIO)
    return manifest, console.file.getvalue()


def interrupted(project: Project, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Train until the toolkit is killed after a number of steps."""
    monkeypatch.setenv("FAKE_ERNIEKIT", f"killed after {after}")
    with pytest.raises(AdapterError, match="killed by SIGKILL"):
        trained(project)
    monkeypatch.delenv("FAKE_ERNIEKIT")
