"""The two files in which the train stage records a run: `run.json` at its start, `manifest.json` at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.files import read_json

# Written first: it identifies the run of a folder, and that this package owns the folder.
RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"
# The folder that a toolkit writes its weights to.
TOOLKIT_DIR = "output"
_NUMBER_OR_NONE = (int, float, type(None))
# The fields of a manifest that are used later.
_MANIFEST_FIELDS: dict[str, tuple[type, ...]] = {
    "toolkit": (dict,),
    "steps": (int,),
    "first_loss": _NUMBER_OR_NONE,
    "last_loss": _NUMBER_OR_NONE,
    "last_eval_loss": _NUMBER_OR_NONE,
    "settings": (dict,),
    "data": (str,),
    "base_model": (str,),
}


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return the identity of the run that a folder holds; None without a run.

    Raises:
        AdapterError: the file is damaged.
    """
    run = _read_object(folder / RUN_FILE)
    if run is None:
        return None
    for part in ("settings", "length"):
        if not isinstance(run.get(part, {}), dict):
            raise _damaged(folder / RUN_FILE, f"{part} is not an object")
    length = {**run.get("settings", {}), **run.get("length", {})}
    for key in ("max_steps", "num_train_epochs"):
        if not isinstance(length.get(key, 0), (int, float)):
            raise _damaged(folder / RUN_FILE, f"{key} is not a number")
    return run


def read_training_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of the finished run that a folder holds; None if it is not finished.

    Raises:
        AdapterError: the file is damaged.
    """
    path = folder / MANIFEST_FILE
    manifest = _read_object(path)
    if manifest is None:
        return None
    for name, types in _MANIFEST_FIELDS.items():
        if name not in manifest or not isinstance(manifest[name], types):
            raise _damaged(path, f"{name} is {'of another type' if name in manifest else 'missing'}")
    if "adapter" not in manifest or manifest["adapter"] not in (TOOLKIT_DIR, None):
        raise _damaged(path, f"adapter is neither {TOOLKIT_DIR} nor null")
    if not all(isinstance(manifest["toolkit"].get(name), str) for name in ("name", "version")):
        raise _damaged(path, "toolkit has no name or version")
    return manifest


def _read_object(path: Path) -> dict[str, Any] | None:
    if not path.exists() and not path.is_symlink():
        return None
    try:
        content = read_json(path)
    except AdapterError as error:
        raise _damaged(path, error.problems[0].finding) from error
    if not isinstance(content, dict):
        raise _damaged(path, "not an object")
    return content


def _damaged(path: Path, finding: str) -> AdapterError:
    return failure(
        path, f"is damaged: {finding}", "put it back from a copy, or train again from the start with --restart"
    )
