"""The document type for which a stage made its files, compared with the project's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import usage_error
from erniekit_adapter.project.schema import Project

TRAIN_AGAIN = "run erniekit-adapter data build PROJECT, train and export again"


def type_record(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return name and digest of the document type in a manifest or its settings; without them, those of the invoice."""
    found = manifest.get("document_type", INVOICE.record)
    return found if isinstance(found, dict) else {"name": str(found)}


def refuse_other_type(project: Project, manifest: Mapping[str, Any], path: Path, fix: str) -> None:
    """Check that files were made for the project's document type, with its present definition.

    Args:
        project: the project.
        manifest: has `document_type`: the settings of the data stage, or the manifest of a bundle.
        path: the files, for messages.
        fix: how to make them again.

    Raises:
        UsageError: they were made for another type, or with another definition.
    """
    found, expected = type_record(manifest), project.documents.record
    if found.get("name") != expected["name"]:
        finding = f"was made for the document type {found.get('name')}, and the project's is {expected['name']}"
        raise usage_error(path, finding, f"set document_type to that type, or {fix}")
    if found.get("digest") != expected["digest"]:
        finding = f"was made with another definition of the document type {expected['name']}"
        raise usage_error(path, finding, f"restore schema.json and document_type.yaml, or {fix}")
