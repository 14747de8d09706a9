"""Commands of a run after its data is built: train, export, evaluate, summary; sweep and tiny-model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from erniekit_adapter.cli.arguments import Overrides, ProjectFile
from erniekit_adapter.cli.groups import app
from erniekit_adapter.cli.layout import Command
from erniekit_adapter.cli.printing import progress_console, result_console
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.terminal import echo


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter train project.yaml
    erniekit-adapter train project.yaml --set training.max_steps=100 --restart
    """,
)
def train(
    file: ProjectFile,
    overrides: Overrides = [],
    restart: Annotated[bool, typer.Option("--restart", help="discard an earlier run instead of resuming it")] = False,
    stall_minutes: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="end the toolkit if its log gets no line for this time")
    ] = 30,
) -> None:
    """Train with the toolkit; an interrupted run is resumed.

    Writes OUTPUT_DIR/training: settings, log, metrics, adapter.
    """
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.training.run import TrainOptions
    from erniekit_adapter.training.stage import train

    manifest = train(load_project(file, overrides), TrainOptions(restart, stall_minutes), progress_console())
    losses = " → ".join(f"{manifest[key]:.3f}" for key in ("first_loss", "last_loss") if manifest[key] is not None)
    with suppress(OSError):  # the training is done, even if the terminal is gone
        echo(f"trained {manifest['steps']} steps" + (f": loss {losses}" if losses else ""))


@app.command(cls=Command, epilog="erniekit-adapter export project.yaml")
def export(
    file: ProjectFile,
    overrides: Overrides = [],
    allow_unchecked: Annotated[
        bool, typer.Option("--allow-unchecked", help="also write bundle formats that this machine cannot check")
    ] = False,
) -> None:
    """Write the bundle, and compare its formats with each other.

    Writes OUTPUT_DIR/bundle: the adapter in the bundle formats of the project, a manifest and a model card. The exit
    code is 3 if this machine cannot check one of the formats.
    """
    from erniekit_adapter.bundle.export import export
    from erniekit_adapter.project.loading import load_project

    export(load_project(file, overrides), progress_console(), allow_unchecked=allow_unchecked)


@app.command(cls=Command, epilog="erniekit-adapter evaluate project.yaml")
def evaluate(file: ProjectFile, overrides: Overrides = []) -> None:
    """Compare the tuned model with the base model on the test examples.

    Writes OUTPUT_DIR/evaluation: results.json, and both answers to each test example with their scores.
    """
    from erniekit_adapter.evaluation.stage import evaluate
    from erniekit_adapter.evaluation.summary import print_results
    from erniekit_adapter.project.loading import load_project

    print_results(evaluate(load_project(file, overrides), progress_console()), result_console())


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter summary project.yaml
    erniekit-adapter summary project.yaml --svg summary.svg
    """,
)
def summary(
    file: ProjectFile,
    overrides: Overrides = [],
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="also write the summary as a picture", show_default=False)
    ] = None,
) -> None:
    """Print data, training and results of a finished run on one screen."""
    from erniekit_adapter.evaluation.summary import print_summary, summary_picture
    from erniekit_adapter.files import write_text
    from erniekit_adapter.project.loading import load_project

    project = load_project(file, overrides)
    print_summary(project, result_console())
    if svg:
        write_text(svg, summary_picture(project, project.run_name))


@app.command(cls=Command, epilog="erniekit-adapter sweep configs/sweeps/learning-rate.yaml")
def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP", help="sweep file (YAML)", show_default=False)],
    restart: Annotated[bool, typer.Option("--restart", help="repeat finished runs too")] = False,
) -> None:
    """Run a project several times with changes, and compare the results.

    Writes a folder for each run, sweep.json and sweep.md into the output_dir of the sweep file. A run that fails does
    not stop the others.
    """
    from erniekit_adapter.files import write_json, write_text
    from erniekit_adapter.sweep.running import run_all
    from erniekit_adapter.sweep.sweep_file import load_sweep
    from erniekit_adapter.sweep.table import read_results, sweep_markdown, sweep_results, sweep_table

    described, runs = load_sweep(file)
    failures = run_all(runs, progress_console(), restart=restart)
    ended_early = {failure.run for failure in failures}
    if found := read_results([run for run in runs if run.name not in ended_early]):
        write_json(described.output_dir / "sweep.json", sweep_results(found))
        write_text(described.output_dir / "sweep.md", sweep_markdown(found))
        result_console().print(sweep_table(found))
    if failures:
        raise AdapterError(failure.problem() for failure in failures)


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data corpus --output corpus.txt --count 60 --seed 4
    erniekit-adapter tiny-model --corpus corpus.txt --output tiny-ernie
    """,
)
def tiny_model(
    corpus: Annotated[Path, typer.Option(metavar="FILE", help="text for its tokenizer", show_default=False)],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="folder to write", show_default=False)],
    seed: Annotated[int, typer.Option(metavar="N", help="seed of the random weights")] = 0,
) -> None:
    """Build a tiny ERNIE 4.5 with random weights, to try every stage on a CPU."""
    from erniekit_adapter.backends.tiny_model import build_tiny_model

    build_tiny_model(corpus, output, seed)
    echo(f"tiny ERNIE 4.5: {output}")
