"""Finding Hugging Face transformers with PEFT: what reads a bundle's `peft` and `merged-hf` forms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.backends.installed import PROJECT_ROOT
from erniekit_adapter.backends.probing import probe_python
from erniekit_adapter.backends.variables import without_secrets

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
    def major(self) -> int:
        """The first number of its version."""
        return int(self.version.partition(".")[0])

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"transformers {self.version}, PEFT {self.peft}"

    def worker(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of our workers in this environment."""
        return [str(self.python), "-m", f"erniekit_adapter.workers.{name}", *arguments]

    def environment(self) -> Mapping[str, str]:
        """The variables that a worker needs, without secrets; nothing is fetched from the hub."""
        paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **without_secrets(os.environ),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }


def find_transformers(*majors: int) -> Transformers | str:
    """The first usable environment with transformers of one of these major versions, or why there is none.

    Looked at are TRANSFORMERS_PYTHON, then what `make setup-transformers` and `make setup-transformers5` make. One that
    the user named is passed over for its version alone; broken, it is not replaced in silence.
    """
    wrong = []
    if named := os.environ.get(VARIABLE):
        found = _examined(Path(named))
        if isinstance(found, str):
            return f"{VARIABLE}: {found}"
        if found.major in majors:
            return found
        wrong.append(f"{VARIABLE}: has transformers {found.version}")
    for major in majors:
        folder = f".venvs/{_MADE[major]}"
        found = _examined(PROJECT_ROOT / folder / "bin" / "python")
        if isinstance(found, Transformers) and found.major in majors:
            return found
        wrong.append(f"{folder}: {found if isinstance(found, str) else f'has transformers {found.version}'}")
    return "; ".join(wrong)


def setup_remedy(*majors: int) -> str:
    """What to do where there is none."""
    if os.environ.get(VARIABLE):
        return f"correct {VARIABLE}, or unset it"
    return f"run make setup-{_MADE[majors[0]]}, or set {VARIABLE}"


def _examined(python: Path) -> Transformers | str:
    if not python.exists():
        return f"{python} is not there"
    installed = probe_python(python)
    if isinstance(installed, str):
        return installed
    versions = installed.versions
    if missing := [name for name in ("torch", "transformers", "peft") if not versions.get(name)]:
        return f"lacks {', '.join(missing)}"
    return Transformers(python, str(versions["transformers"]), str(versions["peft"]))
