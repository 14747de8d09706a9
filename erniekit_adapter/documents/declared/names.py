"""Names of fields: each role, alias and key of a document type means one field."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import BaseModel

from erniekit_adapter.documents.declared.schema_file import SchemaFields
from erniekit_adapter.documents.field_names import name_key
from erniekit_adapter.yaml_files import LocatedFile


def attribute_name(key: str) -> str:
    """Return the Python name of a key: its own if possible, `unit_price` for `unit price`."""
    name = re.sub(r"\W", "_", key).lstrip("_") or "value"
    return f"field_{name}" if name[0].isdigit() or hasattr(BaseModel, name) else name


def check_names(file: LocatedFile, found: SchemaFields) -> None:
    """Check that each role has one field, and that no name means two fields."""
    _check_roles(file, found)
    _check_keys(file, found, name_key, "differs from {other} only in case, accents, blanks or signs")
    _check_keys(file, found, attribute_name, "has the Python name of {other}, {name}")
    _check_aliases(file, found)


def _check_roles(file: LocatedFile, found: SchemaFields) -> None:
    roles: dict[str, str] = {}
    for path, each in found.fields.items():
        if each.role is not None and (other := roles.setdefault(each.role, path)) != path:
            file.add((*found.keys[path], "x-role"), f"{each.role} is the role of {other} too", "give it to one field")


def _check_keys(file: LocatedFile, found: SchemaFields, name_of: Callable[[str], str], finding: str) -> None:
    """Check that the keys of each object have different names."""
    seen: dict[tuple[str, str], str] = {}
    reported: set[str] = set()
    for path in found.fields:
        parts = path.split(".")
        for size, part in enumerate(parts, start=1):
            key, parent = part.removesuffix("[]"), ".".join(parts[: size - 1])
            other = seen.setdefault((parent, name_of(key)), key)
            if other != key and (whole := ".".join(parts[:size])) not in reported:
                reported.add(whole)
                file.add(found.keys[path], finding.format(other=other, name=name_of(key)), f"rename {key}")


def _check_aliases(file: LocatedFile, found: SchemaFields) -> None:
    """Check that an alias is neither the name nor an alias of another field of its table."""
    own: dict[tuple[str | None, str], str] = {}
    for path, each in found.fields.items():
        own.setdefault((each.table, name_key(each.name)), path)
    names: dict[tuple[str | None, str], str] = {}
    for path, each in found.fields.items():
        for alias in each.aliases:
            key = (each.table, name_key(alias))
            other = own.get(key, path)
            if other != path and name_key(each.name) != key[1]:
                hint = "remove the alias, or rename the field"
                file.add((*found.keys[path], "x-aliases"), f"{alias!r} is the name of {other}", hint)
            elif (other := names.setdefault(key, path)) != path:
                file.add((*found.keys[path], "x-aliases"), f"{alias!r} is a name of {other} too", "remove it there")
