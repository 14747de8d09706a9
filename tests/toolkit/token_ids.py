"""Compare a toolkit's tokenizer with sentencepiece, on texts with edge cases. For a toolkit's environment.

Usage: token_ids.py MODULE:CLASS MODEL_DIR... The output is a line of JSON for each folder: the number of texts, and the
texts whose token ids differ.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import sentencepiece

RANDOM_TEXTS = 3000
# Without the control pieces <s>, </s> and <unk>: sentencepiece splits them, and every toolkit keeps them.
TRICKY = (
    "",
    " ",
    "   three blanks",
    "two  blanks,   three    four",
    "blanks at the end   ",
    "\n",
    "a\n\nb\r\nc\td\n \n",
    "1234567.89 0007 12,50 €",
    "Müller GmbH & Söhne – Straße 5, naïve façade",
    "发票 счёт \U0001f9fe \U0001f468\u200d\U0001f469\u200d\U0001f467 \u00a0\u2003\ufeff",
    "\u2581 \u2581\u2581the mark of a blank",
    "\x00\x07\x7f <0x0A> <0xE2>",
    "a <|end_of_sentence|> b<mask:1>c <mask: 1><cls><sep> <pad> <|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END",
    "<|begin_of_sentence|>You read invoices.\nUser: Total?\nAssistant: 7<|end_of_sentence|>User: x\nAssistant: ",
    "-----------\n===== ..... ______ ||||||||| *******",
    '{"invoice_number": "R-2024/0815", "lines": [{"qty": 3, "price": "20.00"}], "total": null}',
)


def random_texts(pieces: sentencepiece.SentencePieceProcessor) -> Iterator[str]:
    """Yield sequences of pieces, repeated parts of a piece, and random characters."""
    draw = random.Random(0)  # noqa: S311
    all_ids = range(pieces.get_piece_size())
    words = [pieces.id_to_piece(token) for token in all_ids if not _is_special(pieces, token)]
    words = [word.replace("\u2581", " ") for word in words]
    for _ in range(RANDOM_TEXTS // 3):
        yield "".join(draw.choices(words, k=draw.randint(1, 30)))
        word = draw.choice(words)
        yield "".join(word[draw.randrange(len(word)) :] for _ in range(draw.randint(1, 12)))
        yield "".join(chr(draw.choice((32, draw.randrange(128), draw.randrange(0xD800)))) for _ in range(20))


def _is_special(pieces: sentencepiece.SentencePieceProcessor, token: int) -> bool:
    return bool(pieces.is_control(token) or pieces.is_unknown(token) or pieces.is_byte(token))


def differing(tokenizer: Any, pieces: sentencepiece.SentencePieceProcessor, texts: list[str]) -> list[str]:
    return [text for text in texts if tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) != pieces.encode(text)]


def main() -> None:
    name, *folders = sys.argv[1:]
    module, _, kind = name.partition(":")
    auto = getattr(importlib.import_module(module), kind)
    for folder in folders:
        pieces = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
        texts = [*TRICKY, *random_texts(pieces)]
        print(json.dumps({"texts": len(texts), "differ": differing(auto.from_pretrained(folder), pieces, texts)}))


main()
