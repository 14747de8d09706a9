"""Whether the files of a bundle agree with one another: configuration, index, weights and manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.adapters.bundle_configs import base_name_problems
from erniekit_adapter.adapters.bundle_content import ReadFile
from erniekit_adapter.adapters.bundle_layout import FORM_FILES, MANIFEST, NEEDED
from erniekit_adapter.adapters.layouts_lora import PEFT_PREFIX, listed
from erniekit_adapter.errors import Problem
from erniekit_adapter.tensor_files import StoredTensor

_HINT = "export the bundle again"
_FLOATS = ("BF16", "F16", "F32", "F64")
_LAYER = re.compile(r"(?:ernie|model|model\.language_model)\.layers\.(\d{1,6})\.")
# All experts of a layer in one tensor, as transformers 5 has them: A and B hold a rank for each expert.
_EXPERTS = re.compile(r"\.mlp\.experts(\.base_layer)?$")


def manifest_problems(where: str, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """Return what a manifest lacks for its bundle to be checked; `where` is the file, for messages."""
    forms, base, lora = manifest.get("forms"), manifest.get("base_model"), manifest.get("lora")
    if not isinstance(forms, list) or not forms or not all(isinstance(form, str) for form in forms):
        yield Problem(f"{where} forms", "expected the forms that the bundle holds", _HINT)
    else:
        found = {name.partition("/")[0] for name in manifest["files"] if "/" in name}
        if strange := sorted({*forms} - FORM_FILES.keys()):
            yield Problem(f"{where} forms", f"{strange[0][:60]!r} is not a form", _HINT)
        elif len(forms) != len({*forms}) or {*forms} != found & FORM_FILES.keys():
            what = f"names {', '.join(forms)}, and the files are of {', '.join(sorted(found)) or 'none'}"
            yield Problem(f"{where} forms", what, _HINT)
        for name in (f"{form}/{file}" for form in forms for file in NEEDED.get(form, ())):
            if name not in manifest["files"]:
                yield Problem(f"{where} files", f"lacks {name}, without which the form cannot be read", _HINT)
    if not isinstance(base, dict):
        yield Problem(f"{where} base_model", "expected the base model's name and fingerprint", _HINT)
    else:
        yield from base_name_problems(f"{where} base_model.name", base.get("name"))
    if not isinstance(lora, dict) or type(lora.get("rank")) is not int:
        yield Problem(f"{where} lora.rank", "expected a whole number", _HINT)


def disagreements(root: Path, manifest: Mapping[str, Any], files: Mapping[str, ReadFile]) -> Iterator[Problem]:
    """Return where files of a bundle contradict one another.

    Args:
        root: the bundle's folder, for messages.
        manifest: its manifest, without problems.
        files: every file that it lists, each without a problem of its own.
    """
    for form in manifest["forms"]:
        inside = {name.partition("/")[2]: file for name, file in files.items() if name.startswith(f"{form}/")}
        folder = root / form
        yield from _index_problems(folder, inside)
        tensors = {name: tensor for file in inside.values() for name, tensor in file.tensors.items()}
        if form in ("merged", "merged-hf"):
            yield from _model_problems(folder, inside["config.json"].value, tensors)
            continue
        config_name = "lora_config.json" if form == "native" else "adapter_config.json"
        config, where = inside[config_name].value, f"{folder / config_name}"
        if config["r"] != manifest["lora"]["rank"]:
            what = f"{config['r']}, and {manifest['lora']['rank']} in {MANIFEST}"
            yield Problem(f"{where} r", what, _HINT)
        if config["base_model_name_or_path"] != manifest["base_model"]["name"]:
            what = f"is not the base model that {MANIFEST} names, {manifest['base_model']['name'][:80]!r}"
            yield Problem(f"{where} base_model_name_or_path", what, _HINT)
        yield from _rank_problems(folder, config["r"], tensors, peft=form != "native")
        if form != "native":
            yield from _target_problems(where, config, tensors)


def _index_problems(folder: Path, inside: Mapping[str, ReadFile]) -> Iterator[Problem]:
    """Readers take the files that the index names, so it has to name every tensor with its file, and no others."""
    found = {tensor: name for name, file in inside.items() for tensor in file.tensors}
    indexes = [name for name in inside if name.endswith(".index.json")]
    if not indexes:
        weights = [name for name, file in inside.items() if file.tensors]
        if len(weights) != 1 or weights[0] not in ("model.safetensors", "adapter_model.safetensors"):
            what = f"holds the weights {', '.join(sorted(weights)) or 'of no model'}, and no index of them"
            yield Problem(str(folder), what, _HINT)
        return
    where, value = folder / indexes[0], inside[indexes[0]].value
    if not isinstance(value, dict) or value.keys() - {"metadata", "weight_map", "type"}:
        yield Problem(str(where), "expected metadata and weight_map, and no other key", _HINT)
        return
    places = value.get("weight_map")
    count = sum(len(each.tensors) for each in inside.values())
    if not isinstance(places, dict) or places != found or len(found) != count:
        yield Problem(str(where), "does not name every tensor with the file that holds it, and no others", _HINT)
    if value.get("type", "lora") != "lora":
        yield Problem(f"{where} type", "expected lora", _HINT)
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict) or any(isinstance(each, (dict, list)) for each in metadata.values()):
        yield Problem(f"{where} metadata", "expected numbers and texts", _HINT)


def _rank_problems(folder: Path, rank: int, tensors: Mapping[str, StoredTensor], *, peft: bool) -> Iterator[Problem]:
    """A pair of A and B for each layer, whose common size is the rank; PEFT's are transposed."""
    a_end, b_end = (".lora_A.weight", ".lora_B.weight") if peft else (".lora_A", ".lora_B")
    stems = {name.removesuffix(a_end).removesuffix(b_end) for name in tensors}
    expected = {stem + end for stem in stems for end in (a_end, b_end)}
    if wrong := sorted(expected ^ tensors.keys()):
        yield Problem(f"{folder} {listed(wrong)}", "is not one of a pair of lora_A and lora_B", _HINT)
        return
    for stem in sorted(stems):
        a, b = tensors[stem + a_end], tensors[stem + b_end]
        if peft and not stem.startswith(PEFT_PREFIX):
            yield Problem(f"{folder} {stem}", "is not a layer's name in PEFT's form", _HINT)
        elif a.dtype not in _FLOATS or b.dtype not in _FLOATS or len(a.shape) != 2 or len(b.shape) != 2:
            yield Problem(f"{folder} {stem}", "is not a pair of matrices of floats", _HINT)
        else:
            found = (a.shape[0], b.shape[1]) if peft else (a.shape[1], b.shape[0])
            several = peft and _EXPERTS.search(stem) and found[0] == found[1] and found[0] % rank == 0 and found[0]
            if found != (rank, rank) and not several:
                yield Problem(f"{folder} {stem}", f"has the rank {found[0]} and {found[1]}, expected {rank}", _HINT)


