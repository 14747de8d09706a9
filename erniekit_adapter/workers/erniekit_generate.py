"""Greedy answers inside ERNIEKit's environment: `python -m erniekit_adapter.workers.erniekit_generate --help`.

The toolkit's own `generate` is not used: without flash attention it runs the prompt without a causal mask, and its
answers are then plausible and wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.workers.erniekit_model import load_model, load_tokenizer, prompt_token_ids
from erniekit_adapter.workers.exchange import Engine, Generated, Logits, Request, answer, read_options

Ids = npt.NDArray[np.int64]


class Generator:
    """A loaded model that continues batches of prompts.

    Prompts of a batch are padded on the left; positions count from each prompt's own start and no token sees the
    padding, so that a prompt's answer does not depend on its company.
    """

    def __init__(self, model: Any, end_id: int, pad_id: int) -> None:
        self.model, self.end_id, self.pad_id = model, end_id, pad_id

    def generate(self, prompts: list[list[int]], limit: int) -> list[Generated]:
        """Continue each prompt by the likeliest tokens until it ends or has `limit` of them."""
        import paddle

        tokens, padding = padded(prompts, self.pad_id)
        length = tokens.shape[1]
        answers: list[list[int]] = [[] for _ in prompts]
        running = np.arange(len(prompts))
        with paddle.no_grad():
            states, cache = self._forward(tokens, positions(padding, 0, length), prompt_mask(padding, length), None)
            for place in range(length, length + limit):
                chosen = self._head(states[:, -1:]).argmax(axis=-1).numpy().astype(np.int64)
                goes_on = chosen[:, 0] != self.end_id
                if not goes_on.all():
                    running, padding, chosen = running[goes_on], padding[goes_on], chosen[goes_on]
                    cache = _rows(cache, goes_on)
                for row, token in zip(running.tolist(), chosen[:, 0].tolist(), strict=True):
                    answers[row].append(token)
                if not len(running) or place == length + limit - 1:
                    break
                mask = seen(padding, place + 1)[:, None, None]
                states, cache = self._forward(chosen, positions(padding, place, place + 1), mask, cache)
        cut = set(running.tolist())
        return [Generated(answer, row not in cut) for row, answer in enumerate(answers)]

    def logits(self, prompts: list[list[int]]) -> list[Logits]:
        """Each prompt's logits, float32 (tokens, vocabulary)."""
        import paddle

        tokens, padding = padded(prompts, self.pad_id)
        length = tokens.shape[1]
        with paddle.no_grad():
            states, _ = self._forward(tokens, positions(padding, 0, length), prompt_mask(padding, length), None)
            values = self._head(states).astype("float32").numpy()
        return [row[pad:] for row, pad in zip(values, padding, strict=True)]

    def _forward(self, tokens: Ids, places: Ids, mask: npt.NDArray[np.bool_], cache: Any) -> tuple[Any, Any]:
        """The last layer's states and the new cache; without the head, which a prompt needs for one token only."""
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


def _rows(cache: Any, kept: npt.NDArray[np.bool_]) -> Any:
    """The cache without the rows of answers that have ended."""
    import paddle

    index = paddle.to_tensor(np.flatnonzero(kept))
    return [[part.index_select(index, axis=0) for part in layer] for layer in cache]


def padded(prompts: list[list[int]], pad_id: int) -> tuple[Ids, Ids]:
    """Prompts padded on the left to (prompts, longest), and how many tokens of padding each got."""
    padding = np.array([max(map(len, prompts)) - len(prompt) for prompt in prompts], dtype=np.int64)
    rows = [[pad_id] * pad + prompt for pad, prompt in zip(padding.tolist(), prompts, strict=True)]
    return np.array(rows, dtype=np.int64), padding


def positions(padding: Ids, start: int, stop: int) -> Ids:
    """Position ids of the columns from `start` to `stop`, counted from each row's first real token."""
    places: Ids = np.maximum(np.arange(start, stop)[None] - padding[:, None], 0)
    return places


def seen(padding: Ids, length: int) -> npt.NDArray[np.bool_]:
    """(rows, length): which columns hold real tokens."""
    return np.arange(length)[None] >= padding[:, None]


def prompt_mask(padding: Ids, length: int) -> npt.NDArray[np.bool_]:
    """(rows, 1, length, length): each token sees the real tokens up to itself; padding sees itself, to stay finite."""
    causal = np.tril(np.ones((length, length), dtype=bool))
    return ((causal & seen(padding, length)[:, None]) | np.eye(length, dtype=bool))[:, None]


def main() -> None:
    """Run the command line."""
    options = read_options("Greedy answers with a model in ERNIEKit's layout.")
    tokenizer = load_tokenizer(options.model)
    model = load_model(options.model, options.adapter, options.device)
    # Training replaces the end piece of the chat template by this token in its labels: it is what ends an answer.
    generator = Generator(model, tokenizer.eos_token_id, tokenizer.pad_token_id)

    def prompt_ids(request: Request) -> list[int]:
        ids = prompt_token_ids(tokenizer, request.request, request.system)
        if request.prompt_ids not in (None, ids):
            raise SystemExit(f"request {request.id}: its prompt_ids are not those of training")
        return ids

    answer(
        Engine(
            prompt_ids=prompt_ids,
            generate=generator.generate,
            logits=generator.logits,
            decode=tokenizer.decode,
            max_tokens=model.config.max_position_embeddings,
        ),
        options,
    )


if __name__ == "__main__":
    main()
