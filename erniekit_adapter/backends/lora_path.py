"""The adapter in `lora_path`, from which the user continues: both toolkits use its whole configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erniekit_adapter.architectures.linear_layers import FUSED, SEPARATE
from erniekit_adapter.backends.settings import RawKey, RunContext
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import read_json
from erniekit_adapter.lora.config import lora_config_problems
from erniekit_adapter.lora.modules import target_matrices
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

_FILE = "lora_config.json"
_MATRIX = re.compile("|".join(sorted((*FUSED, *SEPARATE), key=len, reverse=True)))


def named_adapter_problems(project: Project, context: RunContext) -> Iterator[Problem]:
    """Yield a problem for each LoRA key whose value differs from that of the adapter in `lora_path`."""
    for raw in context.raw_keys:
        if raw.key != "lora_path" or raw.value is None:
            continue
        if not project.lora.enabled:
            yield Problem(raw.location, "is not used: lora.enabled is false", "remove it, or set lora.enabled: true")
        else:
            yield from _differences(project, context, raw)


def _differences(project: Project, context: RunContext, raw: RawKey) -> Iterator[Problem]:
    """Yield a problem for each key that differs from the adapter's configuration, or for all if it cannot be read."""
    config = _lora_config(raw.value)
    if config is None and isinstance(raw.value, str) and (Path(raw.value).expanduser() / _FILE).exists():
        yield Problem(f"{raw.location} {_FILE}", "is not a JSON object", "continue from a plain LoRA adapter")
    for problem in lora_config_problems(config) if config is not None else ():
        yield Problem(f"{raw.location} {problem.location}", problem.finding, "continue from a plain LoRA adapter")
    given = project.lora.model_fields_set - {"enabled"}
    project_values: dict[str, Any] = {
        "r": project.lora.r,
        "lora_alpha": project.lora.alpha,
        "lora_dropout": project.lora.lora_dropout,
        "rslora": project.lora.rslora,
        "target_modules": sorted(target_matrices(project.lora, project.backend, context.kind)),
    }
    for key in sorted(given & project_values.keys()):
        value = None if config is None else _value(config, key)
        if config is None or value != project_values[key]:
            found = "has its own value" if value is None else f"has {value}"
            finding = f"found {project_values[key]}; the adapter of {raw.location} {found}, which the toolkit uses"
            yield Problem(f"{PROJECT} lora.{key}", finding, "remove it, or set the same value")


def _value(config: dict[str, Any], key: str) -> Any:
    if key == "target_modules":
        patterns = config.get(key)
        return sorted({name for text in patterns or [] for name in _MATRIX.findall(str(text))})
    return config.get(key)


def _lora_config(folder: object) -> dict[str, Any] | None:
    if not isinstance(folder, str):
        return None
    try:
        config = read_json(Path(folder).expanduser() / _FILE)
    except AdapterError:
        return None
    return config if isinstance(config, dict) else None
