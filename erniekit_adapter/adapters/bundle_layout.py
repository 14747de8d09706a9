"""Allowed files of a bundle: the names that the export stage writes, and no others."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
CARD = "README.md"

FileKind = Literal["weights", "index", "config", "sentencepiece", "template", "card"]

_ADAPTER: dict[str, FileKind] = {"adapter_config.json": "config", "adapter_model.safetensors": "weights"}
_MODEL: dict[str, FileKind] = {
    **dict.fromkeys(("config.json", "generation_config.json"), "config"),
    **dict.fromkeys(("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"), "config"),
    **dict.fromkeys(("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"), "config"),
    "tokenizer.json": "config",
    "tokenizer.model": "sentencepiece",
    "chat_template.jinja": "template",
    "chat_template.json": "config",
    "model.safetensors.index.json": "index",
}
_NATIVE: dict[str, FileKind] = {"lora_config.json": "config", "peft_model.safetensors.index.json": "index"}
FORM_FILES: dict[str, dict[str, FileKind]] = {
    "native": _NATIVE,
    "peft": _ADAPTER,
    "peft-v5": _ADAPTER,
    "merged": _MODEL,
    "merged-hf": _MODEL,
}
# Weights in several files; those of a merged form have the names that the base model's have.
_SHARDS = {
    "native": re.compile(r"peft_model(-\d{5}-of-\d{5})?\.safetensors"),
    "merged": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.safetensors"),
    "merged-hf": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.safetensors"),
}
# Without these no reader takes the form.
NEEDED = {
    "native": ("lora_config.json", "peft_model.safetensors.index.json"),
    "peft": ("adapter_config.json", "adapter_model.safetensors"),
    "peft-v5": ("adapter_config.json", "adapter_model.safetensors"),
    "merged": ("config.json", "tokenizer_config.json"),
    "merged-hf": ("config.json", "tokenizer_config.json"),
}
_MIB = 1024 * 1024
_MOST_BYTES: dict[FileKind, int] = {"index": 32 * _MIB, "sentencepiece": 32 * _MIB}


def kind_of_file(name: str) -> FileKind | None:
    """Return what a file has to be by its name in the bundle, or None if no bundle holds such a file."""
    if name == CARD:
        return "card"
    form, _, file = name.partition("/")
    if kind := FORM_FILES.get(form, {}).get(file):
        return kind
    shards = _SHARDS.get(form)
    return "weights" if shards and shards.fullmatch(file) else None


def most_bytes(name: str, kind: FileKind) -> int:
    """Return how large a file may be that is read whole; a vocabulary takes the most."""
    return 32 * _MIB if name.endswith(("/tokenizer.json", "/added_tokens.json")) else _MOST_BYTES.get(kind, 2 * _MIB)


def name_problem(name: str) -> str:
    """Return why a bundle holds no file of this name; empty if it may."""
    if kind_of_file(name):
        return ""
    # A name with two spellings, or one that another system reads as a path, would be checked here and read there.
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts) or ":" in parts[0]:
        return "is not a path inside the bundle"
    if name in (MANIFEST, SIGNATURE):
        return "cannot be listed by itself"
    if PurePosixPath(name).suffix.lower() in _PICKLES:
        return "is a pickle by its name; a bundle holds safetensors alone"
    return "is not a file of a bundle"


_PICKLES = frozenset(
    (
        *(".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"),
        *(".pdmodel", ".pdopt", ".pdparams", ".pdstates"),
    )
)
