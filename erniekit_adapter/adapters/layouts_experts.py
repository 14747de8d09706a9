"""The layouts of mixture-of-experts text models, and the two PEFT forms that their readers need.

transformers 4 and vLLM have a module per expert; transformers 5 keeps all experts of a layer in one parameter of three
dimensions, which PEFT adapts as a parameter. Either reader loads the other's file with a warning at most and computes
something else, so each gets a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from erniekit_adapter.adapters.layouts import PARTS, QKV, ModelShape, linear_shapes, split_columns
from erniekit_adapter.adapters.layouts_lora import Array, Linear, convert_lora, peft_config, whole
from erniekit_adapter.adapters.layouts_paddleformers import split_groups
from erniekit_adapter.errors import AdapterError, Problem

Toolkit = Literal["erniekit", "paddleformers"]
_PREFIXES: dict[Toolkit, str] = {"erniekit": "ernie.layers", "paddleformers": "model.layers"}
_KEYS = (
    *("moe_num_experts", "moe_intermediate_size", "moe_num_shared_experts", "moe_layer_interval"),
    *("moe_layer_start_index", "moe_layer_end_index"),
)


@dataclass(frozen=True)
class ExpertShape:
    """The sizes of a mixture-of-experts text model that decide its tensors' shapes.

    Attributes:
        dense: the sizes of attention and of the layers without experts.
        experts: number of experts of a layer.
        expert_ffn: width of one expert's feed-forward layer.
        shared_ffn: width of the experts that every token goes through, together; 0 where there are none.
        expert_layers: numbers of the layers with experts.
    """

    dense: ModelShape
    experts: int
    expert_ffn: int
    shared_ffn: int
    expert_layers: tuple[int, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ExpertShape:
        """Read the sizes from a model's config.json; nothing is assumed where a key is missing.

        The exceptions are what toolkit and transformers both make of a missing key, and the adapter's shapes confirm:
        `moe_layer_end_index` is the last layer, `head_dim` is the hidden size over the heads. Whether the head is tied
        does not matter here.

        Raises:
            AdapterError: keys are missing or wrong, or the model has experts for images; all problems at once.
        """
        problems = list(_problems(config))
        try:
            dense = ModelShape.from_config(_dense_part(config))
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
        what = "experts for images beside those for text have no layout here"
        yield Problem(f"config.json {', '.join(several)}", what, "serve the native form")
        return
    least = {"moe_num_shared_experts": 0, "moe_layer_start_index": 0, "moe_layer_end_index": -1}
    for key in _KEYS:
        value = config.get(key, -1 if key == "moe_layer_end_index" else None)
        if value is None:
            yield Problem(f"config.json {key}", "missing", "the model folder's config.json has to say it")
        elif isinstance(value, bool) or not isinstance(value, int) or value < least.get(key, 1):
            yield Problem(f"config.json {key}", f"{value!r} is no such number")


def expert_linears(shape: ExpertShape, toolkit: Toolkit, *, fused: bool = False) -> dict[str, Linear]:
    """The linear layers of a mixture-of-experts model as a toolkit keeps them.

    Args:
        shape: the model's sizes.
        toolkit: whose layout.
        fused: leave gate and up of an expert (not of other layers) in one, `gate_up_proj`, as transformers 5 has them.
    """
    linears: dict[str, Linear] = {}

    def add(layer: int, module: str, size: tuple[int, int], parts: tuple[str, ...], split: _Split) -> None:
        names = tuple(f"model.layers.{layer}.{part}" for part in parts)
        # ERNIEKit's and PaddleFormers' target patterns name the last part, so all layers of that name go together.
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
            one = fused and stem != "mlp.shared_experts"
            parts = (f"{stem}.gate_up_proj",) if one else (f"{stem}.gate_proj", f"{stem}.up_proj")
            up_gate = (shape.dense.hidden, 2 * width)
            add(layer, f"{stem}.up_gate_proj", up_gate, parts, whole if one else _halves)
            add(layer, f"{stem}.down_proj", (width, shape.dense.hidden), (f"{stem}.down_proj",), whole)
    return linears


_Split = Callable[[Array], list[Array]]


def _splitter(module: str, shape: ModelShape, toolkit: Toolkit) -> _Split:
    if module == QKV and toolkit == "paddleformers":
        return lambda array: split_groups(array, shape)
    return lambda array: list(split_columns(module, array, shape).values())


def _halves(array: Array) -> list[Array]:
    return np.split(array, 2, axis=1)


def convert_lora_v5(tensors: Mapping[str, Array], shape: ExpertShape, toolkit: Toolkit) -> dict[str, Array]:
    """Turn a mixture-of-experts adapter into the PEFT form of transformers 5; checked before, as for `convert_lora`.

    The experts of a layer are one parameter, so their adapters are one A and one B: A (E·r, in) holds expert after
    expert, B (out, r·E) rank after rank with the experts next to one another. PEFT wraps both parameters of an expert
    module, `gate_up_proj` inside `down_proj`, hence the name `base_layer` of the inner one.

    Args:
        tensors: the toolkit's names with `lora_A` (in, r) and `lora_B` (r, out).
        shape: the model's sizes.
        toolkit: whose layout.

    Returns:
        PEFT's names and arrays.
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
        inner = ".base_layer" if projection == "gate_up_proj" and f"{stem}.down_proj.{matrix}" in stacks else ""
        result[f"{stem}{inner}.{matrix}.weight"] = np.concatenate(arrays) if matrix == "lora_A" else _rank_major(arrays)
    return result


def _rank_major(arrays: list[Array]) -> Array:
    """B of each expert, (out, r), as one (out, r·E) in which column `rank · E + expert` is that expert's."""
    out, rank = arrays[0].shape
    return np.stack(arrays, axis=2).reshape(out, rank * len(arrays))


def peft_config_v5(
    lora_config: Mapping[str, Any], names: Iterable[str], shape: ExpertShape, toolkit: Toolkit, base_model_name: str
) -> dict[str, Any]:
    """PEFT's adapter_config.json for what `convert_lora_v5` makes of the toolkit's tensors called `names`.

    Every layer is a target parameter: among target modules, PEFT on transformers 5 takes `gate_proj` and `down_proj`
    for the experts' and leaves out the dense ones. PEFT refuses a dropout with target parameters, and none is applied
    in use, so it says 0.
    """
    linears = expert_linears(shape, toolkit, fused=True)
    parts = {part for name in names for part in linears[name.rpartition(".")[0]].parts}
    parameters = {_target_parameter(part) for part in parts}
    config = peft_config(lora_config, {}, base_model_name)
    return {**config, "lora_dropout": 0.0, "target_modules": [], "target_parameters": sorted(parameters)}


def _target_parameter(part: str) -> str:
    last = part.rpartition(".")[2]
    return f"mlp.experts.{last}" if ".mlp.experts." in part else f"{last}.weight"
