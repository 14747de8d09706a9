"""Decision whether a local model's answers are limited to the schema of their document type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.backends.environments.catalogue import requirements_file
from erniekit_adapter.errors import usage_error
from erniekit_adapter.project.schema import Structured

LIBRARY = "llguidance"


@dataclass(frozen=True)
class StructuredAnswers:
    """The decision for some answers.

    Attributes:
        schema: the JSON Schema that the answers must match, as text; None if they may be any text.
        library: name and version of the library that limits them; None if no library does.
        note: why the answers are not limited although the setting is auto; else empty.
    """

    schema: str | None = None
    library: str | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the entry `structured` of `results.json`."""
        return {"used": self.schema is not None, "library": self.library}


def structured_answers(
    setting: Structured,
    schema: Mapping[str, Any],
    python: Path,
    versions: Mapping[str, str | None],
    key: str = "evaluate.structured",
) -> StructuredAnswers:
    """Decide whether answers must match a schema.

    Args:
        setting: off, auto or require.
        schema: the JSON Schema of the answer.
        python: interpreter of the environment that the model runs in.
        versions: versions of the distributions of this environment, by name.
        key: key of the setting, for errors.

    Raises:
        UsageError: a schema is required, and the environment lacks the library.
    """
    if setting == "off":
        return StructuredAnswers()
    version = versions.get(LIBRARY)
    if version:
        return StructuredAnswers(orjson.dumps(schema).decode(), f"{LIBRARY} {version}")
    finding, hint = f"the environment of {python} lacks {LIBRARY}", install_command(python)
    if setting == "require":
        raise usage_error(key, f"found require, but {finding}", f"run {hint}")
    return StructuredAnswers(note=f"{finding}, so answers may be any text; to limit them to the schema, run {hint}")


def install_command(python: Path) -> str:
    """Return the command that adds the library to an existing environment."""
    # The environments with the library have the same version of it.
    lines = requirements_file("erniekit").read_text(encoding="utf-8").splitlines()
    return f"{python} -m pip install {next(line for line in lines if line.startswith(LIBRARY))}"
