"""The two groups of commands; the modules beside this one add their commands to them."""

from __future__ import annotations

import os
import platform
from typing import Annotated, ClassVar

import typer

from erniekit_adapter import __version__
from erniekit_adapter.cli.layout import Group
from erniekit_adapter.terminal import echo

NAME = "erniekit-adapter"
# The data stage runs a process on each core, whose libraries need no threads of their own; they read this on import.
_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_MAX_WIDTH = 120
_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a bundle format could not be checked."


class Program(Group):
    """Commands of `erniekit-adapter`."""

    panels: ClassVar = {
        "Before a run": ("setup", "document-type", "check", "translate", "plan", "doctor"),
        "A run, in this order": ("data", "train", "export", "evaluate", "summary"),
        "Bundles": ("verify", "sign", "import"),
        "More": ("sweep", "tiny-model"),
    }


class DataGroup(Group):
    """Commands of `erniekit-adapter data`."""

    panels: ClassVar = {
        "Build and look": ("build", "preview", "report", "rejected"),
        "Documents": ("audit", "columns", "prepare"),
        "Synthetic documents": ("synthesize", "corpus"),
    }


class DocumentTypeGroup(Group):
    """Commands of `erniekit-adapter document-type`."""

    panels: ClassVar = {
        "Look": ("list", "show", "check"),
        "Make one": ("new",),
    }


_DATA_VERBS = [name for names in DataGroup.panels.values() for name in names]
_VERBS = [name for names in Program.panels.values() for name in names]
Program.elsewhere = {name: f"{NAME} data {name}" for name in _DATA_VERBS}
Program.elsewhere |= dict.fromkeys(("data-tools", "data_tools"), f"{NAME} data")
DataGroup.elsewhere = {name: f"{NAME} {name}" for name in _VERBS if name != "data"}

app = typer.Typer(
    cls=Program,
    help=f"Fine-tune ERNIE 4.5 on your invoices: from documents to an adapter for a service.\n\n{_EXIT_CODES}",
    epilog="""
    erniekit-adapter check configs/demo-cpu.yaml
    erniekit-adapter data build configs/demo-cpu.yaml
    erniekit-adapter train configs/demo-cpu.yaml --set training.max_steps=10
    """,
    context_settings={"max_content_width": _MAX_WIDTH},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(
    cls=DataGroup,
    help=f"Turn documents into training examples, and look at the result.\n\n{_EXIT_CODES}",
    epilog="""
    erniekit-adapter data build project.yaml
    erniekit-adapter data preview runs/demo --n 2
    """,
    context_settings={"max_content_width": _MAX_WIDTH},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
document_type_app = typer.Typer(
    cls=DocumentTypeGroup,
    help=f"Show and check document types, and write a new one from examples of its answers.\n\n{_EXIT_CODES}",
    epilog="""
    erniekit-adapter document-type new delivery-note --from answers.jsonl
    erniekit-adapter document-type show receipt
    """,
    context_settings={"max_content_width": _MAX_WIDTH},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(document_type_app, name="document-type")


def _print_version(is_given: bool) -> None:
    if is_given:
        echo(f"{NAME} {__version__} (Python {platform.python_version()})")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None: ...


@data_app.callback()
def _data() -> None:
    for name in _THREAD_SETTINGS:
        os.environ.setdefault(name, "1")
