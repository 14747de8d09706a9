"""Content of a bundle's manifest.

The fields `forms` and `proof` keep the names of schema version 1, so that older services read new bundles.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter import __version__
from erniekit_adapter.errors import failure

SCHEMA_VERSION = 1
_LORA_KEYS = {
    "rank": "r",
    "alpha": "lora_alpha",
    "rslora": "rslora",
    "dropout": "lora_dropout",
    "targets": "target_modules",
}
# Folders of the machine that trained: bundles do not depend on the machine.
_FOLDERS = ("model_name_or_path", "lora_path")


def check_lora_config(config: Mapping[str, Any], path: Path) -> None:
    """Check that a lora_config.json has the keys that the manifest needs.

    Args:
        config: its content.
        path: the file, for messages.

    Raises:
        AdapterError: a key is missing.
    """
    if missing := sorted(set(_LORA_KEYS.values()) - set(config)):
        raise failure(path, f"lacks {', '.join(missing)}", "train again with --restart")


def manifest_content(
    run_name: str, base_name: str, training: Mapping[str, Any], lora_config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the part of a manifest that is known before the export.

    Args:
        run_name: the project's run name.
        base_name: name of the base model in the bundle.
        training: manifest of the train stage.
        lora_config: content of lora_config.json.
    """
    kept = ("toolkit", "steps", "first_loss", "last_loss", "last_eval_loss", "trainable_parameters")
    settings = {key: value for key, value in training["settings"].items() if key not in _FOLDERS}
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
        "run_name": run_name,
        "base_model": {"name": base_name, "fingerprint": training["base_model"]},
        "data_fingerprint": training["data"],
        "lora": {key: lora_config[name] for key, name in _LORA_KEYS.items()},
        "training": {**{key: training[key] for key in kept}, "settings": settings},
    }
