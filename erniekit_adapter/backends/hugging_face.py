"""Finding Hugging Face transformers with PEFT: what reads a bundle's `peft` and `merged-hf` forms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.backends.installed import PROJECT_ROOT
from erniekit_adapter.backends.probing import probe_python

VARIABLE = "TRANSFORMERS_PYTHON"
# The environments that `make setup-…` makes, by the major version of transformers in them.
_MADE = {4: "transformers", 5: "transformers5"}


@dataclass(frozen=True)
class Transformers:
    """An environment with torch, transformers and PEFT.

    Attributes:
        python: its interpreter.
        version: transformers' version.
        peft: PEFT's version.
    """

    python: Path
    version: str
    peft: str

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"transformers {self.version}, PEFT {self.peft}"

    def worker(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of our workers in this environment."""
        return [str(self.python), "-m", f"erniekit_adapter.workers.{name}", *arguments]

    def environment(self) -> Mapping[str, str]:
        """The variables that a worker needs; nothing is fetched from the hub."""
        paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }


def find_transformers(*majors: int) -> Transformers | str:
    """The first usable environment with transformers of one of these major versions, or why there is none.

    Looked at are TRANSFORMERS_PYTHON, then what `make setup-transformers` and `make setup-transformers5` make.
    """
    named = os.environ.get(VARIABLE)
    places = [(VARIABLE, Path(named))] if named else []
    for major in majors:
        folder = f".venvs/{_MADE[major]}"
        places.append((folder, PROJECT_ROOT / folder / "bin" / "python"))
    wrong = []
    for found_by, python in places:
        found = _examined(python, majors)
        if isinstance(found, Transformers):
            return found
        wrong.append(f"{found_by}: {found}")
    return "; ".join(wrong)


def setup_remedy(*majors: int) -> str:
    """What to do where there is none."""
    return f"run make setup-{_MADE[majors[0]]}, or name an environment in {VARIABLE}"


def _examined(python: Path, majors: tuple[int, ...]) -> Transformers | str:
    if not python.exists():
        return "is not there"
    installed = probe_python(python)
    if isinstance(installed, str):
        return installed
    versions = installed.versions
    if missing := [name for name in ("torch", "transformers", "peft") if not versions.get(name)]:
        return f"lacks {', '.join(missing)}"
    version, peft = str(versions["transformers"]), str(versions["peft"])
    if int(version.partition(".")[0]) not in majors:
        return f"has transformers {version}, wanted is {' or '.join(map(str, majors))}"
    return Transformers(python, version, peft)
