"""Data folders that users name: the folder itself, or the output_dir of its project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from data_tools.inspect.data_folder import read_manifest
from data_tools.pipeline.manifest import MANIFEST, REJECTED
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import read_lines
from erniekit_adapter.project.former_data_names import current_rejection


def data_dir(folder: Path) -> Path:
    """Return the data folder inside an output_dir, or the folder itself."""
    inside = folder / "data"
    return inside if (inside / MANIFEST).is_file() else folder


def model_dir(folder: Path) -> Path | None:
    """Return the folder of the model whose tokenizer a data folder was built with, if it still exists."""
    tokenizer = read_manifest(folder).settings.get("tokenizer")
    found = Path(tokenizer["path"]).parent if isinstance(tokenizer, dict) and "path" in tokenizer else None
    return found if found and found.is_dir() else None


def rejections(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rejected records of a data folder, an output_dir, or a rejections file.

    Raises:
        UsageError: the file does not exist, or a line of it is not JSON.
    """
    choices = (folder, folder / REJECTED, folder / "data" / REJECTED)
    path = next((choice for choice in choices if choice.is_file()), None)
    if path is None:
        raise usage_error(folder, f"has no {REJECTED}", "run erniekit-adapter data build PROJECT, or name its folder")
    for number, raw in read_lines(path):
        try:
            value = orjson.loads(raw or b"")
        except orjson.JSONDecodeError as error:
            hint = f"name a {REJECTED} that erniekit-adapter data build wrote"
            raise usage_error(f"{path}:{number}", f"not JSON: {error}", hint) from error
        if isinstance(value, dict):
            yield current_rejection(value)
