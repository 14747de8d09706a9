"""The model families: architecture, training methods, layouts and readers, one entry per family.

All code that depends on a family reads this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from erniekit_adapter.architectures.linear_layers import FUSED, SEPARATE, LinearLayer
from erniekit_adapter.architectures.toolkits import Backend, Method

Kind = Literal["dense", "moe", "vl-moe", "ocr-vl"]
BundleFormat = Literal["native", "peft", "peft-v5", "merged", "merged-hf"]
# Assumed for a model whose kind is unknown, such as a config.json with sizes only.
DEFAULT_KIND: Kind = "dense"
# Layouts of an adapter's tensors: see layouts/detection.py.
AdapterLayout = Literal[
    "erniekit",
    "erniekit-experts",
    "paddleformers",
    "paddleformers-experts",
    "paddleformers-apart",
    "paddleocr-vl",
]
# Those with an adapter for each linear layer by itself.
SEPARATE_LAYOUTS: tuple[AdapterLayout, ...] = ("paddleformers-apart", "paddleocr-vl")


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
        kind: its name in the code.
        name: its name in messages.
        model_types: values of `model_type` in config.json.
        classes: beginnings of class names in `architectures` of config.json that only this family has.
        takes_images, has_experts: whether its models take images and have experts.
        methods: by toolkit, the training methods without DPO; the first is the default.
        chat_template: PaddleFormers' name for its chat template; none adds reasoning to the answer.
        separate: toolkits that keep every linear layer in a separate matrix; the others fuse some.
        adapts_vision: toolkits whose LoRA reaches the vision tower even if it is frozen.
        layouts: by toolkit, the layout of an adapter; a missing toolkit is one whose adapters are not converted.
        probes: toolkits in which a worker here reads its models, for parity checks.
        transformers: by bundle format, the major versions of transformers that read it; formats that only the toolkit
            reads are missing.
        peft_readers: by bundle format, who reads the PEFT adapter, for the bundle's manifest.
        hf_class: its class in transformers, for a model converted from ERNIEKit's layout; empty if none is converted.
        packages: by toolkit, packages that the family needs there.
        ties_by_default: whether transformers ties the output head to the embedding if config.json has no such key.
        vllm_tokenizer: the only `tokenizer_class` with which vLLM loads a fine-tuned model; empty for any.
    """

    kind: Kind
    name: str
    model_types: tuple[str, ...]
    classes: tuple[str, ...]
    takes_images: bool
    has_experts: bool
    methods: Mapping[Backend, tuple[Method, ...]]
    chat_template: str
    separate: tuple[Backend, ...] = ()
    adapts_vision: tuple[Backend, ...] = ()
    layouts: Mapping[Backend, AdapterLayout] = field(default_factory=dict)
    probes: tuple[Backend, ...] = ("erniekit", "paddleformers")
    transformers: Mapping[BundleFormat, tuple[int, ...]] = field(default_factory=dict)
    peft_readers: Mapping[BundleFormat, str] = field(default_factory=dict)
    hf_class: str = ""
    packages: Mapping[Backend, tuple[str, ...]] = field(default_factory=dict)
    ties_by_default: bool = False
    vllm_tokenizer: str = ""


_TEXT: Mapping[Backend, tuple[Method, ...]] = {"erniekit": ("SFT",), "paddleformers": ("SFT",)}

