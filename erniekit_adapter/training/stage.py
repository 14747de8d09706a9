"""The train stage: check the project, run the toolkit, follow its log, and write the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES, Backend
from erniekit_adapter.backends.environments.installed import Toolkit, find_toolkit, toolkit_version
from erniekit_adapter.backends.key_tables import table_version
from erniekit_adapter.backends.methods import data_files
from erniekit_adapter.backends.processes.process import Outcome, run_logged
from erniekit_adapter.backends.settings import RunContext, values
from erniekit_adapter.backends.translation import (
    INITIAL_ADAPTER,
    context_before_training,
    derived_by_toolkit,
    problems_of_project,
    settings_of,
)
from erniekit_adapter.errors import AdapterError, UsageError, failure, usage_error
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
from erniekit_adapter.lora.initial_adapter import needs_initial_adapter
from erniekit_adapter.project.model_folder import (
    check_model_dir,
    local_model_dir,
    usable_model_dir,
)
from erniekit_adapter.project.run_records import MANIFEST_FILE, RUN_FILE, TOOLKIT_DIR, read_run, read_training_manifest
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.base_weights import CHECKED_FILE, check_base_weights
from erniekit_adapter.training.divergence import (
    DivergedError,
    LossWatch,
    drop_bad_checkpoints,
    guessing_loss,
    saved_not_finite,
    weight_files_of,
)
from erniekit_adapter.training.ended import diverged_run, refuse_failure, reporting_interruption
from erniekit_adapter.training.examples import read_data_manifest
from erniekit_adapter.training.gpus import gpu_variables
from erniekit_adapter.training.identity import identity_fingerprint, identity_of, is_longer, refuse_other_run
from erniekit_adapter.training.initial_adapter import write_initial_adapter
from erniekit_adapter.training.log_monitor import LogMonitor
from erniekit_adapter.training.metrics_file import keep_until, read_metrics
from erniekit_adapter.training.resume import (
    Start,
    discard_final_checkpoint,
    find_start,
    note_extension,
    prepare_start,
)
from erniekit_adapter.training.run import TrainingRun, TrainOptions
from erniekit_adapter.training.settings_file import write_settings
from erniekit_adapter.training.warmup_note import warmup_note

_SHOWN_LINES = 5


def train(project: Project, options: TrainOptions, console: Console) -> dict[str, Any]:
    """Run, resume or extend the training of a project, and return the manifest of the stage.

    Raises:
        UsageError: the project, its training examples, its model or the toolkit does not fit.
        AdapterError: the toolkit failed, with the cause in one line and the path of the log; or another stage uses the
            run's folder, or writes its training examples.
    """
    folder = project.training_dir
    with using("train", writes=[folder], reads=[project.data_dir], on_note=console.print), explaining_full_disk(folder):
        return _train(project, options, console)


def _train(project: Project, options: TrainOptions, console: Console) -> dict[str, Any]:
    folder, training, backend = project.training_dir, project.training, project.backend
    refuse_foreign_folder(folder, RUN_FILE)
    real_folder(folder / TOOLKIT_DIR)  # refuses a dangling link
    # Checked before the training examples: those of a project that the toolkit refuses would be built for nothing.
    if problems := problems_of_project(project, context_before_training(project, toolkit_version(project)[0])):
        raise UsageError(problems)
    data, toolkit = read_data_manifest(project), find_toolkit(backend)
    _check_version(toolkit, project.named_version)
    gpus = gpu_variables(training.device, project.parallel.world_size)
    base_model = local_model_dir(project)
    context = _with_files(context_before_training(project, toolkit.version), data, base_model)
    check_model_dir(base_model, project.model.model_name_or_path, backend, context.kind)
    identity = identity_of(project.lora, context.method, settings_of(project, context), data, base_model)
    with_adapter = needs_initial_adapter(project, context.kind)
    if options.restart:
        _clear(folder)
    else:
        found = find_start(folder, with_initial_adapter=with_adapter, backend=backend)
        if finished := _finished_run(folder, found, identity, training.max_steps, console):
            console.print(f"already trained: {folder} (--restart trains again from the start)")
            return finished
    write_json(folder / RUN_FILE, identity)
    check_base_weights(base_model, folder / CHECKED_FILE, console)
    for checkpoint, reason in drop_bad_checkpoints(folder / TOOLKIT_DIR):
        console.print(f"removed {checkpoint}: {reason}")
    model_dir = usable_model_dir(base_model.resolve(), folder / "model", training.device, backend)
    start = _start(folder, training.max_steps, with_adapter=with_adapter, backend=backend)
    context = _context_of(replace(context, model_dir=str(model_dir)), start)
    if with_adapter and not (start.kind == "new_part" or (start.kind == "resume" and backend == "erniekit")):
        context = replace(context, initial_adapter_dir=_initial_adapter(project, context, start))
    run = TrainingRun(project, folder, toolkit, gpus, start, context, settings_of(project, context), identity)
    _print_start(run, console)
    outcome, monitor = _follow(run, options.stall_minutes, console)
    refuse_failure(outcome, run, options.stall_minutes)
    if not_finite_weights := saved_not_finite(folder / TOOLKIT_DIR):
        raise diverged_run(run, f"the trained weights are NaN or infinite: {describe(not_finite_weights)}", console)
    return _write_manifest(run, outcome.seconds, monitor.trainable)


def _check_version(toolkit: Toolkit, named: str | None) -> None:
    """Refuse a toolkit whose keys differ from those of the version that the project names."""
    backend, installed = toolkit.backend, toolkit.version
    if named and table_version(named, backend) != table_version(installed, backend):
        finding = f"the project names {named}, but {installed} is installed ({toolkit.found_by})"
        raise usage_error(f"{backend}.version", finding, "install that version, or remove the key")


def _with_files(context: RunContext, data: dict[str, Any], base_model: Path) -> RunContext:
    """Add the number of training examples and the path of the base model."""
    train_examples, eval_examples = (data["files"][name]["lines"] for name in data_files(context.method))
    model_dir = str(base_model.resolve())
    return replace(
        context,
        model_dir=model_dir,
        train_examples=train_examples,
        eval_examples=eval_examples,
        initial_adapter_dir=None,
    )


def _clear(folder: Path) -> None:
    """Empty a training folder for a restart."""
    empty_folder(folder / TOOLKIT_DIR)  # if this is a link, its target is emptied and the link stays
    # A restart that is killed here can be repeated only while run.json marks the folder as ours.
    links = (TOOLKIT_DIR,) if (folder / TOOLKIT_DIR).is_symlink() else ()
    empty_folder(folder, keep=(RUN_FILE, CHECKED_FILE, *links))


def _finished_run(
    folder: Path, start: Start, identity: dict[str, Any], max_steps: int | None, console: Console
) -> dict[str, Any] | None:
    """Return the manifest of the run if it is finished and not extended; None if there are steps to train.

    Raises:
        UsageError: the folder holds another run, finished or not; the error names the differences.
        AdapterError: the run is finished, but its weights are missing or not finite.
    """
    was, manifest = read_run(folder), read_training_manifest(folder)
    if was is None or (manifest is None and start.kind == "new"):
        return None
    refuse_other_run(folder, was, identity)
    if not is_longer(folder, was, identity, manifest["steps"] if manifest else start.done_steps):
        if manifest:
            _check_weights(folder / TOOLKIT_DIR, is_adapter=bool(manifest["adapter"]))
        return manifest
    restart = "train again from the start with --restart"
    if start.kind == "new":
        finding = "is finished and has no checkpoint to continue from: training.save_steps was larger than the run"
        raise usage_error(folder, finding, restart)
    if start.kind == "new_part" and max_steps is None:
        finding = "is resumed from its adapter, so only training.max_steps can extend it, but it is planned in epochs"
        raise usage_error(folder, finding, restart)
    note_extension(folder / "train.log")
    # Without its manifest the run counts as unfinished, even if this command is interrupted.
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    console.print("the run is extended: from its checkpoint on, the learning rate follows the longer schedule")
    return None


def _check_weights(output: Path, *, is_adapter: bool) -> None:
    """Refuse a finished run without weights, or with an adapter that is not finite; full weights are not read."""
    hint = "train again with --restart"
    files = weight_files_of(output)
    if not files:
        raise failure(output, "the run is finished, but its weights are missing", hint)
    try:
        found = not_finite(files) if is_adapter else []
    except AdapterError as error:
        raise AdapterError([replace(problem, hint=hint) for problem in error.problems]) from error
    if found:
        raise failure(output, f"NaN or infinite: {describe(found)}", hint)


def _start(folder: Path, max_steps: int | None, *, with_adapter: bool, backend: Backend) -> Start:
    """Prepare the folder of the run, and return its start."""
    if backend == "paddleformers" or not with_adapter:
        discard_final_checkpoint(folder, max_steps, backend)
    start = prepare_start(folder, with_initial_adapter=with_adapter, backend=backend)
    if start.kind == "new":
        empty_folder(folder / TOOLKIT_DIR)
    return start if max_steps is None else replace(start, total_steps=max_steps)


def _context_of(context: RunContext, start: Start) -> RunContext:
    """Add the checkpoint's adapter and the remaining steps if the run continues as a new part."""
    if start.kind != "new_part" or not start.checkpoint:
        return context
    if start.remaining_steps is None:
        raise failure(start.checkpoint, "does not hold the number of planned steps", "train again with --restart")
    # A run that was killed between its last checkpoint and its end trains one step more: ERNIEKit needs one to save.
    steps = max(start.remaining_steps, 1)
    return replace(context, initial_adapter_dir=str(start.checkpoint.resolve()), remaining_steps=steps)


