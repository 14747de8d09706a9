"""Finding an ERNIEKit that works: the user's own first, then the one that `make setup-erniekit` makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.errors import Problem, UsageError

PROBE_TIMEOUT_S = 60
PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Runs in the candidate's python; imports nothing of the toolkit, so it answers in a tenth of a second.
_PROBE = """
import importlib.metadata as m, importlib.util as u, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
names = ["erniekit", "paddlepaddle", "paddlepaddle-gpu", "paddleformers", "paddlenlp", "numpy", "protobuf", "pyarrow",
         "safetensors"]
packages = ["erniekit", "ernie", "data_processor", "paddle", "paddleformers"]
print(json.dumps({"python": sys.version.split()[0], "versions": {n: version(n) for n in names},
                  "packages": {p: bool(u.find_spec(p)) for p in packages}}))
"""
# PaddleFormers releases that each ERNIEKit works with; others end in "conflicting option string".
_PAIRED_PADDLEFORMERS: Mapping[str, tuple[str, ...]] = {
    "1.0": ("0.1", "0.2", "0.3.0", "0.3.1", "0.3.2"),
    "1.1": ("0.2.4",),
    "1.2": ("0.2.4",),
    "1.3": ("0.3.1", "0.3.2"),
    "1.4": ("0.3.2",),
    "1.5": ("0.4.0",),
}


# glibc gives the memory of large tensors back after each use and takes it again: on CPU a quarter of a training step
# goes into page faults. With these it keeps what it has.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
_MAX_THREADS = 8


@dataclass(frozen=True)
class Toolkit:
    """An environment to run ERNIEKit in.

    Attributes:
        python: its interpreter.
        version: ERNIEKit's version.
        found_by: how it was found: ERNIEKIT_HOME, ERNIEKIT_PYTHON, PATH or .venvs/erniekit.
        home: the git checkout, where that is what is used.
        versions: the installed distributions that matter, by name.
    """

    python: Path
    version: str
    found_by: str
    home: Path | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `erniekit ARGUMENTS…`."""
        return [str(self.python), "-m", "erniekit.cli", *arguments]

    def worker(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of our workers in this environment."""
        return [str(self.python), "-m", f"erniekit_adapter.workers.{name}", *arguments]

    def environment(self, *, on_cpu: bool) -> dict[str, str]:
        """The variables a command needs: its own python first on PATH, the packages' folders, and a card on CPU."""
        ours = [str(self.home)] if self.home else []
        paths = [*ours, str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        }
        # Without a card the launcher gets an empty list and stops with a usage message.
        return {**_on_cpu(), **variables, "CUDA_VISIBLE_DEVICES": "0"} if on_cpu else variables


def _on_cpu() -> dict[str, str]:
    """What makes PaddlePaddle fast on a CPU; a variable that the user set himself comes first.

    Matrices are multiplied on all cores, the rest on one: left alone PaddlePaddle uses one core, and OpenMP's threads
    and MKL's together stand in each other's way (steps a second on two cores: 1.03 alone, 0.62 with OpenMP on both,
    1.25 with MKL on both).
    """
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": str(min(_MAX_THREADS, len(os.sched_getaffinity(0))))}
    limited = any(name in os.environ for name in threads)
    return _KEEP_MEMORY if limited else {**_KEEP_MEMORY, **threads}


@dataclass(frozen=True)
class Candidate:
    """A place where ERNIEKit may be, and what is wrong with it; nothing when it is usable."""

    found_by: str
    python: Path | None
    home: Path | None = None
    problem: str = ""
    toolkit: Toolkit | None = None


def find_erniekit() -> Toolkit:
    """The first usable ERNIEKit: ERNIEKIT_HOME, ERNIEKIT_PYTHON, `erniekit` on PATH, then `.venvs/erniekit`.

    Raises:
        UsageError: none is usable, or one that the user named is not; it says what was tried and what is wrong.
    """
    tried = []
    for candidate in candidates():
        if candidate.toolkit:
            return candidate.toolkit
        tried.append(candidate)
        if candidate.found_by.startswith("ERNIEKIT_"):
            break  # What the user named is honoured or refused, never quietly replaced.
    raise UsageError([Problem(each.found_by, each.problem, _remedy(each)) for each in tried])


def _remedy(candidate: Candidate) -> str:
    if candidate.found_by.startswith("ERNIEKIT_"):
        return f"correct {candidate.found_by}, or unset it"
    if candidate.found_by == "PATH":
        return "docs/cluster.md says what a cluster needs"
    return "run make setup-erniekit"


def candidates() -> Iterator[Candidate]:
    """Every place to look at, in order, each probed when it is asked for."""
    home, python = os.environ.get("ERNIEKIT_HOME"), os.environ.get("ERNIEKIT_PYTHON")
    if home:
        yield _probe_home(Path(home), Path(python) if python else None)
    elif python:
        yield _probe("ERNIEKIT_PYTHON", Path(python))
    script = shutil.which("erniekit")
    if script:
        yield _probe("PATH", _interpreter_of(Path(script)))
    else:
        yield Candidate("PATH", None, problem="no erniekit on PATH")
    made = PROJECT_ROOT / ".venvs" / "erniekit" / "bin" / "python"
    yield _probe(".venvs/erniekit", made)


def _probe_home(home: Path, python: Path | None) -> Candidate:
    lacking = [name for name in ("erniekit", "ernie") if not (home / name).is_dir()]
    if lacking:
        problem = f"{home} is no ERNIEKit checkout: it lacks the package {' and '.join(lacking)}"
        return Candidate("ERNIEKIT_HOME", None, problem=problem)
    chosen = python or Path(shutil.which("python") or shutil.which("python3") or "python3")
    return _probe("ERNIEKIT_HOME", chosen, home)


def _interpreter_of(script: Path) -> Path:
    beside = script.parent / "python"
    if beside.exists():
        return beside
    with script.open("rb") as stream:
        words = stream.readline(512).decode(errors="replace").strip().removeprefix("#!").split()
    name = words[-1] if words and Path(words[0]).name == "env" else next(iter(words), "python3")
    return Path(shutil.which(name) or name)


def _probe(found_by: str, python: Path, home: Path | None = None) -> Candidate:
    found, problem = probe_python(python, home)
    if problem:
        return Candidate(found_by, python, home, problem)
    versions, packages = found["versions"], found["packages"]
    version = versions["erniekit"] or _version_of_checkout(home)
    problem = _toolkit_problem(version, versions, packages)
    if problem:
        return Candidate(found_by, python, home, f"{python}: {problem}")
    toolkit = Toolkit(python, version, found_by, home, versions)
    return Candidate(found_by, python, home, toolkit=toolkit)


def probe_python(python: Path, home: Path | None = None) -> tuple[dict[str, Any], str]:
    """What an interpreter has installed, or ({}, what is wrong with it)."""
    if not python.exists():
        return {}, f"{python} does not exist"
    environment = {**os.environ, **({"PYTHONPATH": str(home)} if home else {})}
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE], capture_output=True, timeout=PROBE_TIMEOUT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {}, f"{python} does not run: {error}"
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return {}, f"{python} does not run: {' '.join(last)}"
    try:
        return orjson.loads(done.stdout), ""
    except orjson.JSONDecodeError:
        return {}, f"{python} is no Python: it printed {done.stdout[:60]!r}"


