"""From what pretraining wrote to a model folder in ERNIEKit's layout: a program of the project's own environment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from erniekit_adapter.adapters.layouts import PARTS, Array, ModelShape, base_shapes, join_columns
from erniekit_adapter.adapters.tensor_files import read_tensors, write_tensors
from erniekit_adapter.files import read_bytes, read_json, write_bytes, write_json, writing_folder
from erniekit_adapter.workers.erniekit_tiny_model import BOS_ID, EOS_ID, model_config, tokenizer_config
from tiny_base.sizes import SHAPE

_TOKENIZER_BYTES = 1_000_000


def to_erniekit(tensors: Mapping[str, Array], shape: ModelShape) -> dict[str, Array]:
    """Turn the tensors of `Ernie4_5ForCausalLM` into ERNIEKit's layout: the inverse of `base_to_hugging_face`."""
    converted: dict[str, Array] = {}
    for name in base_shapes(shape):
        prefix, module = _prefix_and_module(name)
        if module in PARTS:
            parts = {part: tensors[f"model.{prefix}.{part}.weight"].T for part in PARTS[module]}
            converted[name] = np.ascontiguousarray(join_columns(module, parts, shape))
        elif name == "lm_head.weight":
            converted[name] = np.ascontiguousarray(tensors[name].T)
        else:
            converted[name] = tensors["model." + name.removeprefix("ernie.")]
    return converted


def _prefix_and_module(name: str) -> tuple[str, str]:
    """`ernie.layers.3.mlp.down_proj.weight` is (`layers.3`, `mlp.down_proj`); outside the layers both are empty."""
    if not name.startswith("ernie.layers."):
        return "", ""
    _, layers, number, module = name.removesuffix(".weight").split(".", 3)
    return f"{layers}.{number}", module


def write_model(pretrained: Path, output: Path) -> None:
    """Write the model folder, whole or not at all.

    Args:
        pretrained: the output folder of `tiny_base.pretrain`.
        output: the folder to write; one that is there is replaced.
    """
    pad_id = read_json(pretrained / "hf" / "config.json")["pad_token_id"]
    ends = {"bos_token_id": BOS_ID, "do_sample": False, "eos_token_id": EOS_ID, "pad_token_id": pad_id}
    with writing_folder(output) as folder:
        write_tensors(
            folder / "model.safetensors",
            to_erniekit(read_tensors(pretrained / "hf" / "model.safetensors"), SHAPE),
            form="np",
        )
        write_json(folder / "config.json", model_config(SHAPE, pad_id))
        write_json(folder / "tokenizer_config.json", tokenizer_config())
        write_json(folder / "generation_config.json", ends)
        write_bytes(folder / "tokenizer.model", read_bytes(pretrained / "tokenizer.model", _TOKENIZER_BYTES))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Convert the pretrained tiny base to ERNIEKit's layout.")
    parser.add_argument("--pretrained", type=Path, required=True, help="the output folder of tiny_base.pretrain")
    parser.add_argument("--output", type=Path, default=Path("tiny_base/model"), help="model folder to write")
    options = parser.parse_args()
    write_model(options.pretrained, options.output)


if __name__ == "__main__":
    main()
