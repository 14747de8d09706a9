"""Checks of JSON files: they may contain sizes and names of a model, but nothing that makes a reader run or fetch code.

`adapter_config.json` and `lora_config.json` have a schema, because their writers are known. Configurations of models,
tokenizers and image processors come from the base model and have many keys. There, numbers and booleans are harmless
under nearly every key. Text can name code, a file or a server, so only listed keys may have text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from erniekit_adapter.architectures.families import MODEL_PREFIXES
from erniekit_adapter.architectures.models import find_model
from erniekit_adapter.errors import Problem
from erniekit_adapter.file_checks.chat_templates import template_problems
from erniekit_adapter.lora.config import KNOWN, NOT_PLAIN, is_off, lora_config_problems

EXPORT_AGAIN = "export the bundle again"
_MAX_RANK = 4096

# Keys that are refused with any value: transformers, vLLM and diffusers run or download the code that they name.
_CODE = re.compile(
    r"auto_map\w*|auto_mapping|trust_remote_code|custom_\w*|code_revision|\w*_url|url|use_kernels|kernel_config"
    r"|\w*requirements|_commit_hash|revision|adapter_kwargs|_adapter_\w*|transformers_weights|fast_tokenizer_files"
)
# Keys whose value is the name of a class, function, type or version.
_NAMES = frozenset(
    (
        *("architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "paddleformers_version"),
        *("hidden_act", "hidden_activation", "activation_function", "rope_type", "type", "rope_scaling_type"),
        *("_attn_implementation", "attn_implementation", "layer_types", "mlp_layer_types", "problem_type"),
        *("normalization", "softmax_type", "position_embedding_type", "scoring_func", "topk_method"),
        *("moe_gate", "moe_gate_act", "moe_group", "moe_router_load_balancing_type", "moe_token_dispatcher_type"),
        *("moe_token_drop_policy", "moe_multimodal_dispatch_use_allgather", "cp_balance_mode", "fp16_opt_level"),
        *("weight_quant_method", "act_quant_method", "fp8_format_type", "dense_quant_type", "moe_quant_type"),
        *("quantization", "id2label", "cache_implementation", "recompute_granularity", "attn_impl"),
        # Tokenizers.
        *("tokenizer_class", "padding_side", "truncation_side", "backend", "errors", "model_input_names"),
        # Image processors.
        *("processor_class", "image_processor_type", "feature_extractor_type", "video_processor_type"),
        *("data_format", "input_data_format", "return_tensors", "temporal_conv_type"),
    )
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+]{0,99}")
# Keys whose value is text from the tokenizer's vocabulary, or a table of such texts.
_TOKENS = re.compile(r"\w*_tokens?|additional_special_tokens|content|added_tokens_decoder|stop_strings|stop")
_TEMPLATE = "chat_template"
# `model_type` and `architectures` select the class that a server runs.
_MODEL = re.compile(rf"({'|'.join(MODEL_PREFIXES)})\w{{0,60}}")
_TOKENIZER_JSON = frozenset(
    (
        *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor"),
        *("decoder", "model"),
    )
)

_Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]
_Layer = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
_Rank = Annotated[int, Field(ge=1, le=_MAX_RANK)]
_Alpha = Annotated[int | float, Field(gt=0, le=1_000_000)]
_Dropout = Annotated[int | float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class PeftConfig(_Strict):
    """`adapter_config.json` as the export stage writes it: plain LoRA."""

    base_model_name_or_path: str
    bias: Literal["none"]
    inference_mode: Literal[True]
    lora_alpha: _Alpha
    lora_dropout: _Dropout
    peft_type: Literal["LORA"]
    r: _Rank
    target_modules: list[_Layer]
    target_parameters: list[_Layer] = []
    task_type: Literal["CAUSAL_LM"]
    use_rslora: bool


class NativeConfig(_Strict):
    """`lora_config.json` of ERNIEKit 1.0 to 1.3 and PaddleFormers 1.2, for plain LoRA."""

    base_model_name_or_path: str
    r: _Rank
    lora_alpha: _Alpha
    lora_dropout: _Dropout
    rslora: bool
    target_modules: _Pattern | list[_Pattern]
    scaling: int | float | None = None
    dtype: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,20}$")] | None = None
    head_dim: int | None = None
    merge_weights: bool | None = None
    tensor_parallel_degree: int | None = None
    tensor_model_parallel_size: int | None = None
    pipeline_parallel_degree: int | bool | None = None
    pipeline_model_parallel_size: int | bool | None = None
    use_intermediate_api: bool | None = None
    use_quick_lora: bool | None = None
    lora_plus_scale: int | float | None = None
    do_qat: bool | None = None
    enable_lora_list: None = None
    lora_bias: bool | None = None
    lora_use_mixer: bool | None = None
    loraga: bool | None = None
    lorapro: bool | None = None
    pissa: bool | None = None
    dora: bool | None = None
    use_dora: bool | None = None
    trainable_bias: str | None = None
    trainable_modules: list[str] | None = None
    use_mora: bool | None = None


def config_problems(location: str, name: str, value: Any) -> Iterator[Problem]:
    """Yield the problems of a JSON file.

    Args:
        location: the file, for messages.
        name: its name, such as `adapter_config.json`.
        value: its parsed content.
    """
    if not isinstance(value, dict):
        yield Problem(location, "is not an object", EXPORT_AGAIN)
        return
    if name == "adapter_config.json":
        yield from _schema_problems(location, PeftConfig, value)
    elif name == "lora_config.json":
        # Another version of a toolkit has other switches. A switch that is off changes nothing.
        known = {key: each for key, each in value.items() if (key in KNOWN - NOT_PLAIN.keys()) or not is_off(each)}
        yield from _schema_problems(location, NativeConfig, known)
        for problem in lora_config_problems(value):
            yield Problem(problem.location.replace("lora_config.json", location), problem.finding, problem.hint)
        yield from _pattern_problems(location, value.get("target_modules"))
    elif name == "tokenizer.json":
        if unknown := sorted(value.keys() - _TOKENIZER_JSON):
            yield Problem(f"{location} {unknown[0][:80]}", "is not a key of a tokenizer.json", EXPORT_AGAIN)
    elif name == "added_tokens.json":
        if not all(type(number) is int for number in value.values()):
            yield Problem(location, "expected tokens and their numbers", EXPORT_AGAIN)
    else:
        for keys, finding in unsafe_keys(value):
            yield Problem(f"{location} {'.'.join(keys)}", finding, EXPORT_AGAIN)
        if name == "config.json":
            yield from _model_problems(location, value)
        for template in _templates(value):
            yield from template_problems(f"{location} {_TEMPLATE}", template)


def base_name_problems(location: str, name: object) -> Iterator[Problem]:
    """Yield why a bundle may not have this name of a base model. Readers download the base model by its name.

    The id of a published ERNIE 4.5 or PaddleOCR-VL is allowed. Every other name must be a folder, written so that
    readers do not take it for an id.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]{1,4096}", name):
        yield Problem(location, "is not the name of a base model", EXPORT_AGAIN)
    elif "://" in name or base_name(name) != name:
        finding = f"{name[:80]!r} is neither a published ERNIE 4.5 nor a folder: a reader would download it"
        yield Problem(location, finding, f"write it as a folder: ./{name[:80]}, or export again")


