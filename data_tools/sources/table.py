"""Source `table`: a CSV or XLSX table with the right values of documents, one row each or one row for a line item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from data_tools.records import RecordOrRejection, Rejection
from data_tools.sources.source import Source, in_groups
from data_tools.sources.tables.documents import TableDocument, read_table_documents
from data_tools.sources.tables.records import read_table_document
from data_tools.sources.tables.type_records import read_type_document
from data_tools.sources.tables.values import Conventions
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.table_source import TableSource


@dataclass(frozen=True)
class TableShard:
    """Some documents of a table, and the rejections of rows without one.

    Attributes:
        documents: the documents and rejections.
        conventions: how the table writes dates and amounts.
    """

    documents: tuple[TableDocument | Rejection, ...]
    conventions: Conventions


class DocumentTable(Source[TableSource, TableShard]):
    """A table of documents; a shard is some of its documents."""

    def shards(self) -> Iterator[TableShard]:
        """Yield the documents of the table in groups.

        The whole table is read first, because any cell can settle how the other cells of its column are written.

        Raises:
            AdapterError: the table or the folder of pages cannot be read.
            UsageError: the meaning of a column is not clear.
        """
        conventions, documents = read_table_documents(self.settings, self.date_order, self.document_type)
        return (TableShard(group, conventions) for group in in_groups(iter(documents)))

    def read(self, shard: TableShard) -> Iterator[RecordOrRejection]:
        """Yield a record or rejection for each document."""
        for found in shard.documents:
            if isinstance(found, Rejection):
                yield found
            elif self.document_type is INVOICE:
                yield read_table_document(self.path, found, shard.conventions)
            else:
                yield read_type_document(self.path, found, shard.conventions, self.document_type)
