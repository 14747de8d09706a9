"""An adapter that the user names to continue from: both toolkits take over its whole configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.lora_modules import target_matrices
from erniekit_adapter.backends.settings import RawKey, RunFacts
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import read_json
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

_MATRIX = re.compile(r"[a-z_]+_proj")


def named_adapter_problems(project: Project, facts: RunFacts) -> Iterator[Problem]:
    """Yield every LoRA key of the project whose value differs from that of the adapter of `lora_path`."""
    for raw in facts.raw_keys:
        if raw.key != "lora_path" or raw.value is None:
            continue
        if not project.lora.enabled:
            yield Problem(raw.where, "is not used: lora.enabled is false", "remove it, or set lora.enabled: true")
        else:
            yield from _differences(project, facts, raw)


def _differences(project: Project, facts: RunFacts, raw: RawKey) -> Iterator[Problem]:
    """Yield the keys that differ from the adapter's configuration, or all of them if that cannot be read."""
    config = _lora_config(raw.value)
    given = project.lora.model_fields_set - {"enabled"}
    asked: dict[str, Any] = {
        "r": project.lora.r,
        "lora_alpha": project.lora.alpha,
        "lora_dropout": project.lora.lora_dropout,
        "rslora": project.lora.rslora,
        "target_modules": sorted(target_matrices(project.lora, project.backend, facts.kind)),
    }
    for key in sorted(given & asked.keys()):
        held = None if config is None else _held(config, key)
        if config is None or held != asked[key]:
            found = "carries its own" if held is None else f"has {held}"
            what = f"found {asked[key]}; the adapter of {raw.where} {found}, which the toolkit takes over"
            yield Problem(f"{PROJECT} lora.{key}", what, "remove it, or make it equal")


def _held(config: dict[str, Any], key: str) -> Any:
    if key == "target_modules":
        patterns = config.get(key)
        return sorted({name for text in patterns or [] for name in _MATRIX.findall(str(text))})
    return config.get(key)


def _lora_config(folder: object) -> dict[str, Any] | None:
    if not isinstance(folder, str):
        return None
    try:
        config = read_json(Path(folder).expanduser() / "lora_config.json")
    except AdapterError:
        return None
    return config if isinstance(config, dict) else None
