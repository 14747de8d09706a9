"""Finding Hugging Face transformers with PEFT, which reads bundles in the formats `peft` and `merged-hf`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from erniekit_adapter.backends.environments.catalogue import (
    environment_label,
    environment_python,
    is_incomplete,
    setup_command,
)
from erniekit_adapter.backends.environments.probing import probe_python
from erniekit_adapter.backends.environments.variables import toolkit_variables, worker_command

VARIABLE = "TRANSFORMERS_PYTHON"
# Our environments by the major version of transformers in them.
_ENVIRONMENTS = {4: "transformers", 5: "transformers5"}


@dataclass(frozen=True)
class Transformers:
    """An environment with torch, transformers and PEFT.

    Attributes:
        python: its interpreter.
        version: version of transformers.
        peft: version of PEFT.
        versions: versions of the distributions that matter, by name.
    """

    python: Path
    version: str
    peft: str
    versions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """Major version of transformers."""
        return int(self.version.partition(".")[0])

    @property
    def name(self) -> str:
        """Name in reports: `transformers 4.57.6, PEFT 0.21.2`."""
        return f"transformers {self.version}, PEFT {self.peft}"

    def worker(self, name: str, *arguments: str) -> list[str]:
        """Return the command line that runs a worker of this package in the environment."""
        return worker_command(self.python, name, *arguments)

    def environment(self) -> Mapping[str, str]:
        """Return the variables of a worker: no secrets, no downloads from the hub."""
        return toolkit_variables() | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def find_transformers(*majors: int) -> Transformers | str:
    """Return the first usable environment with transformers of one of these major versions, or why none is usable.

    The interpreter in TRANSFORMERS_PYTHON comes first, then the environments `transformers` and `transformers5`. If the
    user's has another major version, the search continues; if it is broken, the search ends with its problem.
    """
    problems = []
    if named := os.environ.get(VARIABLE):
        found = _probe(Path(named))
        if isinstance(found, str):
            return f"{VARIABLE}: {found}"
        if found.major in majors:
            return found
        problems.append(f"{VARIABLE}: has transformers {found.version}")
    for major in majors:
        name = _ENVIRONMENTS[major]
        found = "its setup did not finish" if is_incomplete(name) else _probe(environment_python(name))
        if isinstance(found, Transformers) and found.major in majors:
            return found
        problem = found if isinstance(found, str) else f"has transformers {found.version}"
        problems.append(f"{environment_label(name)}: {problem}")
    return "; ".join(problems)


def setup_hint(*majors: int) -> str:
    """Return how to get an environment with transformers of one of these major versions."""
    if os.environ.get(VARIABLE):
        return f"correct {VARIABLE}, or unset it"
    return f"run {setup_command(_ENVIRONMENTS[majors[0]])}, or set {VARIABLE}"


def _probe(python: Path) -> Transformers | str:
    installed = probe_python(python, with_requirements=False)
    if isinstance(installed, str):
        return installed
    versions = installed.versions
    if missing := [name for name in ("torch", "transformers", "peft") if not versions.get(name)]:
        return f"lacks {', '.join(missing)}"
    return Transformers(python, str(versions["transformers"]), str(versions["peft"]), versions)
