"""Conversion of the pretrained model to ERNIEKit's layout, and from there to Hugging Face's layout.

Run it in the project's environment.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

from erniekit_adapter.files import read_bytes, read_json, write_bytes, write_json, writing_folder
from erniekit_adapter.layouts.dense import PARTS, DenseShape, base_shapes, join_columns
from erniekit_adapter.layouts.lora_tensors import Array
from erniekit_adapter.merge.merging import write_hf_base
from erniekit_adapter.tensor_files import read_tensors, write_tensors
from erniekit_adapter.workers.erniekit_tiny_model import BOS_ID, EOS_ID, model_config, tokenizer_config
from tiny_base.fast_tokenizer import fast_tokenizer
from tiny_base.sizes import SHAPE

MODEL = Path("tiny_base/model")
_TOKENIZER_BYTES = 1_000_000


def to_erniekit(tensors: Mapping[str, Array], shape: DenseShape) -> dict[str, Array]:
    """Convert the tensors of `Ernie4_5ForCausalLM` to ERNIEKit's layout: the inverse of `to_hugging_face`."""
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
    """Split `ernie.layers.3.mlp.down_proj.weight` into (`layers.3`, `mlp.down_proj`); both empty outside the layers."""
    if not name.startswith("ernie.layers."):
        return "", ""
    _, layers, number, module = name.removesuffix(".weight").split(".", 3)
    return f"{layers}.{number}", module


def write_model(pretrained: Path, output: Path) -> None:
    """Write the model folder: all files or none.

    Args:
        pretrained: output folder of `tiny_base.pretrain`.
        output: folder to write; an existing one is replaced.
    """
    pad_id = read_json(pretrained / "hf" / "config.json")["pad_token_id"]
    ends = {"bos_token_id": BOS_ID, "do_sample": False, "eos_token_id": EOS_ID, "pad_token_id": pad_id}
    tokenizer = read_bytes(pretrained / "tokenizer.model", _TOKENIZER_BYTES)
    with writing_folder(output) as folder:
        write_tensors(
            folder / "model.safetensors",
            to_erniekit(read_tensors(pretrained / "hf" / "model.safetensors"), SHAPE),
            framework="np",
        )
        write_json(folder / "config.json", model_config(SHAPE, pad_id))
        write_json(folder / "generation_config.json", ends)
        write_bytes(folder / "tokenizer.model", tokenizer)
        write_bytes(folder / "tokenizer.json", orjson.dumps(fast_tokenizer(tokenizer)))
        # ERNIEKit does not read the class; AutoTokenizer rejects unknown ones.
        named = tokenizer_config() | {"tokenizer_class": "PreTrainedTokenizerFast"}
        write_json(folder / "tokenizer_config.json", named)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Write the model folder of the tiny base, or convert it to Hugging Face's layout."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--pretrained",
        type=Path,
        metavar="FOLDER",
        help="write the model folder from the output FOLDER of tiny_base.pretrain",
    )
    source.add_argument(
        "--hugging-face",
        type=Path,
        metavar="FOLDER",
        help="write the new FOLDER, for transformers and PaddleFormers, from the model folder",
    )
    parser.add_argument("--model", type=Path, default=MODEL, help=f"model folder; default {MODEL}")
    options = parser.parse_args()
    if options.pretrained:
        write_model(options.pretrained, options.model)
    elif options.hugging_face.exists():
        parser.error(f"{options.hugging_face} already exists; name a new folder")
    else:
        write_hf_base(options.model, options.hugging_face)


if __name__ == "__main__":
    main()