def _target_problems(where: str, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> Iterator[Problem]:
    """PEFT adapts the layers that the configuration names: they have to be those that have weights."""
    stems = {name.removeprefix(PEFT_PREFIX).rsplit(".", 2)[0] for name in tensors}
    named = {*config["target_modules"], *(each.removesuffix(".weight") for each in config.get("target_parameters", ()))}
    # The inner of two parameters of one module has `base_layer` in the place of its name, as PEFT wraps it.
    without = [stem for stem in stems if not _EXPERTS.search(stem) and not _named(stem, named)]
    unused = [each for each in named if ".experts." not in each and not any(_named(stem, {each}) for stem in stems)]
    if without:
        yield Problem(f"{where} target_modules", f"lacks {listed(sorted(without))}, which has weights", _HINT)
    if unused:
        yield Problem(f"{where} target_modules", f"names {listed(sorted(unused))}, which has no weights", _HINT)


def _named(stem: str, names: Iterable[str]) -> bool:
    return any(stem == name or stem.endswith(f".{name}") for name in names)


def _model_problems(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> Iterator[Problem]:
    """The sizes that a reader takes from config.json before it looks at the weights."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    where = folder / "config.json"
    for name, tensor in tensors.items():
        if name.endswith("embed_tokens.weight"):
            wanted = (text.get("vocab_size"), text.get("hidden_size"))
            if tensor.shape != wanted:
                what = f"{wanted[0]} and {wanted[1]}, and the embedding has {tensor.shape}"
                yield Problem(f"{where} vocab_size, hidden_size", what, _HINT)
    layers = {int(found[1]) for name in tensors if (found := _LAYER.match(name))}
    if layers and text.get("num_hidden_layers") != len(layers):
        what = f"{text.get('num_hidden_layers')}, and the weights are of {len(layers)} layers"
        yield Problem(f"{where} num_hidden_layers", what, _HINT)
