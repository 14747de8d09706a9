"""The train stage: settings and folders made ready, ERNIEKit run and followed, and what came of it written down."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.backends.ended import EndedBySignal
from erniekit_adapter.backends.failures import description_of_failure, ending_signal
from erniekit_adapter.backends.installed import Toolkit, find_toolkit, toolkit_version
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES, table_version
from erniekit_adapter.backends.lora_modules import needs_initial_adapter
from erniekit_adapter.backends.process import Outcome, run_logged
from erniekit_adapter.backends.settings import RunFacts, Settings, values
from erniekit_adapter.backends.stages import line_files
from erniekit_adapter.backends.translation import (
    INITIAL_ADAPTER,
    derived_by_toolkit,
    facts_before_training,
    problems_of_project,
    settings_of,
)
from erniekit_adapter.errors import AdapterError, UsageError, fail, misuse
from erniekit_adapter.files import (
    empty_folder,
    explaining_full_disk,
    read_json,
    refuse_foreign_folder,
    write_json,
)
from erniekit_adapter.finite import describe, not_finite
from erniekit_adapter.locks import using
from erniekit_adapter.project.model_folder import (
    check_model_dir,
    local_model_dir,
    usable_model_dir,
)
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.base_weights import refuse_not_finite
from erniekit_adapter.training.cards import cards_of_run
from erniekit_adapter.training.divergence import (
    LossWatch,
    diverged,
    drop_bad_checkpoints,
    guessing_loss,
    saved_not_finite,
    weight_files_of,
)
from erniekit_adapter.training.following import Follower, keep_until, read_metrics
from erniekit_adapter.training.identity import identity_fingerprint, identity_of, is_longer, refuse_other_run
from erniekit_adapter.training.initial_adapter import INDEX_FILE, write_initial_adapter
from erniekit_adapter.training.lines import read_data_manifest
from erniekit_adapter.training.resume import (
    TOOLKIT_DIR,
    Start,
    begin,
    drop_last_of_all,
    find_start,
    newest_checkpoint,
)
from erniekit_adapter.training.settings_file import write_settings
from erniekit_adapter.training.warmup_note import warmup_note

DEFAULT_STALL_MINUTES = 30.0
# Written before anything else: it says what run a folder holds, and that the folder is ours.
RUN_FILE = "run.json"


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a project.

    Attributes:
        restart: throw away an earlier run instead of going on with it.
        stall_minutes: end the toolkit when its log is silent for so long.
    """

    restart: bool = False
    stall_minutes: float = DEFAULT_STALL_MINUTES


@dataclass(frozen=True)
class _Run:
    """A run made ready: everything that starting the toolkit needs."""

    project: Project
    folder: Path
    toolkit: Toolkit
    cards: dict[str, str]
    start: Start
    facts: RunFacts
    settings: Settings
    identity: dict[str, Any]


def train(project: Project, options: TrainOptions, console: Console) -> dict[str, Any]:
    """Run or finish the training that a project asks for, and return the stage's manifest.

    Raises:
        UsageError: the project, its data, its model or the toolkit is not as training needs it.
        AdapterError: the toolkit failed, with the cause in one line and the place of the log; or another stage uses
            the run's folder, or writes its data.
    """
    folder = project.training_dir
    with using("train", writes=[folder], reads=[project.data_dir], on_note=console.print), explaining_full_disk(folder):
        return _train(project, options, console)


