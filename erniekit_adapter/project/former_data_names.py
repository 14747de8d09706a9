"""Names in data folders of earlier versions, and the current ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SETTINGS: Mapping[str, str] = {"gates": "filters", "wordings": "prompt_templates"}
_COUNTS: Mapping[str, str] = {"by_gate": "by_filter"}
_REJECTION: Mapping[str, str] = {"gate": "filter"}


def current_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data manifest with the current names of counts and settings; values of other types stay."""
    current = _renamed(manifest, _COUNTS)
    if isinstance(inputs := current.get("inputs"), list):
        current["inputs"] = [_renamed(each, _COUNTS) if isinstance(each, dict) else each for each in inputs]
    if isinstance(settings := current.get("settings"), dict):
        current["settings"] = current_settings(settings)
    if isinstance(preferences := current.get("preferences"), dict):
        current["preferences"] = _renamed(preferences, _COUNTS)
    return current


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a data manifest with the current names."""
    return _renamed(settings, _SETTINGS)


def current_rejection(rejection: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of rejected.jsonl with the current names."""
    return _renamed(rejection, _REJECTION)


def _renamed(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key) if names.get(key) not in value else key: each for key, each in value.items()}
