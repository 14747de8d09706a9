"""The bundle's README.md: a model card for the Hugging Face hub, from the manifest and the document type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.prompt_set import structure_text
from erniekit_adapter.file_checks.configs import is_folder_name
from erniekit_adapter.metrics import shown_metrics


def model_card(manifest: Mapping[str, Any], document_type: DocumentType) -> str:
    """Return the text of the model card. `files` of the manifest may be missing."""
    import jinja2

    text = resources.files(__package__).joinpath("model_card.md.jinja").read_text()
    # The output is Markdown, and the values come from the export stage.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"figure": figure, "cell": table_cell, "is_measured": _is_measured}
    # Tag on the hub, and name of the adapter in the example command.
    subject = "invoices" if document_type.name == "invoice" else document_type.name
    return environment.from_string(text).render(
        manifest=manifest,
        toolkit=TOOLKIT_NAMES[manifest["training"]["toolkit"]["name"]],
        figures={metric.name: metric.label for metric in shown_metrics()},
        published=not is_folder_name(manifest["base_model"]["name"]),
        document_type=document_type,
        subject=subject,
        module=re.sub(r"[^A-Za-z0-9_.-]", "-", subject),
        structure=answer_structure(document_type),
        fields=[field for field in document_type.fields.values() if field.is_printed],
    )


def answer_structure(document_type: DocumentType) -> str:
    """Return the keys of a whole answer without values, `{"total","validation_summary":{"is_valid"}}`."""
    parts = [structure_text(document_type.fields.values())[1:-1]]
    if document_type.content_key is not None:
        parts = [f'"{document_type.content_key}":{{{parts[0]}}}']
    if (keys := document_type.verdict) is not None:
        parts.append(f'"{keys.key}":{{"{keys.is_valid}","{keys.math_verified}","{keys.issues}"}}')
    return f"{{{','.join(parts)}}}"


def table_cell(text: str) -> str:
    """Return text for a cell of a Markdown table: one line, in which nothing ends the cell or is HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def figure(value: float | None) -> str:
    """Format a metric's value for tables."""
    return "–" if value is None else f"{value:.3f}"


def _is_measured(found: Mapping[str, Any]) -> bool:
    """Return whether a metric has a figure: one that the document type does not have is left out."""
    return found["base"] is not None or found["tuned"] is not None
