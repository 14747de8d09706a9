"""Tensor layouts of mixture-of-experts text models, and their two PEFT formats.

transformers 4 and vLLM have one module for each expert. transformers 5 stores all experts of a layer in one parameter
of three dimensions, which PEFT adapts as a parameter. Each version loads the file for the other one with a warning at
most and computes wrong results, so there is one file for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from erniekit_adapter.architectures.linear_layers import FUSED_EXPERT, LAST_EXPERT, columns_of
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.dense import (
    PARTS,
    UP_GATE,
    DenseShape,
    column_splitter,
    linear_shapes,
    split_columns,
)
from erniekit_adapter.layouts.lora_tensors import Array, Linear, convert_lora, peft_config, whole
from erniekit_adapter.layouts.paddleformers import split_groups

Toolkit = Backend
_PREFIXES: dict[Toolkit, str] = {"erniekit": "ernie.layers", "paddleformers": "model.layers"}
_KEYS = (
    *("moe_num_experts", "moe_intermediate_size", "moe_num_shared_experts", "moe_layer_interval"),
    *("moe_layer_start_index", "moe_layer_end_index"),
)


@dataclass(frozen=True)
class ExpertShape:
    """Sizes of a mixture-of-experts text model that determine the shapes of its tensors.

    Attributes:
        dense: sizes of attention and of the layers without experts.
        experts: number of experts of a layer.
        expert_ffn: width of one expert's feed-forward layer.
        shared_ffn: total width of the shared experts, which process every token; 0 without shared experts.
        expert_layers: numbers of the layers with experts.
    """

    dense: DenseShape
    experts: int
    expert_ffn: int
    shared_ffn: int
    expert_layers: tuple[int, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ExpertShape:
        """Read the sizes from a model's config.json. A missing key is an error, with two exceptions.

        Toolkit and transformers use the same default for them, and the adapter's shapes confirm it:
        `moe_layer_end_index` is the last layer, `head_dim` is hidden size / heads. `tie_word_embeddings` is not needed.

        Raises:
            AdapterError: keys are missing or wrong, or the model has experts for images; all problems at once.
        """
        problems = list(_problems(config))
        try:
            dense = DenseShape.from_config(_dense_part(config))
        except AdapterError as error:
            raise AdapterError([*error.problems, *problems]) from error
        if problems:
            raise AdapterError(problems)
        interval, first = config["moe_layer_interval"], config["moe_layer_start_index"]
        last = config.get("moe_layer_end_index", -1)
        last = dense.layers - 1 if last == -1 else last
        layers = tuple(n for n in range(dense.layers) if first <= n <= last and (n + 1) % interval == 0)
        width = config["moe_intermediate_size"]
        return cls(dense, config["moe_num_experts"], width, width * config["moe_num_shared_experts"], layers)


def _dense_part(config: Mapping[str, Any]) -> dict[str, Any]:
    part = {"tie_word_embeddings": True, **config, "moe_num_experts": 0}
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if part.get("head_dim") is None and isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
        part["head_dim"] = hidden // heads
    return part


def _problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    if several := [key for key in _KEYS if isinstance(config.get(key), list)]:
        finding = "models with experts for images are not supported here"
        yield Problem(f"config.json {', '.join(several)}", finding, "serve the format native")
        return
    least = {"moe_num_shared_experts": 0, "moe_layer_start_index": 0, "moe_layer_end_index": -1}
    for key in _KEYS:
        value = config.get(key, -1 if key == "moe_layer_end_index" else None)
        if value is None:
            yield Problem(f"config.json {key}", "missing", "add it to the model folder's config.json")
        elif isinstance(value, bool) or not isinstance(value, int) or value < least.get(key, 1):
            yield Problem(f"config.json {key}", f"{value!r} is not a whole number of at least {least.get(key, 1)}")


def expert_linears(shape: ExpertShape, toolkit: Toolkit, *, fused: bool = False) -> dict[str, Linear]:
    """Return the linear layers of a mixture-of-experts model in a toolkit's layout.

    Args:
        shape: the model's sizes.
        toolkit: the toolkit.
        fused: keep gate and up of an expert (not of other layers) in one part, `gate_up_proj`, as in transformers 5.
    """
    linears: dict[str, Linear] = {}

    def add(layer: int, module: str, size: tuple[int, int], parts: tuple[str, ...], split: _Split) -> None:
        names = tuple(f"model.layers.{layer}.{part}" for part in parts)
        # Target patterns of both toolkits match the last part of a name, so all layers with this part are one kind.
        linears[f"{_PREFIXES[toolkit]}.{layer}.{module}"] = Linear(module.rpartition(".")[2], size, names, split)

    for layer in range(shape.dense.layers):
        for module, size in linear_shapes(shape.dense).items():
            if module.startswith("self_attn.") or layer not in shape.expert_layers:
                add(layer, module, size, PARTS[module], _splitter(module, shape.dense, toolkit))
        if layer not in shape.expert_layers:
            continue
        widths = {f"mlp.experts.{number}": shape.expert_ffn for number in range(shape.experts)}
        widths |= {"mlp.shared_experts": shape.shared_ffn} if shape.shared_ffn else {}
        for stem, width in widths.items():
            expert = replace(shape.dense, ffn=width)
            for module, size in linear_shapes(expert).items():
                if not module.startswith("mlp."):
                    continue
                renamed = f"{stem}.{module.removeprefix('mlp.')}"
                if module == UP_GATE and fused and stem != "mlp.shared_experts":
                    add(layer, renamed, size, (f"{stem}.{FUSED_EXPERT}",), whole)
                else:
                    parts = tuple(f"{stem}.{part.removeprefix('mlp.')}" for part in PARTS[module])
                    add(layer, renamed, size, parts, column_splitter(module, expert))
    return linears


_Split = Callable[[Array], list[Array]]


def _splitter(module: str, shape: DenseShape, toolkit: Toolkit) -> _Split:
    if columns_of(module, toolkit) == "kv-groups":
        return lambda array: split_groups(array, shape)
    return lambda array: list(split_columns(module, array, shape).values())


def convert_lora_v5(tensors: Mapping[str, Array], shape: ExpertShape, toolkit: Toolkit) -> dict[str, Array]:
    """Convert a mixture-of-experts adapter to PEFT's format for transformers 5. `check_lora` must have passed.

    The experts of a layer are one parameter, so their adapters are one A and one B. A (E·r, in) has one expert after
    the other. B (out, r·E) has one rank after the other, with all experts of a rank side by side. PEFT wraps the two
    parameters of an expert module in each other, `gate_up_proj` inside `down_proj`, and calls the inner one
    `base_layer`.

    Args:
        tensors: `lora_A` (in, r) and `lora_B` (r, out) by the toolkit's names.
        shape: the model's sizes.
        toolkit: the toolkit.

    Returns:
        Arrays by PEFT's names.

    Raises:
        AdapterError: the experts have a linear layer without a parameter in transformers 5.
    """
    converted = convert_lora(tensors, expert_linears(shape, toolkit, fused=True))
    stacks: dict[str, dict[int, Array]] = {}
    result: dict[str, Array] = {}
    for name, array in converted.items():
        layer, found, rest = name.partition(".mlp.experts.")
        if found:
            number, projection, matrix, _ = rest.split(".")
            stacks.setdefault(f"{layer}.mlp.experts.{projection}.{matrix}", {})[int(number)] = array
        else:
            result[name] = array
    for name, experts in stacks.items():
        arrays = [experts[number] for number in range(shape.experts)]
        stem, projection, matrix = name.rsplit(".", 2)
        if projection not in (FUSED_EXPERT, LAST_EXPERT):
            finding = f"transformers 5 has only the parameters {FUSED_EXPERT} and {LAST_EXPERT} for experts"
            raise AdapterError([Problem(name, finding, "remove peft-v5 from export.formats")])
        inner = ".base_layer" if projection == FUSED_EXPERT and f"{stem}.{LAST_EXPERT}.{matrix}" in stacks else ""
        result[f"{stem}{inner}.{matrix}.weight"] = np.concatenate(arrays) if matrix == "lora_A" else _rank_major(arrays)
    return result


def _rank_major(arrays: list[Array]) -> Array:
    """Join B (out, r) of all experts to one (out, r·E). Column `rank · E + expert` belongs to that expert."""
    out, rank = arrays[0].shape
    return np.stack(arrays, axis=2).reshape(out, rank * len(arrays))


def peft_config_v5(
    lora_config: Mapping[str, Any], names: Iterable[str], shape: ExpertShape, toolkit: Toolkit, base_model_name: str
) -> dict[str, Any]:
    """Return PEFT's adapter_config.json for the result of `convert_lora_v5`.

    Every layer is a target parameter: with target modules, PEFT on transformers 5 would apply `gate_proj` and
    `down_proj` to the experts and not to the dense layers. PEFT refuses a dropout with target parameters. Inference
    applies no dropout, so it is 0.

    Args:
        lora_config: content of lora_config.json.
        names: names of the toolkit's tensors.
        shape: the model's sizes.
        toolkit: the toolkit.
        base_model_name: name of the base model for PEFT.
    """
    linears = expert_linears(shape, toolkit, fused=True)
    parts = {part for name in names for part in linears[name.rpartition(".")[0]].parts}
    parameters = {_target_parameter(part) for part in parts}
    config = peft_config(lora_config, {}, base_model_name)
    return {**config, "lora_dropout": 0.0, "target_modules": [], "target_parameters": sorted(parameters)}


def _target_parameter(part: str) -> str:
    last = part.rpartition(".")[2]
    return f"mlp.experts.{last}" if ".mlp.experts." in part else f"{last}.weight"
