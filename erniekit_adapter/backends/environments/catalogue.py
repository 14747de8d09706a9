"""The environments that `erniekit-adapter setup` makes: purpose, size and folder of each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.architectures.toolkits import DEFAULT_VERSIONS

# PaddlePaddle has wheels for these versions of Python, and ERNIEKit's documentation names them.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
# The folder that contains this package: the top of a checkout, or site-packages of an installed copy.
PROJECT_ROOT = Path(__file__).resolve().parents[3]
# A folder for all environments; it comes before the default places.
FOLDER_VARIABLE = "ERNIEKIT_ADAPTER_VENVS"
# Written last, with the sha256 of the requirements: an environment without it is incomplete.
READY = ".ready"


@dataclass(frozen=True)
class ToolkitEnvironment:
    """A virtual environment with a toolkit in it.

    Attributes:
        name: its name and the name of its folder.
        purpose: its contents and its use, in words.
        size_gb: its size on disk, in 10^9 bytes.
    """

    name: str
    purpose: str
    size_gb: float


_ERNIEKIT, _PADDLEFORMERS = DEFAULT_VERSIONS["erniekit"], DEFAULT_VERSIONS["paddleformers"]
ENVIRONMENTS: Mapping[str, ToolkitEnvironment] = {
    each.name: each
    for each in (
        ToolkitEnvironment("erniekit", f"ERNIEKit {_ERNIEKIT} and PaddlePaddle: train ERNIE 4.5", 2.8),
        ToolkitEnvironment("transformers", "transformers 4, torch and PEFT: check and serve bundles", 1.1),
        ToolkitEnvironment(
            "paddleformers", f"PaddleFormers {_PADDLEFORMERS}, ERNIEKit's successor: train PaddleOCR-VL", 3.1
        ),
        ToolkitEnvironment("transformers5", "transformers 5: check bundles of PaddleOCR-VL and MoE models", 1.2),
        ToolkitEnvironment("erniekit13", "ERNIEKit 1.3.0, incomplete: only its settings parser, for tests", 2.9),
    )
}


def is_checkout() -> bool:
    """Return whether this package runs from a checkout of the repository, not from an installed copy."""
    return (PROJECT_ROOT / "pyproject.toml").is_file()


def environment_dir(name: str) -> Path:
    """Return the folder of an environment, which need not exist.

    It is `$ERNIEKIT_ADAPTER_VENVS/NAME` if that variable is set, `.venvs/NAME` in a checkout, and otherwise
    `$XDG_CACHE_HOME/erniekit-adapter/venvs/NAME` (`~/.cache/erniekit-adapter/venvs/NAME`).
    """
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder).expanduser().absolute() / name
    if is_checkout():
        return PROJECT_ROOT / ".venvs" / name
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "erniekit-adapter" / "venvs" / name


def environment_python(name: str) -> Path:
    """Return the interpreter of an environment, which need not exist."""
    return environment_dir(name) / "bin" / "python"


def environment_label(name: str) -> str:
    """Return the folder of an environment for reading: relative to the checkout or to the home folder."""
    folder = environment_dir(name)
    if folder.is_relative_to(PROJECT_ROOT):
        return str(folder.relative_to(PROJECT_ROOT))
    return f"~/{folder.relative_to(Path.home())}" if folder.is_relative_to(Path.home()) else str(folder)


def is_incomplete(name: str) -> bool:
    """Return whether an environment was begun and not finished."""
    return environment_dir(name).is_dir() and not (environment_dir(name) / READY).is_file()


def requirements_file(name: str) -> Path:
    """Return the file with the exact versions of an environment's packages."""
    return Path(__file__).resolve().parents[1] / "requirements" / f"{name}.txt"


def setup_command(name: str) -> str:
    """Return the command that makes an environment, for hints."""
    return f"erniekit-adapter setup {name}"
