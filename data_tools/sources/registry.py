"""The kinds of sources; the module of a kind is imported when the first source of that kind is opened.

To add a kind, write a module with a subclass of `Source` in this package, a section in
`erniekit_adapter.project.schema`, an entry in `SOURCES`, and a row in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from data_tools.sources.source import Source
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import usage_error
from erniekit_adapter.project.section import SourceSection
from erniekit_adapter.project.type_sources import not_einvoice

# The module in this package and its class, by the `kind` of the project file.
SOURCES: Mapping[str, tuple[str, str]] = {
    "active_learning": ("active_learning", "ActiveLearningLog"),
    "annotations": ("annotations", "Annotations"),
    "einvoice": ("einvoice", "EInvoiceFiles"),
    "manifest": ("manifest", "DocumentManifest"),
    "table": ("table", "DocumentTable"),
    "training_examples": ("training_examples", "TrainingExampleFile"),
}


def open_source(
    settings: SourceSection, date_order: DateOrder | None = None, document_type: DocumentType = INVOICE
) -> Source[Any, Any]:
    """Return the source that a section of the project file describes; no file is opened yet.

    Args:
        settings: the section.
        date_order: how to read dates with several meanings; None to reject them.
        document_type: the type of the documents.

    Raises:
        UsageError: the kind of the source does not fit the type.
    """
    if settings.kind == "einvoice" and document_type is not INVOICE:
        raise usage_error(f"source {settings.path}", *not_einvoice(document_type))
    module, name = SOURCES[settings.kind]
    source_class: type[Source[Any, Any]] = getattr(import_module(f"data_tools.sources.{module}"), name)
    return source_class(settings, date_order, document_type)
