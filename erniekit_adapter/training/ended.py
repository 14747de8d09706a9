"""Report a run that ended early: the cause, and the checkpoint from which it is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from erniekit_adapter.backends.processes.ended import EndedBySignal
from erniekit_adapter.backends.processes.failures import description_of_failure, ending_signal
from erniekit_adapter.backends.processes.process import Outcome
from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.project.run_records import TOOLKIT_DIR
from erniekit_adapter.training.divergence import diverged, drop_bad_checkpoints, newest_finite, weight_files_of
from erniekit_adapter.training.resume import find_start
from erniekit_adapter.training.run import TrainingRun


def refuse_failure(outcome: Outcome, run: TrainingRun, stall_minutes: float) -> None:
    """Raise an error if the toolkit ended without trained weights.

    Raises:
        AdapterError: the toolkit failed, was ended or wrote no weights; with the cause and the path of the log.
    """
    command, log_hint = f"{run.toolkit.backend} train", f"the whole log is {run.log}"
    if outcome.stalled:
        finding = f"printed nothing for {stall_minutes:g} minutes and was ended"
        raise failure(command, finding, f"{log_hint}; --stall-minutes allows more")
    if outcome.out_of_time and outcome.exit_code != 0:
        hours = run.project.training.max_hours or 0
        raise failure(command, f"ended after {hours:g} hours (training.max_hours)", _how_to_continue(run))
    if outcome.exit_code != 0:
        was_killed = ending_signal(outcome.exit_code, outcome.last_lines) is not None
        hint = f"{_how_to_continue(run)}; {log_hint}" if was_killed else log_hint
        raise failure(command, description_of_failure(outcome), hint)
    if not weight_files_of(run.folder / TOOLKIT_DIR):
        raise failure(command, "ended with exit code 0 but wrote no weights", log_hint)


@contextmanager
def reporting_interruption(run: TrainingRun, console: Console) -> Iterator[None]:
    """Print the checkpoint from which an interrupted run continues."""
    try:
        yield
    except (KeyboardInterrupt, EndedBySignal) as ended:
        name = ended.name if isinstance(ended, EndedBySignal) else "Ctrl-C"
        with suppress(OSError, AdapterError):  # the terminal may be closed, or the disk gone
            console.print(f"interrupted by {name}: {_how_to_continue(run)}")
        raise


def _how_to_continue(run: TrainingRun) -> str:
    newest = find_start(run.folder, with_initial_adapter=False, backend=run.toolkit.backend).checkpoint
    if newest is None:
        return "the same command starts again, because no checkpoint was written yet (training.save_steps)"
    return f"the same command continues from {newest}"


def diverged_run(run: TrainingRun, divergence: str, console: Console) -> AdapterError:
    """Remove the checkpoints that the divergence spoiled, and return the error."""
    output = run.folder / TOOLKIT_DIR
    for checkpoint, reason in drop_bad_checkpoints(output):
        console.print(f"removed {checkpoint}: {reason}")
    learning_rate = run.project.training.learning_rate
    return diverged(f"{run.toolkit.backend} train", divergence, learning_rate, newest_finite(output))
