"""Kill `erniekit-adapter train` at random moments, resume it until it has finished, and check the result.

Five seconds after the command has ended, no process may be left. At the end of each run every step is measured at most
once, and the adapter has the same bytes as that of an undisturbed run (ERNIEKit is deterministic on a CPU). Prints a
table, and ends with exit code 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.backends.processes.leftovers import VARIABLE
from erniekit_adapter.backends.processes.supervisor import descendants
from erniekit_adapter.files import sha256

ROOT = Path(__file__).resolve().parents[1]

# With all linear layers and no dropout, ERNIEKit resumes with optimizer and schedule.
PROJECT = """
model: {{model_name_or_path: ./tiny-ernie}}
lora: {{r: 4, target_modules: all-linear}}
training:
  {{device: cpu, max_seq_length: 1024, max_steps: {steps}, save_steps: {save_steps}, logging_steps: 1,
   learning_rate: 1.0e-3, val_split_ratio: 0}}
data: {{sources: [{{kind: manifest, path: documents/training_manifest.json}}], test_split_ratio: 0}}
output_dir: run
"""
SIZES = "--vocab-size 1000 --hidden 64 --layers 2 --heads 4 --kv-heads 2 --head-dim 16 --ffn 160"
LIMIT_S = 5.0
ENDS_IN_S = 60.0
# A part of the command line of each process of a run, from the outermost to the innermost.
PROCESSES = {
    "supervisor": "supervisor.py",
    "command": "erniekit.cli",
    "launcher": "paddle.distributed.launch",
    "worker": "erniekit/launcher.py",
}
KILLS = (
    "worker KILL",
    "launcher KILL",
    "ours KILL",
    "group HUP",
    "stopped",
    "ours TERM",
    "command KILL",
    "supervisor KILL",
)


@dataclass(frozen=True)
class Killed:
    """Result of one kill."""

    kind: str
    after_s: float
    step: int
    exit_code: int
    gone_s: float | None
    last_line: str


@dataclass(frozen=True)
class Campaign:
    """A folder with a tiny model, training examples and a project file."""

    folder: Path

    def call(self, *arguments: str) -> None:
        """Run one of our commands, which must succeed."""
        self.run([sys.executable, "-m", *arguments])

    def run(self, command: list[str]) -> None:
        """Run a command, which must succeed."""
        done = subprocess.run(command, capture_output=True, check=False, **self._place())
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-2000:]}")

    def start(self) -> subprocess.Popen[str]:
        """Start to train, with the output in output.txt."""
        with (self.folder / "output.txt").open("w") as output:
            command = [sys.executable, "-m", "erniekit_adapter", "train", "project.yaml"]
            return subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True, **self._place()
            )

    def _place(self) -> dict[str, object]:
        return {"cwd": self.folder, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}

    @property
    def training(self) -> Path:
        """The folder of the train stage."""
        return self.folder / "run" / "training"

    def steps(self) -> list[int]:
        """Return the measured steps, in the order of the file."""
        path = self.training / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        measured = [json.loads(line) for line in lines if line.endswith("}")]
        return [int(each["step"]) for each in measured if "step" in each]

    def adapter(self) -> str:
        """Return the hash of the adapter."""
        return " ".join(sha256(path) for path in sorted((self.training / "output").glob("*.safetensors")))

    def processes(self) -> list[int]:
        """Return the ids of all processes of a run in this folder."""
        mark, folder = f"{VARIABLE}=".encode(), os.fsencode(self.training.resolve())
        found = []
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            try:
                variables = (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(each.startswith(mark) and folder in each for each in variables):
                found.append(int(place.name))
        return found


def prepare(folder: Path, steps: int, save_steps: int) -> Campaign:
    """Create documents, a tiny model and training examples."""
    campaign = Campaign(folder)
    (folder / "project.yaml").write_text(PROJECT.format(steps=steps, save_steps=save_steps))
    campaign.call("data_tools", "synthesize", "--output", "documents", "--count", "30", "--seed", "1")
    campaign.call("data_tools", "corpus", "--output", "corpus.txt", "--count", "60", "--seed", "2")
    corpus, model = str(folder / "corpus.txt"), str(folder / "tiny-ernie")
    campaign.run(find_erniekit().worker("erniekit_tiny_model", "--corpus", corpus, "--output", model, *SIZES.split()))
    campaign.call("data_tools", "build", "project.yaml")
    return campaign


def kill(process: subprocess.Popen[str], kind: str) -> str:
    """Send the signals of a kind of kill, and return the kind; another one if its process does not exist yet."""
    below = {_name(each): each for each in descendants(process.pid)}
    target, _, name = kind.partition(" ")
    if kind == "group HUP":
        os.killpg(process.pid, signal.SIGHUP)
    elif kind == "stopped" and "worker" in below:
        os.kill(below["worker"], signal.SIGSTOP)
        process.kill()
    elif target in below:
        os.kill(below[target], signal.Signals[f"SIG{name}"])
    else:
        kind = kind if target == "ours" else "ours KILL"
        process.send_signal(signal.SIGTERM if kind == "ours TERM" else signal.SIGKILL)
    return kind


def _name(process: int) -> str:
    try:
        command = Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
    return next((name for name, part in PROCESSES.items() if part in command), "")


def wait_for(condition: Callable[[], bool], limit_s: float) -> float | None:
    """Return the seconds until a condition is true; None after the limit."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > limit_s:
            return None
        time.sleep(0.05)
    return time.monotonic() - begun


