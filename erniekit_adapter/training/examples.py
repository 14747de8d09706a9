"""Check the training examples of the data stage: unchanged, in the toolkit's format, no longer than a pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.architectures.families import DEFAULT_KIND
from erniekit_adapter.backends.methods import data_files, data_format, method_of
from erniekit_adapter.errors import AdapterError, failure, usage_error
from erniekit_adapter.files import read_json, sha256
from erniekit_adapter.project.former_data_names import current_settings
from erniekit_adapter.project.made_for import type_record
from erniekit_adapter.project.model_folder import local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

# Settings that the training examples depend on: the manifest's name, the project key, the value in a project.
_MADE_BY: Mapping[str, tuple[str, Callable[[Project], Any]]] = {
    "eval_ratio": ("training.val_split_ratio", lambda project: project.eval_ratio),
    "test_ratio": ("data.test_split_ratio", lambda project: project.data.test_ratio),
    "seed": ("data.seed", lambda project: project.data.seed),
    "group_by": ("data.group_by", lambda project: project.data.group_by),
    "filters": ("data.filters", lambda project: project.data.filters.model_dump()),
    "min_visible_share": ("data.min_visible_share", lambda project: project.data.min_visible_share),
    "tasks": ("data.tasks", lambda project: project.data.tasks.model_dump()),
    "prompt_templates": ("data.prompt_templates", lambda project: project.data.prompt_templates),
    "fault_share": ("data.fault_share", lambda project: project.data.fault_share),
    "preference": ("data.preference", lambda project: project.data.preference),
    "ocr": ("data.ocr", lambda project: project.data.ocr),
    "date_order": ("data.date_order", lambda project: project.data.date_order),
    "document_type": ("document_type", lambda project: project.documents.record),
    "max_samples": ("dataset.max_samples", lambda project: project.dataset.max_samples),
}

_BUILD_AGAIN = "run erniekit-adapter data build PROJECT again"


def stale_settings(project: Project, made_with: Mapping[str, Any]) -> list[str]:
    """Return the project keys that have changed since the training examples were built, with both values.

    Args:
        project: the project to train.
        made_with: the settings in the manifest of the data stage.
    """
    made_with = {"document_type": type_record(made_with), **current_settings(made_with)}
    return [
        _changed_type(made_with[name], value(project))
        if name == "document_type"
        else f"{key} ({made_with[name]!r}, now {value(project)!r})"
        for name, (key, value) in _MADE_BY.items()
        if name in made_with and made_with[name] != value(project)
    ]


def _changed_type(found: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Return the change of a document type: of its name, or of its definition."""
    if found.get("name") != current["name"]:
        return f"document_type ({found.get('name')}, now {current['name']})"
    return f"document_type (schema.json or document_type.yaml of {current['name']})"


def read_data_manifest(project: Project) -> dict[str, Any]:
    """Read the manifest of the data stage, and check the training examples with it.

    Raises:
        UsageError: training examples are missing, changed, or built for another toolkit, length,
            tokenizer or other settings; or all of them were split off for evaluation or testing.
        AdapterError: the manifest is damaged.
    """
    path = project.data_dir / "manifest.json"
    if not path.is_file():
        raise usage_error(
            project.data_dir, "holds no training examples yet", "run erniekit-adapter data build PROJECT first"
        )
    manifest = _read_manifest(path)
    method = method_of(project, model_kind(project.model.model_name_or_path) or DEFAULT_KIND)
    names = data_files(method)
    for name in names:
        if name not in manifest["files"]:
            raise usage_error(
                path,
                f"{name} is missing, and method {method} trains on it",
                _BUILD_AGAIN,
            )
        examples = project.data_dir / name
        if not examples.is_file() or sha256(examples) != manifest["files"][name]["sha256"]:
            raise usage_error(examples, "was changed after the data stage wrote it", _BUILD_AGAIN)
    if manifest["files"][names[0]]["lines"] == 0:
        raise usage_error(path, "no document is left for training: the toolkit would hang", "add documents")
    found = manifest["settings"].get("form", "erniekit")
    if found != (expected := data_format(project.backend, method)):
        finding = f"training examples in format {found}, but method {method} of {project.backend} reads {expected}"
        raise usage_error(
            path, finding, f"set data.format: {expected} and run erniekit-adapter data build PROJECT again"
        )
    if stale := stale_settings(project, manifest["settings"]):
        raise usage_error(
            path,
            f"the training examples were built with other settings: {', '.join(stale)}",
            _BUILD_AGAIN,
        )
    _check_lengths(manifest["settings"], project.training.max_seq_length, local_model_dir(project), path)
    return manifest


def _read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of the data stage, and check the parts that training uses.

    Raises:
        AdapterError: the manifest is damaged.
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
        raise failure(path, "is damaged: it is not a manifest of the data stage", _BUILD_AGAIN)
    return dict(manifest)


def _check_lengths(made_with: dict[str, Any], limit: int, model_dir: Path, path: Path) -> None:
    """Refuse training examples that may be longer than a pack: ERNIEKit 1.0.1 then hangs without a message."""
    if made_with["tokenizer"] is None:
        return
    longest = made_with["max_seq_length"]
    if longest > limit:
        finding = f"has examples of up to {longest} tokens, more than training.max_seq_length ({limit})"
        raise usage_error(path, f"{finding}: the toolkit would hang", _BUILD_AGAIN)
    tokenizer = model_dir / "tokenizer.model"
    if tokenizer.is_file() and sha256(tokenizer) != made_with["tokenizer"]["sha256"]:
        finding = f"the training examples were measured with another tokenizer than {tokenizer}"
        raise usage_error(path, finding, _BUILD_AGAIN)
