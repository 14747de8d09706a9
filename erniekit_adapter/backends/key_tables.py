"""The keys that a version of a toolkit accepts, with type and default, and the check of settings against them.

ERNIEKit ignores an unknown key, and neither toolkit converts values, so both mistakes are found before one starts.
`read_keys` makes a table from an installed toolkit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.architectures.toolkits import (
    DEVELOPMENT,
    RELEASES,
    TOOLKIT_NAMES,
    Backend,
    release_of,
)
from erniekit_adapter.errors import Problem, usage_error

Command = Literal["train", "export"]
TABLES_FOLDER = Path(__file__).with_name("keys")

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "IntervalStrategy": (str,),
    # ERNIEKit's modality_ratio is declared as a tuple and read as the text "[1,1]".
    "tuple": (str, list),
    "StreamOptions": (dict,),
    "VisionArguments": (dict,),
    "ErniePretrainArgument": (dict,),
}


def table_version(version: str, backend: Backend = "erniekit") -> str:
    """Return the name of the key table for a version of a toolkit: that of its minor release.

    Raises:
        UsageError: that version has none.
    """
    if found := release_of(version, backend):
        return found.key_table
    tables = RELEASES[backend]
    known = f"known: {min(tables)} to {max(tables)}" + (", develop" if backend in DEVELOPMENT else "")
    raise usage_error(TOOLKIT_NAMES[backend], f"version {version} is not known here", known)


@cache
def accepted_keys(version: str, command: Command, backend: Backend = "erniekit") -> Mapping[str, tuple[str, Any]]:
    """Return `{key: (type, default)}` of a command in a version, for example `{"lora_rank": ("int", 8)}`."""
    path = TABLES_FOLDER / f"{backend}-{table_version(version, backend)}.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    return {key: (kind, default) for key, (kind, default) in table[command].items()}


def check_settings(
    settings: Mapping[str, Any], version: str, command: Command, location: str, backend: Backend = "erniekit"
) -> list[Problem]:
    """Return a problem for each setting of ours that this version does not know or that has the wrong type."""
    known = accepted_keys(version, command, backend)
    toolkit = f"{TOOLKIT_NAMES[backend]} {version}"
    problems = []
    for key, value in settings.items():
        if key not in known:
            problems.append(Problem(f"{location} {key}", f"{toolkit} has no such key", "report this as a bug"))
        elif problem := type_problem(f"{location} {key}", value, known[key][0]):
            problems.append(problem)
    return problems


def type_problem(location: str, value: object, kind: str) -> Problem | None:
    """Return a problem if a value has the wrong type, as the toolkits do not convert values; else None."""
    if isinstance(value, float) and not math.isfinite(value):
        return Problem(location, f"found {value!r}, which is not a finite number", "write a finite number")
    if _has_type(value, kind):
        return None
    return Problem(location, f"found {value!r}, expected {_plain(kind)}", "change its type")


def _plain(kind: str) -> str:
    names = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
    bare = kind.removeprefix("Optional[").removesuffix("]") if kind.startswith("Optional[") else kind
    return f"{names.get(bare, bare)} ({kind})"


def _has_type(value: object, kind: str) -> bool:
    optional = kind.startswith("Optional[")
    bare = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
    if value is None:
        return optional
    if bare.startswith(("List[", "list[")):
        return isinstance(value, list)
    if bare.startswith("dict["):
        return isinstance(value, dict)
    types = _PYTHON_TYPES.get(bare)
    if types is None:
        return True
    # bool is an int for Python, but not for a toolkit.
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
