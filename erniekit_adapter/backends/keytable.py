"""Every key that a version of ERNIEKit accepts, with type and default, and the check of settings against it.

ERNIEKit ignores a key it does not know and converts nothing, so both are caught here, before it starts.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from erniekit_adapter.errors import Problem, misuse

Command = Literal["train", "export"]
# Releases of one table: 1.0.0 takes what 1.0.1 takes.
_TABLE_OF_VERSION = {"1.0.0": "1.0.1", "1.0.1": "1.0.1", "1.1.0": "1.1.0", "1.2.0": "1.2.0", "1.3.0": "1.3.0"}
DEFAULT_VERSION = "1.0.1"

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "List[str]": (list,),
    "IntervalStrategy": (str,),
}


def table_version(version: str) -> str:
    """The key table for an installed version: its own, or that of its minor release.

    Raises:
        UsageError: no table is known for that version.
    """
    if version in _TABLE_OF_VERSION:
        return _TABLE_OF_VERSION[version]
    minor = ".".join(version.split(".")[:2])
    if minor in ("1.4", "1.5"):
        return minor
    near = next((known for release, known in _TABLE_OF_VERSION.items() if release.startswith(f"{minor}.")), None)
    if near is None:
        raise misuse("ERNIEKit", f"version {version} is not known here", "known: 1.0.0 to 1.5")
    return near


@cache
def accepted_keys(version: str, command: Command) -> Mapping[str, tuple[str, Any]]:
    """`{key: (type, default)}` of a command in a version, for example `{"lora_rank": ("int", 8)}`."""
    name = f"erniekit-{table_version(version)}.json"
    table = json.loads(resources.files(__package__).joinpath("keys").joinpath(name).read_text())
    return {key: (kind, default) for key, (kind, default) in table[command].items()}


def check_settings(settings: Mapping[str, Any], version: str, command: Command, where: str) -> list[Problem]:
    """Every key of `settings` that this version does not know or that has the wrong type; empty when all are right."""
    known = accepted_keys(version, command)
    problems = []
    for key, value in settings.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
            remedy = f"did you mean {near[0]}?" if near else f"remove it: ERNIEKit {version} would ignore it"
            problems.append(Problem(f"{where} {key}", f"ERNIEKit {version} has no such key", remedy))
        elif not _has_type(value, known[key][0]):
            expected = known[key][0]
            problems.append(Problem(f"{where} {key}", f"found {value!r}, expected {expected}", "nothing is converted"))
    return problems


def _has_type(value: object, kind: str) -> bool:
    optional = kind.startswith("Optional[")
    bare = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
    if value is None:
        return optional
    types = _PYTHON_TYPES.get(bare)
    if types is None:
        return True
    # bool is an int to Python and not to ERNIEKit.
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
