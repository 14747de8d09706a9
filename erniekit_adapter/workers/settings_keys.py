"""Print every key that a toolkit's settings accept, with type and default, as JSON: `… settings_keys erniekit`.

The keys are the fields of the dataclasses that the toolkit's own parser fills. Types are written as in the toolkit's
source, without the names of modules.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import importlib
import importlib.metadata
import json
import re
from typing import Any

PARSERS = {"erniekit": "erniekit.hparams.parser", "paddleformers": "paddleformers.cli.hparams.parser"}
# The parser's lists of dataclasses by command.
COMMANDS = {"train": "_TRAIN_ARGS", "export": "_EXPORT_ARGS"}
_MODULE = re.compile(r"\b(?:[a-z_]\w*\.)+")


def type_name(declared: object) -> str:
    """Return a declared type as it is written: `int`, `Optional[List[str]]`, `IntervalStrategy`."""
    if isinstance(declared, type) and not getattr(declared, "__args__", None):
        return declared.__name__
    text = _MODULE.sub("", str(declared))
    union = re.fullmatch(r"Union\[(.+), NoneType\]", text)
    return f"Optional[{union[1]}]" if union else text


def plain(value: Any) -> Any:
    """Return a default that JSON can keep: the value of an enumeration, the name of a dataclass."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"dataclass": type(value).__name__}
    return value


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field; None if it has none."""
    if field.default is not dataclasses.MISSING:
        return plain(field.default)
    return plain(field.default_factory()) if field.default_factory is not dataclasses.MISSING else None


def keys_of(classes: list[Any]) -> dict[str, tuple[str, Any]]:
    """Return `{key: (type, default)}` of the fields that a parser sets; of equal names the first counts."""
    keys: dict[str, tuple[str, Any]] = {}
    for field in (field for each in classes for field in dataclasses.fields(each) if field.init):
        keys.setdefault(field.name, (type_name(field.type), default_of(field)))
    return dict(sorted(keys.items()))


def version_of(name: str) -> str | None:
    """Return the version of a distribution; None if it is not installed, like a checkout on the path."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Run the command line."""
    options = argparse.ArgumentParser(description="Keys that a toolkit's settings accept.")
    options.add_argument("toolkit", choices=PARSERS)
    toolkit = options.parse_args().toolkit
    parser = importlib.import_module(PARSERS[toolkit])
    names = ("erniekit", "paddleformers") if toolkit == "erniekit" else ("paddleformers",)
    versions = {name: version_of(name) for name in names}
    print(json.dumps(versions | {command: keys_of(getattr(parser, name)) for command, name in COMMANDS.items()}))


if __name__ == "__main__":
    main()
