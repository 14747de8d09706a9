"""Checks of the JSON files of a bundle: sizes and names of a model, nothing that makes a reader run or fetch more.

`adapter_config.json` and `lora_config.json` have a schema, as their writers are known. The configuration of a model,
its tokenizer and its image processor is the base model's own, so its keys are many. There, numbers and booleans are
harmless under every key but a few; text is what could name code, a file or a server, so each key with text is listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from erniekit_adapter.adapters.chat_templates import template_problems
from erniekit_adapter.adapters.layouts_lora import lora_config_problems
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.catalogue import find_model

_HINT = "export the bundle again"
_MOST_RANK = 4096

# Keys that are refused whatever they hold: transformers, vLLM and diffusers run or download what they name.
_CODE = re.compile(
    r"auto_map\w*|auto_mapping|trust_remote_code|custom_\w*|code_revision|\w*_url|url|use_kernels|kernel_config"
    r"|\w*requirements|_commit_hash|revision|adapter_kwargs|_adapter_\w*|transformers_weights|fast_tokenizer_files"
)
# Keys whose value is a name: of a class, a function, a type, a version.
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
# Keys whose value is text of the tokenizer's vocabulary, or a table of such texts.
_TOKENS = re.compile(r"\w*_tokens?|additional_special_tokens|content|added_tokens_decoder|stop_strings|stop")
_TEMPLATE = "chat_template"
_OFF: tuple[object, ...] = (None, False, "", [])
# `model_type` and `architectures` choose the class that a server runs.
_MODEL = re.compile(r"(ernie|Ernie|paddleocr_vl|PaddleOCRVL)\w{0,60}")
_TOKENIZER_JSON = frozenset(
    (
        *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor"),
        *("decoder", "model"),
    )
)

_Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]
_Layer = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,200}$")]
_Rank = Annotated[int, Field(ge=1, le=_MOST_RANK)]
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
    """`lora_config.json` of ERNIEKit 1.0 to 1.3 and PaddleFormers 1.2; what is not plain LoRA is refused as well."""

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
    trainable_bias: str | None = None
    trainable_modules: list[str] | None = None
    use_mora: bool | None = None


def config_problems(where: str, name: str, value: Any) -> Iterator[Problem]:
    """Return what a JSON file of a bundle may not contain.

    Args:
        where: the file, for messages.
        name: its name in the bundle, such as `peft/adapter_config.json`.
        value: its parsed content.
    """
    if not isinstance(value, dict):
        yield Problem(where, "is not an object", _HINT)
        return
    file = PurePosixPath(name).name
    if file == "adapter_config.json":
        yield from _schema_problems(where, PeftConfig, value)
    elif file == "lora_config.json":
        # A toolkit of another version has other switches; one that is off changes nothing.
        known = {key: each for key, each in value.items() if key in NativeConfig.model_fields or each not in _OFF}
        yield from _schema_problems(where, NativeConfig, known)
        for problem in lora_config_problems(value):
            yield Problem(problem.where.replace("lora_config.json", where), problem.what, problem.remedy)
        yield from _pattern_problems(where, value.get("target_modules"))
    elif file == "tokenizer.json":
        if strange := sorted(value.keys() - _TOKENIZER_JSON):
            yield Problem(f"{where} {strange[0][:80]}", "is not a key of a tokenizer.json", _HINT)
    elif file == "added_tokens.json":
        if not all(type(number) is int for number in value.values()):
            yield Problem(where, "expected tokens and their numbers", _HINT)
    else:
        for keys, what in unsafe_keys(value):
            yield Problem(f"{where} {'.'.join(keys)}", what, _HINT)
        if file == "config.json":
            yield from _model_problems(where, value)
        for template in _templates(value):
            yield from template_problems(f"{where} {_TEMPLATE}", template)


def base_name_problems(where: str, name: object) -> Iterator[Problem]:
    """Return why the name of a base model may not be in a bundle: readers download what it names.

    A published ERNIE 4.5 or PaddleOCR-VL may be named by its id. Every other name has to be one of a folder, written so
    that no reader takes it for an id.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]{1,4096}", name):
        yield Problem(where, "is not the name of a base model", _HINT)
    elif "://" in name or base_name(name) != name:
        what = f"{name[:80]!r} is neither a published ERNIE 4.5 nor written as a folder: a reader would download it"
        yield Problem(where, what, f"write it as a folder, such as ./{name[:80]}, or export again")


