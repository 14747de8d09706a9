"""Which layout an adapter has: read from the names and shapes of its tensors and the base model's config, or refused.

Names say the toolkit and whether projections are fused; the config says whether the model has experts or reads
images; shapes say whether the adapter belongs to this model. No shape tells gate from up, or one order of the columns
of `qkv_proj` from another: for each toolkit that is a fact of its own, and the proof's logits show a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from erniekit_adapter.adapters.layouts import ModelShape, erniekit_linears
from erniekit_adapter.adapters.layouts_experts import ExpertShape, expert_linears
from erniekit_adapter.adapters.layouts_lora import Linear, Sizes, listed
from erniekit_adapter.adapters.layouts_paddleformers import apart_linears, paddleocr_vl_linears, text_linears
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.project.catalogue import Kind, kind_of_config

Layout = Literal[
    "erniekit",
    "erniekit-experts",
    "paddleformers",
    "paddleformers-experts",
    "paddleformers-apart",
    "paddleocr-vl",
]
_FUSED = ("qkv_proj", "up_gate_proj")
_APART = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
PADDLEFORMERS = ("model.", "visual.", "mlp_AR.")


def layout_of(sizes: Sizes, base_config: Mapping[str, Any]) -> Layout:
    """Which layout an adapter has.

    Args:
        sizes: name and shape of every tensor.
        base_config: the content of the base model's config.json.

    Raises:
        AdapterError: the names are of no known layout or of several, the base model is of a kind that has none, or A
            and B lie the other way round; every reason at once.
    """
    if not sizes:
        raise fail("adapter", "has no tensors")
    if problems := [*_name_problems(list(sizes)), *_orientation_problems(sizes)]:
        raise AdapterError(problems)
    kind = _kind(base_config)
    erniekit = all(name.startswith("ernie.") for name in sizes)
    if kind == "ocr-vl":
        if erniekit:
            raise fail("adapter", "is ERNIEKit's, and the base model is PaddleOCR-VL", "give the base that was trained")
        return "paddleocr-vl"
    if kind == "moe":
        return "erniekit-experts" if erniekit else "paddleformers-experts"
    if erniekit:
        return "erniekit"
    modules = {name.split(".")[-2] for name in sizes}
    fused, apart = sorted(modules & set(_FUSED)), sorted(modules & set(_APART))
    if fused and apart:
        raise fail("adapter", f"has both {', '.join(fused)} and {', '.join(apart)}: no toolkit writes that")
    # Without any of them there is nothing in which the two differ.
    return "paddleformers-apart" if apart else "paddleformers"


def linears_of(layout: Layout, base_config: Mapping[str, Any]) -> dict[str, Linear]:
    """The table of linear layers of a layout.

    Raises:
        AdapterError: the config lacks a size.
    """
    # transformers leaves out a value that is its default; no linear layer hangs on whether the head is tied.
    base_config = {"tie_word_embeddings": True, **base_config}
    if layout == "erniekit":
        return erniekit_linears(ModelShape.from_config(base_config))
    if layout == "paddleformers":
        return text_linears(ModelShape.from_config(base_config))
    if layout == "paddleformers-apart":
        return apart_linears(ModelShape.from_config(base_config))
    if layout == "paddleocr-vl":
        return paddleocr_vl_linears(base_config)
    toolkit: Literal["erniekit", "paddleformers"] = "erniekit" if layout == "erniekit-experts" else "paddleformers"
    return expert_linears(ExpertShape.from_config(base_config), toolkit)


def stored_weights(stem: str, linear: Linear, layout: Layout) -> tuple[str, ...]:
    """What the weights of a linear layer are called in the files of the model that PaddleFormers trained on.

    PaddleOCR-VL's files keep names that transformers 5 changes when it reads them; the adapter's names are the files'.

    Args:
        stem: the layer's name in the adapter.
        linear: the layer.
        layout: one of PaddleFormers' layouts.
    """
    return tuple(f"{part}.weight" for part in ((stem,) if layout == "paddleocr-vl" else linear.parts))


def _name_problems(names: list[str]) -> Iterator[Problem]:
    for name in sorted(name for name in names if not name.endswith((".lora_A", ".lora_B"))):
        if name.startswith("base_model."):
            yield Problem(name, "is PEFT's already", "import it as an initial adapter, or use it as it is")
        elif name.endswith(".bias"):
            yield Problem(name, "a bias has no place in the Hugging Face layout", "train without it")
        else:
            yield Problem(name, "is no lora_A and no lora_B: PEFT's plain LoRA cannot say it", "export the merged form")
    plain = [name for name in names if name.endswith((".lora_A", ".lora_B"))]
    erniekit = [name for name in plain if name.startswith("ernie.")]
    paddleformers = [name for name in plain if name.startswith(PADDLEFORMERS)]
    if others := sorted(set(plain) - {*erniekit, *paddleformers}):
        yield Problem(listed(others), "are names of no known toolkit", "known are ERNIEKit and PaddleFormers")
    if erniekit and paddleformers:
        what = f"ERNIEKit's names ({erniekit[0]}) beside PaddleFormers' ({paddleformers[0]})"
        yield Problem("adapter", what, "two adapters were mixed: train anew")


def _orientation_problems(sizes: Sizes) -> Iterator[Problem]:
    """A pair whose A and B fit only when both are transposed: PEFT's orientation under a toolkit's names."""
    turned = [
        name
        for name, size in sizes.items()
        if name.endswith(".lora_A") and _is_turned(tuple(size), tuple(sizes.get(f"{name[:-1]}B", ())))
    ]
    if turned:
        what = "A is (r, in) and B is (out, r), Hugging Face's orientation under a toolkit's names"
        yield Problem(listed(turned), what, "give the folder that the toolkit wrote")


def _is_turned(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return len(a) == len(b) == 2 and a[1] != b[0] and a[0] == b[1]


def _kind(base_config: Mapping[str, Any]) -> Kind:
    """The base model's kind; sizes alone, without a `model_type` or experts, are a dense model's."""
    kind = kind_of_config(base_config)
    if kind == "vl-moe":
        what = "an ERNIE 4.5 VL model, with experts for images beside those for text, has no PEFT form here"
        raise fail("config.json", what, "serve the native form")
    if kind is None and base_config.get("model_type") is not None:
        what = f"{base_config['model_type']!r} is none of ERNIE 4.5's kinds"
        raise fail("config.json model_type", what, "give the base that was trained")
    return kind or "dense"
