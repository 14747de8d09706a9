"""The content of lora_config.json: whether it is plain LoRA, and its scaling.

Plain LoRA computes `W·x + scaling · B·A·x` with a trained A and B and nothing else. Export, merge, bundles and
continued training use these functions, so an adapter gets one verdict. This module imports no third-party package:
workers run it in a toolkit's environment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from erniekit_adapter.errors import Problem

# Keys that have to be off, and their effect. Names of ERNIEKit 1.0 to 1.5 and PaddleFormers 0.1 to 1.2; DoRA
# under the names of other writers.
NOT_PLAIN: Mapping[str, str] = {
    "do_qat": "the weights were quantized during training",
    "dora": "DoRA scales each output by a trained magnitude",
    "use_dora": "DoRA scales each output by a trained magnitude",
    "enable_lora_list": "only parts of a fused layer are adapted",
    "lora_bias": "B has a bias",
    "lora_use_mixer": "a third matrix mixes the ranks between A and B",
    "loraga": "the base model's weights were changed before training",
    "lorapro": "LoRA-Pro changes gradients, and no result of it was checked",
    "pissa": "the base model's weights were changed before training",
    "trainable_bias": "biases of the base model were trained too",
    "trainable_modules": "whole modules were trained beside the adapter",
    "use_mora": "a square matrix takes the place of A and B",
}
# Keys without effect on the computation of the saved tensors, apart from those of plain LoRA.
NEUTRAL = frozenset(
    (
        *("base_model_name_or_path", "target_modules", "scaling", "dtype", "head_dim", "merge_weights"),
        *("tensor_parallel_degree", "tensor_model_parallel_size", "pipeline_parallel_degree"),
        *("pipeline_model_parallel_size", "use_intermediate_api", "use_quick_lora", "lora_plus_scale"),
    )
)
PLAIN = frozenset(("r", "lora_alpha", "lora_dropout", "rslora"))
KNOWN = PLAIN | NEUTRAL | NOT_PLAIN.keys()
_FILE = "lora_config.json"
_MAX_NUMBER = 1e300


def lora_config_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a lora_config.json: missing or wrong values, and settings that are not plain LoRA."""
    missing = [key for key in ("r", "lora_alpha", "rslora", "lora_dropout") if lora_config.get(key) is None]
    yield from (Problem(f"{_FILE} {key}", "missing", "copy the adapter again") for key in missing)
    rank, alpha, dropout, rslora = (lora_config.get(key) for key in ("r", "lora_alpha", "lora_dropout", "rslora"))
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        yield Problem(f"{_FILE} r", f"{rank!r} is not a positive whole number")
    if alpha is not None and not (_is_number(alpha) and alpha > 0):
        yield Problem(f"{_FILE} lora_alpha", f"{alpha!r} is not a positive number")
    if dropout is not None and not (_is_number(dropout) and 0 <= dropout <= 1):
        yield Problem(f"{_FILE} lora_dropout", f"{dropout!r} is not a number from 0 to 1")
    if rslora is not None and not isinstance(rslora, bool):
        yield Problem(f"{_FILE} rslora", f"{rslora!r} is not true or false")
    for key, meaning in NOT_PLAIN.items():
        if not is_off(lora_config.get(key)):
            finding = f"{str(lora_config[key])[:80]!r} is not plain LoRA: {meaning}"
            yield Problem(f"{_FILE} {key}", finding, "train again without it")
    for key in sorted(map(str, lora_config.keys() - KNOWN)):
        if not is_off(lora_config[key]):
            finding = f"{str(lora_config[key])[:80]!r}: an unknown key, which may change the output of the adapter"
            yield Problem(f"{_FILE} {key}", finding, "remove it if it does not")


def is_off(value: object) -> bool:
    """Return whether a value of an optional key means that its feature is not used."""
    return value in (None, False, "none", "", [])


def lora_scaling(lora_config: Mapping[str, Any]) -> float:
    """Return the factor on B·A of a checked lora_config.json."""
    return scaling(lora_config["lora_alpha"], lora_config["r"], rslora=lora_config["rslora"])


def scaling(alpha: float, rank: int, *, rslora: bool) -> float:
    """Return alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA (arXiv:2312.03732)."""
    return float(alpha / (math.sqrt(rank) if rslora else rank))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= _MAX_NUMBER  # also false for NaN
