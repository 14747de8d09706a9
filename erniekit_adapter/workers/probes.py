"""Reading models for a parity check: plan, prompts, logits and greedy answers of a worker.

Runs in every toolkit's environment, so it needs only the standard library and numpy.
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

from erniekit_adapter.workers.exchange import Logits, atomic

# Longer prompts are cut here: a wrong tensor layout shows in few tokens, and a parity check should take minutes.
MAX_PROMPT_TOKENS = 512
# Positions before the answer whose logits are kept; with a large vocabulary all of them would be gigabytes.
KEPT_PROMPT_TOKENS = 16
# Height and width of a page of noise, in tokens of the language model.
PAGE_TOKENS = 2


@dataclass(frozen=True)
class NoisePage:
    """A page of noise for a model that reads images.

    Attributes:
        patches: float32 (patches, channels, height, width).
        grid: frames, rows and columns of patches.
        tokens: number of the page's tokens in the prompt.
    """

    patches: npt.NDArray[np.float32]
    grid: tuple[int, int, int]
    tokens: int


@dataclass(frozen=True)
class ModelReader:
    """A loaded model.

    Attributes:
        prompt_ids: returns the token ids of a request's prompt.
        logits: returns the logits of token ids, float32 (tokens, vocabulary); with the page in them, or None.
        greedy: returns the likeliest continuation, up to a number of tokens, without the one that ends it.
        image_ids: for a model that reads images, the token that begins an image and the one that it consists of.
        vision_config: for such a model, this part of its config.json.
    """

    prompt_ids: Callable[[str], list[int]]
    logits: Callable[[list[int], NoisePage | None], Logits]
    greedy: Callable[[list[int], NoisePage | None, int], list[int]]
    image_ids: tuple[int, int] | None = None
    vision_config: dict[str, Any] | None = None


Load = Callable[[Path, Path | None, str], ModelReader]


def read_all(load: Load, description: str) -> None:
    """Read all cases of a plan and write their arrays; a case with missing or unmatched tensors is reported.

    The plan is a JSON object: `cases` with name, model and adapter; `requests`, texts; `new_tokens`; `device`; and
    `sequences`, the file of an earlier reader whose token ids and answers are used, or null if the first case answers.
    Arrays are written to `OUTPUT/NAME.npz`: for request `N` the logits, float32 (kept tokens + answer, vocabulary),
    `N:prompt_ids` and `N:answer_ids`. A model that reads images also gets a request with a page.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--plan", type=Path, required=True, help="JSON file of the plan")
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
        with atomic(given.output / f"{case['name']}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        print(json.dumps({"case": case["name"]}), flush=True)
        del reader


def _arrays(
    reader: ModelReader, requests: list[str], new_tokens: int, sequences: dict[str, list[int]] | None
) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    cases: list[tuple[str, NoisePage | None]] = [(request, None) for request in requests]
    if reader.image_ids and reader.vision_config:
        cases.append((requests[0], page_of_noise(reader.vision_config)))
    for number, (request, page) in enumerate(cases):
        prompt, answer = (sequences or {}).get(f"{number}:prompt_ids"), (sequences or {}).get(f"{number}:answer_ids")
        if prompt is None or answer is None:
            prompt = reader.prompt_ids(request)[:MAX_PROMPT_TOKENS]
            prompt = _with_page(prompt, page, reader.image_ids) if page and reader.image_ids else prompt
            answer = reader.greedy(prompt, page, new_tokens)
        logits = reader.logits([*prompt, *answer], page)
        arrays[str(number)] = logits[max(0, len(prompt) - KEPT_PROMPT_TOKENS) :].copy()
        arrays[f"{number}:prompt_ids"] = np.array(prompt, dtype=np.int64)
        arrays[f"{number}:answer_ids"] = np.array(answer, dtype=np.int64)
    return arrays


def page_of_noise(vision_config: dict[str, Any]) -> NoisePage:
    """Return the same page for every reader: noise shows a wrong tensor as well as a real page."""
    side, patch = PAGE_TOKENS * vision_config["spatial_merge_size"], vision_config["patch_size"]
    size = (side * side, vision_config["num_channels"], patch, patch)
    patches = np.random.default_rng(0).normal(0, 1, size).astype(np.float32)
    return NoisePage(patches, (1, side, side), PAGE_TOKENS**2)


def _with_page(prompt: list[int], page: NoisePage, image_ids: tuple[int, int]) -> list[int]:
    begin, image = image_ids
    return [*prompt[:1], begin, *[image] * page.tokens, *prompt[1:]]


def greedy_by_logits(
    logits: Callable[[list[int], NoisePage | None], Logits],
    ids: list[int],
    page: NoisePage | None,
    limit: int,
    end_id: int,
) -> list[int]:
    """Continue with the likeliest token, reading the whole sequence for each: slow, but it needs no cache."""
    answer: list[int] = []
    while len(answer) < limit:
        token = int(logits([*ids, *answer], page)[-1].argmax())
        if token == end_id:
            break
        answer.append(token)
    return answer
