"""Commands for document types: new, list, show, check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from erniekit_adapter.cli.groups import document_type_app
from erniekit_adapter.cli.layout import Command
from erniekit_adapter.errors import AdapterError, Problem, usage_error
from erniekit_adapter.terminal import echo

if TYPE_CHECKING:
    from erniekit_adapter.documents.document_type import DocumentType

_NAME = re.compile(r"[^\W_][\w-]{0,59}")
Language = Literal["en", "zh"]
DayOrder = Literal["day_first", "month_first", "year_first"]
Reference = Annotated[
    str, typer.Argument(metavar="TYPE", help="name of a shipped type, or a folder with a /", show_default=False)
]


@document_type_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter document-type new delivery-note --from answers.jsonl
    erniekit-adapter document-type new 送货单 --from one.json --from two.json --language zh
    """,
)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="its name: delivery-note", show_default=False)],
    examples: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="FILE",
            help="example answers: JSON, a JSON list, JSON Lines, or a folder; repeatable",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="new folder; ./document_types/NAME by default", show_default=False),
    ] = None,
    language: Annotated[
        Language | None,
        typer.Option(help="language of prompts and rules; that of the keys by default", show_default=False),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="the document in a few words; the name by default", show_default=False),
    ] = None,
    date_order: Annotated[
        DayOrder | None, typer.Option(help="order in dates such as 03/04/2025", show_default=False)
    ] = None,
) -> None:
    """Guess a document type from example answers, and show every guess.

    Writes schema.json, document_type.yaml and the examples, in the notation that a model learns, to a new folder.
    Exit code 1 if an example does not fit the guessed type.
    """
    from erniekit_adapter.cli.document_type_printing import print_guess
    from erniekit_adapter.documents.guessing.examples import read_examples
    from erniekit_adapter.documents.guessing.guess import check_folder, guess_type, write_guess

    if not _NAME.fullmatch(name):
        hint = "use up to 60 letters, digits, - and _: delivery-note; choose a folder with --output"
        raise usage_error("NAME", f"{name[:80]!r} cannot be the name of a document type", hint)
    if title is not None and not (0 < len(title.strip()) <= 80 and title.isprintable()):
        raise usage_error("--title", f"found {title[:80]!r}", "use 1 to 80 printable characters")
    folder = output or Path("document_types") / name
    check_folder(folder)
    guess = guess_type(read_examples(examples), title or name.replace("-", " ").replace("_", " "), language, date_order)
    write_guess(guess, folder)
    print_guess(guess, folder)
    if unfit := guess.examples - len(guess.answers):
        finding = f"{unfit} of {guess.examples} examples do not fit the type"
        raise AdapterError(Problem(str(folder), finding, "see the list above, and correct the schema or the examples"))


@document_type_app.command(
    "list",
    cls=Command,
    epilog="""
    erniekit-adapter document-type list
    """,
)
def list_types() -> None:
    """List the shipped document types.

    Writes nothing.
    """
    from erniekit_adapter.cli.printing import print_table
    from erniekit_adapter.documents.loading import load_document_type, shipped_names

    types = [load_document_type(name) for name in shipped_names()]
    rows = [(each.name, each.title, each.language, str(len(each.fields)), str(len(each.rules.rules))) for each in types]
    print_table("Shipped document types", ("name", "title", "language", "fields", "rules"), rows)
    echo("Show one with: erniekit-adapter document-type show NAME")


@document_type_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter document-type show receipt
    erniekit-adapter document-type show ./document_types/delivery-note
    """,
)
def show(reference: Reference) -> None:
    """Show the fields, rules, answer structure and first prompt of a document type.

    Writes nothing.
    """
    from erniekit_adapter.cli.document_type_printing import print_type

    print_type(_loaded(reference))


@document_type_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter document-type check ./document_types/delivery-note
    erniekit-adapter document-type check ./document_types/delivery-note --answers answers.jsonl
    """,
)
def check(
    reference: Reference,
    answers: Annotated[
        list[Path],
        typer.Option(
            "--answers",
            metavar="FILE",
            help="answers to check: JSON, a JSON list, JSON Lines, or a folder; repeatable",
            show_default=False,
        ),
    ] = [],
) -> None:
    """Check the files of a document type, and answers with its schema and rules.

    Exit code 1 if an answer does not match or a rule of level error fails. Writes nothing.
    """
    from erniekit_adapter.cli.document_type_printing import print_checked_answer, print_missing_parts
    from erniekit_adapter.documents.guessing.examples import read_examples

    document_type = _loaded(reference)
    rules = len(document_type.rules.rules)
    echo(f"✓ {reference}: {len(document_type.fields)} fields, {rules} rules")
    print_missing_parts(document_type)
    if not answers:
        return
    examples = read_examples(answers)
    wrong = sum(not print_checked_answer(document_type, example.location, example.value) for example in examples)
    if wrong:
        raise AdapterError(Problem(reference, f"{wrong} of {len(examples)} answers are wrong", "see ✗ above"))
    echo(f"✓ {len(examples)} answers match")


def _loaded(reference: str) -> DocumentType:
    from erniekit_adapter.documents.loading import is_folder, load_document_type, shipped_names

    is_own = not is_folder(reference) and reference not in shipped_names() and Path(reference).is_dir()
    return load_document_type(f"./{reference}" if is_own else reference)
