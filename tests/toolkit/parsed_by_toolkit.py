"""Run inside a toolkit's environment: what its own parser holds of settings files.

Usage: parsed_by_toolkit.py MODULE JOBS.json where MODULE is the parser's, `erniekit.hparams.parser` or
`paddleformers.cli.hparams.parser`, and JOBS.json a list of {"settings": FILE.yaml, "world_size": N, "keys": [...]}.
The last line printed is JSON, a job at a time: {key: [[type, value], ...]} with one entry for each different value
among the objects that know the key, so that none is a key that the parser would drop; or a text, its error.

Each file goes the toolkit's own way, from its command line through read_args. A run of N processes with GPUs cannot
start here, so for N over 1 its launcher's variables are set and `fleet.init`, which would wait for the others, is a
stand-in that only keeps the strategy it is given. What VL-SFT does to the machine before it trains is left out.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import paddle
from paddle.distributed import fleet, parallel


def plain(value: Any) -> Any:
    """An enumeration's member is compared by its value, and a list of them by the text that the toolkit split."""
    if isinstance(value, list) and value and all(isinstance(each, Enum) for each in value):
        return " ".join(each.value for each in value)
    return value.value if isinstance(value, Enum) else value


def in_a_run_of(processes: int) -> None:
    """Let paddle see the variables that its launcher sets for the first of so many processes."""
    os.environ |= {"PADDLE_TRAINERS_NUM": str(processes), "PADDLE_TRAINER_ID": "0", "PADDLE_RANK_IN_NODE": "0"}
    parallel._global_parallel_env = None
    fleet.fleet._user_defined_strategy = fleet.DistributedStrategy()
    assert paddle.distributed.get_world_size() == processes


def keep_strategy(*, is_collective: bool, strategy: Any) -> None:
    fleet.fleet._user_defined_strategy = strategy


def parsed(parser: Any, settings: str, keys: list[str]) -> dict[str, list[list[Any]]] | str:
    sys.argv = ["toolkit", "train", settings]
    try:
        holders = parser.get_train_args()
    except Exception as error:  # whatever stops the parser is what a job is asked about
        return f"{type(error).__name__}: {error}"
    held: dict[str, list[list[Any]]] = {}
    for key in keys:
        held[key] = []
        for value in (plain(getattr(holder, key)) for holder in holders if hasattr(holder, key)):
            if [type(value).__name__, value] not in held[key]:
                held[key].append([type(value).__name__, value])
    return held


def main(module: str, jobs_file: str) -> None:
    parser = importlib.import_module(module)
    fleet.init = keep_strategy
    for left_out in ("remove_paddle_shm_files", "set_cuda_environment"):
        setattr(parser, left_out, lambda: None)
    answers = []
    for job in json.loads(Path(jobs_file).read_text(encoding="utf-8")):
        in_a_run_of(job["world_size"])
        answers.append(parsed(parser, job["settings"], job["keys"]))
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
