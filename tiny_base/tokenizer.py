"""Training of the tiny base's tokenizer: sentencepiece BPE with standard settings, on the mix and English prose."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.workers.erniekit_tiny_model import TOKENIZER_OPTIONS
from tiny_base.mix import conversations
from tiny_base.sizes import SHAPE
from tiny_base.words import OFFICE_WORDS, SENTENCES

_CONVERSATIONS = 1500
# Repetitions of prose and of office words, so that they become pieces despite thousands of invoices.
_PROSE_TIMES, _WORD_TIMES = 150, 60


def corpus(seed: int) -> Iterator[str]:
    """Yield the lines for training; of the canonical request only its prose, not its structure."""
    request_prose = INVOICE.prompts.analysis_request(None, with_image=False).partition("\n")[0]
    for _ in range(_PROSE_TIMES):
        yield request_prose
        yield from SENTENCES
    for _ in range(_WORD_TIMES):
        yield from (form for word in OFFICE_WORDS for form in (word, word.capitalize(), f" {word}"))
    for conversation in islice(conversations(seed), _CONVERSATIONS):
        for turn in conversation.turns:
            yield from f"User: {turn.question}\nAssistant: {turn.answer}".splitlines()


def train(seed: int) -> bytes:
    """Train the tokenizer and return its model file; the same seed gives the same bytes."""
    import sentencepiece

    # Use an iterator and memory, because the model would otherwise contain the paths and differ between folders.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(seed),
        model_writer=model,
        vocab_size=SHAPE.vocab,
        max_sentencepiece_length=16,
        max_sentence_length=100_000,
        **TOKENIZER_OPTIONS,
    )
    return model.getvalue()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train the tiny base's tokenizer.")
    parser.add_argument("--output", type=Path, required=True, help="tokenizer.model to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(train(options.seed))


if __name__ == "__main__":
    main()
