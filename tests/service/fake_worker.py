"""A stand-in for `python …/workers/start.py transformers_generate` with the same protocol and no model.

Words in a request, and files in the model's folder, choose its behaviour. It writes its process id and its adapter to
the file `started` in that folder.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from service_examples import ANSWER


def answer_of(request: str, model: Path) -> dict[str, Any]:
    if "die" in request and not ("once" in request and (model / "died").exists()):
        (model / "died").touch()
        sys.exit("RuntimeError: no luck today")
    if "hang" in request:
        (model / "hanging").touch()
        time.sleep(60)
    if "too long" in request:
        return {"error": "9,000 prompt tokens and 1,024 new ones are more than the model's 4,096"}
    if "hold" in request:
        (model / "held").touch()
        while not (model / "released").exists():
            time.sleep(0.01)
    text = request if "echo" in request else ANSWER
    return {"answer": text, "prompt_tokens": 300, "answer_tokens": 90, "finished": "cut" not in request}


def main() -> None:
    given = sys.argv[sys.argv.index("--serve") + 1 :]
    options = dict(zip(given[::2], given[1::2], strict=True))
    model, adapter = Path(options["--model"]), Path(options.get("--adapter", "none"))
    with (model / "started").open("a") as stream:
        stream.write(f"{os.getpid()} {adapter}\n")
    if (model / "slow").exists():
        time.sleep(1)
    unloadable = model / "unloadable"  # names the adapter
    if (model / "broken").exists() or (unloadable.exists() and unloadable.read_text() == str(adapter)):
        sys.exit("RuntimeError: the weights are broken")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"id": request["id"]} | answer_of(request["request"], model)), flush=True)


if __name__ == "__main__":
    main()