def is_folder_name(name: str) -> bool:
    """Whether a name can only mean a folder: ids of hubs do not begin like that."""
    return name.startswith(("./", "../", "/", "~")) or name in (".", "..")


def base_name(name: str) -> str:
    """Return a project's `model_name_or_path` as a bundle names its base model, see `base_name_problems`."""
    published = "/" in name and find_model(name)
    return name if published or is_folder_name(name) else f"./{name}"


def unsafe_keys(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return the keys of a model's, tokenizer's or processor's configuration that a bundle may not have, and why not.

    A key is given with those above it; of a list with such values, the key of the list.
    """
    for key, inner in value.items():
        keys = (*above, key)
        if _CODE.fullmatch(key):
            yield keys, "makes a reader run or download code: a bundle holds data alone"
        elif key == _TEMPLATE or _TOKENS.fullmatch(key):
            continue
        elif isinstance(inner, Mapping):
            yield from unsafe_keys(inner, keys)
        else:
            yield from ((keys, what) for what in _text_problem(keys, inner))


def _text_problem(keys: tuple[str, ...], inner: Any) -> Iterator[str]:
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, Mapping):
            yield from (what for _, what in unsafe_keys(each, keys))
        elif isinstance(each, list):
            yield from _text_problem(keys, each)
        elif isinstance(each, str) and each:
            named = next((key for key in reversed(keys) if not key.isdigit()), "")
            if named not in _NAMES:
                yield f"has the text {each[:60]!r}, and is not a key that may have one"
            elif not _NAME.fullmatch(each):
                yield f"{each[:60]!r} is not a plain name"


def without_unsafe_keys(value: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration without the keys that `unsafe_keys` finds, and the names of these keys."""
    found = {keys for keys, _ in unsafe_keys(value)}
    return _without(value, found), sorted(".".join(keys) for keys in found)


def _without(value: Mapping[str, Any], found: set[tuple[str, ...]], above: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        key: _without(inner, found, (*above, key)) if isinstance(inner, Mapping) else inner
        for key, inner in value.items()
        if (*above, key) not in found
    }


def _schema_problems(where: str, schema: type[BaseModel], value: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        schema.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            key = ".".join(map(str, item["loc"]))[:80]
            what = "is not a key of a LoRA adapter's" if item["type"] == "extra_forbidden" else item["msg"]
            yield Problem(f"{where} {key}", what, _HINT)
    if isinstance(name := value.get("base_model_name_or_path"), str):
        yield from base_name_problems(f"{where} base_model_name_or_path", name)


def _pattern_problems(where: str, patterns: object) -> Iterator[Problem]:
    """A pattern that could take for ever: toolkits match it with every layer's name."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns if isinstance(patterns, list) else []:
        text = str(pattern)
        if re.search(r"\)[*+{]", text) or len(re.findall(r"[*+{]", text)) > 4:
            yield Problem(f"{where} target_modules", f"{text[:60]!r} may take for ever to match", _HINT)
            continue
        try:
            re.compile(text)
        except re.error as error:
            yield Problem(f"{where} target_modules", f"{text[:60]!r} is not a pattern: {error}", _HINT)


def _model_problems(where: str, config: Mapping[str, Any]) -> Iterator[Problem]:
    classes = config.get("architectures") or []
    for name in [config.get("model_type") or "ernie", *(classes if isinstance(classes, list) else [classes])]:
        if not isinstance(name, str) or not _MODEL.fullmatch(name):
            yield Problem(where, f"{str(name)[:60]!r} is none of ERNIE 4.5's models", _HINT)


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
