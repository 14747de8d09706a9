"""Small document types for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type


def write_type(
    folder: Path,
    properties: dict[str, Any],
    definition: dict[str, Any] | None = None,
    *,
    required: list[str] | None = None,
) -> DocumentType:
    """Write a document type with these properties to a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.json").write_text(
        json.dumps({"type": "object", "properties": properties, "required": required or []})
    )
    (folder / "document_type.yaml").write_text(yaml.safe_dump(definition or {"title": folder.name}, allow_unicode=True))
    return load_document_type(str(folder))
