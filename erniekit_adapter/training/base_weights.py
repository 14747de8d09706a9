"""Check that the weights of a base model are finite, once for each state of its files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from erniekit_adapter.errors import AdapterError, usage_error
from erniekit_adapter.files import fingerprint, read_json, write_json
from erniekit_adapter.finite import describe, not_finite
from erniekit_adapter.training.initial_adapter import weight_files

CHECKED_FILE = "base_model_checked.json"
# From this size on, reading takes several seconds and is announced if no progress bar is shown.
_ANNOUNCED_BYTES = 20 * 10**9


def check_base_weights(model_dir: Path, checked_file: Path, console: Console) -> None:
    """Refuse a base model with NaN or infinite weights, because a single one makes every answer and gradient NaN.

    Only the files that the model's index lists are read, several gigabytes a second if they are in memory.
    `checked_file` keeps the state of the files in which they were finite, so that a later run in the same folder does
    not read them again.

    Args:
        model_dir: the base model's folder.
        checked_file: JSON file to write.
        console: where the progress of reading is shown.

    Raises:
        UsageError: some weights are not finite.
        AdapterError: a file of weights is damaged.
    """
    files = _weight_files(model_dir)
    stats = [(file.name, file.stat()) for file in files]
    state = fingerprint([(name, status.st_size, status.st_mtime_ns) for name, status in stats])
    if _checked_state(checked_file) == state:
        return
    total_bytes = sum(status.st_size for _, status in stats)
    if total_bytes >= _ANNOUNCED_BYTES and not console.is_terminal:
        console.print(f"checking {total_bytes / 1e9:,.0f} GB of base weights for NaN, once for this folder")
    columns = (TextColumn("checking the base model"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        found = not_finite(files, lambda done, total: progress.update(task, completed=done, total=total))
    if found:
        finding = f"has weights that are NaN or infinite: {describe(found)}"
        raise usage_error(f"model.model_name_or_path {model_dir}", finding, "download or convert the model again")
    write_json(checked_file, {"finite": state})


def _weight_files(model_dir: Path) -> list[Path]:
    """Return the files that a toolkit loads; without an index or the usual name, all safetensors files."""
    is_named = any((model_dir / name).is_file() for name in ("model.safetensors.index.json", "model.safetensors"))
    return weight_files(model_dir) if is_named else sorted(model_dir.glob("*.safetensors"))


def _checked_state(path: Path) -> object:
    try:
        content = read_json(path) if path.is_file() else None
    except AdapterError:
        return None
    return content.get("finite") if isinstance(content, dict) else None
