"""Allowed files of a bundle: only the names that the export stage writes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from erniekit_adapter.documents.declared import DEFINITION_FILE, SCHEMA_FILE
from erniekit_adapter.file_checks.content import MODEL_FILES, FileKind

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
MODEL_CARD = "README.md"
# Folder and files of a declared document type.
TYPE_FOLDER = "document_type"
TYPE_FILES = (SCHEMA_FILE, DEFINITION_FILE)

_ADAPTER: dict[str, FileKind] = {"adapter_config.json": "config", "adapter_model.safetensors": "weights"}
_NATIVE: dict[str, FileKind] = {"lora_config.json": "config", "peft_model.safetensors.index.json": "index"}
FORMAT_FILES: dict[str, dict[str, FileKind]] = {
    "native": _NATIVE,
    "peft": _ADAPTER,
    "peft-v5": _ADAPTER,
    "merged": MODEL_FILES,
    "merged-hf": MODEL_FILES,
}
# Weights in several files; merged weights have the file names of the base model.
_SHARDS = {
    "native": re.compile(r"peft_model(-\d{5}-of-\d{5})?\.safetensors"),
    "merged": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.safetensors"),
    "merged-hf": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.safetensors"),
}
# Files that every reader of the format needs.
NEEDED = {
    "native": ("lora_config.json", "peft_model.safetensors.index.json"),
    "peft": ("adapter_config.json", "adapter_model.safetensors"),
    "peft-v5": ("adapter_config.json", "adapter_model.safetensors"),
    "merged": ("config.json", "tokenizer_config.json"),
    "merged-hf": ("config.json", "tokenizer_config.json"),
}
_MIB = 1024 * 1024
TYPE_MAX_BYTES = _MIB // 4  # YAML is slow to read
_MAX_BYTES: dict[FileKind, int] = {
    "index": 32 * _MIB,
    "sentencepiece": 32 * _MIB,
    "document type": TYPE_MAX_BYTES,
}


def kind_of_file(name: str) -> FileKind | None:
    """Return the kind of a file by its name in the bundle, or None if a bundle has no such file."""
    if name == MODEL_CARD:
        return "model card"
    bundle_format, _, file = name.partition("/")
    if bundle_format == TYPE_FOLDER and file in TYPE_FILES:
        return "document type"
    if kind := FORMAT_FILES.get(bundle_format, {}).get(file):
        return kind
    shards = _SHARDS.get(bundle_format)
    return "weights" if shards and shards.fullmatch(file) else None


def max_bytes(name: str, kind: FileKind) -> int:
    """Return the largest allowed size of a file that is not weights. Vocabularies are the largest."""
    return 32 * _MIB if name.endswith(("/tokenizer.json", "/added_tokens.json")) else _MAX_BYTES.get(kind, 2 * _MIB)


def name_problem(name: str) -> str:
    """Return why a bundle may not have a file of this name; empty if it may."""
    if kind_of_file(name):
        return ""
    # Other systems may read such a name as another path, and load a file that was not checked.
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts) or ":" in parts[0]:
        return "is not a path inside the bundle"
    if name in (MANIFEST, SIGNATURE):
        return "cannot list itself"
    if PurePosixPath(name).suffix.lower() in _PICKLES:
        return "is a pickle by its name; a bundle contains safetensors only"
    return "is not a file of a bundle"


_PICKLES = frozenset(
    (
        *(".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"),
        *(".pdmodel", ".pdopt", ".pdparams", ".pdstates"),
    )
)
