"""Greedy answers in ERNIEKit's environment: `PYTHON …/workers/start.py erniekit_generate --help`.

The toolkit's own `generate` is not used: without flash attention it processes the prompt without a causal mask, which
gives plausible but wrong answers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.workers.constraint import AnswerConstraint, Constraints, sentencepiece_tokenizer
from erniekit_adapter.workers.erniekit_model import load_model, load_tokenizer, prompt_token_ids
from erniekit_adapter.workers.exchange import Generated, Logits, ModelFunctions, WorkerRequest, answer, read_options

Ids = npt.NDArray[np.int64]


class PaddleGenerator:
    """A loaded model that continues batches of prompts.

    Prompts of a batch are padded on the left. Positions count from the start of each prompt, and no token attends to
    the padding, so an answer does not depend on the other prompts of the batch.
    """

    def __init__(self, model: Any, end_id: int, pad_id: int) -> None:
        self.model, self.end_id, self.pad_id = model, end_id, pad_id

    def generate(
        self, prompts: list[list[int]], limit: int, constraints: list[AnswerConstraint | None] | None = None
    ) -> list[Generated]:
        """Continue each prompt with the likeliest tokens until it ends or has `limit` new tokens.

        A constraint limits the tokens of the prompt at its place.
        """
        import paddle

        constraints = constraints or [None] * len(prompts)
        tokens, padding = padded(prompts, self.pad_id)
        length = tokens.shape[1]
        answers: list[list[int]] = [[] for _ in prompts]
        running = np.arange(len(prompts))
        with paddle.no_grad():
            states, cache = self._forward(tokens, positions(padding, 0, length), prompt_mask(padding, length), None)
            for place in range(length, length + limit):
                chosen = self._chosen(self._head(states[:, -1:]), [constraints[row] for row in running.tolist()])
                unfinished = chosen[:, 0] != self.end_id
                if not unfinished.all():
                    running, padding, chosen = running[unfinished], padding[unfinished], chosen[unfinished]
                    cache = _rows(cache, unfinished)
                for row, token in zip(running.tolist(), chosen[:, 0].tolist(), strict=True):
                    answers[row].append(token)
                if not len(running) or place == length + limit - 1:
                    break
                mask = real_tokens(padding, place + 1)[:, None, None]
                states, cache = self._forward(chosen, positions(padding, place, place + 1), mask, cache)
        cut = set(running.tolist())
        return [
            Generated(answer, row not in cut if constraint is None else constraint.finished)
            for row, (answer, constraint) in enumerate(zip(answers, constraints, strict=True))
        ]

    @staticmethod
    def _chosen(logits: Any, constraints: list[AnswerConstraint | None]) -> Ids:
        """Return the next token of each row, (rows, 1)."""
        chosen: Ids = logits.argmax(axis=-1).numpy().astype(np.int64)
        for row, constraint in enumerate(constraints):
            if constraint is not None:
                read = partial(_row_of, logits, row)
                chosen[row, 0] = constraint.choose(int(chosen[row, 0]), read)
        return chosen

    def logits(self, prompts: list[list[int]]) -> list[Logits]:
        """Return the logits of each prompt, float32 (tokens, vocabulary)."""
        import paddle

        tokens, padding = padded(prompts, self.pad_id)
        length = tokens.shape[1]
        with paddle.no_grad():
            states, _ = self._forward(tokens, positions(padding, 0, length), prompt_mask(padding, length), None)
            values = self._head(states).astype("float32").numpy()
        return [row[pad:] for row, pad in zip(values, padding, strict=True)]

    def _forward(self, tokens: Ids, places: Ids, mask: npt.NDArray[np.bool_], cache: Any) -> tuple[Any, Any]:
        """Return the states of the last layer and the new cache; a prompt needs the head only for its last token."""
        import paddle

        output = self.model.ernie(
            input_ids=paddle.to_tensor(tokens),
            position_ids=paddle.to_tensor(places),
            attention_mask=paddle.to_tensor(mask),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        return output.last_hidden_state, output.past_key_values

    def _head(self, states: Any) -> Any:
        return self.model.lm_head(states)


def _row_of(logits: Any, row: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = logits[row, 0].astype("float32").numpy()
    return values


def _rows(cache: Any, kept: npt.NDArray[np.bool_]) -> Any:
    """Return the cache without the rows of finished answers."""
    import paddle

    index = paddle.to_tensor(np.flatnonzero(kept))
    return [[part.index_select(index, axis=0) for part in layer] for layer in cache]


def padded(prompts: list[list[int]], pad_id: int) -> tuple[Ids, Ids]:
    """Return prompts padded on the left to (prompts, longest), and the number of padding tokens of each."""
    padding = np.array([max(map(len, prompts)) - len(prompt) for prompt in prompts], dtype=np.int64)
    rows = [[pad_id] * pad + prompt for pad, prompt in zip(padding.tolist(), prompts, strict=True)]
    return np.array(rows, dtype=np.int64), padding


def positions(padding: Ids, start: int, stop: int) -> Ids:
    """Return position ids of the columns from `start` to `stop`, counted from the first real token of each row."""
    places: Ids = np.maximum(np.arange(start, stop)[None] - padding[:, None], 0)
    return places


def real_tokens(padding: Ids, length: int) -> npt.NDArray[np.bool_]:
    """Return a mask (rows, length) of the columns with real tokens."""
    return np.arange(length)[None] >= padding[:, None]


def prompt_mask(padding: Ids, length: int) -> npt.NDArray[np.bool_]:
    """Return a causal mask (rows, 1, length, length) of real tokens; padding attends to itself to stay finite."""
    causal = np.tril(np.ones((length, length), dtype=bool))
    return ((causal & real_tokens(padding, length)[:, None]) | np.eye(length, dtype=bool))[:, None]


def main() -> None:
    """Run the command line."""
    options = read_options("Greedy answers with a model in ERNIEKit's layout.")
    tokenizer = load_tokenizer(options.model)
    model = load_model(options.model, options.adapter, options.device)
    # In the labels of training this token replaces the end piece of the chat template, so it ends an answer.
    generator = PaddleGenerator(model, tokenizer.eos_token_id, tokenizer.pad_token_id)

    constraints = Constraints(
        lambda: sentencepiece_tokenizer(
            tokenizer.sp_model, tokenizer.all_special_ids, tokenizer.eos_token_id, model.config.vocab_size
        ),
        lambda text: list(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))),
        tokenizer.eos_token_id,
    )

    def prompt_ids(request: WorkerRequest) -> list[int]:
        ids = prompt_token_ids(tokenizer, request.request, request.system)
        if request.prompt_ids not in (None, ids):
            raise SystemExit(f"request {request.id}: its prompt_ids differ from those of training")
        return ids

    answer(
        ModelFunctions(
            prompt_ids=prompt_ids,
            generate=generator.generate,
            logits=generator.logits,
            decode=tokenizer.decode,
            max_tokens=model.config.max_position_embeddings,
            constraint=constraints.start,
        ),
        options,
    )


if __name__ == "__main__":
    main()
