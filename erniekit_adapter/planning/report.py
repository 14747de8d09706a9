"""The plan of a project, printed."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from erniekit_adapter.errors import UsageError
from erniekit_adapter.files import read_json
from erniekit_adapter.planning.estimate import GIB, DenseShape, plan, shape_of_catalogue, shape_of_config
from erniekit_adapter.project.catalogue import find_model, is_local, model_problems
from erniekit_adapter.project.schema import Project


def print_plan(project: Project, console: Console) -> None:
    """Print what a run needs, and the assumptions behind it.

    Raises:
        UsageError: the model is not known and no folder.
        AdapterError: the model is a mixture of experts.
    """
    found = plan(project, model_shape(project), _lines(project))
    table = Table(title=f"{project.run_name}: one device", title_justify="left", show_header=False)
    table.add_row("parameters", f"{found.parameters:,}")
    table.add_row("trainable", f"{found.trainable:,} ({found.trainable / found.parameters:.2%})")
    table.add_row("frozen weights", _size(found.weight_bytes))
    table.add_row("trained weights, gradients, optimizer", _size(found.optimizer_bytes))
    table.add_row("activations and logits (estimate)", _size(found.activation_bytes))
    table.add_row("together", _size(found.device_bytes))
    table.add_row("tokens a step, at most", f"{found.tokens_per_step:,}")
    table.add_row("steps, at most", f"{found.steps:,}" if found.steps is not None else "known after make data")
    console.print(table)
    console.print("Not counted: the framework itself and fragmentation; leave some gigabytes free.")


def model_shape(project: Project) -> DenseShape:
    """The shape of the project's base model, from its folder or from the catalogue."""
    name = project.model.model_name_or_path
    if is_local(name):
        config = read_json(Path(name).expanduser() / "config.json")
        return shape_of_config(config if isinstance(config, dict) else {})
    known = find_model(name)
    if known is None:
        raise UsageError(model_problems(name, "model.model_name_or_path"))
    return shape_of_catalogue(known)


def _lines(project: Project) -> int | None:
    """Training lines of the data stage; None while it has not run."""
    path = project.data_dir / "manifest.json"
    return int(read_json(path)["by_split"]["train"]) if path.is_file() else None


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB / 10 else f"{size_bytes / 2**20:.1f} MiB"
