"""The verbs: parse arguments, call one function, print. Whatever is heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from erniekit_adapter.errors import AdapterError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from erniekit_adapter.backends.settings import RunFacts, Settings
    from erniekit_adapter.project.loading import Places
    from erniekit_adapter.project.schema import Project

app = typer.Typer(
    help="From a project file to a fine-tuned ERNIE 4.5 adapter in service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ProjectFile = Annotated[Path, typer.Argument(help="project file (YAML)", show_default=False)]
Overrides = Annotated[
    list[str], typer.Option("--set", help="override a key: training.max_steps=10", show_default=False)
]


class Trust(str, Enum):
    """Kinds of bundles that are accepted; typer takes a Literal only since 0.19."""

    signed = "signed"
    unsigned = "unsigned"


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="project files", show_default=False)], overrides: Overrides = []
) -> None:
    """Say everything that is wrong with project files, before anything runs."""
    from erniekit_adapter.training.warmup_note import warmup_note

    problems: list[Problem] = []
    for file in files:
        try:
            found = _translated(file, overrides)
            typer.echo(f"✓ {file}")
            if note := warmup_note(found.project, found.facts):
                typer.echo(f"  {note}")
        except AdapterError as error:
            typer.echo(f"✗ {file}")
            problems += error.problems
    if problems:
        raise UsageError(problems)


@app.command()
def translate(
    file: ProjectFile,
    overrides: Overrides = [],
    diff: Annotated[Path | None, typer.Option(help="show what another project differs in", show_default=False)] = None,
) -> None:
    """Print the settings that the toolkit would be given, each with where it comes from."""
    from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
    from erniekit_adapter.backends.translation import derived_by_toolkit
    from erniekit_adapter.training.settings_file import differences, settings_text

    ours = _translated(file, overrides)
    if diff:
        theirs = _translated(diff, overrides)
        typer.echo(differences(ours.settings, theirs.settings, (str(file), str(diff))), nl=False)
        return
    facts = ours.facts
    typer.echo(f"# {TOOLKIT_NAMES[ours.project.backend]} {facts.version} ({ours.why}), stage {facts.stage}")
    derived = derived_by_toolkit(ours.project, facts, ours.settings)
    typer.echo(settings_text(ours.settings, derived, ours.places, ours.left_open), nl=False)


@app.command()
def train(
    file: ProjectFile,
    overrides: Overrides = [],
    restart: Annotated[bool, typer.Option(help="throw an earlier run away instead of going on with it")] = False,
    stall_minutes: Annotated[float, typer.Option(min=0.1, help="end the toolkit when its log is silent so long")] = 30,
) -> None:
    """Train with ERNIEKit; a run that was interrupted goes on."""
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.training.run import TrainOptions
    from erniekit_adapter.training.stage import train

    manifest = train(load_project(file, overrides), TrainOptions(restart, stall_minutes), _console())
    losses = " → ".join(f"{manifest[key]:.3f}" for key in ("first_loss", "last_loss") if manifest[key] is not None)
    with suppress(OSError):  # trained, even if the terminal is gone
        typer.echo(f"trained {manifest['steps']} steps" + (f": loss {losses}" if losses else ""))


@app.command()
def export(
    file: ProjectFile,
    overrides: Overrides = [],
    allow_unproven: Annotated[bool, typer.Option(help="write forms that cannot be read here as well")] = False,
) -> None:
    """Write the bundle: native, PEFT and merged form, each read where it will be used and held against the others."""
    from erniekit_adapter.adapters.bundle import export
    from erniekit_adapter.project.loading import load_project

    export(load_project(file, overrides), _console(), allow_unproven=allow_unproven)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="a bundle's folder", show_default=False)],
    public_key: Annotated[Path | None, typer.Option(help="PEM file: ask for its signature", show_default=False)] = None,
    base: Annotated[Path | None, typer.Option(help="folder of the base model", show_default=False)] = None,
    trust: Annotated[Trust, typer.Option(help="unsigned: accept a bundle without signature")] = Trust.signed,
    counter_file: Annotated[
        Path | None, typer.Option(help="keeps the highest counter seen: refuse older bundles", show_default=False)
    ] = None,
) -> None:
    """Check who signed a bundle, every file of it, and that it holds nothing but data."""
    from erniekit_adapter.adapters.counters import remember
    from erniekit_adapter.adapters.verify import verify

    if counter_file and not public_key:
        raise UsageError(Problem("--counter-file", "needs --public-key", "give the key that signs"))
    accepted: Literal["signed", "unsigned"] = "signed" if trust is Trust.signed else "unsigned"
    found = verify(bundle, public_key, base, trust=accepted, counter_file=counter_file)
    signed = f"signed, counter {found.manifest.get('counter', 'none')}" if found.key else "not signed"
    typer.echo(f"✓ {found.path}: {found.files} files, {found.size_bytes:,} bytes, identity {found.identity}, {signed}")
    if counter_file:
        remember(counter_file, found.key, found.manifest["counter"])
    for form in found.unproven:
        typer.echo(f"⊘ {form}: not checked when it was exported")


@app.command()
def sign(
    bundle: Annotated[Path, typer.Argument(help="a bundle's folder", show_default=False)],
    key_variable: Annotated[str, typer.Option(help="environment variable with the private key (PEM)")],
    counter: Annotated[
        int | None, typer.Option(min=1, help="higher than any before; without it, the time", show_default=False)
    ] = None,
) -> None:
    """Put a counter into a bundle's manifest and sign it with an Ed25519 key."""
    from erniekit_adapter.adapters.signing import sign

    sign(bundle, key_variable=key_variable, counter=counter)
    typer.echo(f"signed {bundle}")