def _train(project: Project, options: TrainOptions, console: Console) -> dict[str, Any]:
    folder, training = project.training_dir, project.training
    refuse_foreign_folder(folder, RUN_FILE)
    # What the toolkit cannot do comes first: lines for it would be made in vain.
    if problems := problems_of_project(project, facts_before_training(project, toolkit_version(project)[0])):
        raise UsageError(problems)
    data = read_data_manifest(project)
    toolkit = find_toolkit(project.backend)
    _check_version(project, toolkit)
    cards = cards_of_run(project)
    facts = _facts_of(project, toolkit, data)
    base_model = local_model_dir(project)
    check_model_dir(base_model, project.model.model_name_or_path, project.backend, facts.kind)
    identity = identity_of(project, facts, settings_of(project, facts), data, base_model)
    if options.restart:
        empty_folder(folder)
    elif finished := _finished(project, facts, identity, console):
        console.print(f"already trained: {folder} (--restart trains again from the start)")
        return finished
    refuse_not_finite(base_model, folder / "base_model_checked.json", console)
    for checkpoint, reason in drop_bad_checkpoints(folder / TOOLKIT_DIR):
        console.print(f"removed {checkpoint}: {reason}")
    write_json(folder / RUN_FILE, identity)
    usable = usable_model_dir(base_model.resolve(), folder / "model", training.device, project.backend)
    facts = replace(facts, model_dir=str(usable))
    if project.backend == "paddleformers" or not _starts_from_adapter(project, facts):
        drop_last_of_all(folder, training.max_steps, project.backend)
    start = begin(folder, with_initial_adapter=_starts_from_adapter(project, facts), backend=project.backend)
    if training.max_steps is not None:
        start = replace(start, total_steps=training.max_steps)
    facts = _facts_from(start, facts, project)
    settings = settings_of(project, facts)
    run = _Run(project, folder, toolkit, cards, start, facts, settings, identity)
    _say_start(run, console)
    outcome, follower = _follow(run, options, console)
    _refuse_failure(outcome, run, options)
    if found := saved_not_finite(folder / TOOLKIT_DIR):
        raise _diverged(run, f"the trained weights are NaN or infinite: {describe(found)}", console)
    return _write_manifest(run, follower, outcome)


def _check_version(project: Project, toolkit: Toolkit) -> None:
    """Refuse a toolkit that reads other keys than those of the version that the project names."""
    named, installed = project.named_version or toolkit.version, toolkit.version
    if table_version(named, project.backend) != table_version(installed, project.backend):
        what = f"{named} is asked for, and {installed} is installed ({toolkit.found_by})"
        raise misuse(f"{project.backend}.version", what, "install that version, or remove the key")


def _facts_of(project: Project, toolkit: Toolkit, data: dict[str, Any]) -> RunFacts:
    facts = facts_before_training(project, toolkit.version)
    train_lines, eval_lines = (data["files"][name]["lines"] for name in line_files(facts.stage))
    folder = str(local_model_dir(project).resolve())
    return replace(facts, model_dir=folder, train_lines=train_lines, eval_lines=eval_lines, initial_adapter_dir=None)


def _starts_from_adapter(project: Project, facts: RunFacts) -> bool:
    return needs_initial_adapter(project, facts.kind)


def _finished(project: Project, facts: RunFacts, identity: dict[str, Any], console: Console) -> dict[str, Any] | None:
    """Return the manifest of this very run, if it is finished and not to become longer.

    Raises:
        UsageError: the folder holds work of another run, finished or not; it names what differs.
        AdapterError: the run is finished, and its weights are missing or not finite.
    """
    folder = project.training_dir
    done, started = folder / "manifest.json", folder / RUN_FILE
    starts_from_adapter = _starts_from_adapter(project, facts)
    start = find_start(folder, with_initial_adapter=starts_from_adapter, backend=project.backend)
    if not started.is_file() or not (done.is_file() or start.kind != "new"):
        return None
    was = read_json(started)
    refuse_other_run(folder, was, identity)
    manifest: dict[str, Any] | None = read_json(done) if done.is_file() else None
    if not is_longer(folder, was, identity, manifest["steps"] if manifest else start.done_steps):
        _refuse_lost_weights(folder / TOOLKIT_DIR, manifest)
        return manifest
    if start.kind == "new":
        what = "is finished and has no checkpoint to continue from: training.save_steps was larger than the run"
        raise misuse(folder, what, "train again from the start with --restart")
    if start.kind == "go_on" and project.training.max_steps is None:
        what = "continues from its adapter, so it becomes longer by training.max_steps alone, and it counts epochs"
        raise misuse(folder, what, "train again from the start with --restart")
    # Without its manifest the folder holds an unfinished run, also if this one is interrupted.
    done.unlink(missing_ok=True)
    console.print("the run becomes longer: from its checkpoint on, the learning rate follows the longer schedule")
    return None


