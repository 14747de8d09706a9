"""Settings files as parsed by a toolkit's own parser; runs in the toolkit's environment.

Usage: parsed_by_toolkit.py MODULE JOBS.json where MODULE is the parser's, `erniekit.hparams.parser` or
`paddleformers.cli.hparams.parser`, and JOBS.json a list of {"settings": FILE.yaml, "world_size": N, "keys": [...]}.
The last line printed is a JSON list with one entry per job: {key: [[type, value], ...]} with each different value among
the objects that have the key (none if the parser drops it), or the text of its error.

Each file is read like by the toolkit itself, from its command line through read_args. A run of N processes with GPUs
cannot start here, so for N over 1 the variables of the launcher are set, and a stand-in for `fleet.init`, which would
wait for the other processes, only keeps the strategy. Changes of VL-SFT to the machine are left out.
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
    """Return the value of an enumeration's member, and for a list of them the text that the toolkit split."""
    if isinstance(value, list) and value and all(isinstance(each, Enum) for each in value):
        return " ".join(each.value for each in value)
    return value.value if isinstance(value, Enum) else value


def set_process_count(processes: int) -> None:
    """Set the variables that paddle's launcher sets for the first of a number of processes."""
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
    except Exception as error:  # an error of the parser is a result
        return f"{type(error).__name__}: {error}"
    found: dict[str, list[list[Any]]] = {}
    for key in keys:
        found[key] = []
        for value in (plain(getattr(holder, key)) for holder in holders if hasattr(holder, key)):
            if [type(value).__name__, value] not in found[key]:
                found[key].append([type(value).__name__, value])
    return found


def main(module: str, jobs_file: str) -> None:
    parser = importlib.import_module(module)
    fleet.init = keep_strategy
    for removed in ("remove_paddle_shm_files", "set_cuda_environment"):
        setattr(parser, removed, lambda: None)
    answers = []
    for job in json.loads(Path(jobs_file).read_text(encoding="utf-8")):
        set_process_count(job["world_size"])
        answers.append(parsed(parser, job["settings"], job["keys"]))
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
