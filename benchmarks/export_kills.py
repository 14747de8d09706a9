"""Kill `export` at random times, export again, and compare the bundles. Count leftover files and processes.

The project must be trained, such as configs/demo-cpu.yaml after `make demo`. Each round kills the main process of the
export (SIGKILL), counts leftovers after 5 s, exports again, and compares the bundle with that of an undisturbed export.
The last line is a summary. The exit code is 1 if a bundle differs or files are left over.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erniekit_adapter.project.loading import load_project

ROOT = Path(__file__).resolve().parents[1]

# All processes of a round inherit this variable.
MARK = "EXPORT_KILLS_ROUND"
ORPHANS_AFTER_S = 5.0


def start(project: Path, options: Sequence[str], mark: str) -> subprocess.Popen[bytes]:
    """Start an export whose processes have a mark in their environment."""
    command = [sys.executable, "-m", "erniekit_adapter", "export", str(project), *options]
    environment = os.environ | {MARK: mark, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def marked(mark: str) -> list[int]:
    """Return the running processes with a mark."""
    entry, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_zombie = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
            if not is_zombie and entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder and its subfolders."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(folder: Path) -> set[str]:
    """Return the names in a folder, including hidden ones."""
    return {path.name for path in folder.iterdir()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Kill export at random times, and compare the bundles.")
    parser.add_argument("project", type=Path, help="project file of a trained project")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--allow-unchecked", action="store_true", help="passed on to export")
    arguments = parser.parse_args()
    options = ["--allow-unchecked"] if arguments.allow_unchecked else []
    project = load_project(arguments.project, [])

    def export() -> None:
        process = start(arguments.project, options, "undisturbed")
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode(errors="replace"))

    export()
    begun = time.monotonic()
    export()
    duration_s = time.monotonic() - begun
    undisturbed, expected = contents(project.bundle_dir), names(project.output_dir)
    print(f"undisturbed: {duration_s:.1f} s, {len(undisturbed)} files in the bundle")
    rng = random.Random(arguments.seed)  # noqa: S311 - times of the kills, not secrets
    different = left_over = orphans = killed = temporary = 0
    for number in range(1, arguments.kills + 1):
        moment_s = rng.uniform(0, duration_s)
        process = start(arguments.project, options, str(number))
        time.sleep(moment_s)
        killed += process.poll() is None
        process.kill()  # no effect if it has ended
        process.communicate()
        time.sleep(ORPHANS_AFTER_S)
        running = marked(str(number))
        for each in running:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        after_kill = names(project.output_dir) - expected
        export()
        is_same = contents(project.bundle_dir) == undisturbed
        still = names(project.output_dir) ^ expected
        orphans, temporary = orphans + len(running), temporary + bool(after_kill)
        different, left_over = different + (not is_same), left_over + bool(still)
        print(
            f"{number:3} killed after {moment_s:5.1f} s: left {sorted(after_kill) or '-'}, "
            f"processes after 5 s: {len(running)}; exported again: "
            f"bundle {'the same' if is_same else 'DIFFERS'}, left {sorted(still) or '-'}",
            flush=True,
        )
    print(
        f"{killed} of {arguments.kills} killed while running: {different} bundles differ, {temporary} left temporary "
        f"files until the next run, {left_over} after it, {orphans} processes still ran after 5 s"
    )
    raise SystemExit(bool(different or left_over or orphans))


if __name__ == "__main__":
    main()
