"""Commands for a project file before a run: setup, check, translate, plan, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from erniekit_adapter.cli.arguments import Overrides, ProjectFile
from erniekit_adapter.cli.groups import app
from erniekit_adapter.cli.layout import Command
from erniekit_adapter.cli.printing import print_table, progress_console, result_console
from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from erniekit_adapter.backends.settings import RunContext, Settings
    from erniekit_adapter.project.loading import Places
    from erniekit_adapter.project.schema import Project


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter setup
    erniekit-adapter setup erniekit transformers
    """,
)
def setup(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="environments to make", show_default=False)
    ] = None,
) -> None:
    """Make the Python environments of toolkits, or list them.

    Without a name it prints each environment with its size and purpose. It writes .venvs/NAME in a checkout, and a
    folder of the user's cache otherwise.
    """
    from erniekit_adapter.backends.environments import ENVIRONMENTS, environment_dir, make_environment

    if not names:
        rows = []
        for each in ENVIRONMENTS.values():
            is_ready = (environment_dir(each.name) / ".ready").is_file()
            rows.append((each.name, f"{each.size_gb:g} GB", "yes" if is_ready else "no", each.purpose))
        print_table("environments", ("name", "size", "ready", "purpose"), rows)
        return
    for name in names:
        echo(f"{name}: {make_environment(name, progress_console())}")


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter check project.yaml
    erniekit-adapter check configs/*.yaml
    """,
)
def check(
    files: Annotated[list[Path], typer.Argument(metavar="PROJECT", help="project files (YAML)", show_default=False)],
    overrides: Overrides = [],
) -> None:
    """Report every problem of project files, before anything runs.

    Writes nothing. The exit code is 2 if a file has a problem.
    """
    from erniekit_adapter.training.warmup_note import warmup_note

    problems: list[Problem] = []
    for file in files:
        try:
            found = _translated(file, overrides)
            echo(f"✓ {file}")
            if note := warmup_note(found.project, found.context):
                echo(f"  {note}")
        except AdapterError as error:
            echo(f"✗ {file}")
            problems += error.problems
    if problems:
        raise UsageError(problems)


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter translate project.yaml
    erniekit-adapter translate project.yaml --diff other.yaml
    """,
)
def translate(
    file: ProjectFile,
    overrides: Overrides = [],
    diff: Annotated[
        Path | None,
        typer.Option(metavar="PROJECT", help="print the differences from this project", show_default=False),
    ] = None,
) -> None:
    """Print the settings that the toolkit gets, each with its origin.

    The output is YAML, with the key or rule behind each setting as a comment. Writes nothing.
    """
    from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES
    from erniekit_adapter.backends.translation import derived_by_toolkit
    from erniekit_adapter.training.settings_file import differences, settings_text

    ours = _translated(file, overrides)
    if diff:
        theirs = _translated(diff, overrides)
        echo(differences(ours.settings, theirs.settings, (str(file), str(diff))), end="")
        return
    context = ours.context
    echo(f"# {TOOLKIT_NAMES[ours.project.backend]} {context.version} ({ours.why}), training method {context.method}")
    derived = derived_by_toolkit(ours.project, context, ours.settings)
    echo(settings_text(ours.settings, derived, ours.places, ours.left_open), end="")


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter plan project.yaml
    erniekit-adapter plan project.yaml --gpus 8 --memory-gib 80
    """,
)
def plan(
    file: ProjectFile,
    overrides: Overrides = [],
    gpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="number of GPUs", show_default=False)] = None,
    memory_gib: Annotated[
        float | None, typer.Option(metavar="N", min=1, help="memory of each GPU in GiB", show_default=False)
    ] = None,
) -> None:
    """Estimate memory, steps and time, before a GPU is reserved.

    With --gpus and --memory-gib it recommends parallel degrees and a batch size for those GPUs. Writes nothing.
    """
    from erniekit_adapter.planning.report import print_plan
    from erniekit_adapter.project.loading import load_project

    print_plan(load_project(file, overrides), result_console(), gpus=gpus, memory_gib=memory_gib)


@app.command(cls=Command, epilog="erniekit-adapter doctor project.yaml")
def doctor(file: ProjectFile, overrides: Overrides = []) -> None:
    """Check whether this machine is ready for the project.

    Prints ✓ for ready, ✗ for a problem, ⊘ for a check that is not possible yet. Writes nothing. The exit code is 1 if
    there is a problem.
    """
    from erniekit_adapter.doctor import examine
    from erniekit_adapter.project.loading import load_project

    wrong = 0
    for found in examine(load_project(file, overrides)):
        echo(found)
        wrong += found.state == "wrong"
    raise typer.Exit(1 if wrong else 0)


class _Translated(NamedTuple):
    """A project and its settings.

    Attributes:
        project: the project.
        places: line of each key in the project file.
        context: settings of the run that others depend on.
        settings: the toolkit's settings.
        left_open: settings that are not known before the run, with the reason.
        why: the reason for the toolkit version.
    """

    project: Project
    places: Places
    context: RunContext
    settings: Settings
    left_open: Mapping[str, str]
    why: str


def _translated(file: Path, overrides: list[str]) -> _Translated:
    from erniekit_adapter.backends.environments.installed import toolkit_version
    from erniekit_adapter.backends.translation import settings_of
    from erniekit_adapter.project.loading import load_project_with_places, placed
    from erniekit_adapter.training.expected import expected_run

    project, places = load_project_with_places(file, overrides)
    try:
        version, why = toolkit_version(project)
        expected = expected_run(project, version)
        settings = settings_of(project, expected.context)
        return _Translated(project, places, expected.context, settings, expected.left_open, why)
    except UsageError as error:
        raise UsageError(placed(error.problems, file, places)) from error
