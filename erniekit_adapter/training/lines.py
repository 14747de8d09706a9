"""The data stage's lines as training needs them: as they were written, in the stage's form, no longer than a pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.stages import line_files, line_format, stage_of
from erniekit_adapter.errors import AdapterError, fail, misuse
from erniekit_adapter.files import read_json, sha256
from erniekit_adapter.project.model_folder import local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

# What decides which lines are written: the manifest's name of a setting, its project key and its value in a project.
_MADE_BY: Mapping[str, tuple[str, Callable[[Project], Any]]] = {
    "eval_ratio": ("training.val_split_ratio", lambda project: project.eval_ratio),
    "test_ratio": ("data.test_split_ratio", lambda project: project.data.test_ratio),
    "seed": ("data.seed", lambda project: project.data.seed),
    "group_by": ("data.group_by", lambda project: project.data.group_by),
    "gates": ("data.gates", lambda project: project.data.gates.model_dump()),
    "min_visible_share": ("data.min_visible_share", lambda project: project.data.min_visible_share),
    "tasks": ("data.tasks", lambda project: project.data.tasks.model_dump()),
    "wordings": ("data.wordings", lambda project: project.data.wordings),
    "fault_share": ("data.fault_share", lambda project: project.data.fault_share),
    "preference": ("data.preference", lambda project: project.data.preference),
    "ocr": ("data.ocr", lambda project: project.data.ocr),
    "date_order": ("data.date_order", lambda project: project.data.date_order),
    "max_samples": ("dataset.max_samples", lambda project: project.dataset.max_samples),
}


def stale_settings(project: Project, made_with: Mapping[str, Any]) -> list[str]:
    """Return the project keys whose value is another than the one that the lines were made with, both values named.

    Args:
        project: the project that is about to train.
        made_with: the settings in the data stage's manifest.
    """
    return [
        f"{key} ({made_with[name]!r}, now {value(project)!r})"
        for name, (key, value) in _MADE_BY.items()
        if name in made_with and made_with[name] != value(project)
    ]


def read_data_manifest(project: Project) -> dict[str, Any]:
    """The manifest of the data stage, its lines held against it.

    Raises:
        UsageError: the stage has not been run, its lines are not the ones it wrote or are made for another toolkit,
            length or tokenizer, or with other settings than the project's, or none is for training.
        AdapterError: the manifest is damaged.
    """
    path = project.data_dir / "manifest.json"
    if not path.is_file():
        raise misuse(project.data_dir, "there are no lines here yet", "run make data first")
    manifest = _read_manifest(path)
    stage = stage_of(project, model_kind(project.model.model_name_or_path) or "dense")
    names = line_files(stage)
    for name in names:
        if name not in manifest["files"]:
            raise misuse(path, f"there is no {name}, and stage {stage} trains on it", "run make data again")
        lines = project.data_dir / name
        if not lines.is_file() or sha256(lines) != manifest["files"][name]["sha256"]:
            raise misuse(lines, "is not what the data stage wrote", "run make data again")
    if manifest["files"][names[0]]["lines"] == 0:
        raise misuse(path, "no document fell to training: the toolkit would wait for ever", "add documents")
    form = manifest["settings"].get("form", "erniekit")
    if form != (wanted := line_format(project.backend, stage)):
        what = f"lines of data.format {form}, and stage {stage} of {project.backend} reads {wanted}"
        raise misuse(path, what, f"set data.format: {wanted} and run make data again")
    if stale := stale_settings(project, manifest["settings"]):
        raise misuse(path, f"lines were made with other settings: {', '.join(stale)}", "run make data again")
    _check_lengths(project, manifest["settings"], path)
    return manifest


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest of the data stage, and check the parts that training uses.

    Raises:
        AdapterError: it is damaged.
    """
    try:
        manifest = read_json(path)
        parts = [manifest["files"], manifest["settings"], *manifest["files"].values()]
        is_whole = all(isinstance(part, dict) for part in parts) and all(
            isinstance(file["lines"], int) and isinstance(file["sha256"], str) for file in manifest["files"].values()
        )
        is_whole = is_whole and {"tokenizer", "max_seq_length"} <= manifest["settings"].keys()
    except (AdapterError, AttributeError, IndexError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise fail(path, "is damaged: it is not a manifest of the data stage", "run make data again")
    return dict(manifest)


def _check_lengths(project: Project, made_with: dict[str, Any], path: Path) -> None:
    """Refuse lines that may be longer than a pack: ERNIEKit 1.0.1 waits for ever on one, without a word."""
    if made_with["tokenizer"] is None:
        return
    longest, limit = made_with["max_seq_length"], project.training.max_seq_length
    if longest > limit:
        what = (
            f"lines of up to {longest} tokens, and training.max_seq_length is {limit}: the toolkit would wait for ever"
        )
        raise misuse(path, what, "run make data again")
    tokenizer = local_model_dir(project) / "tokenizer.model"
    if tokenizer.is_file() and sha256(tokenizer) != made_with["tokenizer"]["sha256"]:
        raise misuse(path, f"lines were measured with another tokenizer than {tokenizer}", "run make data again")
