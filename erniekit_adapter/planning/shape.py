"""What a model is made of: its matrices, their sizes and their number. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from erniekit_adapter.errors import fail
from erniekit_adapter.project.catalogue import (
    HEAD_DIM,
    VOCABULARY,
    CatalogueModel,
    Experts,
    VisionTower,
    has_experts,
)

Part = Literal["attention", "mlp", "experts"]
_REMEDY = "is this an ERNIE 4.5 model's folder?"
_PATCH_PIXELS, _COLOURS, _MERGED = 14 * 14, 3, 4


@dataclass(frozen=True)
class Matrix:
    """A linear layer as the toolkits keep it, several projections side by side.

    Attributes:
        part: where in a layer it stands; a shared expert counts as `mlp`.
        projections: what it holds, by their common names.
        inputs, outputs: sizes; one output for each projection.
        count: how many of them a layer has.
    """

    part: Part
    projections: tuple[str, ...]
    inputs: int
    outputs: tuple[int, ...]
    count: int = 1

    @property
    def parameters(self) -> int:
        """Weights of all of them in a layer."""
        return self.count * self.inputs * sum(self.outputs)


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder, of its experts and of the tower that reads pages, where it has them.

    Attributes:
        layers, hidden, heads, kv_heads, head_dim, ffn, vocabulary: the text tower; `ffn` is a layer's without experts.
        tied: whether the output head is the embedding.
        experts, vision: None where it has none.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied: bool
    experts: Experts | None = None
    vision: VisionTower | None = None

    @property
    def expert_layers(self) -> int:
        """Layers with experts."""
        return max(0, self.layers - self.experts.dense_layers) if self.experts else 0

    @property
    def dense_layers(self) -> int:
        """Layers without."""
        return self.layers - self.expert_layers

    def matrices(self, *, with_experts: bool) -> tuple[Matrix, ...]:
        """The matrices of one layer, of either sort."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = (
            Matrix("attention", ("q_proj", "k_proj", "v_proj"), self.hidden, (queries, keys, keys)),
            Matrix("attention", ("o_proj",), queries, (self.hidden,)),
        )
        if not with_experts or self.experts is None:
            return (*attention, *self._feed_forward("mlp", self.ffn, 1))
        experts = self.experts
        return (
            *attention,
            *self._feed_forward("mlp", experts.shared * experts.ffn, 1),
            *self._feed_forward("experts", experts.ffn, experts.count),
            *self._feed_forward("experts", experts.vision_ffn, experts.count),
        )

    def _feed_forward(self, part: Part, width: int, count: int) -> tuple[Matrix, ...]:
        if not width:
            return ()
        up = Matrix(part, ("gate_proj", "up_proj"), self.hidden, (width, width), count)
        return up, Matrix(part, ("down_proj",), width, (self.hidden,), count)

    def layer_parameters(self, part: Part | Literal["other"], *, with_experts: bool) -> int:
        """Weights of a part of one layer; `other` are its two norms and the experts' routers."""
        if part != "other":
            return sum(each.parameters for each in self.matrices(with_experts=with_experts) if each.part == part)
        kinds = 0 if self.experts is None or not with_experts else 1 + bool(self.experts.vision_ffn)
        routers = kinds * self.hidden * self.experts.count if self.experts else 0
        return 2 * self.hidden + routers

    def one_layer(self, *, with_experts: bool) -> int:
        """All weights of one layer."""
        parts: tuple[Part | Literal["other"], ...] = ("attention", "mlp", "experts", "other")
        return sum(self.layer_parameters(part, with_experts=with_experts) for part in parts)

    @property
    def embedding(self) -> int:
        """Weights of the embedding; an untied head has as many."""
        return self.vocabulary * self.hidden

    @property
    def text_parameters(self) -> int:
        """All weights without the vision tower."""
        layers = self.dense_layers * self.one_layer(with_experts=False)
        layers += self.expert_layers * self.one_layer(with_experts=True)
        return layers + self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def vision_parameters(self) -> int:
        """Weights of the vision tower and of what joins it to the text."""
        return tower_parameters(self.vision) + self.projector_parameters if self.vision else 0

    @property
    def projector_parameters(self) -> int:
        """Weights between the vision tower and the text."""
        norms = {"linear": 2 * self.vision.hidden, "resampler": 4 * _MERGED * self.vision.hidden} if self.vision else {}
        extra = norms[self.vision.projector] if self.vision else 0
        return extra + sum((rows + 1) * columns for rows, columns in self.projector_sizes())

    def projector_sizes(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each linear layer between the vision tower and the text."""
        if self.vision is None:
            return ()
        merged = _MERGED * self.vision.hidden
        if self.vision.projector == "linear":
            return (merged, merged), (merged, self.hidden)
        square = (merged, merged)
        return square, square, (2 * merged, merged), square, (merged, self.hidden)

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.text_parameters + self.vision_parameters

    @property
    def active_parameters(self) -> int:
        """Weights of the text tower that see a token of text: of the experts, the chosen ones."""
        if self.experts is None:
            return self.text_parameters
        one = sum(each.parameters for each in self._feed_forward("experts", self.experts.ffn, 1))
        all_experts = self.layer_parameters("experts", with_experts=True)
        return self.text_parameters - self.expert_layers * (all_experts - self.experts.chosen * one)


def tower_parameters(tower: VisionTower) -> int:
    """Weights of a vision tower: patches, positions, layers with biases and two norms each, and the last norm."""
    hidden, ffn = tower.hidden, tower.ffn
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * ffn + ffn + hidden + 4 * hidden
    patches = _COLOURS * _PATCH_PIXELS * hidden
    return patches + tower.positions * hidden + tower.layers * layer + 2 * hidden


def shape_of_catalogue(model: CatalogueModel) -> ModelShape:
    """The shape of a published model."""
    sizes = (model.layers, model.hidden, model.heads, model.kv_heads)
    return ModelShape(*sizes, HEAD_DIM, model.ffn, VOCABULARY, model.tied, model.experts, model.vision)


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape in a model folder's config.json.

    Raises:
        AdapterError: a size is missing or no number.
    """
    text = {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else dict(config)
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    _require(text, *keys, "vocab_size")
    layers, hidden, heads, kv_heads, ffn = (text[key] for key in keys)
    head_dim = _number_or(text, "head_dim", max(1, hidden // heads))
    # Hugging Face leaves a default out, and its text models tie the head; the toolkits' other classes do not.
    tied = bool(text.get("tie_word_embeddings", config.get("model_type") in ("ernie4_5", "ernie4_5_moe")))
    shape = ModelShape(layers, hidden, heads, kv_heads, head_dim, ffn, text["vocab_size"], tied)
    if has_experts(text):
        shape = replace(shape, experts=_experts_of(text))
    if isinstance(vision := config.get("vision_config"), dict) and vision:
        shape = replace(shape, vision=_vision_of(vision))
    return shape


def _experts_of(config: Mapping[str, Any]) -> Experts:
    """Experts by a config.json; of two kinds, text first, it has lists of numbers."""
    _require(config, "moe_k")
    widths, counts = _numbers(config, "moe_intermediate_size"), _numbers(config, "moe_num_experts")
    starts = _numbers(config, "moe_layer_start_index") if "moe_layer_start_index" in config else [1]
    return Experts(
        count=counts[0],
        chosen=config["moe_k"],
        ffn=widths[0],
        shared=_number_or(config, "moe_num_shared_experts", 0),
        dense_layers=starts[0],
        vision_ffn=widths[1] if len(widths) > 1 else 0,
    )


def _vision_of(vision: Mapping[str, Any]) -> VisionTower:
    if "depth" in vision:
        _require(vision, "depth", "embed_dim", "num_heads")
        hidden = vision["embed_dim"]
        ratio = vision.get("mlp_ratio", 4)
        if not isinstance(ratio, (int, float)):
            raise fail("config.json", "has no number for mlp_ratio", _REMEDY)
        return VisionTower(vision["depth"], hidden, vision["num_heads"], round(hidden * ratio), 0, "resampler")
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    _require(vision, *keys)
    side = _number_or(vision, "image_size", 384) // _number_or(vision, "patch_size", 14)
    # Beside the positions of a square image there is a table for packed ones.
    layers, hidden, heads, ffn = (vision[key] for key in keys)
    return VisionTower(layers, hidden, heads, ffn, positions=side * side + 32_768, projector="linear")


def _require(config: Mapping[str, Any], *keys: str) -> None:
    unusable = [key for key in keys if not _is_size(config.get(key))]
    if unusable:
        raise fail("config.json", f"has no number for {', '.join(unusable)}", _REMEDY)


def _number_or(config: Mapping[str, Any], key: str, default: int) -> int:
    """A size that may be left out, or given as null or 0."""
    if not config.get(key):
        return default
    _require(config, key)
    size: int = config[key]
    return size


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _numbers(config: Mapping[str, Any], key: str) -> list[int]:
    value = config.get(key)
    given = value if isinstance(value, list) else [value]
    numbers = [number for number in given if isinstance(number, int)]
    if not numbers or len(numbers) < len(given):
        raise fail("config.json", f"has no number for {key}", _REMEDY)
    return numbers
