"""Values of `schema.json`: kind, names, choices and limits of one field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.declared.schema_parts import ANNOTATIONS
from erniekit_adapter.documents.fields import KINDS, NUMBER_KINDS, ROLES, Field, Kind, Role
from erniekit_adapter.documents.patterns import read_pattern
from erniekit_adapter.yaml_files import Key, LocatedFile

MAX_ALIASES, MAX_CHOICES, MAX_CHARACTERS = 50, 500, 200
VALUE_KEYWORDS = ANNOTATIONS | {
    "type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "x-kind", "x-aliases", "x-role", "x-percent", "x-printed", "x-signed",
}  # fmt: skip
# Formats of texts that a page prints as they are; of numbers, a format is the size in memory.
_FORMATS: Mapping[str, Kind] = {
    "date": "date",
    "time": "text",
    **dict.fromkeys(("email", "idn-email", "uri", "url", "uri-reference", "iri", "hostname", "uuid"), "identifier"),
    "decimal": "quantity",
}
# The pattern that pydantic writes for a Decimal as text; it has look-around, and our numbers are stricter.
_DECIMAL_PATTERN = "^(?!^[-+.]*$)[+-]?0*"
_TYPES_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "flag": ("boolean",),
    **dict.fromkeys(NUMBER_KINDS, ("number", "integer", "string")),
}
_KIND_OF_TYPE: Mapping[str, Kind] = {"boolean": "flag", "number": "quantity", "integer": "quantity", "string": "text"}
# The kinds of the fields with a role.
_KINDS_OF_ROLE: Mapping[Role, tuple[Kind, ...]] = {
    "total": ("amount",),
    "currency": ("currency", "code"),
    "quantity": ("quantity",),
    "unit_price": ("amount",),
    "line_total": ("amount",),
}


@dataclass
class ValueReader:
    """Reads the keywords of one value; problems are added to the file."""

    file: LocatedFile
    part: dict[str, Any]
    key: Key
    json_type: str

    def field(self, path: str) -> Field:
        """Return the field with this path."""
        kind = self._kind()
        choices = self._choices()
        if kind == "code" and not choices:
            self._add("", "x-kind: code without enum", "list the values under enum, or use x-kind: identifier")
        elif choices and kind in ("date", "flag", *NUMBER_KINDS):
            self._add("enum", f"x-kind: {kind} with a list of values", "remove enum, or use x-kind: code")
            choices = ()
        is_percent = self._flag("x-percent", False)
        if is_percent and kind != "rate":
            self._add("x-percent", f"x-kind: {kind} is not a rate", "use x-kind: rate, or remove x-percent")
        is_signed = self._flag("x-signed", False)
        if is_signed and kind != "amount":
            self._add("x-signed", f"x-kind: {kind} is not an amount", "use x-kind: amount, or remove x-signed")
        return Field(
            path,
            kind,
            title=self._line("title"),
            aliases=self._names("x-aliases", MAX_ALIASES),
            role=self._role(path, kind),
            choices=choices,
            is_printed=self._flag("x-printed", kind != "flag"),
            is_percent=is_percent and kind == "rate",
            is_text=kind in NUMBER_KINDS and self.json_type == "string",
            is_signed=is_signed and kind == "amount",
        )

    def limits(self) -> dict[str, Any]:
        """Return the keywords that limit the value."""
        found: dict[str, Any] = {"type": "integer"} if self.json_type == "integer" else {}
        is_text, is_number = self.json_type == "string", self.json_type in ("number", "integer")
        for name in ("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if (limit := self.part.get(name)) is None:
                continue
            fits = is_text if name.endswith("Length") else is_number
            is_right = type(limit) is int and limit >= 0 if name.endswith("Length") else type(limit) in (int, float)
            if not fits:
                self._add(name, f"does not limit type {self.json_type}", "remove it, or change the type")
            elif not is_right:
                self._add(name, f"found {str(limit)[:60]!r}", "use a number")
            else:
                found[name] = limit
        for least, most in (("minLength", "maxLength"), ("minimum", "maximum")):
            if least in found and most in found and found[least] > found[most]:
                self._add(least, f"{found[least]} is above {most} {found[most]}", "exchange them")
        if "pattern" in self.part and not self._is_decimal_text() and (pattern := self._pattern()) is not None:
            found["pattern"] = pattern
        self._check_format()
        return found

    def _check_format(self) -> None:
        found = self.part.get("format")
        if found is None or self.json_type != "string" or (isinstance(found, str) and found in _FORMATS):
            return
        if found != "date-time":
            self._add("format", f"found {str(found)[:60]!r}", f"remove it, or use one of {', '.join(_FORMATS)}")
        elif "x-kind" not in self.part:
            hint = "use format: date for the day, or x-kind: text for a text as it is printed"
            self._add("format", "no page prints a date-time like this", hint)

    def _is_decimal_text(self) -> bool:
        """Return whether the part is a number that pydantic writes as text."""
        return self.json_type == "string" and str(self.part.get("pattern", "")).startswith(_DECIMAL_PATTERN)

    def _pattern(self) -> str | None:
        pattern = self.part["pattern"]
        if self.json_type != "string" or not isinstance(pattern, str):
            self._add(
                "pattern", f"found {str(pattern)[:60]!r} with type {self.json_type}", "use a text, for type string"
            )
            return None
        try:
            read_pattern(pattern)
        except ValueError as error:
            self._add("pattern", *map(str, error.args[:2]))
            return None
        return pattern

    def _kind(self) -> Kind:
        part, json_type = self.part, self.json_type
        kind = part.get("x-kind")
        if kind is None:
            if "enum" in part or "const" in part:
                return "code"
            if json_type == "string" and self._is_decimal_text():
                return "quantity"
            return _FORMATS.get(str(part.get("format")), "text") if json_type == "string" else _KIND_OF_TYPE[json_type]
        if kind not in KINDS:
            self._add("x-kind", f"found {str(kind)[:60]!r}", f"use one of {', '.join(KINDS)}")
            return _KIND_OF_TYPE[json_type]
        if json_type not in _TYPES_OF_KIND.get(kind, ("string",)):
            types = " or ".join(_TYPES_OF_KIND.get(kind, ("string",)))
            self._add("type", f"x-kind: {kind} with type {json_type}", f"use type {types}")
        checked: Kind = kind
        return checked

    def _role(self, path: str, kind: Kind) -> Role | None:
        role = self.part.get("x-role")
        if role is None:
            return None
        if role not in ROLES:
            self._add("x-role", f"found {str(role)[:60]!r}", f"use one of {', '.join(ROLES)}")
            return None
        checked: Role = role
        if kind not in _KINDS_OF_ROLE.get(checked, (kind,)):
            kinds = " or ".join(_KINDS_OF_ROLE[checked])
            self._add("x-role", f"{role} with x-kind: {kind}", f"use x-kind: {kinds}, or remove the role")
        is_of_row = checked in ("description", "quantity", "unit_price", "line_total")
        if is_of_row != ("[]." in path):
            where = "a field of rows" if is_of_row else "a field outside of lists"
            self._add("x-role", f"{role} is the role of {where}", "move the role, or remove it")
        return checked

    def _choices(self) -> tuple[str, ...]:
        if "const" in self.part:
            name, choices = "const", [self.part["const"]]
        else:
            name, choices = "enum", self.part.get("enum", [])
        if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
            self._add(name, "expected texts", 'write ["sale", "refund"]; a list of numbers is a rule with values')
            return ()
        if len(choices) > MAX_CHOICES or len(set(choices)) < len(choices) or not all(map(_is_short_line, choices)):
            hint = f"use at most {MAX_CHOICES} different texts of at most {MAX_CHARACTERS} characters on one line"
            self._add(name, "too many values, or two equal ones, or one that is too long", hint)
            return ()
        if name in self.part and not choices:
            self._add(name, "has no values", "list the values, or remove it")
        return tuple(choices)

    def _names(self, name: str, most: int) -> tuple[str, ...]:
        names = self.part.get(name, [])
        if not isinstance(names, list) or not all(isinstance(each, str) and each.strip() for each in names):
            self._add(name, "expected a list of names", 'write ["merchant", "shop"]')
            return ()
        if len(names) > most or not all(map(_is_short_line, names)):
            self._add(name, f"more than {most} names, or one of more than {MAX_CHARACTERS} characters", "remove some")
            return ()
        return tuple(names)

    def _flag(self, name: str, default: bool) -> bool:
        found = self.part.get(name, default)
        if not isinstance(found, bool):
            self._add(name, f"found {str(found)[:60]!r}", "use true or false")
            return default
        return found

    def _line(self, name: str) -> str:
        found = self.part.get(name, "")
        if not isinstance(found, str) or (found and not _is_short_line(found)):
            self._add(name, "expected a short text on one line", "shorten it")
            return ""
        return found

    def _add(self, name: str, finding: str, hint: str = "") -> None:
        self.file.add((*self.key, name) if name else self.key, finding, hint)


def _is_short_line(text: str) -> bool:
    return len(text) <= MAX_CHARACTERS and text.isprintable() and neutralised(text) == text
