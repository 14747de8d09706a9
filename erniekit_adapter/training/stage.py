"""The train stage: settings and folders made ready, ERNIEKit run and followed, and what came of it written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.backends.installed import Toolkit, find_toolkit, toolkit_version
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES, table_version
from erniekit_adapter.backends.lora_modules import needs_initial_adapter
from erniekit_adapter.backends.process import Outcome, run_logged
from erniekit_adapter.backends.settings import RunFacts, values
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
    real_folder,
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
from erniekit_adapter.project.run_records import MANIFEST_FILE, RUN_FILE, TOOLKIT_DIR, read_run, read_training_manifest
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.base_weights import CHECKED_FILE, refuse_not_finite
from erniekit_adapter.training.cards import cards_of_run
from erniekit_adapter.training.divergence import (
    DivergedError,
    LossWatch,
    drop_bad_checkpoints,
    guessing_loss,
    saved_not_finite,
    weight_files_of,
)
from erniekit_adapter.training.ended import diverged_run, refuse_failure, saying_where_it_continues
from erniekit_adapter.training.following import Follower, keep_until, read_metrics
from erniekit_adapter.training.identity import identity_fingerprint, identity_of, is_longer, refuse_other_run
from erniekit_adapter.training.initial_adapter import write_initial_adapter
from erniekit_adapter.training.lines import read_data_manifest
from erniekit_adapter.training.resume import (
    Start,
    begin,
    drop_last_of_all,
    find_start,
    note_longer,
)
from erniekit_adapter.training.run import Run, TrainOptions
from erniekit_adapter.training.settings_file import write_settings
from erniekit_adapter.training.warmup_note import warmup_note

_SHOWN_LINES = 5


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
    real_folder(folder / TOOLKIT_DIR)  # a link that leads nowhere is refused
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
        empty_folder(folder / TOOLKIT_DIR)  # also if it is a link, which stays
        # Without run.json the folder of a restart that is killed here would not count as ours.
        links = (TOOLKIT_DIR,) if (folder / TOOLKIT_DIR).is_symlink() else ()
        empty_folder(folder, keep=(RUN_FILE, CHECKED_FILE, *links))
    elif finished := _finished(project, facts, identity, console):
        console.print(f"already trained: {folder} (--restart trains again from the start)")
        return finished
    write_json(folder / RUN_FILE, identity)
    refuse_not_finite(base_model, folder / CHECKED_FILE, console)
    for checkpoint, reason in drop_bad_checkpoints(folder / TOOLKIT_DIR):
        console.print(f"removed {checkpoint}: {reason}")
    usable = usable_model_dir(base_model.resolve(), folder / "model", training.device, project.backend)
    facts = replace(facts, model_dir=str(usable))
    if project.backend == "paddleformers" or not _starts_from_adapter(project, facts):
        drop_last_of_all(folder, training.max_steps, project.backend)
    start = begin(folder, with_initial_adapter=_starts_from_adapter(project, facts), backend=project.backend)
    if training.max_steps is not None:
        start = replace(start, total_steps=training.max_steps)
    facts = _facts_from(start, facts, project)
    settings = settings_of(project, facts)
    run = Run(project, folder, toolkit, cards, start, facts, settings, identity)
    _say_start(run, console)
    outcome, follower = _follow(run, options, console)
    refuse_failure(outcome, run, options)
    if found := saved_not_finite(folder / TOOLKIT_DIR):
        raise diverged_run(run, f"the trained weights are NaN or infinite: {describe(found)}", console)
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
    was, manifest = read_run(folder), read_training_manifest(folder)
    starts_from_adapter = _starts_from_adapter(project, facts)
    start = find_start(folder, with_initial_adapter=starts_from_adapter, backend=project.backend)
    if was is None or (manifest is None and start.kind == "new"):
        return None
    refuse_other_run(folder, was, identity)
    if not is_longer(folder, was, identity, manifest["steps"] if manifest else start.done_steps):
        _refuse_lost_weights(folder / TOOLKIT_DIR, manifest)
        return manifest
    if start.kind == "new":
        what = "is finished and has no checkpoint to continue from: training.save_steps was larger than the run"
        raise misuse(folder, what, "train again from the start with --restart")
    if start.kind == "go_on" and project.training.max_steps is None:
        what = "continues from its adapter, so it becomes longer by training.max_steps alone, and it counts epochs"
        raise misuse(folder, what, "train again from the start with --restart")
    note_longer(folder / "train.log")
    # Without its manifest the folder holds an unfinished run, also if this one is interrupted.
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    console.print("the run becomes longer: from its checkpoint on, the learning rate follows the longer schedule")
    return None


def _refuse_lost_weights(output: Path, manifest: dict[str, Any] | None) -> None:
    """Refuse a finished run whose weights were removed, or whose adapter is not finite (full weights are not read)."""
    if manifest is None:
        return
    remedy = "train again with --restart"
    files = weight_files_of(output)
    if not files:
        raise fail(output, "the run is finished, and its weights are gone", remedy)
    try:
        found = not_finite(files) if manifest["adapter"] else []
    except AdapterError as error:
        raise AdapterError([replace(problem, remedy=remedy) for problem in error.problems]) from error
    if found:
        raise fail(output, f"NaN or infinite: {describe(found)}", remedy)


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
        empty_folder(folder / TOOLKIT_DIR)
    if not _starts_from_adapter(project, facts) or (start.kind == "resume" and project.backend == "erniekit"):
        return facts
    adapter_dir = folder / INITIAL_ADAPTER
    if start.kind == "new" or not adapter_dir.is_dir():
        write_initial_adapter(project, facts.kind, Path(facts.model_dir), adapter_dir)
    return replace(facts, initial_adapter_dir=str(adapter_dir.resolve()))


def _say_start(run: Run, console: Console) -> None:
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


def _follow(run: Run, options: TrainOptions, console: Console) -> tuple[Outcome, Follower]:
    folder = run.folder
    derived = derived_by_toolkit(run.project, run.facts, run.settings)
    write_settings(folder / "settings.yaml", run.settings, derived)
    if run.start.kind == "new":
        (folder / "train.log").unlink(missing_ok=True)
    metrics = folder / "metrics.jsonl"
    if unreadable := keep_until(metrics, run.start.done_steps):
        numbers = ", ".join(map(str, unreadable[:_SHOWN_LINES]))
        if len(unreadable) > _SHOWN_LINES:
            numbers += f" and {len(unreadable) - _SHOWN_LINES:,} more"
        console.print(f"{metrics}: lines that cannot be read are left out: {numbers} (a run was ended while writing)")
    hours = run.project.training.max_hours
    earlier_steps = run.start.done_steps if run.start.kind == "go_on" else 0
    watch = LossWatch(guessing_loss(_vocabulary(run.facts.model_dir), run.facts.stage))

    def take(line: str) -> None:
        found = follower.take(line)
        if found and (divergence := watch.take(found)):
            raise DivergedError(str(divergence))

    try:
        with saying_where_it_continues(run, console), Follower(metrics, earlier_steps, console) as follower:
            outcome = run_logged(
                _command(run),
                folder=folder,
                environment={**run.toolkit.environment(on_cpu=run.project.training.device == "cpu"), **run.cards},
                log=folder / "train.log",
                on_line=take,
                stall_s=options.stall_minutes * 60,
                limit_s=hours * 3600 if hours else None,
            )
    except DivergedError as error:
        # The toolkit has ended by now, so it writes none of the checkpoints that are read and removed.
        raise diverged_run(run, str(error), console) from None
    if outcome.exit_code == 0 and (divergence := watch.at_end()):
        raise diverged_run(run, str(divergence), console)
    return outcome, follower


def _vocabulary(model_dir: str) -> object:
    config = read_json(Path(model_dir) / "config.json")
    return config.get("vocab_size") if isinstance(config, dict) else None


def _command(run: Run) -> list[str]:
    """What starts the toolkit; PaddleFormers in one process needs to be made ready, see the worker."""
    if run.toolkit.backend == "paddleformers" and run.project.parallel.world_size == 1:
        return run.toolkit.worker("paddleformers_train", "settings.yaml")
    return run.toolkit.command("train", "settings.yaml")


def _write_manifest(run: Run, follower: Follower, outcome: Outcome) -> dict[str, Any]:
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
    write_json(run.folder / MANIFEST_FILE, manifest)
    return manifest
