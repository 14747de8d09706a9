"""The shape of a model: its matrices, their sizes and their number. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from erniekit_adapter.architectures.families import FAMILIES, has_experts
from erniekit_adapter.architectures.linear_layers import FUSED, Block, Width
from erniekit_adapter.architectures.models import HEAD_DIM, VOCABULARY, CatalogueModel, Experts, VisionTower
from erniekit_adapter.errors import failure

Part = Literal["attention", "mlp", "experts"]
_TIED_BY_DEFAULT = frozenset(name for family in FAMILIES if family.ties_by_default for name in family.model_types)
_HINT = "set model.model_name_or_path to the folder of an ERNIE 4.5 model"
_PATCH_PIXELS, _COLOURS, _MERGED = 14 * 14, 3, 4


@dataclass(frozen=True)
class Matrix:
    """A matrix of the toolkits, with one or more linear layers side by side.

    Attributes:
        part: the part of a decoder layer; a shared expert counts as `mlp`.
        projections: names of the linear layers in it.
        inputs, outputs: widths; one output for each linear layer.
        count: number of such matrices in a decoder layer.
    """

    part: Part
    projections: tuple[str, ...]
    inputs: int
    outputs: tuple[int, ...]
    count: int = 1

    @property
    def parameters(self) -> int:
        """Number of weights of all `count` matrices."""
        return self.count * self.inputs * sum(self.outputs)


@dataclass(frozen=True)
class ModelSizes:
    """The sizes of a decoder, and of its experts and vision tower if it has them.

    Attributes:
        layers, hidden, heads, kv_heads, head_dim, ffn, vocabulary: the text model; `ffn` of layers without experts.
        tied: whether the output head is the embedding.
        experts, vision: None if it has none.
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
        """Number of layers with experts."""
        return max(0, self.layers - self.experts.dense_layers) if self.experts else 0

    @property
    def dense_layers(self) -> int:
        """Number of layers without experts."""
        return self.layers - self.expert_layers

    def matrices(self, *, with_experts: bool) -> tuple[Matrix, ...]:
        """Return the matrices of a layer with or without experts."""
        attention = self._block("attention", "self_attn", self.ffn, 1)
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
        return self._block(part, "mlp", width, count)

    def _block(self, part: Part, block: Block, ffn: int, count: int) -> tuple[Matrix, ...]:
        widths: dict[Width, int] = {
            "hidden": self.hidden,
            "queries": self.heads * self.head_dim,
            "keys": self.kv_heads * self.head_dim,
            "ffn": ffn,
        }
        return tuple(
            Matrix(
                part,
                tuple(layer.name for layer in layers),
                widths[layers[0].inputs],
                tuple(widths[layer.outputs] for layer in layers),
                count,
            )
            for layers in FUSED.values()
            if layers[0].block == block
        )

    def layer_parameters(self, part: Part | Literal["other"], *, with_experts: bool) -> int:
        """Return the weights of a part of one layer; `other` are its two norms and the routers of experts."""
        if part != "other":
            return sum(each.parameters for each in self.matrices(with_experts=with_experts) if each.part == part)
        kinds = 0 if self.experts is None or not with_experts else 1 + bool(self.experts.vision_ffn)
        routers = kinds * self.hidden * self.experts.count if self.experts else 0
        return 2 * self.hidden + routers

    def one_layer(self, *, with_experts: bool) -> int:
        """Return the weights of one layer."""
        parts: tuple[Part | Literal["other"], ...] = ("attention", "mlp", "experts", "other")
        return sum(self.layer_parameters(part, with_experts=with_experts) for part in parts)

    @property
    def embedding(self) -> int:
        """Number of weights of the embedding, and of an untied head."""
        return self.vocabulary * self.hidden

    @property
    def text_parameters(self) -> int:
        """Number of weights without the vision tower and projector."""
        layers = self.dense_layers * self.one_layer(with_experts=False)
        layers += self.expert_layers * self.one_layer(with_experts=True)
        return layers + self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def vision_parameters(self) -> int:
        """Number of weights of the vision tower and the projector."""
        return tower_parameters(self.vision) + self.projector_parameters if self.vision else 0

    @property
    def projector_parameters(self) -> int:
        """Number of weights of the projector from the vision tower to the text model."""
        norms = {"linear": 2 * self.vision.hidden, "resampler": 4 * _MERGED * self.vision.hidden} if self.vision else {}
        extra = norms[self.vision.projector] if self.vision else 0
        return extra + sum((rows + 1) * columns for rows, columns in self.projector_sizes())

    def projector_sizes(self) -> tuple[tuple[int, int], ...]:
        """Return (in, out) of each linear layer of the projector."""
        if self.vision is None:
            return ()
        merged = _MERGED * self.vision.hidden
        if self.vision.projector == "linear":
            return (merged, merged), (merged, self.hidden)
        square = (merged, merged)
        return square, square, (2 * merged, merged), square, (merged, self.hidden)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.text_parameters + self.vision_parameters

    @property
    def active_parameters(self) -> int:
        """Number of text weights that process a token: of the experts, only the chosen ones."""
        if self.experts is None:
            return self.text_parameters
        one = sum(each.parameters for each in self._feed_forward("experts", self.experts.ffn, 1))
        all_experts = self.layer_parameters("experts", with_experts=True)
        return self.text_parameters - self.expert_layers * (all_experts - self.experts.chosen * one)


