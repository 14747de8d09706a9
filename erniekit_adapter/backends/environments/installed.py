"""Finding a toolkit that works: the user's own first, then the environment that `erniekit-adapter setup` makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from erniekit_adapter.architectures.toolkits import DEFAULT_VERSIONS, TOOLKIT_NAMES, Backend, release_of
from erniekit_adapter.backends.environments.catalogue import (
    environment_label,
    environment_python,
    is_incomplete,
    setup_command,
)
from erniekit_adapter.backends.environments.probing import (
    Installed,
    interpreter_of,
    probe_python,
    version_of_checkout,
)
from erniekit_adapter.backends.environments.variables import toolkit_variables, worker_command
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.schema import Project

_COMMANDS: Mapping[Backend, str] = {"erniekit": "erniekit", "paddleformers": "paddleformers-cli"}
# The modules behind those commands: started with `-m`, they need no script whose first line names an interpreter.
_MODULES: Mapping[Backend, str] = {"erniekit": "erniekit.cli", "paddleformers": "paddleformers.cli.cli"}

# By default glibc returns the memory of large tensors to the kernel after each use: on CPU a quarter of a training step
# is spent on page faults. With these settings it keeps the memory.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
_MAX_THREADS = 8


@dataclass(frozen=True)
class Toolkit:
    """An environment that a toolkit runs in.

    Attributes:
        python: its interpreter.
        version: version of the toolkit.
        found_by: how it was found: ERNIEKIT_HOME, ERNIEKIT_PYTHON, PADDLEFORMERS_PYTHON, PATH, or the folder of an
            environment that `erniekit-adapter setup` makes, such as `.venvs/erniekit`.
        home: the git checkout, if one is used.
        versions: versions of the distributions that matter, by name.
        backend: the toolkit.
    """

    python: Path
    version: str
    found_by: str
    home: Path | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    backend: Backend = "erniekit"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs `erniekit ARGUMENTS…` or `paddleformers-cli ARGUMENTS…`."""
        return [str(self.python), "-m", _MODULES[self.backend], *arguments]

    def worker(self, name: str, *arguments: str) -> list[str]:
        """Return the command line that runs a worker of this package in the environment."""
        return worker_command(self.python, name, *arguments)

    def environment(self, *, on_cpu: bool) -> dict[str, str]:
        """Return the variables of a command: its own interpreter first on PATH, and a GPU number even on CPU.

        Variables that look like secrets are left out, as the launcher writes the others to the run's folder.
        """
        variables = toolkit_variables(self.home)
        variables["PATH"] = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        # Without a GPU number the launcher gets an empty list and stops with a usage message.
        return {**_on_cpu(), **variables, "CUDA_VISIBLE_DEVICES": "0"} if on_cpu else variables


def _on_cpu() -> dict[str, str]:
    """Return variables that make PaddlePaddle fast on a CPU; those that the user set take precedence.

    Matrices are multiplied on all cores, everything else runs on one. Without settings PaddlePaddle uses one core, and
    the threads of OpenMP and MKL slow each other down (steps per second on two cores: 1.03 without settings, 0.62 with
    OpenMP on both cores, 1.25 with MKL on both).
    """
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": str(min(_MAX_THREADS, len(os.sched_getaffinity(0))))}
    limited = any(name in os.environ for name in threads)
    return _KEEP_MEMORY if limited else {**_KEEP_MEMORY, **threads}


@dataclass(frozen=True)
class Candidate:
    """A place where a toolkit may be, with its problem if it cannot be used.

    Attributes:
        found_by: the variable, PATH, or the folder of an environment that `erniekit-adapter setup` makes.
        python: the interpreter, if the place names one.
        home: the git checkout, if the place names one.
        problem: why it cannot be used; empty if it can.
        installed: packages of the interpreter, if it could be read.
        toolkit: the toolkit, if it can be used.
    """

    found_by: str
    python: Path | None
    home: Path | None = None
    problem: str = ""
    installed: Installed | None = None
    toolkit: Toolkit | None = None

    @property
    def named_by_user(self) -> bool:
        """True if a variable names it: then it is used or refused, and never replaced silently."""
        return self.found_by.endswith(("_HOME", "_PYTHON"))

    def hint(self, backend: Backend) -> str:
        """Return how to fix its problem."""
        if self.named_by_user:
            return f"correct {self.found_by}, or unset it"
        return f"run {setup_command(backend)}, or set {python_variable(backend)} to another Python"


def python_variable(backend: Backend) -> str:
    """Return the variable that names a toolkit's interpreter: ERNIEKIT_PYTHON or PADDLEFORMERS_PYTHON."""
    return f"{backend.upper()}_PYTHON"


def find_erniekit() -> Toolkit:
    """Return the first usable ERNIEKit: ERNIEKIT_HOME, ERNIEKIT_PYTHON, `erniekit` on PATH, then our environment.

    Raises:
        UsageError: none is usable, or one that the user named is not; with each place and its problem.
    """
    return find_toolkit("erniekit")


