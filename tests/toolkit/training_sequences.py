"""Run in ERNIEKit's environment: print the sequences that its data set trains on, and the tokens of given texts.

Usage: training_sequences.py FILE.json, a list of {"model": folder, "lines": file of training examples, "texts": [...]}.
The last printed line is JSON: for each entry the sequences of the examples, in order, and the token ids of the texts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ernie.dataset import finetuning
from ernie.tokenizer import Ernie4_5_Tokenizer


def sequences(tokenizer: Any, path: str) -> list[dict[str, list[int]]]:
    packs = finetuning.create_dataset(
        task_group=path,
        task_group_prob="1.0",
        sub_dataset_type="erniekit",
        tokenizer=tokenizer,
        max_seq_len=4096,
        num_samples_each_epoch=1,
        is_valid=True,  # one pass, in the file's order
        random_seed=0,
        random_shuffle=False,
        greedy_intokens=False,
    )
    found = [sequence for pack in packs for sequence in pack]
    return [{"tokens": each.token_ids, "labels": each.labels, "loss_mask": each.loss_mask} for each in found]


def main() -> None:
    answers = []
    for entry in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        tokenizer = Ernie4_5_Tokenizer.from_pretrained(entry["model"])
        ids = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in entry["texts"]]
        answers.append({"sequences": sequences(tokenizer, entry["lines"]), "texts": ids})
    print(json.dumps(answers))


main()
