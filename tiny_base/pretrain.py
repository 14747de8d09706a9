"""Pretrain the tiny base with torch: `.venvs/transformers/bin/python -m tiny_base.pretrain --help`."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from torch.nn import functional
from transformers import Ernie4_5Config, Ernie4_5ForCausalLM

from erniekit_adapter.workers.erniekit_tiny_model import BOS_ID, EOS_ID, MAX_TOKENS
from tiny_base.sizes import SHAPE

LONGEST = 1000  # tokens; a demo's request and answer are up to about 900
STEP_TOKENS = 6144
POOL = 160  # conversations sorted by length into batches, to reduce padding
LEARNING_RATE = 2e-3
MUON_LEARNING_RATE = 4e-3
WARM_UP_STEPS = 60
CONTINUED_RATE = 0.5  # share of both rates if training continues from existing weights
USER_WEIGHT = 0.0  # weight of a question's tokens in the loss; an answer's tokens have weight 1
EASY_CONVERSATIONS = 6000
HELD_OUT = 10_000_000  # first position of the held-out conversations in the series
HELD_OUT_CONVERSATIONS = 64
# Without these settings glibc returns memory of large tensors after each use, and page faults take most of the time.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
LOG_STEPS, CHECK_SECONDS, SAVE_SECONDS = 50, 600, 300


@dataclass(frozen=True)
class Example:
    """A conversation as tokens: loss weights, and start, end and task of each answer."""

    ids: list[int]
    weights: list[float]
    answers: list[tuple[int, int, str]]


def read_mix(python: Path, *options: object) -> Iterator[list[list[str]]]:
    """Yield the conversations of the mix from a process in the project's environment."""
    command = [str(python), "-m", "tiny_base.mix", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        yield from map(json.loads, process.stdout or ())


def example(pieces: sentencepiece.SentencePieceProcessor, turns: list[list[str]]) -> Example | None:
    """Return the first turns that fit into LONGEST tokens; None if none fits."""
    ids, weights, answers = [pieces.piece_to_id("<|begin_of_sentence|>")], [0.0], []
    for question, answer, kind in turns:
        prompt = pieces.encode(f"User: {question}\nAssistant: ")
        reply = [*pieces.encode(answer), EOS_ID]
        if len(ids) + len(prompt) + len(reply) > LONGEST:
            break
        answers.append((len(ids) + len(prompt), len(ids) + len(prompt) + len(reply), kind))
        ids += prompt + reply
        weights += [USER_WEIGHT] * len(prompt) + [1.0] * len(reply)
    return Example(ids, weights, answers) if answers else None


def batches(examples: Iterator[Example], seed: int) -> Iterator[list[Example]]:
    """Yield batches of similar lengths, of about STEP_TOKENS tokens with padding, in random order."""
    rng = random.Random(seed)  # noqa: S311 - order of batches, not a secret
    while pool := list(islice(examples, POOL)):
        groups: list[list[Example]] = [[]]
        for one in sorted(pool, key=lambda one: len(one.ids)):
            if groups[-1] and (len(groups[-1]) + 1) * len(one.ids) > STEP_TOKENS:
                groups.append([])
            groups[-1].append(one)
        rng.shuffle(groups)
        yield from groups


def tensors(batch: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and weights, padded on the right, where no token attends to them."""
    longest = max(len(one.ids) for one in batch)
    ids = torch.tensor([one.ids + [EOS_ID] * (longest - len(one.ids)) for one in batch])
    weights = torch.tensor([one.weights + [0.0] * (longest - len(one.ids)) for one in batch])
    return ids, weights


def loss_of(model: Ernie4_5ForCausalLM, batch: list[Example]) -> torch.Tensor:
    """Return the weighted mean of the token losses; logits are computed only for tokens with a weight.

    Matrices are multiplied in bfloat16 (25 % faster on a CPU with support), weights and losses are float32.
    """
    ids, weights = (each.to(model.device) for each in tensors(batch))
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        counted = weights[:, 1:] > 0
        logits = model.lm_head(hidden[counted])
    losses = functional.cross_entropy(logits.float(), ids[:, 1:][counted], reduction="none")
    shares = weights[:, 1:][counted]
    return (losses * shares).sum() / shares.sum()


@torch.no_grad()
def exact_shares(model: Ernie4_5ForCausalLM, held_out: list[Example]) -> dict[str, float]:
    """Return the share of answers, by task, that greedy decoding would give exactly."""
    found: dict[str, list[bool]] = {}
    for one in held_out:
        ids = torch.tensor([one.ids], device=model.device)
        best = model(input_ids=ids, use_cache=False).logits[0].argmax(-1)
        for start, end, kind in one.answers:
            found.setdefault(kind, []).append(best[start - 1 : end - 1].tolist() == one.ids[start:end])
    return {kind: round(sum(hits) / len(hits), 3) for kind, hits in sorted(found.items())}


def new_model(pad_id: int) -> Ernie4_5ForCausalLM:
    """Return a model of SHAPE with random weights."""
    return Ernie4_5ForCausalLM(
        Ernie4_5Config(
            vocab_size=SHAPE.vocab,
            hidden_size=SHAPE.hidden,
            intermediate_size=SHAPE.ffn,
            num_hidden_layers=SHAPE.layers,
            num_attention_heads=SHAPE.heads,
            num_key_value_heads=SHAPE.kv_heads,
            head_dim=SHAPE.head_dim,
            max_position_embeddings=MAX_TOKENS,
            rms_norm_eps=1e-5,
            rope_theta=500000.0,
            tie_word_embeddings=SHAPE.tied,
            use_bias=False,
            bos_token_id=BOS_ID,
            eos_token_id=EOS_ID,
            pad_token_id=pad_id,
        )
    )


class Muon(torch.optim.Optimizer):
    """Muon: momentum with orthogonal updates (K. Jordan, 2024); torch's version computes in bfloat16, slow on a CPU."""

    def __init__(self, matrices: list[torch.Tensor], lr: float) -> None:
        super().__init__(matrices, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take a step with the size of an AdamW step."""
        for group in self.param_groups:
            for value in group["params"]:
                momentum = self.state[value].setdefault("momentum", torch.zeros_like(value))
                momentum.lerp_(value.grad, 0.05)
                direction = orthogonal(value.grad.lerp(momentum, 0.95))
                value.mul_(1 - group["lr"] * 0.01).add_(
                    direction, alpha=-group["lr"] * 0.2 * math.sqrt(max(value.shape))
                )


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return approximately the nearest orthogonal matrix, by five Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = found / (found.norm() + 1e-7)
    for _ in range(5):
        square = found @ found.T
        found = 3.4445 * found + (-4.775 * square + 2.0315 * square @ square) @ found
    return found.T if tall else found


def optimizers(model: Ernie4_5ForCausalLM, muon: bool) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters, or Muon for the matrices of the layers and AdamW for the rest."""
    matrices = [value for name, value in model.named_parameters() if muon and value.ndim == 2 and "layers" in name]
    taken = {id(value) for value in matrices}
    others = [value for value in model.parameters() if id(value) not in taken]
    used: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    ]
    if matrices:
        used.append(Muon(matrices, MUON_LEARNING_RATE))
    for optimizer in used:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return used


def share_of_rate(step: int, elapsed: float) -> float:
    """Return the share of the learning rate: warm-up by steps, then a cosine over the elapsed time down to 2 %."""
    return min(1.0, step / WARM_UP_STEPS) * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1.0, elapsed))))


