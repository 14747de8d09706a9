"""Benchmark of answers that must match the schema: valid answers, field F1 and time, with the schema and without.

All requests are answered in one batch without the schema and in one with it. Then one worker answers the first requests
one by one, with and without the schema in turn, so that other load on the machine affects both alike. Cases: the demo's
base model, its tuned model, the tuned adapter at a part of its strength (a model that was trained too little), and the
tuned model with the prompt of another document type. `make demo` makes what it reads. The last part measures the
library alone: seconds to compile, and microseconds for each token of taught answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.invoice.answer import Answer, read_answer
from erniekit_adapter.documents.loading import INVOICE, load_document_type
from erniekit_adapter.documents.parsing import parse_answer
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.files import read_json, read_lines, write_json
from erniekit_adapter.predictors.local import LocalModel, start_worker
from erniekit_adapter.predictors.structured import structured_answers
from erniekit_adapter.predictors.toolkit import GenerationSettings, ModelReply, Request, answer_in_toolkit

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tiny_base" / "model"
OTHER_TYPE = "receipt"
# Runs in the model's environment; prints the figures of one vocabulary as JSON.
ALONE = """
import json, statistics, sys, time
import sentencepiece
from erniekit_adapter.workers.constraint import Constraints, sentencepiece_tokenizer
given = json.loads(sys.stdin.read())
pieces = sentencepiece.SentencePieceProcessor(given["tokenizer"])
load = lambda: sentencepiece_tokenizer(pieces, [], 2, pieces.get_piece_size())
constraints = Constraints(load, pieces.encode, 2)
def seconds(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start
_, first = seconds(constraints.start, given["schema"])
other = json.loads(given["schema"]); other["title"] = "compiled again"
_, compiled = seconds(constraints.start, json.dumps(other))
kept, replaced, refused = [], [], 0
for answer in given["answers"]:
    constraint, forced = constraints.start(given["schema"]), constraints.start(given["schema"])
    for token in pieces.encode(answer):
        chosen, taken = seconds(constraint.choose, token, None)
        kept.append(taken * 1e6)
        refused += chosen != token
        import numpy as np
        logits = np.zeros(pieces.get_piece_size(), np.float32); logits[token] = 1
        chosen, taken = seconds(forced.choose, 3, lambda: logits)
        replaced.append(taken * 1e6)
        refused += chosen != token
def figures(values):
    return {"median": round(statistics.median(values), 1), "p99": round(statistics.quantiles(values, n=100)[98], 1)}
print(json.dumps({
    "tokens in the vocabulary": pieces.get_piece_size(), "seconds to the first schema": round(first, 4),
    "seconds to compile": round(compiled, 4), "tokens": len(kept), "refused": refused,
    "us if the likeliest token is allowed": figures(kept), "us if it is replaced": figures(replaced)}))
"""


@dataclass(frozen=True)
class Case:
    """A model with requests.

    Attributes:
        name: its name in the output.
        adapter: native adapter, or None.
        document_type: the type of the answers.
        requests: the requests.
        expected: the expected answers; None if they are not known.
    """

    name: str
    adapter: Path | None
    document_type: DocumentType
    requests: Sequence[str]
    expected: Sequence[Answer] | None


def read_examples(demo: Path, count: int) -> tuple[list[str], list[Answer]]:
    """Return requests and expected answers of the first test examples."""
    lines = [orjson.loads(line) for _, line in read_lines(demo / "data" / "test.jsonl") if line][:count]
    return [line["src"][-1] for line in lines], [read_answer(json_text.parse(line["tgt"][-1])) for line in lines]


def cases(demo: Path, count: int, strength: float, scratch: Path) -> Iterator[Case]:
    """Yield the cases."""
    requests, expected = read_examples(demo, count)
    tuned = demo / "bundle" / "native"
    yield Case("base", None, INVOICE, requests, expected)
    yield Case(f"tuned at {strength:g} of its strength", weaker(tuned, strength, scratch), INVOICE, requests, expected)
    yield Case("tuned", tuned, INVOICE, requests, expected)
    other, mark = load_document_type(OTHER_TYPE), INVOICE.prompts.ocr_mark
    pages = [json.loads(request.partition(f"{mark} ")[2]) for request in requests]
    asked = [other.prompts.analysis_request(page, with_image=False) for page in pages]
    yield Case(f"tuned, prompt of {OTHER_TYPE}", tuned, other, asked, None)


def weaker(adapter: Path, strength: float, scratch: Path) -> Path:
    """Return a copy of an adapter whose changes to the weights are multiplied by `strength`."""
    copy = scratch / "weaker"
    shutil.copytree(adapter, copy)
    config = read_json(copy / "lora_config.json")
    scaled = {key: config[key] * strength for key in ("lora_alpha", "scaling") if key in config}
    write_json(copy / "lora_config.json", {**config, **scaled})
    return copy


def quality(case: Case, replies: Sequence[ModelReply]) -> dict[str, Any]:
    """Return the figures of a case's answers, with the schema or without."""
    parsed = [parse_answer(case.document_type, each.text) for each in replies]
    found: dict[str, Any] = {
        "valid without repair": sum(each.form == "strict" and each.answer is not None for each in parsed),
        "valid after repair": sum(each.answer is not None for each in parsed),
        "finished": sum(each.finished for each in replies),
    }
    if case.expected is not None:
        pairs = zip(case.expected, replies, strict=True)
        scores = [score_answer(INVOICE, expected, each.text) for expected, each in pairs]
        found["field F1"] = summarize(scores).as_json()["field_f1"]["value"]
    return found | {"median tokens": statistics.median(each.answer_tokens for each in replies)}


async def seconds_in_turn(model: LocalModel, case: Case, schema: str, count: int, limit: int, log: Path) -> Any:
    """Answer the first requests one by one, with the schema and without; the order changes from request to request."""
    worker = await start_worker(model, log)
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    tokens: dict[str, list[int]] = {"without": [], "with": []}
    texts: dict[str, list[str]] = {"without": [], "with": []}
    try:
        for given in (None, schema):  # the first requests load and compile
            await worker.ask(case.requests[0], 2, given)
        for number, request in enumerate(case.requests[:count]):
            for name in ("with", "without") if number % 2 else ("without", "with"):
                start = time.perf_counter()
                reply, _ = await worker.ask(request, limit, schema if name == "with" else None)
                seconds[name].append(time.perf_counter() - start)
                tokens[name].append(reply.answer_tokens)
                texts[name].append(reply.text)
    finally:
        await worker.end()
    rounds = list(zip(seconds["with"], seconds["without"], tokens["with"], tokens["without"], strict=True))
    return {
        "answers": count,
        "same text": sum(one == two for one, two in zip(texts["with"], texts["without"], strict=True)),
        "median seconds": {name: round(statistics.median(each), 2) for name, each in seconds.items()},
        "tokens/s": {name: round(sum(tokens[name]) / sum(seconds[name]), 1) for name in seconds},
        "median ratio of seconds per token": round(statistics.median(a / c / (b / d) for a, b, c, d in rounds), 3),
    }


def measure(case: Case, count: int, limit: int, scratch: Path) -> dict[str, Any]:
    """Return the figures of one case with the schema and without."""
    toolkit, model = find_erniekit(), LocalModel("erniekit", MODEL, case.adapter)
    decided = structured_answers("require", case.document_type.schema, toolkit.python, toolkit.versions)
    requests = [Request(str(number), request) for number, request in enumerate(case.requests)]
    found: dict[str, Any] = {"case": case.name, "examples": len(requests), "library": decided.library}
    for name, schema in (("without", None), ("with", decided.schema)):
        settings = GenerationSettings(limit, len(requests), "cpu", schema)
        replies = answer_in_toolkit(requests, toolkit, MODEL, case.adapter, settings, scratch / "answers.jsonl")
        found[name] = quality(case, replies)
    log = scratch / "worker.log"
    timed = asyncio.run(seconds_in_turn(model, case, str(decided.schema), count, limit, log)) if count else None
    return found | {"one by one": timed}


def measure_alone(python: Path, tokenizer: Path, demo: Path) -> dict[str, Any]:
    """Return the figures of the library alone, with the vocabulary of a tokenizer.model."""
    lines = [orjson.loads(line) for _, line in read_lines(demo / "data" / "test.jsonl") if line][:24]
    given = {
        "tokenizer": str(tokenizer),
        "schema": json.dumps(INVOICE.schema),
        "answers": [line["tgt"][-1] for line in lines],
    }
    start = ROOT / "erniekit_adapter" / "workers" / "start.py"
    code = f"import sys, runpy; runpy.run_path({str(start)!r}, run_name='start')\n{ALONE}"
    done = subprocess.run([str(python), "-c", code], input=json.dumps(given), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return {"tokenizer": tokenizer.name, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """Run the command line."""
    options = argparse.ArgumentParser(description="Answers with the schema and without.")
    options.add_argument("--demo", type=Path, default=ROOT / "runs" / "demo", help="output folder of the demo")
    options.add_argument("--examples", type=int, default=24)
    options.add_argument("--max-new-tokens", type=int, default=520)
    options.add_argument("--strength", type=float, default=0.5, help="part of the tuned adapter in one of the cases")
    options.add_argument("--timed", type=int, default=8, help="examples that are answered one by one")
    options.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER", help="one more adapter")
    options.add_argument("--tokenizer", type=Path, action="append", default=[], help="one more tokenizer.model")
    options.add_argument("--case", action="append", default=[], help="only cases whose name begins with this")
    options.add_argument("--alone", action="store_true", help="only measure the library alone")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="structured-benchmark-") as folder:
        scratch = Path(folder)
        listed = list(cases(given.demo, given.examples, given.strength, scratch))
        requests, expected = listed[0].requests, listed[0].expected
        for name, _, path in (each.partition("=") for each in given.adapter):
            listed.append(Case(name, Path(path), INVOICE, requests, expected))
        chosen = [case for case in listed if not given.case or case.name.startswith(tuple(given.case))]
        for case in chosen if not given.alone else ():
            print(json.dumps(measure(case, given.timed, given.max_new_tokens, scratch)), flush=True)
    for tokenizer in (MODEL / "tokenizer.model", *given.tokenizer):
        print(json.dumps(measure_alone(find_erniekit().python, tokenizer, given.demo)), flush=True)


if __name__ == "__main__":
    main()
