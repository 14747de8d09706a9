"""Check that configuration, index, weights and manifest of a bundle agree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.bundle.allowed_files import FORMAT_FILES, MANIFEST, NEEDED
from erniekit_adapter.bundle.listed_files import ReadFile
from erniekit_adapter.errors import Problem
from erniekit_adapter.file_checks.configs import EXPORT_AGAIN, base_name_problems
from erniekit_adapter.layouts.lora_tensors import PEFT_PREFIX, listed
from erniekit_adapter.tensor_files import StoredTensor

_FLOATS = ("BF16", "F16", "F32", "F64")
_LAYER = re.compile(r"(?:ernie|model|model\.language_model)\.layers\.(\d{1,6})\.")
# All experts of a layer in one tensor, as in transformers 5: A and B have a rank for each expert.
_EXPERTS = re.compile(r"\.mlp\.experts(\.base_layer)?$")


def manifest_problems(location: str, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the fields that a manifest lacks for a check of its bundle; `location` is the file, for messages."""
    formats, base, lora = manifest.get("forms"), manifest.get("base_model"), manifest.get("lora")
    if not isinstance(formats, list) or not formats or not all(isinstance(each, str) for each in formats):
        yield Problem(f"{location} forms", "expected the formats in the bundle", EXPORT_AGAIN)
    else:
        found = {name.partition("/")[0] for name in manifest["files"] if "/" in name}
        if unknown := sorted({*formats} - FORMAT_FILES.keys()):
            yield Problem(f"{location} forms", f"{unknown[0][:60]!r} is not a bundle format", EXPORT_AGAIN)
        elif len(formats) != len({*formats}) or {*formats} != found & FORMAT_FILES.keys():
            finding = f"names {', '.join(formats)}, but the files belong to {', '.join(sorted(found)) or 'no format'}"
            yield Problem(f"{location} forms", finding, EXPORT_AGAIN)
        for name in (f"{each}/{file}" for each in formats for file in NEEDED.get(each, ())):
            if name not in manifest["files"]:
                yield Problem(f"{location} files", f"lacks {name}, which readers of the format need", EXPORT_AGAIN)
    if not isinstance(base, dict):
        yield Problem(f"{location} base_model", "expected name and fingerprint of the base model", EXPORT_AGAIN)
    else:
        yield from base_name_problems(f"{location} base_model.name", base.get("name"))
    if not isinstance(lora, dict) or type(lora.get("rank")) is not int:
        yield Problem(f"{location} lora.rank", "expected a whole number", EXPORT_AGAIN)


def disagreements(root: Path, manifest: Mapping[str, Any], files: Mapping[str, ReadFile]) -> Iterator[Problem]:
    """Yield the contradictions between files of a bundle.

    Args:
        root: the bundle's folder, for messages.
        manifest: its manifest, without problems.
        files: every file in the manifest, without problems.
    """
    for bundle_format in manifest["forms"]:
        start = f"{bundle_format}/"
        inside = {name.removeprefix(start): file for name, file in files.items() if name.startswith(start)}
        folder = root / bundle_format
        yield from _index_problems(folder, inside)
        tensors = {name: tensor for file in inside.values() for name, tensor in file.tensors.items()}
        if bundle_format in ("merged", "merged-hf"):
            yield from _model_problems(folder, inside["config.json"].value, tensors)
            continue
        config_name = "lora_config.json" if bundle_format == "native" else "adapter_config.json"
        config, location = inside[config_name].value, f"{folder / config_name}"
        if config["r"] != manifest["lora"]["rank"]:
            finding = f"{config['r']}, but {manifest['lora']['rank']} in {MANIFEST}"
            yield Problem(f"{location} r", finding, EXPORT_AGAIN)
        if config["base_model_name_or_path"] != manifest["base_model"]["name"]:
            finding = f"is not the base model in {MANIFEST}, {manifest['base_model']['name'][:80]!r}"
            yield Problem(f"{location} base_model_name_or_path", finding, EXPORT_AGAIN)
        yield from _rank_problems(folder, config["r"], tensors, peft=bundle_format != "native")
        if bundle_format != "native":
            yield from _target_problems(location, config, tensors)