FAMILIES: tuple[Family, ...] = (
    Family(
        kind="dense",
        name="ERNIE 4.5",
        model_types=("ernie4_5",),
        classes=(),
        takes_images=False,
        has_experts=False,
        methods=_TEXT,
        chat_template="ernie_nothink",
        layouts={"erniekit": "erniekit", "paddleformers": "paddleformers"},
        transformers={"peft": (4, 5), "peft-v5": (5,), "merged-hf": (4, 5)},
        peft_readers={"peft": "PEFT on transformers 4 and 5, vLLM"},
        hf_class="Ernie4_5ForCausalLM",
        ties_by_default=True,
    ),
    Family(
        kind="moe",
        name="ERNIE 4.5 with experts",
        model_types=("ernie4_5_moe",),
        classes=(),
        takes_images=False,
        has_experts=True,
        methods=_TEXT,
        chat_template="ernie_nothink",
        layouts={"erniekit": "erniekit-experts", "paddleformers": "paddleformers-experts"},
        transformers={"peft": (4,), "peft-v5": (5,), "merged-hf": (4, 5)},
        peft_readers={"peft": "PEFT on transformers 4, vLLM", "peft-v5": "PEFT on transformers 5"},
        hf_class="Ernie4_5_MoeForCausalLM",
        ties_by_default=True,
    ),
    Family(
        kind="vl-moe",
        name="ERNIE 4.5 VL",
        model_types=("ernie4_5_moe_vl", "ernie4_5_vl_moe"),
        classes=(),
        takes_images=True,
        has_experts=True,
        methods={"erniekit": ("VL-SFT",), "paddleformers": ("VL-SFT",)},
        chat_template="ernie_vl_nothink",
        separate=("paddleformers",),
        probes=(),
        transformers={"peft": (4, 5), "peft-v5": (5,), "merged-hf": (4, 5)},
    ),
    Family(
        kind="ocr-vl",
        name="PaddleOCR-VL",
        model_types=("paddleocr_vl",),
        classes=("PaddleOCRVL",),
        takes_images=True,
        has_experts=False,
        methods={"erniekit": ("OCR-VL-SFT",), "paddleformers": ("VL-SFT",)},
        chat_template="paddleocr_vl",
        separate=("paddleformers",),
        adapts_vision=("paddleformers",),
        layouts={"paddleformers": "paddleocr-vl"},
        probes=("paddleformers",),
        transformers={"peft": (5,), "peft-v5": (5,), "merged-hf": (5,)},
        peft_readers={"peft": "PEFT on transformers 5"},
        packages={"paddleformers": ("triton",)},
        vllm_tokenizer="LlamaTokenizer",
    ),
)
_BY_KIND: Mapping[str, Family] = {family.kind: family for family in FAMILIES}
_BY_MODEL_TYPE: Mapping[str, Family] = {name: family for family in FAMILIES for name in family.model_types}
# Class names of every ERNIE 4.5 model begin with this.
_ERNIE_CLASS = "Ernie4_5"
# Beginnings of `model_type` and of class names that a bundle may contain.
MODEL_PREFIXES: tuple[str, ...] = (
    "ernie",
    "Ernie",
    *(name for family in FAMILIES if family.classes for name in (*family.model_types, *family.classes)),
)


def family_of(kind: Kind | None) -> Family:
    """Return the family of a kind; a model of unknown kind counts as dense."""
    return _BY_KIND[kind or DEFAULT_KIND]


def takes_images(kind: Kind | None) -> bool:
    """Return whether a model of this kind takes images; one of unknown kind does not."""
    return family_of(kind).takes_images


def toolkit_layers(backend: Backend, kind: Kind) -> Mapping[str, tuple[LinearLayer, ...]]:
    """Return a toolkit's matrices of a decoder layer, each with the linear layers in it, by name."""
    return SEPARATE if backend in family_of(kind).separate else FUSED


def kind_of_config(config: Mapping[str, Any]) -> Kind | None:
    """Return the kind of model that a config.json describes; None if it is not one of these families.

    Experts and a vision tower decide before `model_type`: ERNIEKit writes the same value for dense models and experts.
    """
    model_type, architectures = config.get("model_type"), config.get("architectures")
    classes = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    named = _BY_MODEL_TYPE.get(model_type) if isinstance(model_type, str) else None
    if named and named.takes_images:
        return named.kind
    for family in FAMILIES:
        if family.classes and any(name.startswith(family.classes) for name in classes):
            return family.kind
    counted = "moe_num_experts" in config
    if named is None and not counted and not any(name.startswith(_ERNIE_CLASS) for name in classes):
        return None
    if config.get("vision_config"):
        return "vl-moe"
    if named and not counted:
        return named.kind
    if named and named.has_experts == has_experts(config):
        return named.kind
    return "moe" if has_experts(config) else "dense"


def has_experts(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json describes a mixture of experts; a model with two kinds of experts has lists."""
    count = config.get("moe_num_experts")
    return bool(any(count) if isinstance(count, list) else count)