def _version_of_checkout(home: Path | None) -> str:
    """A checkout that was never pip-installed carries its version in erniekit/utils/env.py."""
    if home is None:
        return ""
    source = home / "erniekit" / "utils" / "env.py"
    lines = source.read_text(errors="replace").splitlines() if source.is_file() else []
    quoted = next((line for line in lines if line.strip().startswith("VERSION")), "")
    return quoted.partition("=")[2].strip().strip("\"'")


def _toolkit_problem(version: str, versions: Mapping[str, str | None], packages: Mapping[str, bool]) -> str:
    if not packages["erniekit"]:
        return "erniekit is not installed"
    if not packages["ernie"]:
        return f"this erniekit {version} lacks the package ernie (the wheels 1.1.0 to 1.3.0 do; use a git checkout)"
    if not packages["data_processor"] and version.startswith("1.3"):
        return f"this erniekit {version} lacks the package data_processor (use a git checkout)"
    missing = [name for name in ("paddle", "paddleformers") if not packages[name]]
    if missing:
        return f"{' and '.join(missing)} not installed"
    paired = _PAIRED_PADDLEFORMERS.get(".".join(version.split(".")[:2]))
    installed = versions["paddleformers"]
    if paired and installed and not any(installed == each or installed.startswith(f"{each}.") for each in paired):
        return f"paddleformers {installed} does not go with erniekit {version} (works with {', '.join(paired)})"
    return ""
