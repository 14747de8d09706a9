"""Sources cut into shards, which several processes can read independently; the source alone decides the cuts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_tools.records import RecordOrRejection
from data_tools.sources.registry import open_source
from data_tools.sources.source import Source
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.project.section import SourceSection


@dataclass(frozen=True)
class Shard:
    """A part of a source.

    Attributes:
        source: the source.
        role_is_test: whether the source is a test source.
        part: the part, as the source's `shards` yields it.
    """

    source: Source[Any, Any]
    role_is_test: bool
    part: Any


def cut(
    settings: SourceSection,
    *,
    role_is_test: bool,
    date_order: DateOrder | None = None,
    document_type: DocumentType,
) -> Iterator[Shard]:
    """Cut a source into shards, in order.

    Raises:
        AdapterError: the source cannot be read.
        UsageError: its settings do not fit its content.
    """
    source = open_source(settings, date_order, document_type)
    return (Shard(source, role_is_test, part) for part in source.shards())


def read_shard(shard: Shard) -> Iterator[RecordOrRejection]:
    """Yield the records and rejections of a shard, in order.

    Raises:
        AdapterError: a file of the source cannot be read.
    """
    return shard.source.read(shard.part)
