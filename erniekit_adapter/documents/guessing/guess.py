"""Guess a document type from example answers, test it on them, and write it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.declared.folder import read_document_type
from erniekit_adapter.documents.declared.schema_file import MAX_FIELDS
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import Role
from erniekit_adapter.documents.guessing.examples import ExampleAnswer
from erniekit_adapter.documents.guessing.kinds import FieldGuess, guess_field
from erniekit_adapter.documents.guessing.roles import aliases_of, line_items_of, roles_of
from erniekit_adapter.documents.guessing.rules import RuleProposal, RuleSearch
from erniekit_adapter.documents.guessing.sentences import Sentences
from erniekit_adapter.documents.guessing.shape import Note, Part, shape_of, strings_in
from erniekit_adapter.documents.guessing.values import notation_of
from erniekit_adapter.documents.guessing.writing import definition_value, schema_value, write_type_files
from erniekit_adapter.documents.guessing.written import ExampleWriter
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import writing_folder

_VERDICT_KEY, _VERDICT_PARTS = "validation_summary", {"is_valid", "math_verified"}


@dataclass(frozen=True)
class TypeGuess:
    """A guessed document type.

    Attributes:
        title: the document in a few words.
        language: language of its prompts and rules.
        fields: the fields in their order.
        roles: roles by path.
        aliases: other names by path.
        tables: paths of the tables.
        line_items: the table of line items.
        rules: the proposed rules.
        notes: things to look at.
        answers: the examples in the notation of the type.
        examples: number of examples.
        content_key: key of the content in the answer.
        has_verdict: whether the answers have a verdict.
    """

    title: str
    language: str
    fields: tuple[FieldGuess, ...]
    roles: dict[str, Role]
    aliases: dict[str, tuple[str, ...]]
    tables: tuple[str, ...]
    line_items: str | None
    rules: tuple[RuleProposal, ...]
    notes: tuple[Note, ...]
    answers: tuple[dict[str, Any], ...]
    examples: int
    content_key: str | None
    has_verdict: bool

    def write(self, folder: Path) -> None:
        """Write the files of the type into a folder that exists."""
        schema = schema_value(self.title, self.fields, self.roles, self.aliases, self.line_items)
        definition = definition_value(self.title, self.language, self.content_key, self.has_verdict, self.rules)
        write_type_files(folder, schema, definition, self.answers)


def guess_type(
    examples: Sequence[ExampleAnswer], title: str, language: str | None = None, date_order: DateOrder | None = None
) -> TypeGuess:
    """Return the document type that example answers suggest; its rules are tested on them.

    Args:
        examples: the answers.
        title: the document in a few words.
        language: language of its prompts and rules; None for that of most keys.
        date_order: order of ambiguous dates.

    Raises:
        UsageError: the examples have no field, or too many.
    """
    verdict_key = _VERDICT_KEY if all(map(_has_verdict, examples)) else None
    content_key = _content_key(examples, verdict_key)
    contents = [_content(example.value, content_key, verdict_key) for example in examples]
    shape, root = shape_of(contents)
    notation = notation_of((text for content in contents for text in strings_in(content)), date_order)
    fields = tuple(guess_field(part, notation) for part in shape.leaves.values())
    if not fields or len(fields) > MAX_FIELDS:
        finding = f"{len(fields)} fields, expected 1 to {MAX_FIELDS}"
        if not fields and shape.notes:
            finding += f"; {shape.notes[0].path[:100]}: {shape.notes[0].text}"
        raise usage_error(examples[0].location, finding, "give examples of answers about one document")
    by_path = {field.path: field for field in fields}
    language = language or _language_of(fields)
    writer = ExampleWriter(root, shape, by_path, notation)
    written = [writer.content(content) for content in contents]
    line_items = line_items_of(shape.tables, fields)
    roles = roles_of(fields, line_items)
    invalid = _invalid(examples) if verdict_key else frozenset()
    valid = [content for index, content in enumerate(written) if index not in invalid]
    search = RuleSearch(by_path, roles, shape.tables, valid, Sentences(language, by_path))
    search.run()
    notes = [*shape.notes, *_field_notes(fields, shape.leaves, len(examples)), *_lost_notes(writer.lost, by_path)]
    notes += search.notes
    if len(examples) == 1:
        notes.insert(0, Note("", "one example: kinds and rules are more certain with three or more different ones"))
    guess = TypeGuess(
        title=title,
        language=language,
        fields=fields,
        roles=roles,
        aliases=aliases_of(fields, roles, language),
        tables=tuple(shape.tables),
        line_items=line_items,
        rules=tuple(search.proposals),
        notes=tuple(notes),
        answers=tuple(
            _answer(content, example.value, content_key, verdict_key)
            for content, example in zip(written, examples, strict=True)
        ),
        examples=len(examples),
        content_key=content_key,
        has_verdict=verdict_key is not None,
    )
    return _tested(guess, [example.location for example in examples], invalid)


def check_folder(folder: Path) -> None:
    """Check that a new type can be written to a folder: it is empty or does not exist.

    Raises:
        UsageError: the folder is not empty, or is a file.
    """
    if folder.is_symlink() or folder.exists():
        if not folder.is_dir():
            raise usage_error(folder, "is a file or a dangling link", "give another folder with --output")
        if any(folder.iterdir()):
            raise usage_error(folder, "is not empty", "give another folder with --output, or remove this one")


def write_guess(guess: TypeGuess, folder: Path) -> DocumentType:
    """Write a guessed type to a folder, which appears only when it is complete, and return the type.

    Raises:
        UsageError: the folder is not empty.
    """
    check_folder(folder)
    with writing_folder(folder) as partial:
        guess.write(partial)
    return read_document_type(folder, str(folder.absolute()))


def _language_of(fields: Sequence[FieldGuess]) -> str:
    chinese = sum(any("一" <= character <= "鿿" for character in field.part.key) for field in fields)
    return "zh" if 2 * chinese > len(fields) else "en"


def _has_verdict(example: ExampleAnswer) -> bool:
    found = example.value.get(_VERDICT_KEY)
    return isinstance(found, dict) and found.keys() >= _VERDICT_PARTS and found.keys() <= _VERDICT_PARTS | {"issues"}


def _content_key(examples: Sequence[ExampleAnswer], verdict_key: str | None) -> str | None:
    """Return the only key of every example if its values are objects with several keys: the content is inside."""
    keys = {tuple(key for key in example.value if key != verdict_key) for example in examples}
    if len(keys) != 1 or len(only := next(iter(keys))) != 1:
        return None
    inner = [example.value[only[0]] for example in examples]
    return only[0] if all(isinstance(value, dict) and len(value) > 1 for value in inner) else None


def _content(value: dict[str, Any], content_key: str | None, verdict_key: str | None) -> dict[str, Any]:
    if content_key is not None:
        found: dict[str, Any] = value[content_key]
        return found
    return {key: part for key, part in value.items() if key != verdict_key}


def _answer(
    content: dict[str, Any], example: dict[str, Any], content_key: str | None, verdict_key: str | None
) -> dict[str, Any]:
    answer = {content_key: content} if content_key else dict(content)
    return answer | ({verdict_key: example[verdict_key]} if verdict_key else {})


def _field_notes(fields: Sequence[FieldGuess], leaves: dict[str, Part], count: int) -> list[Note]:
    notes = []
    for field in fields:
        notes += [Note(field.path, remark.text, remark.example) for remark in field.notes]
        if field.certainty == "unsure" and not field.notes:
            notes.append(Note(field.path, f"{field.kind} is only a guess ({field.evidence}): check x-kind"))
    for path, part in leaves.items():
        if count > 1 and len(part.examples) == 1:
            notes.append(Note(path, f"in example {min(part.examples) + 1} only"))
        if part.empty and part.examples:
            notes.append(Note(path, "null or blank in some examples: left out of the answer there"))
    return notes


def _lost_notes(lost: dict[str, list[Any]], fields: dict[str, FieldGuess]) -> list[Note]:
    """Return a note for every value that its kind cannot have, unless the guess itself has one."""
    return [
        Note(path, f"not {fields[path].kind}: left out of the written examples", str(values[0])[:40])
        for path, values in lost.items()
        if not any("left out" in remark.text for remark in fields[path].notes)
    ]


def _invalid(examples: Sequence[ExampleAnswer]) -> frozenset[int]:
    """Return the examples whose own verdict is that the document is wrong: they cannot contradict a rule."""
    return frozenset(
        index for index, example in enumerate(examples) if example.value[_VERDICT_KEY]["is_valid"] is False
    )


def _tested(guess: TypeGuess, locations: Sequence[str], invalid: frozenset[int]) -> TypeGuess:
    """Load the type, read every example with it, and apply every rule; a rule that fails is left out.

    Args:
        guess: the type.
        locations: the places of the examples.
        invalid: examples of wrong documents, in which rules may fail.
    """
    for _ in range(len(guess.rules) + 1):
        with tempfile.TemporaryDirectory(prefix="document-type-") as name:
            folder = Path(name)
            guess.write(folder)
            document_type = read_document_type(folder, name)
        failed, unread = _failures(document_type, guess, locations, invalid)
        if unread:
            kept = tuple(answer for index, answer in enumerate(guess.answers) if index not in unread)
            notes = tuple(Note(locations[index], f"not written to examples: {text}") for index, text in unread.items())
            return replace(guess, answers=kept, notes=(*notes, *guess.notes))
        if not failed:
            return guess
        rules = tuple(rule for rule in guess.rules if rule.section["name"] not in failed)
        notes = tuple(Note(name, f"not proposed: {text}") for name, text in failed.items())
        guess = replace(guess, rules=rules, notes=(*guess.notes, *notes))
    return guess


def _failures(
    document_type: DocumentType, guess: TypeGuess, locations: Sequence[str], invalid: frozenset[int]
) -> tuple[dict[str, str], dict[int, str]]:
    failed: dict[str, str] = {}
    unread: dict[int, str] = {}
    for index, value in enumerate(guess.answers):
        if not value:
            unread[index] = "it has no value of the type"
            continue
        try:
            answer = document_type.read(value)
        except ValueError as error:
            unread[index] = str(error)[:300]
            continue
        for finding in document_type.rules.check(answer, as_given=True):
            if finding.status == "fail" and index not in invalid:
                failed.setdefault(finding.rule, f"{locations[index]} contradicts it: {finding.detail}"[:300])
    return failed, unread
