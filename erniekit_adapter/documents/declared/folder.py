"""A document type from its folder; all problems of its files are reported together."""

from __future__ import annotations

from pathlib import Path

from erniekit_adapter.documents.declared import DEFINITION_FILE, SCHEMA_FILE
from erniekit_adapter.documents.declared.answer_model import (
    VERDICT_ATTRIBUTE,
    answer_model,
    dump_answer,
    with_text_numbers,
)
from erniekit_adapter.documents.declared.definition import AnswerSection, Definition
from erniekit_adapter.documents.declared.definition_file import read_definition
from erniekit_adapter.documents.declared.names import check_names
from erniekit_adapter.documents.declared.prompts import check_prompts, declared_prompts
from erniekit_adapter.documents.declared.rules import make_rules
from erniekit_adapter.documents.declared.schema_file import SchemaFields, name_problem, read_schema_fields
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType, VerdictKeys
from erniekit_adapter.documents.rules.context import context_maker
from erniekit_adapter.documents.rules.python_rules import load_python_rules
from erniekit_adapter.documents.rules.rule import RuleSet
from erniekit_adapter.documents.server_schema import schema_of_fields
from erniekit_adapter.errors import UsageError, usage_error
from erniekit_adapter.files import fingerprint, sha256
from erniekit_adapter.yaml_files import LocatedFile, read_json, read_yaml

# Attributes of answers beside their content.
_RESERVED = frozenset({"validation_summary", "verdict", "confidence_scores"})


def read_document_type(folder: Path, reference: str, python_rules: tuple[str, ...] = ()) -> DocumentType:
    """Read a document type from its folder.

    Args:
        folder: contains `schema.json` and `document_type.yaml`.
        reference: the name or path from which it can be read again.
        python_rules: entry points that the project allows.

    Raises:
        UsageError: a file is missing or wrong; every problem with its file, line and hint.
    """
    for name in (SCHEMA_FILE, DEFINITION_FILE):
        if not (folder / name).is_file():
            hint = "make a folder with: erniekit-adapter document-type new NAME --from EXAMPLE.json"
            raise usage_error(folder, f"is not a document type: it has no {name}", hint)
    schema_file = read_json(folder / SCHEMA_FILE, "JSON Schema")
    definition_file = read_yaml(folder / DEFINITION_FILE, "definition of a document type")
    schema = read_schema_fields(schema_file)
    check_names(schema_file, schema)
    definition = read_definition(definition_file)
    if definition is None:
        raise UsageError([*schema_file.problems, *definition_file.problems])
    check_prompts(definition, definition_file)
    verdict = _verdict_keys(definition.answer)
    _check_envelope(definition.answer, verdict, schema, definition_file)
    if schema_file.problems:
        raise UsageError([*schema_file.problems, *definition_file.problems])
    rules = make_rules(definition.rules, schema.fields, definition_file, load_python_rules(python_rules))
    if definition_file.problems:
        raise UsageError(definition_file.problems)
    _check_python_rules(python_rules, definition)
    content_key = definition.answer.content_key
    model = answer_model(folder.name, schema, content_key, verdict)
    currency = next((field.path for field in schema.fields.values() if field.role == "currency"), None)

    def dump(answer: AnyAnswer) -> dict[str, object]:
        value = with_text_numbers(dump_answer(answer), text_fields)
        if verdict is not None and verdict.key in value:
            # Null in a verdict is a value: not checkable.
            value[verdict.key] = getattr(answer, VERDICT_ATTRIBUTE).model_dump(by_alias=True)
        return value

    def content_of(answer: AnyAnswer) -> dict[str, object]:
        value = dump_answer(answer)
        return value[content_key] if content_key is not None else value

    prefix = "" if content_key is None else f"{content_key}."
    text_fields = {f"{prefix}{path}": field for path, field in schema.fields.items()}
    return DocumentType(
        name=folder.name,
        reference=reference,
        title=definition.title,
        language=definition.language,
        model=model,
        schema=schema_of_fields(schema.fields.values(), content_key, verdict, schema.limits, schema.required),
        fields=schema.fields,
        tables=tuple(schema.tables),
        line_items=schema.line_items,
        content_key=content_key,
        verdict=verdict,
        rules=RuleSet(rules, context_maker(content_of, currency)),
        prompts=declared_prompts(definition, schema.fields, rules, content_key, verdict),
        dump=dump,
        digest=fingerprint([sha256(folder / name) for name in (SCHEMA_FILE, DEFINITION_FILE)]),
        folder=folder,
        python_rules=python_rules,
    )


def _check_python_rules(names: tuple[str, ...], definition: Definition) -> None:
    """Refuse names of functions that no rule calls."""
    called = sorted({section.python for section in definition.rules if section.python is not None})
    for name in names:
        if name not in called:
            hint = f"remove it; the rules call {', '.join(called)}" if called else "remove it: no rule calls a function"
            raise usage_error("python_rules", f"no rule of {definition.title} calls {name!r}", hint)


def _verdict_keys(answer: AnswerSection) -> VerdictKeys | None:
    return None if answer.verdict is None else VerdictKeys(**answer.verdict.model_dump())


def _check_envelope(
    answer: AnswerSection, verdict: VerdictKeys | None, schema: SchemaFields, file: LocatedFile
) -> None:
    """Check that the keys of content and verdict differ from each other, from the fields and from our attributes."""
    top = {path.split(".")[0].removesuffix("[]") for path in schema.fields}
    beside = {answer.content_key} if answer.content_key else top
    for name in sorted(beside & _RESERVED, key=str):
        if verdict is None or verdict.key != name:
            hint = (
                "use another content_key" if answer.content_key else "rename it, or set answer: {content_key: content}"
            )
            file.add(("answer",), f"{name} cannot be a key beside the verdict", hint)
    names = [] if verdict is None else [verdict.key, verdict.is_valid, verdict.math_verified, verdict.issues]
    for name in (*((answer.content_key,) if answer.content_key else ()), *names):
        if problem := name_problem(name):
            file.add(("answer",), f"{name[:60]!r} is {problem}", "use another name")
    if verdict is None:
        return
    if verdict.key in beside:
        file.add(("answer", "verdict"), f"its key {verdict.key} is a field too", "name another key")
    if len(set(names[1:])) < 3:
        file.add(("answer", "verdict"), "two of its keys are equal", "name different keys")
