"""Output of the commands for document types."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from erniekit_adapter.cli.printing import print_table
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.fields import Field, Role
from erniekit_adapter.documents.guessing.guess import TypeGuess
from erniekit_adapter.documents.guessing.shape import Note
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.prompt_set import structure_text
from erniekit_adapter.terminal import echo, one_line

_MARKS = {"pass": "✓", "fail": "✗", "not checkable": "○"}
_MAX_NOTES, _MAX_PLACES = 40, 4
_EXTRA = "Extra inputs are not permitted"
_WANTED_ROLES: tuple[tuple[Role, str], ...] = (
    ("issuer", "documents of one issuer cannot be kept in one split"),
    ("number", "two scans of one document cannot be recognised"),
)


def print_guess(guess: TypeGuess, folder: Path) -> None:
    """Print the fields, rules and notes of a guessed type, and the next commands."""
    rows = []
    for field in guess.fields:
        role = guess.roles.get(field.path)
        kind = f"{field.kind}, {role}" if role and role != field.kind else field.kind
        kind = f"{kind}, percent" if field.is_percent else kind
        rows.append((field.path, kind, field.evidence, field.certainty, str(len(field.part.examples))))
    print_table(f"{_counted(len(rows), 'field')} in {_counted(guess.examples, 'example')}", _COLUMNS, rows)
    if guess.rules:
        shown = [(rule.section["name"], rule.section["sentence"], rule.evidence) for rule in guess.rules]
        print_table(f"{_counted(len(shown), 'rule')}, tested on the examples", ("rule", "sentence", "evidence"), shown)
    else:
        echo("No rules: none holds in every example.")
    _print_notes(guess.notes)
    echo(f"\n✓ {folder}: schema.json, document_type.yaml, examples.jsonl ({_counted(len(guess.answers), 'answer')})")
    reference = folder if folder.is_absolute() else f"./{folder}"
    echo(f"  look:    erniekit-adapter document-type show {reference}")
    echo(f"  check:   erniekit-adapter document-type check {reference} --answers {reference}/examples.jsonl")
    echo(f"  project: document_type: {reference}")


_COLUMNS = ("field", "kind, role", "evidence", "how sure", "seen")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _print_notes(notes: Iterable[Note]) -> None:
    """Print notes; the places of equal ones are joined."""
    places: dict[str, list[str]] = {}
    for note in notes:
        places.setdefault(note.text, []).append(f"{note.path} ({note.example})" if note.example else note.path)
    if not places:
        return
    echo("\nLook at these first:")
    for text, paths in list(places.items())[:_MAX_NOTES]:
        named = [path for path in dict.fromkeys(paths) if path]
        more = f" and {len(named) - _MAX_PLACES} more" if len(named) > _MAX_PLACES else ""
        subject = f"{', '.join(named[:_MAX_PLACES])}{more}: " if named else ""
        echo(f"  • {one_line(subject + text)}")
    if len(places) > _MAX_NOTES:
        echo(f"  • {len(places) - _MAX_NOTES} more; split the examples by kind of document")


def print_type(document_type: DocumentType) -> None:
    """Print the fields, rules, structure and first prompt of a document type."""
    echo(f"{document_type.name}: {document_type.title} ({document_type.language})")
    fields = document_type.fields.values()
    print_table(f"{len(fields)} fields", ("field", "kind", "role", "other names"), map(_field_row, fields))
    if document_type.rules.rules:
        rows = [
            (rule.name, rule.level + (", decisive" if rule.is_decisive else ""), rule.sentence)
            for rule in document_type.rules.rules
        ]
        print_table(f"{len(rows)} rules", ("rule", "level", "sentence"), rows)
    else:
        echo("No rules.")
    structure = structure_text(fields)
    echo(f"Structure of the content:\n  {structure}")
    if document_type.content_key is not None:
        echo(f"The content is under the key {document_type.content_key}.")
    if document_type.verdict is not None:
        echo(f"The verdict is under the key {document_type.verdict.key}.")
    prompts = document_type.prompts
    request = prompts.analysis_request({"text": "…"}, with_image=False)
    echo(f"First prompt, with OCR data:\n{request}")
    print_missing_parts(document_type)


def _field_row(field: Field) -> tuple[str, str, str, str]:
    marks = (
        [" (percent)"] * field.is_percent + [" (in text)"] * field.is_text + [" (not printed)"] * (not field.is_printed)
    )
    names = ", ".join(field.choices or field.aliases)
    return field.path, f"{field.kind}{''.join(marks)}", field.role or "", names


def print_missing_parts(document_type: DocumentType) -> None:
    """Print the roles without a field, and what follows from that."""
    for role, consequence in _WANTED_ROLES:
        if role not in document_type.by_role:
            echo(f"○ no field has x-role: {role}: {consequence}")
    if not document_type.rules.rules:
        echo("○ no rules: wrong amounts in answers are not noticed")


def _read_as_source(document_type: DocumentType, value: dict[str, Any]) -> AnyAnswer | None:
    """Return an answer that `data build` reads completely, such as one with dates as on the page; else None."""
    from data_tools.sources.answers.truth import ReadSettings
    from data_tools.sources.declared.objects import read_declared

    if document_type is INVOICE:
        return None
    try:
        truth = read_declared(value, ReadSettings(document_type=document_type))
    except ValueError:
        return None
    return None if truth.unused_keys else truth.answer


def print_checked_answer(document_type: DocumentType, location: str, value: dict[str, Any]) -> bool:
    """Print the findings on an answer, and return whether it matches the schema and no rule of level error fails."""
    is_as_learnt = True
    try:
        answer = document_type.read(value)
    except ValueError as error:
        read = _read_as_source(document_type, value)
        if read is None:
            echo(f"✗ {location}")
            for problem in str(error).split("; "):
                plain = problem.replace("Value error, ", "").replace(_EXTRA, "no such field in schema.json")
                echo(f"    ✗ schema: {one_line(plain)}")
            return False
        answer, is_as_learnt = read, False
    findings = document_type.rules.check(answer, as_given=True)
    is_right = not any(finding.status == "fail" and finding.level == "error" for finding in findings)
    spelled = "" if is_as_learnt else "  (names or spellings differ from the schema; data build reads them)"
    echo(f"{'✓' if is_right else '✗'} {location}{spelled}")
    for finding in findings:
        level = " (warn)" if finding.status == "fail" and finding.level == "warn" else ""
        echo(f"    {_MARKS[finding.status]} {one_line(str(finding))}{level}")
    return is_right
