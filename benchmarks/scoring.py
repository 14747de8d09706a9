"""Measure how many answers one core scores in a second, in turn with an earlier revision, and compare the scores.

The test examples are synthetic invoices. A third of the answers is right, a third has damaged values and rows in
another order, and a third is also damaged as JSON. Reading the expected answers is not measured. Every run is a process
of its own, and the two revisions take turns.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import reviewed_correction
from erniekit_adapter.documents.json_text import compose

ROOT = Path(__file__).resolve().parents[1]
# Scores the pairs in a file; an earlier revision scores invoices only, and takes no document type.
SCORE = """
import dataclasses, json, sys, time
from functools import partial
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.evaluation.scoring import score_answer
try:
    from erniekit_adapter.documents.loading import INVOICE
    score_answer = partial(score_answer, INVOICE)
except ImportError:
    pass
with open(sys.argv[1], encoding="utf-8") as stream:
    pairs = [json.loads(line) for line in stream]
expected = [read_answer(json_text.parse(pair["expected"])) for pair in pairs]
# Imports of numpy and scipy, and caches, are not measured.
for truth, pair in zip(expected[:30], pairs):
    score_answer(truth, pair["text"])
started = time.process_time()
scores = [score_answer(truth, pair["text"]) for truth, pair in zip(expected, pairs)]
seconds = time.process_time() - started
with open(sys.argv[2], "w", encoding="utf-8") as stream:
    json.dump({"seconds": seconds, "scores": [dataclasses.asdict(score) for score in scores]}, stream)
"""


def write_pairs(path: Path, count: int) -> None:
    """Write `count` pairs of an expected answer and a model's text."""
    rng = random.Random(7)  # noqa: S311 - damage to answers, not secrets
    with path.open("w", encoding="utf-8") as stream:
        for index in range(count):
            record = reviewed_correction(make_invoice(5, index, fault_share=0.1), "doc", "page.png", "2025-03-03")
            expected = json.loads(record["corrected_output"])
            stream.write(json.dumps({"expected": compose(expected), "text": _text(expected, index % 3, rng)}) + "\n")


def _text(expected: dict[str, Any], damage: int, rng: random.Random) -> str:
    text = compose(_damaged(expected, rng) if damage else expected)
    if damage < 2:
        return text
    return rng.choice((f"```json\n{text}\n```", text[:-2], f"Here it is: {text}", text[: len(text) // 2], "no"))


def _damaged(value: Any, rng: random.Random) -> Any:
    """Return a part of an answer with some values changed or left out, and rows repeated and in another order."""
    if isinstance(value, dict):
        return {name: _damaged(part, rng) for name, part in value.items() if rng.random() > 0.03}
    if isinstance(value, list):
        rows = [_damaged(part, rng) for part in value for _ in range(rng.choice((1, 1, 1, 1, 1, 0, 2)))]
        return rng.sample(rows, len(rows))
    if rng.random() > 0.1 or isinstance(value, bool):
        return value
    return f"{value}?" if isinstance(value, str) else value + 1


def measure(folder: Path, pairs: Path, outcome: Path) -> tuple[float, list[dict[str, Any]]]:
    """Score the pairs with the package in a folder, and return the seconds and the scores."""
    subprocess.run([sys.executable, "-c", SCORE, str(pairs), str(outcome)], cwd=folder, check=True)
    found = json.loads(outcome.read_text(encoding="utf-8"))
    return found["seconds"], found["scores"]


def main() -> None:
    """Measure both revisions in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--revision", default="d6240b0", help="the earlier revision of this repository")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        earlier = folder / "earlier"
        earlier.mkdir()
        archive = subprocess.run(
            ["git", "archive", chosen.revision, "erniekit_adapter"],  # noqa: S607 - found on PATH
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(earlier, filter="data")
        write_pairs(folder / "pairs.jsonl", chosen.answers)
        taken: dict[str, list[float]] = {}
        scores = {}
        for _ in range(chosen.runs):
            for label, root in ((chosen.revision, earlier), ("now", ROOT)):
                seconds, scores[label] = measure(root, folder / "pairs.jsonl", folder / "outcome.json")
                taken.setdefault(label, []).append(chosen.answers / seconds)
    print(f"{'revision':<12} {'answers/s, median':>18} {'min':>7} {'max':>7}")
    for label, rates in taken.items():
        print(f"{label:<12} {statistics.median(rates):>18,.0f} {min(rates):>7,.0f} {max(rates):>7,.0f}")
    before, after = scores[chosen.revision], scores["now"]
    different = sum(any(new[key] != old[key] for key in old) for old, new in zip(before, after, strict=True))
    print(f"different scores: {different} of {chosen.answers}")


if __name__ == "__main__":
    main()
