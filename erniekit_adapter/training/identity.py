"""The identity of a run: the settings, data and base model that its result depends on.

A folder holds one run. A run can be resumed or extended with other values of the settings that decide its length and
its logging. With any other change it is another run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.architectures.toolkits import Method
from erniekit_adapter.backends.methods import data_files
from erniekit_adapter.backends.settings import Settings, values
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import fingerprint
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.toolkit_sections import LoraSection

_LENGTH = ("max_steps", "num_train_epochs")
# Settings of logging, evaluation and checkpoints; none of them changes an optimizer step.
_RECORDS = frozenset(
    (
        *("run_name", "logging_steps", "logging_dir", "report_to"),
        *("save_steps", "save_total_limit", "eval_steps", "per_device_eval_batch_size"),
    )
)


def identity_of(
    lora: LoraSection, method: Method, settings: Settings, data: Mapping[str, Any], base_model: Path
) -> dict[str, Any]:
    """Return the content of `run.json`.

    Args:
        lora: the LoRA settings of the project.
        method: the training method, which decides the files of training examples.
        settings: the toolkit's settings.
        data: the manifest of the data stage.
        base_model: the base model's folder.

    Returns:
        `settings` that the result depends on, `length` (steps and epochs), and the fingerprints `data` and
        `base_model`.
    """
    given = values(settings)
    given |= {"lora targets": sorted(lora.modules), "lora dropout": lora.lora_dropout}
    del given["model_name_or_path"]
    examples = {name: file["sha256"] for name, file in data["files"].items() if name in data_files(method)}
    return {
        "settings": {key: value for key, value in given.items() if key not in _LENGTH and key not in _RECORDS},
        "length": {key: given[key] for key in _LENGTH if key in given},
        "data": fingerprint(examples),
        "base_model": model_fingerprint(base_model),
    }


def identity_fingerprint(identity: Mapping[str, Any]) -> str:
    """Return a hash of the identity and length of a run; runs with other results have other hashes."""
    return fingerprint(identity)


def refuse_other_run(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume a run in a folder that holds another run.

    Args:
        folder: the run's folder, for the error.
        was: the identity in the folder.
        now: the identity of the project.

    Raises:
        UsageError: settings that the result depends on, the data or the base model differ; the error names them all.
    """
    if changed := _changes(was, now):
        raise usage_error(folder, f"holds a run with other {'; '.join(changed)}", _HINT)


_HINT = "train again from the start with --restart, or set another output_dir"


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changed = [part.replace("_", " ") for part in ("data", "base_model") if was.get(part) != now[part]]
    before, after = was.get("settings", {}), now["settings"]
    # A run.json of an earlier version has all settings in one object, and lacks keys that were added later.
    compared = {*before, *after} - _RECORDS - {*_LENGTH}
    keys = sorted(key for key in compared if (before.get(key) or None) != (after.get(key) or None))
    return changed + [f"{key} ({before.get(key)!r}, now {after.get(key)!r})" for key in keys]


def is_longer(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any], done_steps: int) -> bool:
    """Return whether a run is extended beyond its planned length.

    Args:
        folder: the run's folder, for the error.
        was: the identity in the folder.
        now: the identity of the project.
        done_steps: optimizer steps done so far.

    Raises:
        UsageError: the new length is shorter than the finished part, or is given in epochs instead of steps or the
            other way round.
    """
    (before, planned), (after, length) = _length(was), _length(now)
    if before != after:
        finding = (
            f"was planned with {before} ({planned}), now with {after} ({length}): a run cannot change between them"
        )
        raise usage_error(folder, finding, _HINT)
    shortest = done_steps if after == "max_steps" else planned
    if length < shortest:
        finding = f"holds a run with other {after} ({planned}, now {length}): it cannot become shorter than {shortest}"
        raise usage_error(folder, finding, _HINT)
    return length > planned


def _length(identity: Mapping[str, Any]) -> tuple[str, float]:
    """Return the key that decides the length of a run, and its value."""
    given = identity.get("length", identity.get("settings", {}))
    key = "max_steps" if given.get("max_steps", -1) > 0 else "num_train_epochs"
    return key, given.get(key, 0)
