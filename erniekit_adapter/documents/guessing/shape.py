"""The structure that example answers share: values by path, tables, and parts that a document type cannot have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from erniekit_adapter.documents.control_tokens import neutralised

_FORBIDDEN = re.compile(r"[.\[\]?\n`]")
_MAX_LEVELS, _MAX_KEY_CHARACTERS, _NAMELESS = 6, 90, "value"


class Note(NamedTuple):
    """Something to look at: the path of a field or the text of a rule, a sentence, and a value as an example."""

    path: str
    text: str
    example: str = ""


@dataclass
class Part:
    """Everything that the examples have at one path.

    Attributes:
        path: its path in the document type.
        key: its key in the examples.
        values: (example, value) for texts, numbers and flags.
        objects: number of objects.
        lists: number of lists.
        empty: examples with null, blank text, or an empty list or object.
        was_container: whether one of these was a list or an object.
        parts: the keys of its objects, by their names in the document type.
        names: the name of each key.
        items: the elements of its lists.
        examples: indices of the examples that have a value here.
    """

    path: str
    key: str = ""
    values: list[tuple[int, Any]] = field(default_factory=list)
    objects: int = 0
    lists: int = 0
    empty: set[int] = field(default_factory=set)
    was_container: bool = False
    parts: dict[str, Part] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    items: Part | None = None
    examples: set[int] = field(default_factory=set)

    @property
    def types(self) -> list[str]:
        """JSON types of its values, in plain words."""
        found = ["object"] * bool(self.objects) + ["list"] * bool(self.lists)
        return found + sorted({_type_of(value) for _, value in self.values})


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    return "number" if isinstance(value, (int, Decimal)) else "text"


def renamed(key: str) -> str:
    """Return a key that a document type can have: printable, without points, brackets and question marks."""
    plain = "".join(character if character.isprintable() else "_" for character in key[:_MAX_KEY_CHARACTERS])
    return _FORBIDDEN.sub("_", plain).strip() or "_"


@dataclass
class AnswerShape:
    """The parts of all examples, in the order of the schema.

    Attributes:
        leaves: parts with a value, by path.
        tables: paths of lists of objects.
        notes: parts that were left out or changed, and why.
        left_out: paths in the examples that the document type cannot have.
    """

    leaves: dict[str, Part] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


def shape_of(contents: list[dict[str, Any]]) -> tuple[AnswerShape, Part]:
    """Return the shape of the contents of examples, and the part at their root."""
    root = Part("")
    for index, content in enumerate(contents):
        _add(root, content, index)
    shape = AnswerShape()
    _collect(root, shape, len(contents), levels=0)
    return shape, root


def _add(part: Part, value: Any, example: int) -> None:
    if value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip()):
        part.empty.add(example)
        part.was_container = part.was_container or isinstance(value, (list, dict))
        return
    part.examples.add(example)
    if isinstance(value, dict):
        part.objects += 1
        prefix = f"{part.path}." if part.path else ""
        for key, inner in value.items():
            name = _name_in(part, key)
            _add(part.parts.setdefault(name, Part(f"{prefix}{name}", key)), inner, example)
    elif isinstance(value, list):
        part.lists += 1
        part.items = part.items or Part(f"{part.path}[]", part.key)
        for item in value:
            _add(part.items, item, example)
    else:
        part.values.append((example, value))


def _name_in(part: Part, key: str) -> str:
    """Return the name of a key; the names of two keys never differ only in case, accents, blanks or signs."""
    if (known := part.names.get(key)) is not None:
        return known
    base = renamed(key)
    base = base if _comparable(base) and neutralised(base) == base else _NAMELESS
    name, number = base, 2
    taken = {_comparable(other) for other in part.parts}
    while _comparable(name) in taken:
        name, number = f"{base}_{number}", number + 1
    part.names[key] = name
    return name


def _comparable(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in plain if character.isalnum()).removeprefix("field")


def _collect(part: Part, shape: AnswerShape, count: int, levels: int) -> None:
    """Add the leaves of a part to the shape, in order; notes name everything that is left out."""
    for name, inner in part.parts.items():
        if inner.key != name:
            shown = repr(inner.key[:_MAX_KEY_CHARACTERS])
            text = (
                f"the key {shown} was renamed: its signs are not allowed, or another key differs only in signs or case"
            )
            shape.notes.append(Note(inner.path, text))
        _place(inner, shape, count, levels)


def _place(part: Part, shape: AnswerShape, count: int, levels: int) -> None:
    kinds = [bool(part.values), bool(part.objects), part.items is not None]
    if levels > _MAX_LEVELS:
        _leave_out(part, shape, f"nested more than {_MAX_LEVELS} levels deep")
    elif not any(kinds):
        if part.was_container or not part.empty:
            _leave_out(part, shape, "an empty list or object in every example: its content is unknown")
        else:
            shape.leaves[part.path] = part
    elif part.items is not None and part.values:
        _merge_single_values(part, shape)
        _place_list(part, shape, count, levels)
    elif sum(kinds) == 1 and part.values:
        shape.leaves[part.path] = part
    elif part.items is not None:
        if part.objects:
            _merge_single_object(part, shape)
        _place_list(part, shape, count, levels)
    elif part.values:
        _leave_out(part, shape, f"values of several kinds: {', '.join(part.types)}")
    else:
        _collect(part, shape, count, levels + 1)


def _place_list(part: Part, shape: AnswerShape, count: int, levels: int) -> None:
    items = part.items
    if items is None:
        return
    if "[]" in part.path:
        _leave_out(part, shape, "a list inside the rows of a list: repeat the outer values in each row")
    elif items.items is not None:
        _leave_out(part, shape, "a list of lists: use a list of objects")
    elif items.objects and items.values:
        _leave_out(part, shape, f"rows of several kinds: {', '.join(items.types)}")
    elif items.objects:
        shape.tables.append(part.path)
        _collect(items, shape, count, levels + 1)
    elif items.values:
        shape.leaves[items.path] = items
    else:
        _leave_out(part, shape, "a list of nulls or empty objects")


def _merge_single_object(part: Part, shape: AnswerShape) -> None:
    """Take an object as a list with one row, as converters from XML write it."""
    shape.notes.append(Note(part.path, "a list in some examples and one object in others: the object becomes one row"))
    items = part.items or Part(f"{part.path}[]", part.key)
    part.items, items.objects = items, items.objects + part.objects
    _merge_parts(items, part.parts, items.path)
    part.parts, part.objects = {}, 0


def _merge_single_values(part: Part, shape: AnswerShape) -> None:
    shape.notes.append(Note(part.path, "a list in some examples and one value in others: the value becomes a list"))
    items = part.items or Part(f"{part.path}[]", part.key)
    part.items = items
    items.values += part.values
    items.examples |= part.examples
    part.values = []


def _merge_parts(target: Part, parts: dict[str, Part], prefix: str) -> None:
    for name, part in parts.items():
        inner = target.parts.setdefault(name, Part(f"{prefix}.{name}", part.key))
        inner.values += part.values
        inner.objects += part.objects
        inner.lists += part.lists
        inner.examples |= part.examples
        inner.empty |= part.empty
        inner.was_container = inner.was_container or part.was_container
        if part.items is not None:
            inner.items = part.items
        _merge_parts(inner, part.parts, inner.path)


def _leave_out(part: Part, shape: AnswerShape, reason: str) -> None:
    shape.left_out.add(part.path)
    shape.notes.append(Note(part.path, f"left out of the type: {reason}"))


def strings_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)
