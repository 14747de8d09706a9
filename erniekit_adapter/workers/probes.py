"""How a worker reads models for a proof: the plan, the prompts, the logits and greedy answers it leaves behind.

Runs inside every toolkit's environment, so it needs nothing but the standard library and numpy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.workers.exchange import Logits, whole

# A longer prompt is read to here: a wrong layout shows at once, and the proof shall take minutes at most.
MOST_PROMPT_TOKENS = 512
# The positions before the answer whose logits are kept as well; all of them would be gigabytes of a large vocabulary.
KEPT_PROMPT_TOKENS = 16
# A page of noise is this many tokens of the language model high and wide.
PAGE_TOKENS = 2


@dataclass(frozen=True)
class Page:
    """A page of noise, and how many tokens of the language model stand for it.

    Attributes:
        patches: float32 (patches, channels, height, width).
        grid: frames, rows and columns of patches.
        tokens: length of the page in the prompt.
    """

    patches: npt.NDArray[np.float32]
    grid: tuple[int, int, int]
    tokens: int


@dataclass(frozen=True)
class Reader:
    """A loaded model.

    Attributes:
        prompt_ids: the token ids of a request's prompt.
        logits: float32 (tokens, vocabulary) of token ids, with the page that stands in them or None.
        greedy: the likeliest continuation, at most so many tokens, without the one that ends it.
        image_ids: for a model that reads pages, the token that begins one and the one that it consists of.
        vision_config: for such a model, that part of its config.json.
    """

    prompt_ids: Callable[[str], list[int]]
    logits: Callable[[list[int], Page | None], Logits]
    greedy: Callable[[list[int], Page | None, int], list[int]]
    image_ids: tuple[int, int] | None = None
    vision_config: dict[str, Any] | None = None


Load = Callable[[Path, Path | None, str], Reader]


def read_all(load: Load, description: str) -> None:
    """Read every case of a plan and write its arrays; one that the toolkit cannot place every tensor of is named.

    The plan is JSON: `cases` of name, model and adapter; `requests`, texts; `new_tokens`; `device`; `sequences`, the
    file of a reader before this one, whose very token ids and answers are read, or null: then the first case answers.
    Arrays go to `OUTPUT/NAME.npz`: of each request `N` its logits, float32 (kept tokens + answer, vocabulary),
    `N:prompt_ids` and `N:answer_ids`. A page is asked about as well where the model reads pages.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--plan", type=Path, required=True, help="JSON file")
    options.add_argument("--output", type=Path, required=True, help="folder for the arrays")
    given = options.parse_args()
    plan = json.loads(given.plan.read_text(encoding="utf-8"))
    sequences: dict[str, list[int]] | None = None
    if plan["sequences"]:
        with np.load(plan["sequences"]) as arrays:
            sequences = {name: arrays[name].tolist() for name in arrays if ":" in name}
    for case in plan["cases"]:
        try:
            reader = load(Path(case["model"]), Path(case["adapter"]) if case["adapter"] else None, plan["device"])
        except SystemExit as error:
            print(json.dumps({"case": case["name"], "refused": str(error)}), flush=True)
            continue
        arrays = _arrays(reader, plan["requests"], plan["new_tokens"], sequences)
        sequences = sequences or {name: array.tolist() for name, array in arrays.items() if ":" in name}
        with whole(given.output / f"{case['name']}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        print(json.dumps({"case": case["name"]}), flush=True)
        del reader


def _arrays(
    reader: Reader, requests: list[str], new_tokens: int, sequences: dict[str, list[int]] | None
) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    asked: list[tuple[str, Page | None]] = [(request, None) for request in requests]
    if reader.image_ids and reader.vision_config:
        asked.append((requests[0], page_of_noise(reader.vision_config)))
    for number, (request, page) in enumerate(asked):
        prompt, answer = (sequences or {}).get(f"{number}:prompt_ids"), (sequences or {}).get(f"{number}:answer_ids")
        if prompt is None or answer is None:
            prompt = reader.prompt_ids(request)[:MOST_PROMPT_TOKENS]
            prompt = _with_page(prompt, page, reader.image_ids) if page and reader.image_ids else prompt
            answer = reader.greedy(prompt, page, new_tokens)
        logits = reader.logits([*prompt, *answer], page)
        arrays[str(number)] = logits[max(0, len(prompt) - KEPT_PROMPT_TOKENS) :].copy()
        arrays[f"{number}:prompt_ids"] = np.array(prompt, dtype=np.int64)
        arrays[f"{number}:answer_ids"] = np.array(answer, dtype=np.int64)
    return arrays


def page_of_noise(vision_config: dict[str, Any]) -> Page:
    """The same page for every reader: a wrong place shows in noise as in a page."""
    side, patch = PAGE_TOKENS * vision_config["spatial_merge_size"], vision_config["patch_size"]
    size = (side * side, vision_config["num_channels"], patch, patch)
    patches = np.random.default_rng(0).normal(0, 1, size).astype(np.float32)
    return Page(patches, (1, side, side), PAGE_TOKENS**2)


def _with_page(prompt: list[int], page: Page, image_ids: tuple[int, int]) -> list[int]:
    begin, image = image_ids
    return [*prompt[:1], begin, *[image] * page.tokens, *prompt[1:]]


def greedy_by_logits(
    logits: Callable[[list[int], Page | None], Logits], ids: list[int], page: Page | None, limit: int, end_id: int
) -> list[int]:
    """Continue by the likeliest token, the whole sequence read anew for each: slow, and without a cache to trust."""
    answer: list[int] = []
    while len(answer) < limit:
        token = int(logits([*ids, *answer], page)[-1].argmax())
        if token == end_id:
            break
        answer.append(token)
    return answer
