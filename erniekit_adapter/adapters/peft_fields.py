"""Meaning of each field of PEFT's adapter_config.json for an adapter that a toolkit continues training.

Every field of PEFT 0.21's `LoraConfig` is in exactly one of the groups below; a test compares them with the installed
PEFT. A field that is not known here is refused if it holds anything, as it may change what the adapter computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.errors import Problem

# Read and checked by value.
CHECKED = frozenset({"peft_type", "r", "lora_alpha", "bias", "init_lora_weights"})
# Taken over into the toolkit's lora_config.json.
CARRIED = frozenset({"base_model_name_or_path", "lora_dropout", "use_rslora"})
# Without effect on what the saved tensors compute, or visible in the tensors (which modules have an adapter).
INERT = frozenset(
    {
        *("task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "runtime_config"),
        *("target_modules", "exclude_modules", "ensure_weight_tying", "megatron_core", "qalora_group_size"),
        # Of ways to begin; init_lora_weights names the one that was used.
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
        # Used together with layers_to_transform alone.
        "layers_pattern",
    }
)
# No plain LoRA: refused if the field holds anything, with what it means.
REFUSED: Mapping[str, str] = {
    "use_dora": "DoRA scales each output by a magnitude of its own",
    "use_qalora": "QA-LoRA averages groups of inputs before A",
    "use_bdlora": "BD-LoRA keeps A or B as blocks of a diagonal",
    "lora_bias": "B has a bias",
    "rank_pattern": "some modules have another rank",
    "alpha_pattern": "some modules have another alpha",
    "modules_to_save": "whole modules are trained beside the adapter",
    "target_parameters": "parameters outside linear layers are adapted",
    "trainable_token_indices": "rows of the embedding are trained beside the adapter",
    "layers_to_transform": "some layers alone are adapted, and a toolkit adapts a projection in every layer",
    "layer_replication": "layers of the base model are repeated",
    "fan_in_fan_out": "weights are stored the other way round",
    "megatron_config": "the layers are Megatron's",
    "alora_invocation_tokens": "the adapter is active after certain tokens alone",
    "arrow_config": "several adapters are mixed for each token",
    "kasa_config": "KaSA cuts the base model's weights and puts a diagonal between A and B",
    "monteclora_config": "MonteCLoRA samples around the adapter",
    "velora_config": "VeLoRA saves more than A and B",
}
# Values of init_lora_weights that leave the base model's weights as they are, beside true and false.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica")


def config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield everything in an adapter_config.json that a toolkit's plain LoRA does not have."""
    if config.get("peft_type") != "LORA":
        yield _problem("peft_type", f"{config.get('peft_type')!r} is not LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        yield _problem("r", f"{rank!r} is not a positive whole number")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        yield _problem("lora_alpha", f"{alpha!r} is not a number")
    if config.get("bias", "none") != "none":
        yield _problem("bias", f"{config['bias']!r}: a toolkit's adapter has none")
    for key, meaning in REFUSED.items():
        value = config.get(key)
        # The number 0 is a layer.
        if value or (key == "layers_to_transform" and value == 0 and value is not False):
            what = f"{str(value)[:80]}: {meaning}, which a toolkit's LoRA does not have"
            yield _problem(key, what, "merge it into the base model with PEFT, or train a plain LoRA adapter")
    yield from _start_problems(config.get("init_lora_weights"))
    for key in sorted(map(str, config.keys() - CHECKED - CARRIED - INERT - REFUSED.keys())):
        if config[key]:
            version = config.get("peft_version") or "an unknown version"
            what = f"{str(config[key])[:80]}: a field that is not known here (of PEFT {version})"
            yield _problem(key, what, "remove it if it does not change what the adapter computes")


def _start_problems(start: object) -> Iterator[Problem]:
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        what = f"{start!r} may have changed the base model's weights as well, and this base is not that one"
        yield _problem("init_lora_weights", what, "convert it to plain LoRA with PEFT first")


def _problem(key: str, what: str, hint: str = "") -> Problem:
    return Problem(f"adapter_config.json {key}", what, hint)