def tower_parameters(tower: VisionTower) -> int:
    """Return the weights of a vision tower: patches, positions, layers with biases and two norms, and the last norm."""
    hidden, ffn = tower.hidden, tower.ffn
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * ffn + ffn + hidden + 4 * hidden
    patches = _COLOURS * _PATCH_PIXELS * hidden
    return patches + tower.positions * hidden + tower.layers * layer + 2 * hidden


def shape_of_catalogue(model: CatalogueModel) -> ModelSizes:
    """Return the shape of a published model."""
    sizes = (model.layers, model.hidden, model.heads, model.kv_heads)
    return ModelSizes(*sizes, HEAD_DIM, model.ffn, VOCABULARY, model.tied, model.experts, model.vision)


def shape_of_config(config: Mapping[str, Any]) -> ModelSizes:
    """Return the shape in a model folder's config.json.

    Raises:
        AdapterError: a size is missing or not a number.
    """
    text = {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else dict(config)
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    _require(text, *keys, "vocab_size")
    layers, hidden, heads, kv_heads, ffn = (text[key] for key in keys)
    head_dim = _number_or(text, "head_dim", max(1, hidden // heads))
    # Hugging Face omits defaults, and its text models tie the head by default; the toolkits' other classes do not.
    tied = bool(text.get("tie_word_embeddings", config.get("model_type") in _TIED_BY_DEFAULT))
    shape = ModelSizes(layers, hidden, heads, kv_heads, head_dim, ffn, text["vocab_size"], tied)
    if has_experts(text):
        shape = replace(shape, experts=_experts_of(text))
    if isinstance(vision := config.get("vision_config"), dict) and vision:
        shape = replace(shape, vision=_vision_of(vision))
    return shape


def _experts_of(config: Mapping[str, Any]) -> Experts:
    """Return the experts of a config.json; for two kinds, text first, it has lists of numbers."""
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
            raise failure("config.json", "has no size for mlp_ratio", _HINT)
        return VisionTower(vision["depth"], hidden, vision["num_heads"], round(hidden * ratio), 0, "resampler")
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    _require(vision, *keys)
    side = _number_or(vision, "image_size", 384) // _number_or(vision, "patch_size", 14)
    # A table of packed positions follows those of a square image.
    layers, hidden, heads, ffn = (vision[key] for key in keys)
    return VisionTower(layers, hidden, heads, ffn, positions=side * side + 32_768, projector="linear")


def _require(config: Mapping[str, Any], *keys: str) -> None:
    unusable = [key for key in keys if not _is_size(config.get(key))]
    if unusable:
        raise failure("config.json", f"has no size for {', '.join(unusable)}", _HINT)


def _number_or(config: Mapping[str, Any], key: str, default: int) -> int:
    """Return an optional size; the default if it is missing, null or 0."""
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
        raise failure("config.json", f"has no size for {key}", _HINT)
    return numbers
