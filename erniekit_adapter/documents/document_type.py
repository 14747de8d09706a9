"""A document type: the structure of its answers, kinds of its fields, rules, and prompt templates.

Every stage takes what depends on the document from here. `loading.load_document_type` returns one by name or folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.fields import Field, Role
from erniekit_adapter.documents.prompt_set import PromptSet
from erniekit_adapter.documents.rules.context import value_at
from erniekit_adapter.documents.rules.rule import RuleSet
from erniekit_adapter.documents.validation_summary import ValidationSummary

# An answer of any document type, validated: the invoice's `Answer`, or a model made from a schema.
AnyAnswer = BaseModel


@dataclass(frozen=True)
class VerdictKeys:
    """Keys of the verdict in an answer."""

    key: str = "validation_summary"
    is_valid: str = "is_valid"
    math_verified: str = "math_verified"
    issues: str = "issues"


# Compared by identity, so that functions can keep what they derive from a type.
@dataclass(frozen=True, eq=False)
class DocumentType:
    """The definition of a document type.

    Attributes:
        name: its name in project files: `invoice`, `receipt`.
        reference: the name of a shipped type, or the absolute path of its folder, from which it can be loaded again.
        title: the document in a sentence, in its language: "invoice".
        language: language of prompts and rules, as ISO 639-1.
        model: pydantic model of the whole answer; unknown keys are an error.
        schema: JSON Schema (2020-12) of the whole answer, without our own keywords, for servers.
        fields: fields of the content by path, in their order.
        tables: paths of the lists of objects, in their order: `items`.
        line_items: path of the table whose rows are scored as line items; None without tables.
        content_key: key of the content in the answer; None if the answer is the content.
        verdict: keys of the verdict in the answer; None if the answer has none.
        rules: the rules.
        prompts: the requests.
        dump: returns a whole answer as JSON without missing fields: amounts stay Decimal, dates become ISO text.
        digest: SHA-256 of the definition.
        folder: folder of the definition; None for the invoice, which is a module.
        python_rules: names of the entry points whose rules were added.
    """

    name: str
    reference: str
    title: str
    language: str
    model: type[BaseModel]
    schema: Mapping[str, Any]
    fields: Mapping[str, Field]
    tables: tuple[str, ...]
    line_items: str | None
    content_key: str | None
    verdict: VerdictKeys | None
    rules: RuleSet
    prompts: PromptSet
    dump: Callable[[AnyAnswer], dict[str, Any]]
    digest: str
    folder: Path | None = None
    python_rules: tuple[str, ...] = ()

    def read(self, value: object) -> AnyAnswer:
        """Validate a JSON object as an answer.

        Raises:
            ValueError: the object does not match the schema; the message lists every key with its problem.
        """
        try:
            return self.model.model_validate(value)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ValueError("; ".join(problems)[:2000]) from error

    def read_content(self, content: Mapping[str, Any]) -> AnyAnswer:
        """Validate the content of a document as an answer without a verdict.

        Raises:
            ValueError: it does not match the schema.
        """
        return self.read(self.wrapped(content))

    def content_of(self, answer: AnyAnswer) -> dict[str, Any]:
        """Return the content of an answer as JSON, without its verdict."""
        return self.unwrapped(self.dump(answer))

    def unwrapped(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the content in an answer of `dump`: a part of it, or a copy without the verdict."""
        if self.content_key is not None:
            content: dict[str, Any] = value[self.content_key]
            return content
        key = self.verdict.key if self.verdict else None
        return {name: part for name, part in value.items() if name != key}

    def wrapped(self, content: Mapping[str, Any], summary: ValidationSummary | None = None) -> dict[str, Any]:
        """Return the answer with a content; the verdict is left out if it is None or the answer has no place for it."""
        value = dict(content) if self.content_key is None else {self.content_key: content}
        if summary is not None and self.verdict is not None:
            value[self.verdict.key] = self.written_summary(summary)
        return value

    def written_summary(self, summary: ValidationSummary) -> dict[str, Any]:
        """Return a verdict with the keys of this type.

        Raises:
            TypeError: its answers have no verdict.
        """
        keys = self.verdict
        if keys is None:
            raise TypeError(f"answers of {self.name} have no verdict")
        values = {keys.is_valid: summary.is_valid, keys.math_verified: summary.math_verified}
        return values | {keys.issues: summary.issues}

    def claimed_summary(self, answer: AnyAnswer) -> ValidationSummary | None:
        """Return the verdict that an answer contains; None without one."""
        found = getattr(answer, self._attributes[self.verdict.key]) if self.verdict is not None else None
        if found is None or isinstance(found, ValidationSummary):
            return found
        # The model of a declared verdict has the same attributes, whatever its keys.
        return ValidationSummary.model_construct(
            is_valid=found.is_valid, math_verified=found.math_verified, issues=list(found.issues)
        )

    def is_empty(self, answer: AnyAnswer) -> bool:
        """Return whether the content of an answer has no value; blank text is none."""
        if self.content_key is not None:
            return not _has_value(getattr(answer, self._attributes[self.content_key]))
        beside = self._attributes[self.verdict.key] if self.verdict is not None else None
        return not any(_has_value(part) for name, part in vars(answer).items() if name != beside)

    def text_of(self, answer: AnyAnswer) -> str:
        """Return an answer as the model must write it: one line of JSON, amounts with their digits."""
        return json_text.compose(self.dump(answer))

    @property
    def record(self) -> dict[str, str]:
        """Name and SHA-256 of the definition, for manifests."""
        return {"name": self.name, "digest": self.digest}

    @property
    def verdict_key(self) -> str:
        """Key of the verdict in the answer.

        Raises:
            TypeError: answers of this type have no verdict.
        """
        if self.verdict is None:
            raise TypeError(f"answers of {self.name} have no verdict")
        return self.verdict.key

    def text_with_role(self, answer: AnyAnswer | None, role: Role) -> str | None:
        """Return the text of the field with a role in an answer; None without it."""
        path = self._attribute_paths.get(role)
        if answer is None or path is None:
            return None
        found: Any = answer
        # Attributes have the names of the keys unless a key is not a Python name; writing the whole answer is slower.
        for key in path:
            if found is None:
                return None
            values = vars(found)
            if key not in values:
                found = value_at(self.content_of(answer), self.by_role[role].path)
                break
            found = values[key]
        return found if isinstance(found, str) else None

    @cached_property
    def _attribute_paths(self) -> Mapping[Role, tuple[str, ...]]:
        """The keys from an answer to the field with each role, outside of tables."""
        begin = (self.content_key,) if self.content_key else ()
        return {role: (*begin, *field.path.split(".")) for role, field in self.by_role.items() if field.table is None}

    @cached_property
    def _attributes(self) -> Mapping[str, str]:
        """The attributes of the answer's model by key."""
        return {info.alias or name: name for name, info in self.model.model_fields.items()}

    @cached_property
    def unprinted(self) -> Mapping[tuple[str | None, tuple[str, ...]], tuple[str, ...]]:
        """The keys that no page shows, by table or None, and keys of the objects around the values."""
        found: dict[tuple[str | None, tuple[str, ...]], tuple[str, ...]] = {}
        for field in self.fields.values():
            if not field.is_printed:
                inner = field.path.partition("[].")[2] if field.table else field.path
                *parents, name = inner.split(".")
                place = field.table, tuple(parents)
                found[place] = (*found.get(place, ()), name)
        return found

    @cached_property
    def by_role(self) -> Mapping[Role, Field]:
        """The fields that have a part in every document, by this part."""
        return {field.role: field for field in self.fields.values() if field.role is not None}

    def columns(self, table: str) -> tuple[Field, ...]:
        """Return the fields of a table's rows, in their order."""
        return tuple(field for field in self.fields.values() if field.table == table)


def _has_value(part: object) -> bool:
    if isinstance(part, BaseModel):
        return any(_has_value(value) for value in vars(part).values())
    if isinstance(part, list):
        return any(map(_has_value, part))
    return bool(part.strip()) if isinstance(part, str) else part is not None
