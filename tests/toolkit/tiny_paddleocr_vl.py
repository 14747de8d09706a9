"""Write a tiny random PaddleOCR-VL with the tokenizer of another model. For PaddleFormers' environment.

Usage: tiny_paddleocr_vl.py TOKENIZER_DIR OUTPUT. The tokenizer needs the pieces for images, as that of the tiny base
model. A page has at most 16 patches in the language model.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import paddle
from paddleformers.transformers import AutoTokenizer
from paddleformers.transformers.paddleocr_vl import PaddleOCRVLConfig, PaddleOCRVLForConditionalGeneration

TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")
PATCH, MERGED = 14, 2
# Pixels of one token of the language model.
TOKEN_PIXELS = (PATCH * MERGED) ** 2
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_channels": 3,
    "image_size": 4 * PATCH,
    "patch_size": PATCH,
    "spatial_merge_size": MERGED,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "model_type": "paddleocr_vl",
    "_attn_implementation": "eager",
}
PREPROCESSOR = {
    "image_processor_type": "PaddleOCRVLImageProcessor",
    "processor_class": "PaddleOCRVLProcessor",
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "rescale_factor": 1 / 255,
    "resample": 3,
    "patch_size": PATCH,
    "merge_size": MERGED,
    "temporal_patch_size": 1,
    "min_pixels": 4 * TOKEN_PIXELS,
    "max_pixels": 16 * TOKEN_PIXELS,
}


def tiny_config(tokenizer_dir: Path) -> PaddleOCRVLConfig:
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_dir))
    ids = tokenizer.convert_tokens_to_ids
    return PaddleOCRVLConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
        rope_scaling={"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
        tie_word_embeddings=False,
        use_bias=False,
        fuse_rms_norm=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        image_token_id=ids("<|IMAGE_PLACEHOLDER|>"),
        vision_start_token_id=ids("<|IMAGE_START|>"),
        # No training example has a video, so any piece that they do not contain.
        video_token_id=ids("<mask:7>"),
        vision_config=VISION,
        _attn_implementation="eager",
    )


def main(tokenizer_dir: Path, output: Path) -> None:
    paddle.set_device("cpu")
    paddle.seed(0)
    model = PaddleOCRVLForConditionalGeneration.from_config(tiny_config(tokenizer_dir), dtype="float32")
    model.save_pretrained(str(output))
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_dir / name, output / name)
    (output / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