def disturb(campaign: Campaign, kind: str, after_s: float) -> Killed | None:
    """Train, and kill after a time; None if training has finished before."""
    process = campaign.start()
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        step = max(campaign.steps(), default=0)
        kind = kill(process, kind)
        # Paddle's launcher needs a second or two, more on a busy machine, to notice that its worker has ended.
        ended_s = wait_for(lambda: process.poll() is not None, ENDS_IN_S)
        process.kill()
        process.wait()
        gone_s = wait_for(lambda: not campaign.processes(), LIMIT_S)
        if ended_s is not None and gone_s is not None:
            gone_s += ended_s
        output = (campaign.folder / "output.txt").read_text().strip().splitlines()
        shown = [line for line in output if not line.startswith(("    →", "  step"))]
        gone_s = None if ended_s is None else gone_s
        return Killed(kind, after_s, step, process.returncode, gone_s, shown[-1] if shown else "")
    if process.returncode:
        sys.exit((campaign.folder / "output.txt").read_text())
    return None


def check_finished(campaign: Campaign, adapter: str, steps: int) -> list[str]:
    """Return the faults of a finished run."""
    found, wrong = campaign.steps(), []
    if any(later <= earlier for earlier, later in pairwise(found)):
        wrong.append(f"steps measured twice: {found}")
    if campaign.adapter() != adapter:
        wrong.append("the adapter differs from that of the undisturbed run")
    if json.loads((campaign.training / "manifest.json").read_text())["steps"] != steps:
        wrong.append("the manifest has another number of steps")
    print(f"| finished: {len(found)} of {steps} steps measured, {'; '.join(wrong) or 'the same adapter'} |")
    return wrong


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-steps", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KILLS, default=KILLS, help="kinds of kills, used in turn")
    parser.add_argument("--earliest", type=float, default=0.0, help="share of an undisturbed run's time")
    given = parser.parse_args()
    rng = random.Random(given.seed)  # noqa: S311 - times of the kills, not secrets
    with tempfile.TemporaryDirectory() as name:
        campaign = prepare(Path(name), given.steps, given.save_steps)
        begun = time.monotonic()
        campaign.call("erniekit_adapter", "train", "project.yaml")
        duration_s, adapter = time.monotonic() - begun, campaign.adapter()
        print(f"undisturbed: {duration_s:.0f} s\n\n| kill | after s | step | exit code | gone after s | message |")
        wrong: list[str] = []
        done = 0
        shutil.rmtree(campaign.training)
        while done < given.kills or not (campaign.training / "manifest.json").exists():
            kind = given.kinds[done % len(given.kinds)]
            # After the last kill the run finishes, so that it can be compared.
            after_s = rng.uniform(max(0.5, given.earliest * duration_s), duration_s) if done < given.kills else 600.0
            killed = disturb(campaign, kind, after_s)
            if killed is None:
                wrong += check_finished(campaign, adapter, given.steps)
                if done < given.kills:
                    shutil.rmtree(campaign.training)
                continue
            done += 1
            gone = f"{killed.gone_s:.1f}" if killed.gone_s is not None else f"more than {LIMIT_S:g}"
            wrong += [] if killed.gone_s is not None else [f"{killed.kind}: processes left after {LIMIT_S:g} s"]
            print(
                f"| {killed.kind} | {killed.after_s:.1f} | {killed.step} | {killed.exit_code} | {gone} |"
                f" {killed.last_line[:140]} |",
                flush=True,
            )
    print(f"\n{done} kills, {len(wrong)} checks failed", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
