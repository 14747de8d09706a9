"""The identity of a run: the settings, data and base model that its result depends on.

A folder holds one run. A run is continued or extended with other values of the settings that decide how long it is and
what it writes; with any other change it is another run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.settings import RunFacts, Settings, values
from erniekit_adapter.backends.stages import line_files
from erniekit_adapter.errors import misuse
from erniekit_adapter.files import fingerprint
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project

_LENGTH = ("max_steps", "num_train_epochs")
# What a run logs, evaluates and keeps; none of it changes an optimizer step.
_RECORDS = frozenset(
    (
        *("run_name", "logging_steps", "logging_dir", "report_to"),
        *("save_steps", "save_total_limit", "eval_steps", "per_device_eval_batch_size"),
    )
)


def identity_of(
    project: Project, facts: RunFacts, settings: Settings, data: Mapping[str, Any], base_model: Path
) -> dict[str, Any]:
    """Return what `run.json` records of a run.

    Returns:
        `settings` that the result depends on, `length` (steps and epochs), and the fingerprints `data` and
        `base_model`.
    """
    given = values(settings)
    given |= {"lora targets": sorted(project.lora.modules), "lora dropout": project.lora.lora_dropout}
    del given["model_name_or_path"]
    lines = {name: file["sha256"] for name, file in data["files"].items() if name in line_files(facts.stage)}
    return {
        "settings": {key: value for key, value in given.items() if key not in _LENGTH and key not in _RECORDS},
        "length": {key: given[key] for key in _LENGTH if key in given},
        "data": fingerprint(lines),
        "base_model": model_fingerprint(base_model),
    }


def identity_fingerprint(identity: Mapping[str, Any]) -> str:
    """Return the hash of a run's identity and length, which differs for results that differ."""
    return fingerprint(identity)


def refuse_other_run(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue the run in a folder as a run that it is not.

    Raises:
        UsageError: settings that the result depends on, the data or the base model differ; it names them all.
    """
    if changed := _changes(was, now):
        raise misuse(folder, f"holds a run with other {'; '.join(changed)}", _REMEDY)


_REMEDY = "train again from the start with --restart, or set another output_dir"


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changed = [part.replace("_", " ") for part in ("data", "base_model") if was.get(part) != now[part]]
    before, after = was.get("settings", {}), now["settings"]
    # A run.json of an earlier version has every setting in one place, and lacks keys that were added since.
    compared = {*before, *after} - _RECORDS - {*_LENGTH}
    keys = sorted(key for key in compared if (before.get(key) or None) != (after.get(key) or None))
    return changed + [f"{key} ({before.get(key)!r}, now {after.get(key)!r})" for key in keys]


def is_longer(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any], done_steps: int) -> bool:
    """Return whether a run is to become longer than it was planned.

    Args:
        folder: the run's folder, for the error.
        was, now: identities as recorded and as wanted.
        done_steps: the optimizer steps that are done.

    Raises:
        UsageError: it is to become shorter than it is already, or to be counted in epochs instead of steps or the
            other way.
    """
    (before, planned), (after, wanted) = _length(was), _length(now)
    if before != after:
        what = f"was planned by {before} ({planned}), now by {after} ({wanted}): a run keeps its way of counting"
        raise misuse(folder, what, _REMEDY)
    shortest = done_steps if after == "max_steps" else planned
    if wanted < shortest:
        what = f"holds a run with other {after} ({planned}, now {wanted}): it cannot become shorter than {shortest}"
        raise misuse(folder, what, _REMEDY)
    return wanted > planned


def _length(identity: Mapping[str, Any]) -> tuple[str, float]:
    """The key that decides a run's length, and its value."""
    given = identity.get("length", identity.get("settings", {}))
    key = "max_steps" if given.get("max_steps", -1) > 0 else "num_train_epochs"
    return key, given.get(key, 0)