def is_folder_name(name: str) -> bool:
    """Return whether a name can only be a folder. Ids of model hubs do not begin like that."""
    return name.startswith(("./", "../", "/", "~")) or name in (".", "..")


def base_name(name: str) -> str:
    """Return the name of a base model for a bundle, from a project's `model_name_or_path`; see `base_name_problems`."""
    published = "/" in name and find_model(name)
    return name if published or is_folder_name(name) else f"./{name}"


def unsafe_keys(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys of a model's, tokenizer's or processor's configuration that a bundle may not have, and the reason.

    Each key comes with its parent keys. For values in a list, the key of the list is yielded.
    """
    for key, inner in value.items():
        keys = (*above, key)
        if _CODE.fullmatch(key):
            yield keys, "makes a reader run or download code; a bundle contains data only"
        elif key == _TEMPLATE or _TOKENS.fullmatch(key):
            continue
        elif isinstance(inner, Mapping):
            yield from unsafe_keys(inner, keys)
        else:
            yield from ((keys, finding) for finding in _text_problem(keys, inner))


def _text_problem(keys: tuple[str, ...], inner: Any) -> Iterator[str]:
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, Mapping):
            yield from (finding for _, finding in unsafe_keys(each, keys))
        elif isinstance(each, list):
            yield from _text_problem(keys, each)
        elif isinstance(each, str) and each:
            named = next((key for key in reversed(keys) if not key.isdigit()), "")
            if named not in _NAMES:
                yield f"has the text {each[:60]!r}, but this key may not have text"
            elif not _NAME.fullmatch(each):
                yield f"{each[:60]!r} is not a plain name"


def without_unsafe_keys(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration without its unsafe keys, and the names of these keys; see `unsafe_keys`."""
    found = {keys for keys, _ in unsafe_keys(value)}
    return _without(value, found), sorted(".".join(keys) for keys in found)


def _without(value: Mapping[str, Any], found: set[tuple[str, ...]], above: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        key: _without(inner, found, (*above, key)) if isinstance(inner, Mapping) else inner
        for key, inner in value.items()
        if (*above, key) not in found
    }


def _schema_problems(location: str, schema: type[BaseModel], value: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        schema.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            key = ".".join(map(str, item["loc"]))[:80]
            finding = "is not a key of a LoRA adapter's" if item["type"] == "extra_forbidden" else item["msg"]
            yield Problem(f"{location} {key}", finding, EXPORT_AGAIN)
    if isinstance(name := value.get("base_model_name_or_path"), str):
        yield from base_name_problems(f"{location} base_model_name_or_path", name)


def _pattern_problems(location: str, patterns: object) -> Iterator[Problem]:
    """Yield patterns that could take too long. Toolkits match them with the name of every layer."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns if isinstance(patterns, list) else []:
        text = str(pattern)
        if re.search(r"\)[*+{]", text) or len(re.findall(r"[*+{]", text)) > 4:
            yield Problem(f"{location} target_modules", f"{text[:60]!r} may take too long to match", EXPORT_AGAIN)
            continue
        try:
            re.compile(text)
        except re.error as error:
            yield Problem(f"{location} target_modules", f"{text[:60]!r} is not a pattern: {error}", EXPORT_AGAIN)


def _model_problems(location: str, config: Mapping[str, Any]) -> Iterator[Problem]:
    classes = config.get("architectures") or []
    for name in [config.get("model_type") or "ernie", *(classes if isinstance(classes, list) else [classes])]:
        if not isinstance(name, str) or not _MODEL.fullmatch(name):
            yield Problem(location, f"{str(name)[:60]!r} is not a model of ERNIE 4.5", EXPORT_AGAIN)


def _templates(value: Any) -> Iterator[object]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == _TEMPLATE and inner is not None:
                yield inner
            else:
                yield from _templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _templates(inner)
