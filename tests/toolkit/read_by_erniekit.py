"""Training examples as read by ERNIEKit's own data sets; runs in its environment.

Usage: read_by_erniekit.py MODEL_DIR METHOD:FILE.jsonl... where METHOD is SFT or DPO and each file contains one
example. The last line printed is a JSON list: for each file the parts of the example as text, or null if skipped.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from typing import Any

from ernie.dataset import dpo, finetuning
from ernie.tokenizer import Ernie4_5_Tokenizer

CONTROL_PIECE = re.compile(r"<(?!0x)[^<>]+>")


def control_pieces(tokenizer: Any, tokens: list[int]) -> list[str]:
    return [piece for piece in tokenizer.convert_ids_to_tokens(tokens) if CONTROL_PIECE.fullmatch(piece)]


def sft_example(tokenizer: Any, sequence: Any) -> dict[str, Any]:
    labelled = list(zip(sequence.labels, sequence.loss_mask, strict=True))
    # A label is the next token.
    untrained = [sequence.token_ids[0], *(label for label, mask in labelled if not mask)]
    trained = [label for label, mask in labelled if mask]
    assert sequence.loss_mask == sorted(sequence.loss_mask), "the trained tokens are not the end of the example"
    return {
        "untrained": tokenizer.decode(untrained),
        "trained": tokenizer.decode(trained),
        "control": control_pieces(tokenizer, untrained + trained),
    }


def dpo_example(tokenizer: Any, sequence: Any) -> dict[str, Any]:
    # After the chosen answer, positions start again at the end of the prompt.
    prompt_tokens = next(second for first, second in pairwise(sequence.position_ids) if second != first + 1)
    roles = {"chosen": sequence.chosen_labels, "rejected": sequence.rejected_labels}
    trained = {role: [label for label in labels if label] for role, labels in roles.items()}
    return {
        "prompt": tokenizer.decode(sequence.input_ids[:prompt_tokens]),
        **{role: tokenizer.decode(tokens) for role, tokens in trained.items()},
    }


def read(tokenizer: Any, method: str, path: str) -> dict[str, Any] | None:
    settings = {
        "task_group": path,
        "task_group_prob": "1.0",
        "sub_dataset_type": "erniekit",
        "tokenizer": tokenizer,
        "max_seq_len": 4096,
        "num_samples_each_epoch": 1,
        "is_valid": True,  # one pass, in the order of the file
        "random_seed": 0,
        "random_shuffle": False,
        "greedy_intokens": False,
    }
    if method == "DPO":
        packs = dpo.create_dataset(**settings, max_prompt_len=2048, buffer_size=500, mask_out_eos_token=True)
    else:
        packs = finetuning.create_dataset(**settings)
    show = dpo_example if method == "DPO" else sft_example
    examples = [show(tokenizer, sequence) for pack in packs for sequence in pack]
    assert len(examples) <= 1
    return examples[0] if examples else None


def main() -> None:
    folder, *files = sys.argv[1:]
    tokenizer = Ernie4_5_Tokenizer.from_pretrained(folder)
    print(json.dumps([read(tokenizer, *file.split(":", 1)) for file in files]))


main()