def pretrain(options: argparse.Namespace, pieces: sentencepiece.SentencePieceProcessor) -> Iterator[dict[str, Any]]:
    """Train until the time is over; yield records of progress, and save regularly."""
    torch.manual_seed(options.seed)
    python = options.project_python
    mix = read_mix(python, "--seed", options.seed, "--easy", options.easy)
    held = read_mix(python, "--seed", options.seed, "--first", HELD_OUT, "--count", HELD_OUT_CONVERSATIONS)
    held_out = [one for turns in held if (one := example(pieces, turns))]
    if options.continue_from:
        model = Ernie4_5ForCausalLM.from_pretrained(options.continue_from / "hf", dtype=torch.float32).to(
            options.device
        )
    else:
        model = new_model(pieces.piece_to_id("<pad>")).to(options.device)
    used = optimizers(model, options.optimizer == "muon")
    peak = CONTINUED_RATE if options.continue_from else 1.0
    begun = checked = saved = time.monotonic()
    tokens, seen = 0, 0.0
    stream = (one for turns in mix if (one := example(pieces, turns)))
    for step, batch in enumerate(batches(stream, options.seed), start=1):
        elapsed = (time.monotonic() - begun) / 60 / options.minutes
        for optimizer in used:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * peak * share_of_rate(step, elapsed)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in used:
            optimizer.step()
            optimizer.zero_grad()
        tokens += sum(len(one.ids) for one in batch)
        seen = 0.95 * seen + 0.05 * loss.item() if seen else loss.item()
        now = time.monotonic()
        record = {"step": step, "minutes": round((now - begun) / 60, 1), "tokens": tokens, "loss": round(seen, 4)}
        over = elapsed >= 1
        if over or now - checked > CHECK_SECONDS:
            checked = now
            yield record | {"exact": exact_shares(model, held_out)}
        elif step % LOG_STEPS == 0:
            yield record | {"tokens_per_second": round(tokens / (now - begun))}
        if over or now - saved > SAVE_SECONDS:
            saved = now
            model.save_pretrained(options.output / "hf")
        if over:
            return


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Pretrain the tiny base and write OUTPUT/hf and OUTPUT/tokenizer.model."
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--continue-from", type=Path, metavar="FOLDER", help="continue from the OUTPUT of an earlier run"
    )
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="muon")
    parser.add_argument("--easy", type=int, default=EASY_CONVERSATIONS, help="easy conversations to start with")
    parser.add_argument(
        "--project-python",
        type=Path,
        default=Path(".venv/bin/python"),
        help="Python of the project, which generates the mix",
    )
    options = parser.parse_args()
    if "MALLOC_TOP_PAD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, "-m", "tiny_base.pretrain", *sys.argv[1:]], os.environ | KEEP_MEMORY)  # noqa: S606
    torch.set_num_threads(options.threads)
    tokenizer = options.output / "tokenizer.model"
    if options.continue_from:  # with its tokenizer, because the embeddings belong to its pieces
        options.output.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.continue_from / "tokenizer.model", tokenizer)
    else:
        subprocess.run([options.project_python, "-m", "tiny_base.tokenizer", "--output", tokenizer], check=True)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    with (options.output / "progress.jsonl").open("w", encoding="utf-8") as log:
        for record in pretrain(options, pieces):
            line = json.dumps(record)
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()


if __name__ == "__main__":
    main()
