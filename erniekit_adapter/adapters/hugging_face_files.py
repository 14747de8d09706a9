"""The config.json and tokenizer_config.json of transformers' classes, for those of a model in ERNIEKit's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.adapters.layouts_experts import ExpertShape
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.project.catalogue import kind_of_config

# What Hugging Face's classes take over from ERNIEKit's config.json under the same name.
_SAME_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta"),
    *("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"),
)
_EXPERT_KEYS = (
    *("moe_num_experts", "moe_k", "moe_intermediate_size", "moe_num_shared_experts"),
    *("moe_layer_start_index", "moe_layer_interval"),
)
# What they compute in one way only.
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
    """The config.json of `Ernie4_5ForCausalLM` for ERNIEKit's, or of `Ernie4_5_MoeForCausalLM` where there are experts.

    Every size is said, as the two sides' defaults differ.

    Raises:
        AdapterError: a key is missing, or says what the Hugging Face class does not compute; all of them at once.
    """
    experts = kind_of_config(config) == "moe"
    problems, settings = list(_problems(config, experts)), {}
    if experts:
        try:
            settings = _expert_settings(config)
        except AdapterError as error:
            told = {problem.where for problem in error.problems}
            problems = [*error.problems, *(problem for problem in problems if problem.where not in told)]
    if problems:
        raise AdapterError(problems)
    return {
        "architectures": ["Ernie4_5_MoeForCausalLM" if experts else "Ernie4_5ForCausalLM"],
        "fuse_rms_norm": False,  # read by PaddleFormers alone, whose fused one has no kernel for CPUs
        "hidden_act": "silu",
        "model_type": "ernie4_5_moe" if experts else "ernie4_5",
        "torch_dtype": torch_dtype,
        "use_bias": False,
        "use_cache": True,
        **{key: config[key] for key in _SAME_KEYS if key not in settings},
        **settings,
    }


def _problems(config: Mapping[str, Any], experts: bool) -> Iterator[Problem]:
    # `ExpertShape` knows what a missing head_dim stands for.
    needed = [key for key in _SAME_KEYS if not (experts and key == "head_dim")]
    yield from (Problem(f"config.json {key}", "missing") for key in needed if config.get(key) is None)
    for key, value in (_FIXED | (_FIXED_OF_EXPERTS if experts else {})).items():
        if key in config and config[key] != value:
            yield Problem(f"config.json {key}", f"{config[key]!r}; transformers' class knows {value!r} only")
    if not experts:
        return
    if "moe_use_aux_free" not in config:
        what = "missing: ERNIEKit takes that for false, and transformers' router always has a correction"
        yield Problem("config.json moe_use_aux_free", what, "give the base that was trained")
    chosen, count = config.get("moe_k"), config.get("moe_num_experts")
    if not isinstance(chosen, int) or isinstance(chosen, bool) or chosen < 1:
        yield Problem("config.json moe_k", f"{chosen!r} is not a positive whole number")
    elif isinstance(count, int) and chosen > count:
        yield Problem("config.json moe_k", f"{chosen} is more than the {count} experts")


def _expert_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the class for experts reads besides, each key said: ERNIEKit's defaults are others."""
    shape = ExpertShape.from_config(config)
    last = config.get("moe_layer_end_index", -1)
    return {
        **{key: config.get(key) for key in _EXPERT_KEYS},
        "head_dim": shape.dense.head_dim,
        "moe_layer_end_index": shape.dense.layers - 1 if last == -1 else last,
        "moe_norm_min": _NORM_MIN,
    }


def hf_tokenizer_config(config: Mapping[str, Any], fast: bool) -> dict[str, Any]:
    """The tokenizer_config.json with which transformers reads ERNIEKit's tokenizer to the same token ids.

    Args:
        config: the content of ERNIEKit's tokenizer_config.json.
        fast: whether there is a tokenizer.json, which says all the rest; it is made from tokenizer.model otherwise.
    """
    made = {"add_prefix_space": False, "legacy": False, "tokenizer_class": "LlamaTokenizerFast"}
    return {
        **{key: value for key, value in config.items() if key.endswith("_token") or key == "chat_template"},
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        **({"tokenizer_class": "PreTrainedTokenizerFast"} if fast else made),
    }
