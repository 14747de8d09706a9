"""Training examples as read by PaddleFormers' own data sets; runs in its environment.

Usage: read_by_paddleformers.py MODEL_DIR METHOD:TYPE:FILE.jsonl... where METHOD is SFT or DPO, TYPE messages or
erniekit, and each file contains one example. The last line printed is a JSON list: for each file the parts of the
example as text with its images, or null if it was skipped. The tokens of an image are shown as one. The template and
the processor are those of PaddleOCR-VL.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from paddleformers.datasets.loader import create_dataset
from paddleformers.datasets.template.template import get_template_and_fix_tokenizer
from paddleformers.transformers import AutoTokenizer
from paddleformers.transformers.paddleocr_vl.image_processor import PaddleOCRVLImageProcessor
from paddleformers.transformers.paddleocr_vl.processor import PaddleOCRVLProcessor

IGNORED = -100
CONTROL_PIECE = re.compile(r"<(?!0x)[^<>]+>")
IMAGE_TOKENS = re.compile(r"<\|IMAGE_START\|>(<\|IMAGE_PLACEHOLDER\|>)+<\|IMAGE_END\|>")


def text(tokenizer: Any, tokens: list[int]) -> str:
    return IMAGE_TOKENS.sub("[image]", tokenizer.decode(tokens, skip_special_tokens=False))


def control_pieces(tokenizer: Any, tokens: list[int]) -> list[str]:
    pieces = tokenizer.convert_ids_to_tokens(tokens)
    return [piece for piece in pieces if CONTROL_PIECE.fullmatch(piece) and "IMAGE" not in piece]


def sft_example(tokenizer: Any, sequence: Any) -> dict[str, Any]:
    trained = [label for label in sequence.labels if label != IGNORED]
    # A label is the next token; the last token has none.
    following = zip(sequence.token_ids[1:], sequence.labels[:-1], strict=True)
    untrained = [sequence.token_ids[0], *(token for token, label in following if label == IGNORED)]
    assert sequence.token_ids == untrained + trained, "the trained tokens are not the end of the example"
    return {
        "untrained": text(tokenizer, untrained),
        "trained": text(tokenizer, trained),
        "control": control_pieces(tokenizer, untrained + trained),
        "images": sequence.images,
    }


def dpo_example(tokenizer: Any, sequence: Any) -> dict[str, Any]:
    start, middle, end = sequence.response_index
    return {
        "prompt": text(tokenizer, sequence.token_ids[: start + 1]),
        "chosen": text(tokenizer, sequence.response_labels[start:middle]),
        "rejected": text(tokenizer, sequence.response_labels[middle:end]),
        "images": sequence.images,
    }


def read(tokenizer: Any, method: str, kind: str, path: str) -> dict[str, Any] | None:
    small = PaddleOCRVLImageProcessor(min_pixels=4 * 28 * 28, max_pixels=16 * 28 * 28)
    settings = {
        "stage": method,
        "task_group": path,
        "task_group_prob": "1.0",
        "sub_dataset_type": kind,
        "tokenizer": tokenizer,
        "processor": PaddleOCRVLProcessor(small, tokenizer),
        "template": "paddleocr_vl",
        "template_backend": "custom",
        "tool_format": None,
        "default_system": None,
        "max_seq_len": 4096,
        "is_valid": True,  # one pass, in the order of the file
        "packing": True,  # without it the last example is repeated
        "random_seed": 0,
        "num_samples_each_epoch": 1,
        "mix_strategy": "concat",
    }
    settings["template_instance"] = get_template_and_fix_tokenizer(settings)
    show = dpo_example if method == "DPO" else sft_example
    examples = [show(tokenizer, sequence) for pack in create_dataset(**settings) for sequence in pack]
    assert len(examples) <= 1
    return examples[0] if examples else None


def main() -> None:
    folder, *files = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    print(json.dumps([read(tokenizer, *file.split(":", 2)) for file in files]))


main()
