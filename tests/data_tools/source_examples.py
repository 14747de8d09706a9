"""Helpers of tests that read sources as the data stage does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_examples import write_lines
from pydantic import TypeAdapter

from data_tools.records import RecordOrRejection
from data_tools.sources.registry import open_source
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.schema import AnySource, SourceEntry

_ENTRY: TypeAdapter[AnySource] = TypeAdapter(SourceEntry)


def make_source(kind: str, path: Path, **keys: Any) -> AnySource:
    """Return the section of a project file for a source."""
    return _ENTRY.validate_python({"kind": kind, "path": path, **keys})


def read_source(
    settings: AnySource, date_order: DateOrder | None = None, document_type: DocumentType = INVOICE
) -> list[RecordOrRejection]:
    """Return every record and rejection of a source."""
    source = open_source(settings, date_order, document_type)
    return [found for shard in source.shards() for found in source.read(shard)]


def read_log(
    folder: Path,
    *values: Any,
    date_order: DateOrder | None = None,
    document_type: DocumentType = INVOICE,
    **keys: Any,
) -> list[RecordOrRejection]:
    """Return the records and rejections of an active learning log with these lines."""
    path = write_lines(folder / "active_learning.jsonl", list(values))
    return read_source(make_source("active_learning", path, **keys), date_order, document_type)


def write_files(folder: Path, **files: bytes) -> Path:
    """Write files into a folder; in their names, two underscores are a point and three are a slash."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read_einvoices(path: Path) -> list[RecordOrRejection]:
    """Return every record and rejection of an e-invoice or a folder of them."""
    return read_source(make_source("einvoice", path))