def _initial_adapter(project: Project, context: RunContext, start: Start) -> str:
    """Return the folder of the adapter that training starts from, which a new run writes."""
    folder = project.training_dir / INITIAL_ADAPTER
    if start.kind == "new" or not folder.is_dir():
        write_initial_adapter(
            project.lora, project.backend, context.kind, Path(context.model_dir), folder, seed=project.training.seed
        )
    return str(folder.resolve())


def _print_start(run: TrainingRun, console: Console) -> None:
    toolkit, start = run.toolkit, run.start
    name = f"{TOOLKIT_NAMES[toolkit.backend]} {toolkit.version} ({toolkit.found_by})"
    console.print(f"{name}, method {run.context.method}, log: {run.log}")
    if note := warmup_note(run.project, run.context):
        console.print(note)
    if start.kind == "resume":
        console.print(f"resuming from {start.checkpoint}")
    if start.kind == "new_part":
        console.print(
            f"resuming from the adapter of {start.checkpoint}, {start.done_steps} of {start.total_steps} steps done; "
            "optimizer and learning rate schedule are reset, because ERNIEKit's own resume would train other modules",
        )


def _prepare_files(run: TrainingRun, console: Console) -> None:
    """Write the settings of the toolkit, and remove the log lines and measurements that the run repeats."""
    write_settings(
        run.folder / "settings.yaml", run.settings, derived_by_toolkit(run.project, run.context, run.settings)
    )
    if run.start.kind == "new":
        run.log.unlink(missing_ok=True)
    if unreadable := keep_until(run.metrics_path, run.start.done_steps):
        numbers = ", ".join(map(str, unreadable[:_SHOWN_LINES]))
        if len(unreadable) > _SHOWN_LINES:
            numbers += f" and {len(unreadable) - _SHOWN_LINES:,} more"
        console.print(
            f"{run.metrics_path}: unreadable lines were removed: {numbers} (a run was ended while it wrote them)"
        )


