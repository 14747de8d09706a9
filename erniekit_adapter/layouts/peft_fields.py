"""Fields of PEFT's adapter_config.json, for adapters that a toolkit continues to train.

Every field of PEFT 0.21's `LoraConfig` is in exactly one of the groups below; a test compares them with the installed
PEFT. An unknown field with a value is refused, because it can change the adapter's computation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.errors import Problem

# Fields whose values are checked.
CHECKED = frozenset({"peft_type", "r", "lora_alpha", "bias", "init_lora_weights"})
# Fields that are copied to the toolkit's lora_config.json.
CARRIED = frozenset({"base_model_name_or_path", "lora_dropout", "use_rslora"})
# Fields without effect on the computation, or with an effect that the tensors show (the adapted modules).
INERT = frozenset(
    {
        *("task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "runtime_config"),
        *("target_modules", "exclude_modules", "ensure_weight_tying", "megatron_core", "qalora_group_size"),
        # Settings of initialisations; init_lora_weights names the initialisation.
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
        # Used only with layers_to_transform.
        "layers_pattern",
    }
)
# Fields of LoRA variants, with their meaning. A value in one of them is refused.
REFUSED: Mapping[str, str] = {
    "use_dora": "DoRA scales each output by a trained magnitude",
    "use_qalora": "QA-LoRA averages groups of inputs before A",
    "use_bdlora": "BD-LoRA keeps A or B as blocks of a diagonal",
    "lora_bias": "B has a bias",
    "rank_pattern": "some modules have another rank",
    "alpha_pattern": "some modules have another alpha",
    "modules_to_save": "whole modules are trained in addition to the adapter",
    "target_parameters": "parameters outside linear layers are adapted",
    "trainable_token_indices": "rows of the embedding are trained in addition to the adapter",
    "layers_to_transform": "only some layers are adapted, but a toolkit adapts a projection in every layer",
    "layer_replication": "layers of the base model are repeated",
    "fan_in_fan_out": "weights are stored transposed",
    "megatron_config": "the layers are Megatron's",
    "alora_invocation_tokens": "the adapter is active only after certain tokens",
    "arrow_config": "several adapters are mixed for each token",
    "kasa_config": "KaSA truncates the base model's weights and puts a diagonal matrix between A and B",
    "monteclora_config": "MonteCLoRA samples around the adapter",
    "velora_config": "VeLoRA saves more than A and B",
}
# Texts in init_lora_weights for initialisations that do not change the base model's weights.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica")


def config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield everything in an adapter_config.json that has no counterpart in a toolkit's plain LoRA."""
    if config.get("peft_type") != "LORA":
        yield _problem("peft_type", f"{config.get('peft_type')!r} is not LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        yield _problem("r", f"{rank!r} is not a positive whole number")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        yield _problem("lora_alpha", f"{alpha!r} is not a number")
    if not isinstance(config.get("use_rslora"), (bool, type(None))):
        yield _problem("use_rslora", f"{config['use_rslora']!r} is not true or false")
    if config.get("bias", "none") != "none":
        yield _problem("bias", f"{config['bias']!r}: a toolkit's adapter has no bias")
    for key, meaning in REFUSED.items():
        value = config.get(key)
        # The number 0 is a layer.
        if value or (key == "layers_to_transform" and value == 0 and value is not False):
            finding = f"{str(value)[:80]}: {meaning}, which a toolkit's LoRA does not support"
            yield _problem(key, finding, "merge it into the base model with PEFT, or train a plain LoRA adapter")
    yield from _start_problems(config.get("init_lora_weights"))
    for key in sorted(map(str, config.keys() - CHECKED - CARRIED - INERT - REFUSED.keys())):
        if config[key]:
            version = config.get("peft_version") or "an unknown version"
            finding = f"{str(config[key])[:80]}: unknown field of PEFT {version}"
            yield _problem(key, finding, "remove it if it does not change the adapter's computation")


def _start_problems(start: object) -> Iterator[Problem]:
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        finding = f"{start!r} can change the base model's weights, and this base model has the original ones"
        yield _problem("init_lora_weights", finding, "convert it to plain LoRA with PEFT first")


def _problem(key: str, finding: str, hint: str = "") -> Problem:
    return Problem(f"adapter_config.json {key}", finding, hint)