def _refuse_lost_weights(output: Path, manifest: dict[str, Any] | None) -> None:
    """Refuse a finished run whose weights were removed, or whose adapter is not finite (full weights are not read)."""
    if manifest is None:
        return
    files = weight_files_of(output)
    if not files:
        raise fail(output, "the run is finished, and its weights are gone", "train again with --restart")
    if manifest["adapter"] and (found := not_finite(files)):
        raise fail(output, f"NaN or infinite: {describe(found)}", "train again with --restart")


def _facts_from(start: Start, facts: RunFacts, project: Project) -> RunFacts:
    """The facts with what follows from where the run begins; a new run's initial adapter is written here."""
    folder = project.training_dir
    if start.kind == "go_on" and start.checkpoint:
        if start.remaining_steps is None:
            raise fail(start.checkpoint, "does not hold the steps planned for its run", "train again with --restart")
        # A run that was killed between its last checkpoint and its end takes one step more: ERNIEKit needs one to save.
        steps = max(start.remaining_steps, 1)
        return replace(facts, initial_adapter_dir=str(start.checkpoint.resolve()), remaining_steps=steps)
    if start.kind == "new":
        shutil.rmtree(folder / TOOLKIT_DIR, ignore_errors=True)
    if not _starts_from_adapter(project, facts) or (start.kind == "resume" and project.backend == "erniekit"):
        return facts
    adapter_dir = folder / INITIAL_ADAPTER
    if start.kind == "new" or not adapter_dir.is_dir():
        write_initial_adapter(project, facts.kind, Path(facts.model_dir), adapter_dir)
    return replace(facts, initial_adapter_dir=str(adapter_dir.resolve()))


def _say_start(run: _Run, console: Console) -> None:
    toolkit, start = run.toolkit, run.start
    name = f"{TOOLKIT_NAMES[toolkit.backend]} {toolkit.version} ({toolkit.found_by})"
    console.print(f"{name}, stage {run.facts.stage}, log: {run.folder / 'train.log'}")
    if note := warmup_note(run.project, run.facts):
        console.print(note)
    if start.kind == "resume":
        console.print(f"resuming from {start.checkpoint}")
    if start.kind == "go_on":
        console.print(
            f"going on from the adapter of {start.checkpoint}, {start.done_steps} of {start.total_steps} steps done: "
            "optimizer and learning rate schedule start anew, as ERNIEKit would otherwise train other modules",
        )


def _follow(run: _Run, options: TrainOptions, console: Console) -> tuple[Outcome, Follower]:
    folder = run.folder
    derived = derived_by_toolkit(run.project, run.facts, run.settings)
    write_settings(folder / "settings.yaml", run.settings, derived)
    if run.start.kind == "new":
        (folder / "train.log").unlink(missing_ok=True)
    metrics = folder / "metrics.jsonl"
    if unreadable := keep_until(metrics, run.start.done_steps):
        numbers = ", ".join(map(str, unreadable))
        console.print(f"{metrics}: lines that cannot be read are left out: {numbers} (a run was ended while writing)")
    hours = run.project.training.max_hours
    earlier_steps = run.start.done_steps if run.start.kind == "go_on" else 0
    watch = LossWatch(guessing_loss(_vocabulary(run.facts.model_dir), run.facts.stage))

    def take(line: str) -> None:
        found = follower.take(line)
        if found and (divergence := watch.take(found)):
            raise _diverged(run, str(divergence), console)

    with _saying_where_it_continues(run, console), Follower(metrics, earlier_steps, console) as follower:
        outcome = run_logged(
            _command(run),
            folder=folder,
            environment={**run.toolkit.environment(on_cpu=run.project.training.device == "cpu"), **run.cards},
            log=folder / "train.log",
            on_line=take,
            stall_s=options.stall_minutes * 60,
            limit_s=hours * 3600 if hours else None,
        )
    if outcome.exit_code == 0 and (divergence := watch.at_end()):
        raise _diverged(run, str(divergence), console)
    return outcome, follower