@app.command("import")
def import_peft(
    file: ProjectFile,
    peft: Annotated[Path, typer.Argument(help="folder of a PEFT adapter", show_default=False)],
    output: Annotated[Path, typer.Option(help="folder to write", show_default=False)],
    overrides: Overrides = [],
) -> None:
    """Turn a PEFT adapter into the toolkit's own layout, to train on from."""
    from erniekit_adapter.adapters.peft import write_from_peft
    from erniekit_adapter.files import read_json
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.project.model_folder import local_model_dir

    project = load_project(file, overrides)
    write_from_peft(peft, read_json(local_model_dir(project) / "config.json"), output, project.backend)
    typer.echo(f"adapter: {output}\ntrain from it with {project.backend}.extra.lora_path: {output.resolve()}")


@app.command()
def evaluate(file: ProjectFile, overrides: Overrides = []) -> None:
    """Answer the test lines with base and tuned model, and say whether the tuned one is better."""
    from erniekit_adapter.evaluation.stage import evaluate
    from erniekit_adapter.evaluation.summary import print_results
    from erniekit_adapter.project.loading import load_project

    print_results(evaluate(load_project(file, overrides), _console()), _console(stderr=False))


@app.command()
def summary(
    file: ProjectFile,
    overrides: Overrides = [],
    svg: Annotated[Path | None, typer.Option(help="also write it as a picture", show_default=False)] = None,
) -> None:
    """Print what a finished run did, on one screen."""
    from erniekit_adapter.evaluation.summary import print_summary, summary_picture
    from erniekit_adapter.files import write_text
    from erniekit_adapter.project.loading import load_project

    project = load_project(file, overrides)
    print_summary(project, _console(stderr=False))
    if svg:
        write_text(svg, summary_picture(project, project.run_name))


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="sweep file (YAML)", show_default=False)],
    restart: Annotated[bool, typer.Option(help="begin finished runs anew as well")] = False,
) -> None:
    """Run a project several times, with changes, and compare the results."""
    from erniekit_adapter.files import write_json, write_text
    from erniekit_adapter.sweep.running import run_all
    from erniekit_adapter.sweep.sweep_file import load_sweep
    from erniekit_adapter.sweep.table import read_results, sweep_markdown, sweep_results, sweep_table

    described, runs = load_sweep(file)
    failures = run_all(runs, _console(), restart=restart)
    ended_early = {failure.run for failure in failures}
    if found := read_results([run for run in runs if run.name not in ended_early]):
        write_json(described.output_dir / "sweep.json", sweep_results(found))
        write_text(described.output_dir / "sweep.md", sweep_markdown(found))
        _console(stderr=False).print(sweep_table(found))
    if failures:
        raise AdapterError(failure.problem() for failure in failures)


@app.command()
def plan(
    file: ProjectFile,
    overrides: Overrides = [],
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that there are", show_default=False)] = None,
    memory_gib: Annotated[float | None, typer.Option(min=1, help="memory of each in GiB", show_default=False)] = None,
) -> None:
    """Estimate memory, steps and time, and what fits, before a device is taken."""
    from erniekit_adapter.planning.report import print_plan
    from erniekit_adapter.project.loading import load_project

    print_plan(load_project(file, overrides), _console(stderr=False), gpus=gpus, memory_gib=memory_gib)


@app.command()
def doctor(file: ProjectFile, overrides: Overrides = []) -> None:
    """Say whether this machine is ready for the project: ✓ ready, ✗ not, ⊘ not to be judged yet."""
    from erniekit_adapter.doctor import examine
    from erniekit_adapter.project.loading import load_project

    wrong = 0
    for found in examine(load_project(file, overrides)):
        typer.echo(str(found))
        wrong += found.state == "wrong"
    raise typer.Exit(1 if wrong else 0)


@app.command()
def tiny_model(
    corpus: Annotated[Path, typer.Option(help="text that its tokenizer is made for", show_default=False)],
    output: Annotated[Path, typer.Option(help="folder to write", show_default=False)],
    seed: Annotated[int, typer.Option(help="of the random weights")] = 0,
) -> None:
    """Build a tiny ERNIE 4.5 with random weights, to try every stage on a CPU."""
    from erniekit_adapter.backends.tiny_model import build_tiny_model

    build_tiny_model(corpus, output, seed)
    typer.echo(f"tiny ERNIE 4.5: {output}")


class _Translated(NamedTuple):
    """A project with its settings, where its keys stand, what is not known yet, and why they are for this version."""

    project: Project
    places: Places
    facts: RunFacts
    settings: Settings
    left_open: Mapping[str, str]
    why: str


def _translated(file: Path, overrides: list[str]) -> _Translated:
    from erniekit_adapter.backends.installed import toolkit_version
    from erniekit_adapter.backends.translation import settings_of
    from erniekit_adapter.project.loading import load_project_with_places, placed
    from erniekit_adapter.training.expected import expected_run

    project, places = load_project_with_places(file, overrides)
    try:
        version, why = toolkit_version(project)
        expected = expected_run(project, version)
        settings = settings_of(project, expected.facts)
        return _Translated(project, places, expected.facts, settings, expected.left_open, why)
    except UsageError as error:
        raise UsageError(placed(error.problems, file, places)) from error


def _console(*, stderr: bool = True) -> Console:
    from erniekit_adapter.terminal import console

    return console(stderr=stderr)


def main() -> None:
    """Run the command line; what went wrong is printed without a traceback, and its kind is the exit code."""
    from erniekit_adapter.backends.ended import EndedBySignal, ending_on_signals

    try:
        with ending_on_signals():
            app()
    except AdapterError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except EndedBySignal as ended:
        # The terminal may be gone.
        with suppress(OSError):
            typer.echo(f"ended by {ended.name}", err=True)
        sys.exit(ended.exit_code)
