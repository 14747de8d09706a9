"""Detection of an adapter's layout from the names and shapes of its tensors and the base model's config.

Names identify the toolkit and fused projections. The config shows experts and images. Shapes show whether the adapter
belongs to the model. Shapes cannot show the order of gate and up, or of the columns of `qkv_proj`: each toolkit has a
fixed order, and the parity check finds a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.architectures.families import DEFAULT_KIND, AdapterLayout, Kind, family_of, kind_of_config
from erniekit_adapter.architectures.linear_layers import FUSED_LAYERS
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.layouts.dense import DenseShape, erniekit_linears
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.layouts.lora_tensors import Linear, Sizes, listed
from erniekit_adapter.layouts.paddleformers import apart_linears, paddleocr_vl_linears, text_linears

Layout = AdapterLayout
_FUSED = tuple(fused.name for fused in FUSED_LAYERS)
_APART = tuple(part for fused in FUSED_LAYERS for part in fused.parts)
PADDLEFORMERS = ("model.", "visual.", "mlp_AR.")


def layout_of(sizes: Sizes, base_config: Mapping[str, Any]) -> Layout:
    """Return the layout of an adapter.

    Args:
        sizes: shape of every tensor by name.
        base_config: content of the base model's config.json.

    Raises:
        AdapterError: the names belong to no known layout or to several, the kind of base model is not supported, or A
            and B are transposed; all problems at once.
    """
    if not sizes:
        raise failure("adapter", "has no tensors")
    if problems := [*_name_problems(list(sizes)), *_orientation_problems(sizes)]:
        raise AdapterError(problems)
    kind = _kind(base_config)
    erniekit = all(name.startswith("ernie.") for name in sizes)
    family = family_of(kind)
    layout = family.layouts.get("erniekit" if erniekit else "paddleformers")
    if layout is None:
        finding = f"is ERNIEKit's, and the base model is {family.name}"
        raise failure("adapter", finding, "give the base model of the training")
    if layout != "paddleformers":
        return layout
    modules = {name.split(".")[-2] for name in sizes}
    fused, apart = sorted(modules & set(_FUSED)), sorted(modules & set(_APART))
    if fused and apart:
        raise failure("adapter", f"has both {', '.join(fused)} and {', '.join(apart)}, which no toolkit writes")
    # Without these modules, both layouts are the same.
    return "paddleformers-apart" if apart else "paddleformers"


def linears_of(layout: Layout, base_config: Mapping[str, Any]) -> dict[str, Linear]:
    """Return the table of linear layers of a layout.

    Raises:
        AdapterError: the config lacks a size.
    """
    # transformers omits default values. The linear layers do not depend on a tied head.
    base_config = {"tie_word_embeddings": True, **base_config}
    if layout == "erniekit":
        return erniekit_linears(DenseShape.from_config(base_config))
    if layout == "paddleformers":
        return text_linears(DenseShape.from_config(base_config))
    if layout == "paddleformers-apart":
        return apart_linears(DenseShape.from_config(base_config))
    if layout == "paddleocr-vl":
        return paddleocr_vl_linears(base_config)
    toolkit: Backend = "erniekit" if layout == "erniekit-experts" else "paddleformers"
    return expert_linears(ExpertShape.from_config(base_config), toolkit)


def stored_weights(stem: str, linear: Linear, layout: Layout) -> tuple[str, ...]:
    """Return the names of a linear layer's weights in the files of PaddleFormers' base model.

    For PaddleOCR-VL, the adapter has the names in the files. transformers 5 renames them when it reads the files.

    Args:
        stem: the layer's name in the adapter.
        linear: the layer.
        layout: one of PaddleFormers' layouts.
    """
    return tuple(f"{part}.weight" for part in ((stem,) if layout == "paddleocr-vl" else linear.parts))


def _name_problems(names: list[str]) -> Iterator[Problem]:
    for name in sorted(name for name in names if not name.endswith((".lora_A", ".lora_B"))):
        if name.startswith("base_model."):
            yield Problem(name, "is already in PEFT's layout", "import it as an initial adapter, or use it as it is")
        elif name.endswith(".bias"):
            yield Problem(name, "a bias has no counterpart in the Hugging Face layout", "train without it")
        else:
            finding = "is neither lora_A nor lora_B: it has no counterpart in PEFT's plain LoRA"
            yield Problem(name, finding, "export the format merged")
    plain = [name for name in names if name.endswith((".lora_A", ".lora_B"))]
    erniekit = [name for name in plain if name.startswith("ernie.")]
    paddleformers = [name for name in plain if name.startswith(PADDLEFORMERS)]
    if others := sorted(set(plain) - {*erniekit, *paddleformers}):
        yield Problem(listed(others), "belongs to no known toolkit", "use an adapter of ERNIEKit or PaddleFormers")
    if erniekit and paddleformers:
        finding = f"ERNIEKit's names ({erniekit[0]}) beside PaddleFormers' ({paddleformers[0]})"
        yield Problem("adapter", finding, "two adapters were mixed: train again")


def _orientation_problems(sizes: Sizes) -> Iterator[Problem]:
    """Yield layers whose A and B match only if both are transposed: PEFT's orientation with a toolkit's names."""
    transposed = [
        name
        for name, size in sizes.items()
        if name.endswith(".lora_A") and _is_transposed(tuple(size), tuple(sizes.get(f"{name[:-1]}B", ())))
    ]
    if transposed:
        finding = "A is (r, in) and B is (out, r), Hugging Face's orientation with a toolkit's names"
        yield Problem(listed(transposed), finding, "give the folder that the toolkit wrote")


def _is_transposed(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return len(a) == len(b) == 2 and a[1] != b[0] and a[0] == b[1]


def _kind(base_config: Mapping[str, Any]) -> Kind:
    """Return the base model's kind. A config with sizes only, without `model_type` or experts, is a dense model's."""
    kind = kind_of_config(base_config)
    if kind and not family_of(kind).layouts:
        finding = "adapters of an ERNIE 4.5 VL model with experts for images cannot be converted to PEFT"
        raise failure("config.json", finding, "serve the format native")
    if kind is None and base_config.get("model_type") is not None:
        finding = f"{base_config['model_type']!r} is not a kind of ERNIE 4.5"
        raise failure("config.json model_type", finding, "give the base model of the training")
    return kind or DEFAULT_KIND
