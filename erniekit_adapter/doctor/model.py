"""The folder of the base model: weights, tokenizer, processor, chat template. No code in it is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erniekit_adapter.architectures.families import Kind, family_of, takes_images
from erniekit_adapter.doctor.check import Check, gib, ok, shown, skipped, wrong
from erniekit_adapter.doctor.weights import WeightFile, named_and_missing, weight_files
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.model_folder import check_model_dir, download_hint, local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_SHOWN_FILES = 3


def model_checks(project: Project) -> Iterator[Check]:
    """Check the files that a toolkit, and later a server, need in the folder of the base model."""
    name, folder = project.model.model_name_or_path, local_model_dir(project)
    kind = model_kind(name)
    faults = list(_faults(project, folder))
    yield from faults
    if any(fault.finding.startswith("no model") for fault in faults):
        return
    files = weight_files(folder)
    broken = list(_broken_weights(folder, files, name))
    yield from broken
    if not faults and not broken:
        size = gib(sum(file.size_bytes for file in files))
        parts = "weights, tokenizer, processor" if takes_images(kind) else "weights, tokenizer"
        yield ok(f"model {shown(folder)}: {kind or 'of an unknown kind'}, {size}; with {parts} and configuration")
    yield from _chat_template(project, folder, name)
    yield from _server_class(folder, kind)


def _faults(project: Project, folder: Path) -> Iterator[Check]:
    name = project.model.model_name_or_path
    try:
        check_model_dir(folder, name, project.backend, model_kind(name))
    except AdapterError as error:
        yield from (wrong(problem.finding, problem.hint or _again(name, folder)) for problem in error.problems)


def _again(name: str, folder: Path) -> str:
    return (
        download_hint(name, folder)
        .replace("download it,", "download it again,")
        .replace("copy the model", "copy the model again")
    )


def _broken_weights(folder: Path, files: list[WeightFile], name: str) -> Iterator[Check]:
    for file in [file for file in files if file.problem][:_SHOWN_FILES]:
        yield wrong(f"{shown(file.path)} {file.problem}", _again(name, folder))
    missing = named_and_missing(folder)
    if missing:
        more = f" and {len(missing) - _SHOWN_FILES} more" if len(missing) > _SHOWN_FILES else ""
        yield wrong(f"{shown(folder)} lacks {', '.join(missing[:_SHOWN_FILES])}{more}", _again(name, folder))


def _chat_template(project: Project, folder: Path, name: str) -> Iterator[Check]:
    """Check the chat template, which ERNIEKit and servers need; PaddleFormers contains one for each model."""
    if _object(folder / "tokenizer_config.json").get("chat_template"):
        yield ok("chat template: in tokenizer_config.json")
    elif found := [file for file in _TEMPLATES if (folder / file).is_file()]:
        yield ok(f"chat template: {found[0]}")
    elif project.backend == "erniekit" and not takes_images(model_kind(name)):
        yield wrong(
            f"{shown(folder)} has no chat template, and ERNIEKit needs it to make prompts", _again(name, folder)
        )
    else:
        yield skipped(f"{shown(folder)} has no chat template: training does not need it, but servers do")


def _server_class(folder: Path, kind: Kind | None) -> Iterator[Check]:
    tokenizer = _object(folder / "tokenizer_config.json").get("tokenizer_class")
    family = family_of(kind)
    if family.vllm_tokenizer and tokenizer and tokenizer != family.vllm_tokenizer:
        yield skipped(
            f"tokenizer_class is {tokenizer}: vLLM loads a tuned {family.name} only with {family.vllm_tokenizer}",
            f"write {family.vllm_tokenizer} into tokenizer_config.json of the served model",
        )


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one if it cannot be read."""
    try:
        value = read_json(path)
    except AdapterError:
        return {}
    return value if isinstance(value, dict) else {}
