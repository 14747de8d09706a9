"""Making a toolkit's environment: a virtual environment with the exact versions of a requirements file."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from erniekit_adapter.backends.environments.catalogue import (
    ENVIRONMENTS,
    FOLDER_VARIABLE,
    NEWEST_PYTHON,
    OLDEST_PYTHON,
    READY,
    environment_dir,
    environment_python,
    requirements_file,
    setup_command,
)
from erniekit_adapter.backends.processes.process import run_attached
from erniekit_adapter.errors import failure, usage_error
from erniekit_adapter.files import write_bytes
from erniekit_adapter.locks import using
from erniekit_adapter.temporary import temporary_folder

if TYPE_CHECKING:
    from rich.console import Console

# Packages on PYTHONPATH would count as installed.
_CLEAN = ("env", "-u", "PYTHONPATH", "-u", "PYTHONHOME")


def make_environment(name: str, console: Console) -> Path:
    """Make an environment with the interpreter of this process, unless it exists with the same requirements.

    The file `.ready` is written last, so an environment whose setup was killed is not used, and the next setup makes it
    again. Packages are installed in place, because the scripts of a virtual environment contain its path.

    Args:
        name: a key of ENVIRONMENTS.
        console: for the first and last message; pip prints its own progress.

    Returns:
        The folder of the environment.

    Raises:
        UsageError: the name is unknown, this Python cannot make environments, or the folder contains other files.
        AdapterError: the disk is too small, or an installation failed.
    """
    if name not in ENVIRONMENTS:
        raise usage_error("setup", f"found {name!r}, expected one of {', '.join(ENVIRONMENTS)}")
    folder, requirements = environment_dir(name), requirements_file(name)
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if is_current(folder, digest):
        console.print(f"{folder} is ready")
        return folder
    _check_python()
    _check_folder(name, folder)
    environment = ENVIRONMENTS[name]
    console.print(f"making {folder}: {environment.purpose} ({environment.size_gb:g} GB)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with using("setup", writes=[folder]):
        _remove(folder)
        # venv and pip leave their temporary files behind if a signal ends them.
        with temporary_folder(folder.parent, f"{folder.name}-setup", alone=True) as scratch:
            _run(name, f"TMPDIR={scratch}", sys.executable, "-m", "venv", str(folder))
            pip = (str(environment_python(name)), "-m", "pip", "install", "--disable-pip-version-check")
            _run(name, f"TMPDIR={scratch}", *pip, "--progress-bar", "on", "-r", str(requirements))
        write_bytes(folder / READY, digest.encode())
    console.print(f"{folder} is ready")
    return folder


def is_current(folder: Path, digest: str) -> bool:
    """Return whether an environment is complete and has these requirements.

    An empty `.ready` was written by make, which compared the times of files; it counts as current.
    """
    ready = folder / READY
    return ready.is_file() and ready.read_text(encoding="utf-8").strip() in ("", digest)


def _check_python() -> None:
    version = sys.version_info[:2]
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        found = ".".join(map(str, version))
        raise usage_error("setup", f"this is Python {found}, and the toolkits need 3.10, 3.11 or 3.12")
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{version[0]}.{version[1]}-venv"
        raise usage_error("setup", "this Python has no ensurepip", f"on Debian and Ubuntu: apt install {package}")


def _check_folder(name: str, folder: Path) -> None:
    """Refuse a folder with files that are not a virtual environment, and a disk that is too small."""
    is_foreign = folder.exists() and not (folder / "pyvenv.cfg").is_file()
    if is_foreign and (folder.is_file() or any(path.is_file() for path in folder.rglob("*"))):
        raise usage_error(folder, "contains files and is not a virtual environment", "move it away")
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    needed_gb = 0 if folder.exists() else ENVIRONMENTS[name].size_gb
    if free_gb < needed_gb:
        hint = f"free some space, or set {FOLDER_VARIABLE} to a folder on another disk"
        raise failure(folder, f"needs {needed_gb:g} GB, and {free_gb:.1f} GB are free", hint)


def _remove(folder: Path) -> None:
    """Remove an older environment: renamed first, so a kill leaves no half of it under its name."""
    with temporary_folder(folder.parent, folder.name, alone=True) as retired:
        if folder.exists():
            (folder / READY).unlink(missing_ok=True)
            folder.replace(retired / "content")


def _run(name: str, *command: str) -> None:
    code = run_attached([*_CLEAN, *command])
    if code != 0:
        program = "pip" if "pip" in command else "python -m venv"
        hint = f"its messages above give the cause; then run {setup_command(name)} again"
        raise failure(environment_dir(name), f"{program} ended with exit code {code}", hint)