def _index_problems(folder: Path, inside: Mapping[str, ReadFile]) -> Iterator[Problem]:
    """Yield an index that does not match the files. Readers load the files that the index names."""
    found = {tensor: name for name, file in inside.items() for tensor in file.tensors}
    indexes = [name for name in inside if name.endswith(".index.json")]
    if not indexes:
        weights = [name for name, file in inside.items() if file.tensors]
        if len(weights) != 1 or weights[0] not in ("model.safetensors", "adapter_model.safetensors"):
            finding = f"has no index, and expected one weight file: found {', '.join(sorted(weights)) or 'none'}"
            yield Problem(str(folder), finding, EXPORT_AGAIN)
        return
    location, value = folder / indexes[0], inside[indexes[0]].value
    if not isinstance(value, dict) or value.keys() - {"metadata", "weight_map", "type"}:
        yield Problem(str(location), "expected metadata and weight_map, and no other key", EXPORT_AGAIN)
        return
    places = value.get("weight_map")
    count = sum(len(each.tensors) for each in inside.values())
    if not isinstance(places, dict) or places != found or len(found) != count:
        yield Problem(str(location), "does not list exactly the tensors of the files, each with its file", EXPORT_AGAIN)
    if value.get("type", "lora") != "lora":
        yield Problem(f"{location} type", "expected lora", EXPORT_AGAIN)
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict) or any(isinstance(each, (dict, list)) for each in metadata.values()):
        yield Problem(f"{location} metadata", "expected numbers and texts", EXPORT_AGAIN)


def _rank_problems(folder: Path, rank: int, tensors: Mapping[str, StoredTensor], *, peft: bool) -> Iterator[Problem]:
    """Yield layers without A and B of the right rank. PEFT's matrices are transposed."""
    a_end, b_end = (".lora_A.weight", ".lora_B.weight") if peft else (".lora_A", ".lora_B")
    stems = {name.removesuffix(a_end).removesuffix(b_end) for name in tensors}
    expected = {stem + end for stem in stems for end in (a_end, b_end)}
    if wrong := sorted(expected ^ tensors.keys()):
        yield Problem(f"{folder} {listed(wrong)}", "does not have both lora_A and lora_B", EXPORT_AGAIN)
        return
    for stem in sorted(stems):
        a, b = tensors[stem + a_end], tensors[stem + b_end]
        if peft and not stem.startswith(PEFT_PREFIX):
            yield Problem(f"{folder} {stem}", "is not a layer's name in PEFT", EXPORT_AGAIN)
        elif a.dtype not in _FLOATS or b.dtype not in _FLOATS or len(a.shape) != 2 or len(b.shape) != 2:
            yield Problem(f"{folder} {stem}", "lora_A and lora_B are not matrices of floats", EXPORT_AGAIN)
        else:
            found = (a.shape[0], b.shape[1]) if peft else (a.shape[1], b.shape[0])
            several = peft and _EXPERTS.search(stem) and found[0] == found[1] and found[0] % rank == 0 and found[0]
            if found != (rank, rank) and not several:
                yield Problem(
                    f"{folder} {stem}", f"has the rank {found[0]} and {found[1]}, expected {rank}", EXPORT_AGAIN
                )


def _target_problems(
    location: str, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
) -> Iterator[Problem]:
    """Yield layers with weights that the configuration does not name, and layers that it names without weights."""
    stems = {name.removeprefix(PEFT_PREFIX).rsplit(".", 2)[0] for name in tensors}
    named = {*config["target_modules"], *(each.removesuffix(".weight") for each in config.get("target_parameters", ()))}
    # PEFT wraps two parameters of one module in each other, and calls the inner one `base_layer`.
    without = [stem for stem in stems if not _EXPERTS.search(stem) and not _named(stem, named)]
    unused = [each for each in named if ".experts." not in each and not any(_named(stem, {each}) for stem in stems)]
    if without:
        yield Problem(f"{location} target_modules", f"lacks {listed(sorted(without))}, which has weights", EXPORT_AGAIN)
    if unused:
        yield Problem(
            f"{location} target_modules", f"names {listed(sorted(unused))}, which has no weights", EXPORT_AGAIN
        )


def _named(stem: str, names: Iterable[str]) -> bool:
    return any(stem == name or stem.endswith(f".{name}") for name in names)


def _model_problems(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> Iterator[Problem]:
    """Yield sizes in config.json that do not match the weights."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    location = folder / "config.json"
    for name, tensor in tensors.items():
        if name.endswith("embed_tokens.weight"):
            expected = (text.get("vocab_size"), text.get("hidden_size"))
            if tensor.shape != expected:
                finding = f"{expected[0]} and {expected[1]}, but the embedding has {tensor.shape}"
                yield Problem(f"{location} vocab_size, hidden_size", finding, EXPORT_AGAIN)
    layers = {int(found[1]) for name in tensors if (found := _LAYER.match(name))}
    if layers and text.get("num_hidden_layers") != len(layers):
        finding = f"{text.get('num_hidden_layers')}, but the weights have {len(layers)} layers"
        yield Problem(f"{location} num_hidden_layers", finding, EXPORT_AGAIN)
