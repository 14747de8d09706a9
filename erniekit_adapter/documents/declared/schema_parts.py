"""Parts of `schema.json` in their plain form: references, unions with null and `allOf` are written out.

pydantic, zod and OpenAPI generators write `anyOf: [{type: string}, {type: null}]` or `nullable: true` for a value that
may be missing, `anyOf: [{type: number}, {type: string}]` for a Decimal, and `allOf` around a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.yaml_files import Key, LocatedFile

# Objects, lists, values, references and unions of a schema after its references are followed.
MAX_PARTS = 4000
# References in a chain.
_MAX_REFERENCES = 20
# Members of a union or of allOf.
_MAX_MEMBERS = 50
_DEFINITIONS = ("$defs", "definitions")
_UNIONS = ("anyOf", "oneOf")
# Keywords that change nothing in an answer: a value is only what the page shows.
ANNOTATIONS = frozenset({
    "$comment", "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly",
})  # fmt: skip
# Members of a union for a value that is missing; the second one is zod's.
_MISSING: tuple[Mapping[str, Any], ...] = ({"type": "null"}, {"not": {}})


class TooManyPartsError(Exception):
    """References that repeat each other make a schema of millions of fields."""


@dataclass(frozen=True)
class PlainPart:
    """A part without references and unions.

    Attributes:
        schema: its keywords.
        key: where it is defined, for error messages.
        refs: the references that led to it.
        is_nullable: whether its value may be null.
    """

    schema: dict[str, Any]
    key: Key
    refs: tuple[str, ...] = ()
    is_nullable: bool = False


@dataclass
class PartReader:
    """Makes the plain form of parts; problems are added to the file."""

    file: LocatedFile
    parts: int = 0

    def plain(self, part: Any, key: Key, refs: tuple[str, ...], level: int = 0) -> PlainPart | None:
        """Return the plain form of a part; None if it has none, with a problem.

        Raises:
            TooManyPartsError: the schema is too large after its references are followed.
        """
        found: PlainPart | None = PlainPart(part, key, refs)
        while found is not None:
            self.parts += 1
            if self.parts > MAX_PARTS:
                raise TooManyPartsError
            if not isinstance(found.schema, dict):
                finding = f"expected an object with type, found {str(found.schema)[:60]!r}"
                self.file.add(found.key, finding, 'write {"type": "string"}')
                return None
            if "$ref" in found.schema:
                found = self._followed(found)
            elif union := next((name for name in _UNIONS if name in found.schema), None):
                found = self._without_union(found, union, level)
            elif "allOf" in found.schema:
                found = self._joined(found, level)
            else:
                return self._without_nullable(found)
        return None

    def _followed(self, found: PlainPart) -> PlainPart | None:
        """Follow a reference to `#/$defs/NAME`; other references and recursion are problems."""
        name, key = str(found.schema["$ref"]), (*found.key, "$ref")
        table, _, inner = name.removeprefix("#/").partition("/")
        defs = self.file.data.get(table) if table in _DEFINITIONS and name.startswith("#/") else None
        if name == "#" or name in found.refs:
            self.file.add(key, f"{name[:80]!r} contains itself", "an answer has a fixed depth: write the levels out")
            return None
        if not isinstance(defs, dict) or inner not in defs:
            self.file.add(key, f"{name[:80]!r} is not in this file", 'refer to "#/$defs/NAME"')
            return None
        if len(found.refs) > _MAX_REFERENCES:
            self.file.add(key, "a chain of too many references", "refer to the last one")
            return None
        target, refs = defs[inner], (*found.refs, name)
        beside = _without(found.schema, "$ref")
        if not isinstance(target, dict):
            return PlainPart(target, (table, inner), refs)
        # A problem is shown in the definition, unless keywords beside the reference can be the cause.
        place = found.key if set(beside) - ANNOTATIONS else (table, inner)
        schema = self._merged(target, beside, found.key)
        return None if schema is None else PlainPart(schema, place, refs, found.is_nullable)

    def _without_union(self, found: PlainPart, union: str, level: int) -> PlainPart | None:
        """Return the one part of a union beside null; of a number and its text, as pydantic has Decimal, the number."""
        key, choices = (*found.key, union), found.schema[union]
        if not isinstance(choices, list) or not 0 < len(choices) <= _MAX_MEMBERS:
            self.file.add(key, f"found {str(choices)[:60]!r}", "write one type, or a list of a type and null")
            return None
        if level >= _MAX_REFERENCES:
            self.file.add(key, "too many unions in each other", "write one type")
            return None
        given = [(index, each) for index, each in enumerate(choices) if each not in _MISSING]
        parts = [self.plain(each, (*key, index), found.refs, level + 1) for index, each in given]
        plain = [part for part in parts if part is not None]
        if len(plain) < len(given):
            return None
        chosen = _decimal_of(plain) if len(plain) > 1 else plain[0] if plain else None
        if chosen is None:
            types = ", ".join(str(part.schema.get("type", "?"))[:20] for part in plain[:8]) or "null"
            hint = "use one type beside null: number for an amount, string for a name or the number of a document"
            self.file.add(key, f"a value of several types: {types}"[:200], hint)
            return None
        is_nullable = found.is_nullable or len(given) < len(choices) or any(part.is_nullable for part in plain)
        schema = self._merged(chosen.schema, _without(found.schema, union), found.key)
        return None if schema is None else PlainPart(schema, chosen.key, chosen.refs, is_nullable)

    def _joined(self, found: PlainPart, level: int) -> PlainPart | None:
        """Return the parts of `allOf` as one: their properties together."""
        key, members = (*found.key, "allOf"), found.schema["allOf"]
        if not isinstance(members, list) or not 0 < len(members) <= _MAX_MEMBERS or level >= _MAX_REFERENCES:
            self.file.add(key, f"found {str(members)[:60]!r}", "write the keywords without allOf")
            return None
        whole: dict[str, Any] = {}
        refs, is_nullable = found.refs, True
        for index, member in enumerate(members):
            plain = self.plain(member, (*key, index), found.refs, level + 1)
            schema = None if plain is None else self._merged(whole, plain.schema, (*key, index))
            if plain is None or schema is None:
                return None
            whole, refs = schema, (*refs, *plain.refs[len(found.refs) :])
            is_nullable = is_nullable and plain.is_nullable
        schema = self._merged(whole, _without(found.schema, "allOf"), found.key)
        return None if schema is None else PlainPart(schema, found.key, refs, found.is_nullable or is_nullable)

    def _without_nullable(self, found: PlainPart) -> PlainPart:
        """Return a part without `nullable: true` of OpenAPI and without null in its type and values."""
        schema, is_nullable = found.schema, found.is_nullable
        if isinstance(schema.get("nullable"), bool):
            is_nullable |= schema["nullable"]
            schema = _without(schema, "nullable")
        for name in ("type", "enum"):
            values = schema.get(name)
            null = "null" if name == "type" else None
            if isinstance(values, list) and null in values and len(values) > 1:
                is_nullable = True
                rest = [value for value in values if value != null]
                schema = {**schema, name: rest[0] if name == "type" and len(rest) == 1 else rest}
        return PlainPart(schema, found.key, found.refs, is_nullable)

    def _merged(self, first: Mapping[str, Any], second: Mapping[str, Any], key: Key) -> dict[str, Any] | None:
        """Return the keywords of two parts that a value must both match; None if they differ, with a problem.

        Of annotations and our own keywords the second one counts, because it is beside the reference.
        """
        found = dict(first)
        for name, value in second.items():
            old = found.get(name)
            if name == "properties" and isinstance(old, dict) and isinstance(value, dict):
                twice = sorted(str(each) for each in old.keys() & value.keys() if old[each] != value[each])
                if twice:
                    self.file.add((*key, name), f"{twice[0][:80]!r} is defined in two ways", "define it once")
                    return None
                found[name] = {**old, **value}
            elif name == "required" and isinstance(old, list) and isinstance(value, list):
                found[name] = [*old, *(each for each in value if each not in old)]
            elif name in found and old != value and name not in ANNOTATIONS and not name.startswith(("x-", "$")):
                self.file.add((*key, name), f"found {str(value)[:60]!r} beside {str(old)[:60]!r}", "write one of them")
                return None
            else:
                found[name] = value
        return found


def _decimal_of(parts: list[PlainPart]) -> PlainPart | None:
    """Return the number of a union of numbers, or of a number and its text; None for other unions."""
    numbers = [part for part in parts if part.schema.get("type") == "number"]
    others = [part for part in parts if part.schema.get("type") != "number"]
    allowed = all(
        part.schema.get("type") in ("integer", "string") and not part.schema.keys() & {"enum", "const", "format"}
        for part in others
    )
    return numbers[0] if len(numbers) == 1 and allowed else None


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in schema.items() if each != name}
