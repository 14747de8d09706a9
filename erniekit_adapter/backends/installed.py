"""Finding a toolkit that works: the user's own first, then the one that `make setup-…` makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from erniekit_adapter.backends.keytable import DEFAULT_VERSIONS, TOOLKIT_NAMES
from erniekit_adapter.backends.probing import Installed, interpreter_of, probe_python, version_of_checkout
from erniekit_adapter.backends.variables import without_secrets
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend

PROJECT_ROOT = Path(__file__).resolve().parents[2]

# PaddleFormers releases that each ERNIEKit works with; others end in "conflicting option string".
PAIRED_PADDLEFORMERS: Mapping[str, tuple[str, ...]] = {
    "1.0": ("0.1", "0.2", "0.3.0", "0.3.1", "0.3.2"),
    "1.1": ("0.2.4",),
    "1.2": ("0.2.4",),
    "1.3": ("0.3.1", "0.3.2"),
    "1.4": ("0.3.2",),
    "1.5": ("0.4.0",),
}
_COMMANDS: Mapping[Backend, str] = {"erniekit": "erniekit", "paddleformers": "paddleformers-cli"}
# What those commands import; run as a module they need no script and no first line that names an interpreter.
_MODULES: Mapping[Backend, str] = {"erniekit": "erniekit.cli", "paddleformers": "paddleformers.cli.cli"}

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
    """An environment to run a toolkit in.

    Attributes:
        python: its interpreter.
        version: the toolkit's version.
        found_by: how it was found: ERNIEKIT_HOME, ERNIEKIT_PYTHON, PADDLEFORMERS_PYTHON, PATH, .venvs/erniekit or
            .venvs/paddleformers.
        home: the git checkout, where that is what is used.
        versions: the installed distributions that matter, by name.
        backend: which toolkit it is.
    """

    python: Path
    version: str
    found_by: str
    home: Path | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    backend: Backend = "erniekit"

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `erniekit ARGUMENTS…` or `paddleformers-cli ARGUMENTS…`."""
        return [str(self.python), "-m", _MODULES[self.backend], *arguments]

    def worker(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of our workers in this environment."""
        return [str(self.python), "-m", f"erniekit_adapter.workers.{name}", *arguments]

    def environment(self, *, on_cpu: bool) -> dict[str, str]:
        """The variables a command needs: its own python first on PATH, the packages' folders, and a card on CPU.

        Variables that look like secrets are left out: the launcher writes the others to the run's folder.
        """
        ours = [str(self.home)] if self.home else []
        paths = [*ours, str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {
            **without_secrets(os.environ),
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
    """A place where a toolkit may be, and what is wrong with it; nothing when it is usable.

    Attributes:
        found_by: the variable, PATH, or the folder that `make setup-…` makes.
        python: the interpreter there, where one is named.
        home: the git checkout, where one is named.
        problem: why it cannot be used; empty when it can.
        installed: what the interpreter has, where it could be asked.
        toolkit: the toolkit itself, when it is usable.
    """

    found_by: str
    python: Path | None
    home: Path | None = None
    problem: str = ""
    installed: Installed | None = None
    toolkit: Toolkit | None = None

    @property
    def named_by_user(self) -> bool:
        """Whether a variable names it: then it is honoured or refused, never quietly replaced."""
        return self.found_by.endswith(("_HOME", "_PYTHON"))

    def remedy(self, backend: Backend) -> str:
        """What to do about its problem."""
        if self.named_by_user:
            return f"correct {self.found_by}, or unset it"
        if self.found_by == "PATH":
            return "docs/cluster.md says what a cluster needs"
        return f"run make setup-{backend}"


def find_erniekit() -> Toolkit:
    """The first usable ERNIEKit: ERNIEKIT_HOME, ERNIEKIT_PYTHON, `erniekit` on PATH, then `.venvs/erniekit`.

    Raises:
        UsageError: none is usable, or one that the user named is not; it says what was tried and what is wrong.
    """
    return find_toolkit("erniekit")


def find_toolkit(backend: Backend) -> Toolkit:
    """The first usable toolkit of a kind; PaddleFormers is looked for as PADDLEFORMERS_PYTHON, on PATH, in `.venvs`.

    Raises:
        UsageError: none is usable, or one that the user named is not; it says what was tried and what is wrong.
    """
    tried = looked_at(backend)
    if toolkit := tried[-1].toolkit:
        return toolkit
    raise UsageError([Problem(each.found_by, each.problem, each.remedy(backend)) for each in tried])


def looked_at(backend: Backend) -> list[Candidate]:
    """Every place up to the one that decides: the first usable toolkit, or one that the user named; else all."""
    tried = []
    for candidate in candidates(backend):
        tried.append(candidate)
        if candidate.toolkit or candidate.named_by_user:
            break
    return tried


def toolkit_version(project: Project) -> tuple[str, str]:
    """The toolkit's version that settings are written for, and why that one.

    It is the one that the project names, else that of the installed toolkit, else the newest complete one that
    `make setup-…` installs. A toolkit that is there and cannot be used counts as none.
    """
    backend = project.backend
    if named := project.named_version:
        return named, f"{backend}.version"
    if toolkit := looked_at(backend)[-1].toolkit:
        return toolkit.version, f"installed, {toolkit.found_by}"
    return DEFAULT_VERSIONS[backend], "none is usable here"


def candidates(backend: Backend = "erniekit") -> Iterator[Candidate]:
    """Every place to look at, in order, each probed when it is asked for."""
    variable = f"{backend.upper()}_PYTHON"
    home = os.environ.get("ERNIEKIT_HOME") if backend == "erniekit" else None
    python = os.environ.get(variable)
    if home:
        yield _probe_home(Path(home), Path(python) if python else None)
    elif python:
        yield _probe(backend, variable, Path(python))
    command = _COMMANDS[backend]
    if script := shutil.which(command):
        yield _probe(backend, "PATH", interpreter_of(Path(script)))
    else:
        yield Candidate("PATH", None, problem=f"no {command} on PATH")
    made = PROJECT_ROOT / ".venvs" / backend / "bin" / "python"
    yield _probe(backend, f".venvs/{backend}", made)


def _probe_home(home: Path, python: Path | None) -> Candidate:
    lacking = [name for name in ("erniekit", "ernie") if not (home / name).is_dir()]
    if lacking:
        problem = f"{home} is no ERNIEKit checkout: it lacks the package {' and '.join(lacking)}"
        return Candidate("ERNIEKIT_HOME", None, problem=problem)
    chosen = python or Path(shutil.which("python") or shutil.which("python3") or "python3")
    return _probe("erniekit", "ERNIEKIT_HOME", chosen, home)


def _probe(backend: Backend, found_by: str, python: Path, home: Path | None = None) -> Candidate:
    installed = probe_python(python, home)
    if isinstance(installed, str):
        return Candidate(found_by, python, home, installed)
    version = installed.versions.get(backend) or version_of_checkout(home)
    problem = _erniekit_problem(version, installed) if backend == "erniekit" else _paddleformers_problem(installed)
    if problem:
        return Candidate(found_by, python, home, f"{python}: {problem}", installed)
    toolkit = Toolkit(python, version, found_by, home, installed.versions, backend)
    return Candidate(found_by, python, home, installed=installed, toolkit=toolkit)


def _erniekit_problem(version: str, installed: Installed) -> str:
    if installed.lacks("erniekit"):
        return "erniekit is not installed"
    needed = ("ernie", "data_processor") if version.startswith("1.3") else ("ernie",)
    if parts := [name for name in needed if installed.lacks(name)]:
        lacking = f"the package{'s' if len(parts) > 1 else ''} {' and '.join(parts)}"
        return f"this erniekit {version} lacks {lacking} (the wheels 1.1.0 to 1.3.0 are incomplete; use a git checkout)"
    missing = [name for name in ("paddle", "paddleformers") if installed.lacks(name)]
    if missing:
        return f"{' and '.join(missing)} not installed"
    paired, found = paired_paddleformers(version), installed.versions.get("paddleformers")
    if paired and found and not any(found == each or found.startswith(f"{each}.") for each in paired):
        return f"paddleformers {found} does not go with erniekit {version} (works with {', '.join(paired)})"
    return ""


def paired_paddleformers(erniekit: str) -> tuple[str, ...]:
    """The PaddleFormers releases that an ERNIEKit works with; empty for a version that is not known here."""
    return PAIRED_PADDLEFORMERS.get(".".join(erniekit.split(".")[:2]), ())


def _paddleformers_problem(installed: Installed) -> str:
    version = installed.versions.get("paddleformers")
    if installed.lacks("paddleformers") or not version:
        return "paddleformers is not installed"
    if not version.startswith("1."):
        return f"paddleformers {version}: {TOOLKIT_NAMES['paddleformers']} trains here from 1.0 on, before 2.0"
    if installed.lacks("paddle"):
        return "paddle not installed"
    transformers = installed.versions.get("transformers")
    if not (transformers or "").startswith("5."):
        return f"transformers {transformers or 'is not installed'}: paddleformers 1.x goes with transformers 5"
    if installed.lacks("pip"):
        return "pip cannot be imported, and paddleformers does so (python -m ensurepip)"
    return ""
