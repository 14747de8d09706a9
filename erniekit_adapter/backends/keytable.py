"""Every key that a version of a toolkit accepts, with type and default, and the check of settings against it.

ERNIEKit ignores a key it does not know, and neither toolkit converts anything, so both are caught before one starts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from erniekit_adapter.errors import Problem, misuse
from erniekit_adapter.project.toolkit_sections import Backend

Command = Literal["train", "export"]
TOOLKIT_NAMES: Mapping[Backend, str] = {"erniekit": "ERNIEKit", "paddleformers": "PaddleFormers"}
# What `make setup-…` installs, and what settings are for while no toolkit is found.
DEFAULT_VERSIONS: Mapping[Backend, str] = {"erniekit": "1.0.1", "paddleformers": "1.2.0"}
# The tables by minor release: 1.0.0 takes what 1.0.1 takes.
_TABLES: Mapping[Backend, Mapping[str, str]] = {
    "erniekit": {"1.0": "1.0.1", "1.1": "1.1.0", "1.2": "1.2.0", "1.3": "1.3.0", "1.4": "1.4", "1.5": "1.5"},
    "paddleformers": {"1.0": "1.0.0", "1.1": "1.1.1", "1.2": "1.2.0"},
}
_DEVELOP = "develop-20251124"

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "IntervalStrategy": (str,),
    # ERNIEKit's modality_ratio: declared a tuple, read as the text "[1,1]".
    "tuple": (str, list),
    "StreamOptions": (dict,),
    "VisionArguments": (dict,),
    "ErniePretrainArgument": (dict,),
}


def minor_release(version: str) -> tuple[int, int]:
    """`1.4.0` and `1.4` as (1, 4), to compare; a development version is later than all.

    Raises:
        UsageError: it is no version.
    """
    if version.startswith("develop"):
        return (99, 0)
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError as error:
        raise misuse("version", f"found {version!r}, expected one such as 1.0.1 or develop") from error
    return major, minor


def table_version(version: str, backend: Backend = "erniekit") -> str:
    """The key table for a toolkit's version: that of its minor release.

    Raises:
        UsageError: no table is known for that version.
    """
    tables = _TABLES[backend]
    if backend == "erniekit" and version.startswith("develop"):
        return _DEVELOP
    if found := tables.get(".".join(version.split(".")[:2])):
        return found
    known = f"known: {min(tables)} to {max(tables)}" + (", develop" if backend == "erniekit" else "")
    raise misuse(TOOLKIT_NAMES[backend], f"version {version} is not known here", known)


@cache
def accepted_keys(version: str, command: Command, backend: Backend = "erniekit") -> Mapping[str, tuple[str, Any]]:
    """`{key: (type, default)}` of a command in a version, for example `{"lora_rank": ("int", 8)}`."""
    name = f"{backend}-{table_version(version, backend)}.json"
    table = json.loads(resources.files(__package__).joinpath("keys").joinpath(name).read_text())
    return {key: (kind, default) for key, (kind, default) in table[command].items()}


def check_settings(
    settings: Mapping[str, Any], version: str, command: Command, where: str, backend: Backend = "erniekit"
) -> list[Problem]:
    """Every key of our own settings that this version does not know or that has the wrong type; empty when all fit."""
    known = accepted_keys(version, command, backend)
    toolkit = f"{TOOLKIT_NAMES[backend]} {version}"
    problems = []
    for key, value in settings.items():
        if key not in known:
            problems.append(Problem(f"{where} {key}", f"{toolkit} has no such key", "report this as a bug"))
        elif problem := type_problem(f"{where} {key}", value, known[key][0]):
            problems.append(problem)
    return problems


def type_problem(where: str, value: object, kind: str) -> Problem | None:
    """What is wrong with the type of a value, which the toolkits take as it is; None when nothing is."""
    if isinstance(value, float) and not math.isfinite(value):
        return Problem(where, f"found {value!r}, which is no number", "write a finite one")
    if _has_type(value, kind):
        return None
    return Problem(where, f"found {value!r}, expected {_plain(kind)}", "write it so: the toolkit converts nothing")


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
    # bool is an int to Python and not to a toolkit.
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
