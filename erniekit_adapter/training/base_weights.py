"""Check that a base model's weights are finite, once for each state of its files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from erniekit_adapter.errors import AdapterError, misuse
from erniekit_adapter.files import fingerprint, read_json, write_json
from erniekit_adapter.finite import describe, not_finite


def refuse_not_finite(model_dir: Path, checked_file: Path, console: Console) -> None:
    """Refuse a base model with NaN or infinite weights: one of them makes every answer and gradient NaN.

    The weights are read whole, several gigabytes a second from memory. `checked_file` keeps the state in which they
    were found finite, so that a resumed run does not read them again.

    Args:
        model_dir: the base model's folder.
        checked_file: JSON file to write.
        console: where the progress of reading is shown.

    Raises:
        UsageError: the weights are not finite.
        AdapterError: a file of weights is damaged.
    """
    files = sorted(model_dir.glob("*.safetensors"))
    state = fingerprint([(file.name, (about := file.stat()).st_size, about.st_mtime_ns) for file in files])
    if _checked(checked_file) == state:
        return
    columns = (TextColumn("checking the base model"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        found = not_finite(files, lambda done, total: progress.update(task, completed=done, total=total))
    if found:
        what = f"its weights are NaN or infinite: {describe(found)}"
        raise misuse(f"model.model_name_or_path {model_dir}", what, "download or convert the model again")
    write_json(checked_file, {"finite": state})


def _checked(path: Path) -> object:
    try:
        content = read_json(path) if path.is_file() else None
    except AdapterError:
        return None
    return content.get("finite") if isinstance(content, dict) else None
