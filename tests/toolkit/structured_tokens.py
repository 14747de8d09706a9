"""Answers token by token through the constraint of a toolkit's worker. For a toolkit's environment.

Usage: structured_tokens.py erniekit|transformers MODEL_DIR < CASES; CASES is JSON: `[{"schema": …, "texts": […]}]`. The
output is JSON: for each text the number of its tokens, the number that the constraint accepts, whether they decode to
the text, and whether the answer has ended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2]))

from erniekit_adapter.workers.constraint import Constraints, fast_tokenizer, sentencepiece_tokenizer

END_ID = 2


def loaded(kind: str, folder: str) -> tuple[Constraints, Callable[[str], list[int]], Callable[[list[int]], str], int]:
    """Return constraints, encode, decode and the vocabulary's size, as the workers make them."""
    size = json.loads((Path(folder) / "config.json").read_text())["vocab_size"]
    tokenizer: Any
    if kind == "erniekit":
        from ernie.tokenizer import Ernie4_5_Tokenizer

        tokenizer = Ernie4_5_Tokenizer.from_pretrained(folder)

        def encode(text: str) -> list[int]:
            return list(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)))

        def load() -> Any:
            return sentencepiece_tokenizer(tokenizer.sp_model, tokenizer.all_special_ids, END_ID, size)

        return Constraints(load, encode, END_ID), encode, tokenizer.decode, size
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def fast_encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    constraints = Constraints(lambda: fast_tokenizer(tokenizer, END_ID, size), fast_encode, END_ID)
    return constraints, fast_encode, decode, size


def main() -> None:
    kind, folder = sys.argv[1:]
    constraints, encode, decode, size = loaded(kind, folder)
    found = []
    for case in json.load(sys.stdin):
        for text in case["texts"]:
            ids, accepted = encode(text), 0
            by_likeliest, by_logits = (constraints.start(json.dumps(case["schema"])) for _ in range(2))
            for token in [*ids, END_ID]:
                logits = np.zeros(size, np.float32)
                logits[token] = 1
                # A control token is never allowed, so this constraint has to find the token by its logit.
                by_mask = by_logits.choose(END_ID + 1, lambda logits=logits: logits)  # type: ignore[misc]
                if {by_likeliest.choose(token, lambda logits=logits: logits), by_mask} != {token}:  # type: ignore[misc]
                    break
                accepted += 1
            whole = by_likeliest.finished and accepted == len(ids) + 1
            found.append([len(ids) + 1, accepted, decode(ids) == text, whole])
    print(json.dumps(found))


main()
