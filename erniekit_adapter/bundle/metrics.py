"""Metrics of an evaluation in a bundle's manifest and model card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from erniekit_adapter.bundle.allowed_files import MANIFEST, MODEL_CARD, SIGNATURE
from erniekit_adapter.bundle.model_card import model_card
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json, write_text, writing_folder
from erniekit_adapter.metrics import shown_metrics


def adapter_fingerprint(adapter: Path) -> str:
    """Return a fingerprint of the tensor files of a trained adapter."""
    return fingerprint({path.name: sha256(path) for path in sorted(adapter.glob("*.safetensors"))})


def measured(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of an evaluation's results.json for a manifest: values and verdicts."""
    return {
        "samples": results["samples"],
        "test_lines": results["test_lines"],
        "figures": {
            metric.name: {
                "base": results["base"][metric.name]["value"],
                "tuned": results["tuned"][metric.name]["value"],
                **{name: results["comparison"][metric.name][name] for name in ("low", "high", "verdict")},
            }
            for metric in shown_metrics()
            if metric.name in results["comparison"]
        },
    }


def describe(
    bundle: Path,
    manifest: Mapping[str, Any],
    document_type: DocumentType,
    known: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the model card and the manifest of a bundle after its formats.

    Args:
        bundle: the folder.
        manifest: content of the manifest without `files`.
        document_type: the type of the documents that its adapter reads.
        known: entries of files that are already hashed.
    """
    write_text(bundle / MODEL_CARD, model_card(manifest, document_type))
    write_json(bundle / MANIFEST, {**manifest, "files": dict(_files(bundle, known))})


def add_metrics(bundle: Path, results: Mapping[str, Any], document_type: DocumentType) -> bool:
    """Write metrics into a bundle's manifest and model card, atomically. Other files are linked, not copied.

    Args:
        bundle: the folder.
        results: content of results.json.
        document_type: the type of the documents that its adapter reads.

    Returns:
        False for a signed bundle, which is not changed.
    """
    if (bundle / SIGNATURE).exists():
        return False
    manifest = read_json(bundle / MANIFEST)
    known = manifest.pop("files")
    known.pop(MODEL_CARD, None)
    with writing_folder(bundle, alone=True) as written:
        shutil.copytree(bundle, written, copy_function=_link, dirs_exist_ok=True)
        for name in (MODEL_CARD, MANIFEST):
            (written / name).unlink(missing_ok=True)
        describe(written, {**manifest, "metrics": measured(results)}, document_type, known)
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