def find_toolkit(backend: Backend) -> Toolkit:
    """Return the first usable toolkit of a kind; for PaddleFormers: PADDLEFORMERS_PYTHON, PATH, our environment.

    Raises:
        UsageError: none is usable, or one that the user named is not; with each place and its problem.
    """
    tried = try_candidates(backend)
    if toolkit := tried[-1].toolkit:
        return toolkit
    raise UsageError([Problem(each.found_by, each.problem, each.hint(backend)) for each in tried])


def try_candidates(backend: Backend, *, with_requirements: bool = False) -> list[Candidate]:
    """Return the places up to the one that decides: the first usable toolkit or one that the user named; else all."""
    tried = []
    for candidate in candidates(backend, with_requirements=with_requirements):
        tried.append(candidate)
        if candidate.toolkit or candidate.named_by_user:
            break
    return tried


def toolkit_version(project: Project) -> tuple[str, str]:
    """Return the version of the toolkit that settings are written for, and the reason.

    It is the version in the project file, else that of the installed toolkit, else the version that
    `erniekit-adapter setup` installs. A toolkit that is installed and cannot be used does not count.
    """
    backend = project.backend
    if named := project.named_version:
        return named, f"{backend}.version"
    if toolkit := try_candidates(backend)[-1].toolkit:
        return toolkit.version, f"installed, {toolkit.found_by}"
    return DEFAULT_VERSIONS[backend], "none is usable here"


def candidates(backend: Backend = "erniekit", *, with_requirements: bool = False) -> Iterator[Candidate]:
    """Yield the places of a toolkit in order; each is probed when it is requested."""
    variable = python_variable(backend)
    home = os.environ.get("ERNIEKIT_HOME") if backend == "erniekit" else None
    python = os.environ.get(variable)
    if home:
        yield _probe_home(Path(home), Path(python) if python else None, with_requirements)
    elif python:
        yield _probe(backend, variable, Path(python), None, with_requirements)
    command = _COMMANDS[backend]
    if script := shutil.which(command):
        yield _probe(backend, "PATH", interpreter_of(Path(script)), None, with_requirements)
    else:
        yield Candidate("PATH", None, problem=f"no {command} on PATH")
    if is_incomplete(backend):
        yield Candidate(environment_label(backend), None, problem="its setup did not finish")
    else:
        yield _probe(backend, environment_label(backend), environment_python(backend), None, with_requirements)


def _probe_home(home: Path, python: Path | None, with_requirements: bool) -> Candidate:
    missing = [name for name in ("erniekit", "ernie") if not (home / name).is_dir()]
    if missing:
        problem = f"{home} is not an ERNIEKit checkout: it lacks the package {' and '.join(missing)}"
        return Candidate("ERNIEKIT_HOME", None, problem=problem)
    chosen = python or Path(shutil.which("python") or shutil.which("python3") or "python3")
    return _probe("erniekit", "ERNIEKIT_HOME", chosen, home, with_requirements)


def _probe(backend: Backend, found_by: str, python: Path, home: Path | None, with_requirements: bool) -> Candidate:
    installed = probe_python(python, home, with_requirements=with_requirements)
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
    release = release_of(version)
    needed = release.packages if release else ("ernie",)
    if parts := [name for name in needed if installed.lacks(name)]:
        missing = f"the package{'s' if len(parts) > 1 else ''} {' and '.join(parts)}"
        return f"this erniekit {version} lacks {missing} (the wheels 1.1.0 to 1.3.0 are incomplete; use a git checkout)"
    if others := [name for name in ("paddle", "paddleformers") if installed.lacks(name)]:
        return f"{' and '.join(others)} not installed"
    paired, found = paired_paddleformers(version), installed.versions.get("paddleformers")
    if paired and found and not any(found == each or found.startswith(f"{each}.") for each in paired):
        return f"paddleformers {found} does not work with erniekit {version} (works with {', '.join(paired)})"
    return ""


def paired_paddleformers(erniekit: str) -> tuple[str, ...]:
    """Return the PaddleFormers releases that an ERNIEKit works with; empty for a version that is not known here."""
    found = release_of(erniekit)
    return found.paddleformers if found else ()


def _paddleformers_problem(installed: Installed) -> str:
    version = installed.versions.get("paddleformers")
    if installed.lacks("paddleformers") or not version:
        return "paddleformers is not installed"
    if not version.startswith("1."):
        return f"paddleformers {version}: {TOOLKIT_NAMES['paddleformers']} 1.x is needed"
    if installed.lacks("paddle"):
        return "paddle not installed"
    transformers = installed.versions.get("transformers")
    if not (transformers or "").startswith("5."):
        return f"transformers {transformers or 'is not installed'}: paddleformers 1.x needs transformers 5"
    if installed.lacks("pip"):
        return "pip cannot be imported, and paddleformers imports it (python -m ensurepip)"
    return ""
