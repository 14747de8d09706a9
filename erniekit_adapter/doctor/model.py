"""The base model's folder: weights, tokenizer, processor, chat template. Nothing in it is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erniekit_adapter.doctor.check import Check, gib, ok, shown, skipped, wrong
from erniekit_adapter.doctor.weights import WeightFile, named_and_missing, weight_files
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.model_folder import check_model_dir, local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

IMAGE_KINDS = ("vl-moe", "ocr-vl")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_SHOWN_FILES = 3


def model_checks(project: Project) -> Iterator[Check]:
    """What a toolkit and later a server need of the base model's folder."""
    name, folder = project.model.model_name_or_path, local_model_dir(project)
    kind = model_kind(name)
    faults = list(_faults(project, folder))
    yield from faults
    if any(fault.what.startswith("no model") for fault in faults):
        return
    files = weight_files(folder)
    broken = list(_broken_weights(folder, files, name))
    yield from broken
    if not faults and not broken:
        size = gib(sum(file.size_bytes for file in files))
        parts = "weights, tokenizer, processor" if kind in IMAGE_KINDS else "weights, tokenizer"
        yield ok(f"model {shown(folder)}: {kind or 'of an unknown kind'}, {size}; {parts} and configuration are there")
    yield from _chat_template(project, folder, name)
    yield from _server_class(folder, kind)


def _faults(project: Project, folder: Path) -> Iterator[Check]:
    name = project.model.model_name_or_path
    try:
        check_model_dir(folder, name, project.backend, model_kind(name))
    except AdapterError as error:
        yield from (wrong(problem.what, problem.remedy or _again(name, folder)) for problem in error.problems)


def _again(name: str, folder: Path) -> str:
    return f"download it again, for example: hf download {name} --local-dir {folder}"


def _broken_weights(folder: Path, files: list[WeightFile], name: str) -> Iterator[Check]:
    for file in [file for file in files if file.problem][:_SHOWN_FILES]:
        yield wrong(f"{shown(file.path)} {file.problem}", _again(name, folder))
    missing = named_and_missing(folder)
    if missing:
        more = f" and {len(missing) - _SHOWN_FILES} more" if len(missing) > _SHOWN_FILES else ""
        yield wrong(f"{shown(folder)} lacks {', '.join(missing[:_SHOWN_FILES])}{more}", _again(name, folder))


def _chat_template(project: Project, folder: Path, name: str) -> Iterator[Check]:
    """ERNIEKit's reader makes prompts with the tokenizer's own template; PaddleFormers brings one, servers do not."""
    if _object(folder / "tokenizer_config.json").get("chat_template"):
        yield ok("chat template: in tokenizer_config.json")
    elif found := [file for file in _TEMPLATES if (folder / file).is_file()]:
        yield ok(f"chat template: {found[0]}")
    elif project.backend == "erniekit" and model_kind(name) not in IMAGE_KINDS:
        yield wrong(f"{shown(folder)} has no chat template, which prompts are made with", _again(name, folder))
    else:
        yield skipped(f"{shown(folder)} has no chat template: training does without, servers will want one")


def _server_class(folder: Path, kind: str | None) -> Iterator[Check]:
    tokenizer = _object(folder / "tokenizer_config.json").get("tokenizer_class")
    if kind == "ocr-vl" and tokenizer and tokenizer != "LlamaTokenizer":
        yield skipped(
            f"tokenizer_class is {tokenizer}: vLLM loads a tuned PaddleOCR-VL with LlamaTokenizer alone",
            "write LlamaTokenizer into the tokenizer_config.json that is served",
        )


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none to read."""
    try:
        value = read_json(path)
    except AdapterError:
        return {}
    return value if isinstance(value, dict) else {}