def _follow(run: TrainingRun, stall_minutes: float, console: Console) -> tuple[Outcome, LogMonitor]:
    """Run the toolkit, and follow its log until it ends or diverges."""
    _prepare_files(run, console)
    training, toolkit = run.project.training, run.toolkit
    watch = LossWatch(guessing_loss(_vocabulary(run.context.model_dir), run.context.method))

    def process(line: str) -> None:
        found = monitor.process(line)
        if found and (divergence := watch.update(found)):
            raise DivergedError(str(divergence))

    try:
        with (
            reporting_interruption(run, console),
            LogMonitor(run.metrics_path, run.earlier_steps, console) as monitor,
        ):
            outcome = run_logged(
                _command(toolkit, run.project.parallel.world_size),
                folder=run.folder,
                environment={**toolkit.environment(on_cpu=training.device == "cpu"), **run.gpu_variables},
                log=run.log,
                on_line=process,
                stall_s=stall_minutes * 60,
                limit_s=training.max_hours * 3600 if training.max_hours else None,
            )
    except DivergedError as error:
        # The toolkit has ended by now, so no checkpoint changes while they are read and removed.
        raise diverged_run(run, str(error), console) from None
    if outcome.exit_code == 0 and (divergence := watch.at_end()):
        raise diverged_run(run, str(divergence), console)
    return outcome, monitor


def _vocabulary(model_dir: str) -> object:
    config = read_json(Path(model_dir) / "config.json")
    return config.get("vocab_size") if isinstance(config, dict) else None


def _command(toolkit: Toolkit, world_size: int) -> list[str]:
    """Return the command that starts the toolkit; PaddleFormers in one process is started by a worker module."""
    if toolkit.backend == "paddleformers" and world_size == 1:
        return toolkit.worker("paddleformers_train", "settings.yaml")
    return toolkit.command("train", "settings.yaml")


def _write_manifest(run: TrainingRun, seconds: float, trainable: int | None) -> dict[str, Any]:
    toolkit, measured = run.toolkit, read_metrics(run.metrics_path)
    losses = [found["loss"] for found in measured if "loss" in found and "step" in found]
    evaluated = [found["eval_loss"] for found in measured if "eval_loss" in found]
    state = read_json(run.folder / TOOLKIT_DIR / "trainer_state.json")
    manifest = {
        "made_by": f"erniekit-adapter {__version__}",
        "toolkit": {"name": toolkit.backend, "version": toolkit.version, "distributions": dict(toolkit.versions)},
        "steps": state["global_step"] + run.earlier_steps,
        "seconds": round(seconds, 1),
        # None if the run was shorter than its logging interval.
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "last_eval_loss": evaluated[-1] if evaluated else None,
        "trainable_parameters": trainable,
        "adapter": TOOLKIT_DIR if run.project.lora.enabled else None,
        "started": run.start.kind,
        "identity": identity_fingerprint(run.identity),
        "settings": values(run.settings),
        "data": run.identity["data"],
        "base_model": run.identity["base_model"],
        "document_type": run.project.documents.record,
    }
    write_json(run.folder / MANIFEST_FILE, manifest)
    return manifest
