"""What each tensor of a base model in ERNIEKit's layout becomes in Hugging Face's: dense models and text experts.

Matrices are cut and transposed: ERNIEKit keeps (in, out), Hugging Face (out, in). The router is such a matrix too. All
else keeps its shape and changes its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from erniekit_adapter.adapters.layouts import EMBEDDING, HEAD, ModelShape, base_shapes, erniekit_linears
from erniekit_adapter.adapters.layouts_experts import ExpertShape, expert_linears
from erniekit_adapter.adapters.layouts_lora import Array, Linear, listed, whole
from erniekit_adapter.errors import fail
from erniekit_adapter.project.catalogue import kind_of_config

Layout = Literal["paddle", "hugging-face"]


def layout_of_base(names: Iterable[str]) -> Layout:
    """Whose layout a base model has, by the names of its tensors.

    Raises:
        AdapterError: the names are of both layouts or of none.
    """
    names = sorted(names)
    paddle = [name for name in names if name.startswith("ernie.")]
    torch = [name for name in names if name.startswith(("model.", "visual.", "mlp_AR."))]
    if bool(paddle) == bool(torch):
        found = f"names of ERNIEKit ({paddle[0]}) and of transformers ({torch[0]})" if paddle else listed(names)
        raise fail("base model", f"its layout is not known: {found}", "give the model that was trained on")
    return "paddle" if paddle else "hugging-face"


@dataclass(frozen=True)
class BaseLayout:
    """Every tensor of a base model in ERNIEKit's layout.

    Attributes:
        linears: the matrices that are cut and transposed, by name without `.weight`; the router and an untied head are
            among them.
        same: name and shape of what has the same shape in both layouts.
        tied: whether the output head is the embedding, so that Hugging Face's layout has none.
    """

    linears: Mapping[str, Linear]
    same: Mapping[str, tuple[int, ...]]
    tied: bool

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; a tied head is not among them."""
        return {**self.same, **{f"{stem}.weight": linear.size for stem, linear in self.linears.items()}}


def base_layout(config: Mapping[str, Any]) -> BaseLayout:
    """The layout of the model that a config.json describes.

    Raises:
        AdapterError: keys are missing or wrong, or the model has experts for images; all problems at once.
    """
    kind = kind_of_config(config)
    if kind == "vl-moe":
        what = "experts for images beside those for text have no Hugging Face layout here"
        raise fail("config.json", what, "merge in the Paddle layout")
    if kind != "moe":
        return dense_base(ModelShape.from_config(config))
    # Said as None where it is missing, since an adapter of experts does without it and a base does not.
    tied = {"tie_word_embeddings": config.get("tie_word_embeddings")}
    return expert_base(ExpertShape.from_config({**config, **tied}))


def dense_base(shape: ModelShape) -> BaseLayout:
    """The layout of a dense model."""
    return BaseLayout({**erniekit_linears(shape), **_head(shape)}, _same(shape), shape.tied)


def expert_base(shape: ExpertShape) -> BaseLayout:
    """The layout of a mixture of experts for text; the router's correction is of the same shape in both layouts."""
    linears, same = expert_linears(shape, "erniekit"), _same(shape.dense)
    for layer in shape.expert_layers:
        size, target = (shape.dense.hidden, shape.experts), f"model.layers.{layer}.mlp.gate"
        linears[f"ernie.layers.{layer}.mlp.gate"] = Linear("gate", size, (target,), whole)
        same[f"ernie.layers.{layer}.mlp.moe_statics.e_score_correction_bias"] = (1, shape.experts)
    return BaseLayout({**linears, **_head(shape.dense)}, same, shape.dense.tied)


def _head(shape: ModelShape) -> dict[str, Linear]:
    stem = HEAD.removesuffix(".weight")
    return {} if shape.tied else {stem: Linear(stem, (shape.hidden, shape.vocab), (stem,), whole)}


def _same(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    return {name: size for name, size in base_shapes(shape).items() if len(size) == 1 or name == EMBEDDING}


def hugging_face_name(name: str) -> str:
    """What a tensor that both layouts have alike is called in Hugging Face's."""
    return "model." + name.removeprefix("ernie.") if name.startswith("ernie.") else name


def to_hugging_face(tensors: Mapping[str, Array], layout: BaseLayout) -> dict[str, Array]:
    """Turn tensors of a base model, all or some, into Hugging Face's layout.

    Args:
        tensors: ERNIEKit's names and arrays, of any dtype, each with its place in `layout`.
        layout: the model's layout.

    Returns:
        Hugging Face's names and arrays, of the same dtypes; arrays may be views that are not contiguous.
    """
    converted: dict[str, Array] = {}
    for name, array in tensors.items():
        if linear := layout.linears.get(name.removesuffix(".weight")):
            parts = zip(linear.parts, linear.split(array), strict=True)
            converted |= {f"{part}.weight": value.T for part, value in parts}
        elif not (layout.tied and name == HEAD):
            converted[hugging_face_name(name)] = array
    return converted
