"""Conversion of base models from ERNIEKit's layout to Hugging Face's: dense models and mixtures of text experts.

Matrices, including the router, are split and transposed: ERNIEKit stores (in, out), Hugging Face (out, in). Other
tensors keep their shape and get another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from erniekit_adapter.architectures.families import family_of, kind_of_config
from erniekit_adapter.errors import failure
from erniekit_adapter.layouts.dense import EMBEDDING, HEAD, DenseShape, base_shapes, erniekit_linears
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.layouts.lora_tensors import Array, Linear, listed, whole

Layout = Literal["paddle", "hugging-face"]


def layout_of_base(names: Iterable[str]) -> Layout:
    """Return the layout of a base model by the names of its tensors.

    Raises:
        AdapterError: the names belong to both layouts or to neither.
    """
    names = sorted(names)
    paddle = [name for name in names if name.startswith("ernie.")]
    torch = [name for name in names if name.startswith(("model.", "visual.", "mlp_AR."))]
    if bool(paddle) == bool(torch):
        found = f"names of ERNIEKit ({paddle[0]}) and of transformers ({torch[0]})" if paddle else listed(names)
        raise failure("base model", f"unknown layout: {found}", "give the model that was trained on")
    return "paddle" if paddle else "hugging-face"


@dataclass(frozen=True)
class BaseLayout:
    """Every tensor of a base model in ERNIEKit's layout.

    Attributes:
        linears: matrices that are split and transposed, by name without `.weight`, including the router and an untied
            head.
        same: shapes of the tensors that have the same shape in both layouts, by name.
        tied: whether the output head is the embedding. Hugging Face's layout then has no head.
    """

    linears: Mapping[str, Linear]
    same: Mapping[str, tuple[int, ...]]
    tied: bool

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name, without a tied head."""
        return {**self.same, **{f"{stem}.weight": linear.size for stem, linear in self.linears.items()}}


def base_layout(config: Mapping[str, Any]) -> BaseLayout:
    """Return the layout of a model by its config.json.

    Raises:
        AdapterError: keys are missing or wrong, or the model has experts for images; all problems at once.
    """
    kind = kind_of_config(config)
    if kind and not family_of(kind).layouts:
        finding = "models with experts for images cannot be converted to the Hugging Face layout"
        raise failure("config.json", finding, "merge in the Paddle layout")
    if not family_of(kind).has_experts:
        return dense_base(DenseShape.from_config(config))
    # Adapters of experts do not need this key, but base models do. None makes a missing key an error.
    tied = {"tie_word_embeddings": config.get("tie_word_embeddings")}
    return expert_base(ExpertShape.from_config({**config, **tied}))


def dense_base(shape: DenseShape) -> BaseLayout:
    """Return the layout of a dense model."""
    return BaseLayout({**erniekit_linears(shape), **_head(shape)}, _same(shape), shape.tied)


def expert_base(shape: ExpertShape) -> BaseLayout:
    """Return the layout of a mixture of text experts. The router's correction has the same shape in both layouts."""
    linears, same = expert_linears(shape, "erniekit"), _same(shape.dense)
    for layer in shape.expert_layers:
        size, target = (shape.dense.hidden, shape.experts), f"model.layers.{layer}.mlp.gate"
        linears[f"ernie.layers.{layer}.mlp.gate"] = Linear("gate", size, (target,), whole)
        same[f"ernie.layers.{layer}.mlp.moe_statics.e_score_correction_bias"] = (1, shape.experts)
    return BaseLayout({**linears, **_head(shape.dense)}, same, shape.dense.tied)


def _head(shape: DenseShape) -> dict[str, Linear]:
    stem = HEAD.removesuffix(".weight")
    return {} if shape.tied else {stem: Linear(stem, (shape.hidden, shape.vocab), (stem,), whole)}


def _same(shape: DenseShape) -> dict[str, tuple[int, ...]]:
    return {name: size for name, size in base_shapes(shape).items() if len(size) == 1 or name == EMBEDDING}


def hugging_face_name(name: str) -> str:
    """Return the Hugging Face name of a tensor that has the same shape in both layouts."""
    return "model." + name.removeprefix("ernie.") if name.startswith("ernie.") else name


def to_hugging_face(tensors: Mapping[str, Array], layout: BaseLayout) -> dict[str, Array]:
    """Convert all or some tensors of a base model to Hugging Face's layout.

    Args:
        tensors: arrays of any dtype by ERNIEKit's names, all of them in `layout`.
        layout: the model's layout.

    Returns:
        Arrays of the same dtypes by Hugging Face's names. They may be views that are not contiguous.
    """
    converted: dict[str, Array] = {}
    for name, array in tensors.items():
        if linear := layout.linears.get(name.removesuffix(".weight")):
            parts = zip(linear.parts, linear.split(array), strict=True)
            converted |= {f"{part}.weight": value.T for part, value in parts}
        elif not (layout.tied and name == HEAD):
            converted[hugging_face_name(name)] = array
    return converted
