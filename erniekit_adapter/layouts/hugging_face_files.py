"""Conversion of config.json and tokenizer_config.json from ERNIEKit to transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.architectures.families import family_of, kind_of_config
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.experts import ExpertShape

# Keys that have the same name and meaning in ERNIEKit's config.json and in Hugging Face's.
_SAME_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta"),
    *("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"),
)
_EXPERT_KEYS = (
    *("moe_num_experts", "moe_k", "moe_intermediate_size", "moe_num_shared_experts"),
    *("moe_layer_start_index", "moe_layer_interval"),
)
# Keys for which transformers supports one value.
_FIXED = {"compression_ratio": 1.0, "use_bias": False, "use_rmsnorm": True, "hidden_act": "silu", "rope_scaling": None}
_NORM_MIN = 1e-12  # a constant in ERNIEKit
_FIXED_OF_EXPERTS = {
    "moe_gate": "topk",
    "moe_gate_act": "softmax",
    "moe_group_experts": False,
    "moe_norm_gate_logits": True,
    "moe_norm_min": _NORM_MIN,
    "moe_use_aux_free": True,
}


def hf_config(config: Mapping[str, Any], torch_dtype: str) -> dict[str, Any]:
    """Return the config.json of `Ernie4_5ForCausalLM`, or of `Ernie4_5_MoeForCausalLM` for a mixture of experts.

    Every size is included, because the defaults of ERNIEKit and transformers differ.

    Args:
        config: content of ERNIEKit's config.json.
        torch_dtype: type of the weights.

    Raises:
        AdapterError: a key is missing, or has a value that transformers does not support; all of them at once.
    """
    family = family_of(kind_of_config(config))
    experts = family.has_experts
    problems, settings = list(_problems(config, experts)), {}
    if experts:
        try:
            settings = _expert_settings(config)
        except AdapterError as error:
            reported = {problem.location for problem in error.problems}
            problems = [*error.problems, *(problem for problem in problems if problem.location not in reported)]
    if problems:
        raise AdapterError(problems)
    return {
        "architectures": [family.hf_class],
        "fuse_rms_norm": False,  # for PaddleFormers, whose fused norm has no kernel for CPUs
        "hidden_act": "silu",
        "model_type": family.model_types[0],
        "torch_dtype": torch_dtype,
        "use_bias": False,
        "use_cache": True,
        **{key: config[key] for key in _SAME_KEYS if key not in settings},
        **settings,
    }


def _problems(config: Mapping[str, Any], experts: bool) -> Iterator[Problem]:
    # `ExpertShape` has a default for head_dim.
    needed = [key for key in _SAME_KEYS if not (experts and key == "head_dim")]
    yield from (Problem(f"config.json {key}", "missing") for key in needed if config.get(key) is None)
    for key, value in (_FIXED | (_FIXED_OF_EXPERTS if experts else {})).items():
        if key in config and config[key] != value:
            yield Problem(f"config.json {key}", f"{config[key]!r}; transformers supports only {value!r}")
    if not experts:
        return
    if "moe_use_aux_free" not in config:
        finding = "missing: ERNIEKit's default is false, but transformers' router always has a correction"
        yield Problem("config.json moe_use_aux_free", finding, "give the base model of the training")
    chosen, count = config.get("moe_k"), config.get("moe_num_experts")
    if not isinstance(chosen, int) or isinstance(chosen, bool) or chosen < 1:
        yield Problem("config.json moe_k", f"{chosen!r} is not a positive whole number")
    elif isinstance(count, int) and chosen > count:
        yield Problem("config.json moe_k", f"{chosen} is more than the number of experts, {count}")


def _expert_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys for experts. All are included, because the defaults of ERNIEKit and transformers differ."""
    shape = ExpertShape.from_config(config)
    last = config.get("moe_layer_end_index", -1)
    return {
        **{key: config.get(key) for key in _EXPERT_KEYS},
        "head_dim": shape.dense.head_dim,
        "moe_layer_end_index": shape.dense.layers - 1 if last == -1 else last,
        "moe_norm_min": _NORM_MIN,
    }


def hf_tokenizer_config(config: Mapping[str, Any], fast: bool) -> dict[str, Any]:
    """Return the tokenizer_config.json with which transformers produces the same token ids as ERNIEKit.

    Args:
        config: content of ERNIEKit's tokenizer_config.json.
        fast: whether there is a tokenizer.json; without it, transformers converts tokenizer.model.
    """
    converted = {"add_prefix_space": False, "legacy": False, "tokenizer_class": "LlamaTokenizerFast"}
    return {
        **{key: value for key, value in config.items() if key.endswith("_token") or key == "chat_template"},
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        **({"tokenizer_class": "PreTrainedTokenizerFast"} if fast else converted),
    }