def _vocabulary(model_dir: str) -> object:
    config = read_json(Path(model_dir) / "config.json")
    return config.get("vocab_size") if isinstance(config, dict) else None


def _diverged(run: _Run, divergence: str, console: Console) -> AdapterError:
    """Remove what the divergence spoiled, and return the error."""
    output, training = run.folder / TOOLKIT_DIR, run.project.training
    for checkpoint, reason in drop_bad_checkpoints(output):
        console.print(f"removed {checkpoint}: {reason}")
    kept = newest_checkpoint(output, run.project.backend)
    return diverged(f"{run.toolkit.backend} train", divergence, training.learning_rate, kept)


@contextmanager
def _saying_where_it_continues(run: _Run, console: Console) -> Iterator[None]:
    """Print what an interrupted run continues from."""
    try:
        yield
    except (KeyboardInterrupt, EndedBySignal) as ended:
        name = ended.name if isinstance(ended, EndedBySignal) else "Ctrl-C"
        with suppress(OSError):  # the terminal may be gone
            console.print(f"interrupted by {name}: {_continues_from(run)}")
        raise


def _continues_from(run: _Run) -> str:
    """Say what the same command does after this run has ended early."""
    newest = find_start(run.folder, with_initial_adapter=False, backend=run.project.backend).checkpoint
    if newest is None:
        return "the same command starts again, because there is no checkpoint yet (training.save_steps)"
    return f"the same command continues from {newest}"


def _command(run: _Run) -> list[str]:
    """What starts the toolkit; PaddleFormers in one process needs to be made ready, see the worker."""
    if run.toolkit.backend == "paddleformers" and run.project.parallel.world_size == 1:
        return run.toolkit.worker("paddleformers_train", "settings.yaml")
    return run.toolkit.command("train", "settings.yaml")


def _refuse_failure(outcome: Outcome, run: _Run, options: TrainOptions) -> None:
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
    if not (output / INDEX_FILE).is_file() and not list(output.glob("model*.safetensors")):
        raise fail(command, "ended well and wrote no weights", f"the whole log is {log}")


def _write_manifest(run: _Run, follower: Follower, outcome: Outcome) -> dict[str, Any]:
    toolkit, measured = run.toolkit, read_metrics(run.folder / "metrics.jsonl")
    losses = [(found["step"], found["loss"]) for found in measured if "loss" in found]
    evaluated = [found["eval_loss"] for found in measured if "eval_loss" in found]
    state = read_json(run.folder / TOOLKIT_DIR / "trainer_state.json")
    earlier_steps = run.start.done_steps if run.start.kind == "go_on" else 0
    manifest = {
        "made_by": f"erniekit-adapter {__version__}",
        "toolkit": {"name": toolkit.backend, "version": toolkit.version, "distributions": dict(toolkit.versions)},
        "steps": state["global_step"] + earlier_steps,
        "seconds": round(outcome.seconds, 1),
        # None where the run was shorter than its logging interval.
        "first_loss": losses[0][1] if losses else None,
        "last_loss": losses[-1][1] if losses else None,
        "last_eval_loss": evaluated[-1] if evaluated else None,
        "trainable_parameters": follower.trainable,
        "adapter": TOOLKIT_DIR if run.project.lora.enabled else None,
        "started": run.start.kind,
        "identity": identity_fingerprint(run.identity),
        "settings": values(run.settings),
        "data": run.identity["data"],
        "base_model": run.identity["base_model"],
    }
    write_json(run.folder / "manifest.json", manifest)
    return manifest
