"""What an evaluation measured, as a bundle says it; put into a bundle that is there already, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from erniekit_adapter.adapters.bundle_layout import CARD, MANIFEST, SIGNATURE
from erniekit_adapter.adapters.card import FIGURES, model_card
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json, write_text, writing_folder


def adapter_fingerprint(adapter: Path) -> str:
    """Tells trained adapters apart: a fingerprint of the tensor files that a toolkit wrote."""
    return fingerprint({path.name: sha256(path) for path in sorted(adapter.glob("*.safetensors"))})


def measured(results: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of an evaluation's results.json: each figure of base and tuned model, and the verdict."""
    return {
        "samples": results["samples"],
        "test_lines": results["test_lines"],
        "figures": {
            key: {
                "base": results["base"][key]["value"],
                "tuned": results["tuned"][key]["value"],
                **{name: results["comparison"][key][name] for name in ("low", "high", "verdict")},
            }
            for key in FIGURES
        },
    }


def describe(bundle: Path, manifest: Mapping[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write the model card and the manifest of a bundle whose forms are written.

    Args:
        bundle: the folder.
        manifest: what the manifest says, but for its files.
        known: the entries of files that were hashed before.
    """
    write_text(bundle / CARD, model_card(manifest))
    write_json(bundle / MANIFEST, {**manifest, "files": dict(_files(bundle, known))})


def add_metrics(bundle: Path, results: Mapping[str, Any]) -> bool:
    """Put what was measured into a bundle's manifest and model card; its other files are linked, not copied.

    Args:
        bundle: the folder.
        results: the content of results.json.

    Returns:
        whether it was done; a signed bundle stays as it was signed.
    """
    if (bundle / SIGNATURE).exists():
        return False
    manifest = read_json(bundle / MANIFEST)
    known = manifest.pop("files")
    known.pop(CARD, None)
    with writing_folder(bundle, alone=True) as written:
        shutil.copytree(bundle, written, copy_function=_link, dirs_exist_ok=True)
        for name in (CARD, MANIFEST):
            (written / name).unlink(missing_ok=True)
        describe(written, {**manifest, "metrics": measured(results)}, known)
    return True


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _files(bundle: Path, known: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if path.is_file() and name != MANIFEST:
            yield name, known.get(name) or {"size_bytes": path.stat().st_size, "sha256": sha256(path)}
