"""How a run that did not end well is reported, and from where it continues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from erniekit_adapter.backends.ended import EndedBySignal
from erniekit_adapter.backends.failures import description_of_failure, ending_signal
from erniekit_adapter.backends.process import Outcome
from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.project.run_records import TOOLKIT_DIR
from erniekit_adapter.training.divergence import diverged, drop_bad_checkpoints, newest_finite, weight_files_of
from erniekit_adapter.training.resume import find_start
from erniekit_adapter.training.run import Run, TrainOptions


def refuse_failure(outcome: Outcome, run: Run, options: TrainOptions) -> None:
    """Refuse a toolkit's end that leaves no trained weights.

    Raises:
        AdapterError: it failed, was ended or wrote no weights; with the cause, and the place of the log.
    """
    log, command = run.folder / "train.log", f"{run.toolkit.backend} train"
    if outcome.stalled:
        raise fail(
            command,
            f"said nothing for {options.stall_minutes:g} minutes and was ended",
            f"the whole log is {log}; --stall-minutes allows more",
        )
    if outcome.out_of_time and outcome.exit_code != 0:
        hours = run.project.training.max_hours or 0
        raise fail(command, f"ended after {hours:g} hours (training.max_hours)", _continues_from(run))
    if outcome.exit_code != 0:
        was_killed = ending_signal(outcome.exit_code, outcome.last_lines) is not None
        hint = f"{_continues_from(run)}; " if was_killed else ""
        raise fail(command, description_of_failure(outcome), f"{hint}the whole log is {log}")
    output = run.folder / TOOLKIT_DIR
    if not weight_files_of(output):
        raise fail(command, "ended well and wrote no weights", f"the whole log is {log}")


@contextmanager
def saying_where_it_continues(run: Run, console: Console) -> Iterator[None]:
    """Print what an interrupted run continues from."""
    try:
        yield
    except (KeyboardInterrupt, EndedBySignal) as ended:
        name = ended.name if isinstance(ended, EndedBySignal) else "Ctrl-C"
        with suppress(OSError, AdapterError):  # the terminal or the disk may be gone
            console.print(f"interrupted by {name}: {_continues_from(run)}")
        raise


def _continues_from(run: Run) -> str:
    """Describe what the same command does after this run has ended early."""
    newest = find_start(run.folder, with_initial_adapter=False, backend=run.project.backend).checkpoint
    if newest is None:
        return "the same command starts again, because no checkpoint was written yet (training.save_steps)"
    return f"the same command continues from {newest}"


def diverged_run(run: Run, divergence: str, console: Console) -> AdapterError:
    """Remove what the divergence spoiled, and return the error."""
    output, training = run.folder / TOOLKIT_DIR, run.project.training
    for checkpoint, reason in drop_bad_checkpoints(output):
        console.print(f"removed {checkpoint}: {reason}")
    return diverged(f"{run.toolkit.backend} train", divergence, training.learning_rate, newest_finite(output))
