"""Measure speed and memory of the data stage, from ten thousand to a million records.

Records are logged corrections with their OCR (5 kB each), each of another invoice, and all pass every filter, which is
the slowest case; with --mixed, a quarter each are automatic logs and corrections without OCR, which filters reject.
Each size is built with one worker and with two, in turn with two scripts in one process. One script only reformats the
records, without checks and with everything in memory. The other reads exact amounts, checks them with the rules and
writes the answers, as a build does, but has no filters and finds no duplicates. Seconds are those of whole processes,
as medians over the runs; memory is the peak of all processes of a run together.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import automatic_log, flat_correction, reviewed_correction
from erniekit_adapter.documents.json_text import compose

ROOT = Path(__file__).resolve().parents[1]

PROJECT = """
model: {{model_name_or_path: {model}}}
data:
  sources: [{{kind: active_learning, path: {log}}}]
  workers: {workers}
output_dir: {output}
"""
# Reads corrections and writes training examples, all in memory and without checks.
REFORMAT = """
import json, sys
lines = []
for line in open(sys.argv[1], encoding="utf-8"):
    record = json.loads(line)
    value = record.get("corrected_output") or record.get("model_output") or record.get("correction")
    answer = json.dumps(json.loads(value) if isinstance(value, str) else value, ensure_ascii=False)
    lines.append({"src": [record.get("prompt", "")], "tgt": [answer]})
with open(sys.argv[2], "w", encoding="utf-8") as stream:
    for line in lines:
        stream.write(json.dumps(line, ensure_ascii=False) + "\\n")
"""
# The necessary work with exact amounts: parse record and answer, check the rules, and write the answer.
EXACT = """
import sys
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE
with open(sys.argv[1], "rb") as log, open(sys.argv[2], "w", encoding="utf-8") as stream:
    for line in log:
        record = json_text.parse(line)
        value = record.get("corrected_output")
        if not isinstance(value, str):
            continue
        answer = read_answer(json_text.parse(value))
        summary = RULES.summarize(RULES.check(answer)).model_dump()
        text = json_text.compose_parsed(as_json(answer) | {"validation_summary": summary})
        request = INVOICE.prompts.analysis_request(record["ocr_context"]["structured_ocr"], with_image=False)
        stream.write(json_text.compose_parsed({"src": [request], "tgt": [text]}) + "\\n")
"""
DIFFERENT_INVOICES = 2000
MEMORY_EVERY_S = 0.5


@dataclass(frozen=True)
class Measurement:
    """Time and memory of a process and its children."""

    seconds: float
    peak_mib: float


def write_log(path: Path, count: int, *, mixed: bool) -> None:
    """Write a log of `count` records; invoices repeat with different numbers."""
    shapes = (
        (reviewed_correction, flat_correction, reviewed_correction, automatic_log) if mixed else (reviewed_correction,)
    )
    base = []
    for index in range(min(count, DIFFERENT_INVOICES)):
        invoice = make_invoice(5, index, fault_share=0)
        make = shapes[index % len(shapes)]
        record = make(invoice, f"doc-{index}", "gone.png", "2025-03-03T08:00:00+00:00")
        base.append((invoice.invoice_id, f'"document_id":"doc-{index}"', compose(record)))
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            invoice_id, document, line = base[number % len(base)]
            unique = line.replace(invoice_id, f"{invoice_id}-{number}")
            stream.write(unique.replace(document, f'"document_id":"doc-{number}"', 1) + "\n")


def measured(command: list[str]) -> Measurement:
    """Run a command and measure time and memory of it and its child processes."""
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        peaks = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
        watcher.start()
        errors = process.stderr.read() if process.stderr else b""
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{errors.decode()}")
    return Measurement(seconds, peaks[0])


def _watch(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    while process.poll() is None:
        peaks[0] = max(peaks[0], sum(map(_proportional_mib, _tree(process.pid))))
        time.sleep(MEMORY_EVERY_S)


def _tree(process_id: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [process_id]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def _proportional_mib(process_id: int) -> float:
    """Return the proportional set size (Pss) of a process in MiB: shared memory is divided among its users."""
    try:
        rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    kib = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    return sum(kib) / 1024


def commands(folder: Path, model: str, workers: list[int]) -> dict[str, list[str]]:
    """Return the commands to compare, by name."""
    log = folder / "log.jsonl"
    scripts = {"reformat": REFORMAT, "only exact amounts": EXACT}
    found = {
        name: [sys.executable, "-c", text, str(log), str(folder / "lines.jsonl")] for name, text in scripts.items()
    }
    for count in workers:
        project = folder / f"{count}.yaml"
        project.write_text(PROJECT.format(model=model, log=log, workers=count, output=folder / f"run-{count}"))
        found[f"build, workers {count}"] = [sys.executable, "-m", "data_tools", "build", str(project)]
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mixed", action="store_true", help="a log in which half of the records are rejected")
    parser.add_argument("--model", default="tiny_base/model", help="model folder with the tokenizer")
    chosen = parser.parse_args()
    print(f"{'records':>9}  {'command':<20} {'median s':>9} {'min':>7} {'max':>7} {'rec/s':>8} {'peak MiB':>9}")
    for count in chosen.counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_log(folder / "log.jsonl", count, mixed=chosen.mixed)
            named = commands(folder, str(ROOT / chosen.model), chosen.workers)
            taken: dict[str, list[Measurement]] = {key: [] for key in named}
            for _ in range(chosen.runs):
                for key, command in named.items():
                    taken[key].append(measured(command))
        for key, runs in taken.items():
            seconds = [run.seconds for run in runs]
            median, peak_mib = statistics.median(seconds), max(run.peak_mib for run in runs)
            figures = (
                f"{median:>9.2f} {min(seconds):>7.2f} {max(seconds):>7.2f} {count / median:>8.0f} {peak_mib:>9.0f}"
            )
            print(f"{count:>9,}  {key:<20} {figures}", flush=True)


if __name__ == "__main__":
    main()
