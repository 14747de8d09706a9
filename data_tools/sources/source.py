"""The interface of a source: cut it into shards, read a shard, list its files, hash its content."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from data_tools.records import RecordOrRejection
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.files import fingerprint, sha256
from erniekit_adapter.project.section import SourceSection

DOCUMENTS_IN_A_SHARD = 64
Settings = TypeVar("Settings", bound=SourceSection)
Part = TypeVar("Part")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Source(ABC, Generic[Settings, Part]):
    """A source of documents, with one subclass for each kind.

    Sources and their shards are sent to other processes and nodes: both can be pickled, and neither keeps a file open.

    Attributes:
        settings: the source's section of the project file.
        date_order: how to read dates with several meanings; None to reject them.
        document_type: the type of the documents.
        reads_ahead: whether a shard's records are small enough to read many of them before the first is filtered.
        warns_of_unused_keys: whether keys without a place in the answer are reported for each record.
    """

    settings: Settings
    date_order: DateOrder | None = None
    document_type: DocumentType = INVOICE
    reads_ahead: ClassVar[bool] = False
    warns_of_unused_keys: ClassVar[bool] = True

    @property
    def path(self) -> Path:
        """The file or folder of the source."""
        return self.settings.path

    @abstractmethod
    def shards(self) -> Iterator[Part]:
        """Yield the parts of the source in order; they depend on the content of the source only.

        Raises:
            AdapterError: the source cannot be read.
            UsageError: its settings do not fit its content.
        """

    @abstractmethod
    def read(self, shard: Part) -> Iterator[RecordOrRejection]:
        """Yield the records and rejections of one shard, in order.

        Raises:
            AdapterError: a file of the source cannot be read.
        """

    def inputs(self) -> list[Path]:
        """Return the files that the source consists of, sorted; those that its documents name are not included.

        Raises:
            AdapterError: the source is a folder that cannot be read.
        """
        return [self.path]

    def digest(self) -> str:
        """Return the SHA-256 of the source's file, or of the names and hashes of a folder's files."""
        if self.path.is_file():
            return sha256(self.path)
        # Entries that are not regular files are rejected by name and never read.
        hashes = [(str(file.relative_to(self.path)), sha256(file) if file.is_file() else "") for file in self.inputs()]
        return fingerprint(hashes)


def in_groups(items: Iterator[Item], size: int = DOCUMENTS_IN_A_SHARD) -> Iterator[tuple[Item, ...]]:
    """Yield the items in tuples of `size`; the last one may be shorter."""
    while group := tuple(islice(items, size)):
        yield group
