"""Sources cut into shards that can be read apart, by several processes; the cuts depend on the source alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from data_tools.records import Reading, Rejection
from data_tools.sources.active_learning import read_active_learning
from data_tools.sources.annotation_files import AnnotationItem, annotation_items
from data_tools.sources.annotations import AnnotationPlaces, read_annotation
from data_tools.sources.einvoice_files import einvoice_files, read_einvoice_file
from data_tools.sources.field_names import all_fields, unknown_fields
from data_tools.sources.lines import read_line_file
from data_tools.sources.manifest import Document, Folders, read_document, read_documents
from data_tools.sources.table_answer import read_table_document
from data_tools.sources.table_documents import TableDocument, read_table_documents
from data_tools.sources.table_values import Conventions
from data_tools.sources.truth import ReadSettings
from erniekit_adapter.errors import fail, misuse
from erniekit_adapter.files import MAX_LINE_BYTES, read_lines
from erniekit_adapter.invoice.dates import DateOrder
from erniekit_adapter.project.schema import (
    ActiveLearningSource,
    AnnotationsSource,
    AnySource,
    EInvoiceSource,
    LinesSource,
    ManifestSource,
)
from erniekit_adapter.project.table_source import TableSource

SHARD_BYTES = 4 * 1024 * 1024
DOCUMENTS_IN_A_SHARD = 64
Part = TypeVar("Part")


@dataclass(frozen=True)
class Lines:
    """Some lines of a file.

    Attributes:
        first: number of the first line, from 1.
        start, end: where they lie in the file, in bytes.
    """

    first: int
    start: int
    end: int


@dataclass(frozen=True)
class Documents:
    """Some documents of a manifest, and what in it is none."""

    documents: tuple[Document | Rejection, ...]


@dataclass(frozen=True)
class Annotations:
    """Some documents of a source of annotations, and what in it is none."""

    items: tuple[AnnotationItem | Rejection, ...]


@dataclass(frozen=True)
class Files:
    """Some e-invoices; `first` is the number of the first, from 1."""

    first: int
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class TableDocuments:
    """Some documents of a table with how it writes dates and amounts, and what in it makes no document."""

    documents: tuple[TableDocument | Rejection, ...]
    conventions: Conventions


@dataclass(frozen=True)
class Shard:
    """A part of a source that is read apart from the others.

    Attributes:
        source: what it is a part of.
        role_is_test: whether the source is only ever tested on.
        part: which part.
        date_order: how dates with several readings are meant.
    """

    source: AnySource
    role_is_test: bool
    part: Lines | Documents | Annotations | Files | TableDocuments
    date_order: DateOrder | None = None

    @property
    def settings(self) -> ReadSettings:
        """What the project states about the values of the source."""
        source, order = self.source, self.date_order
        if isinstance(source, ManifestSource):
            return ReadSettings(order, source.reviewed, source.complete, source.labels, source.currency)
        if isinstance(source, AnnotationsSource):
            return ReadSettings(order, source.reviewed, labels=source.labels, currency=source.currency)
        return ReadSettings(order, isinstance(source, ActiveLearningSource) and source.reviewed)


def cut(source: AnySource, *, role_is_test: bool, date_order: DateOrder | None = None) -> Iterator[Shard]:
    """Cut a source into shards, in order.

    Raises:
        AdapterError: the source cannot be read, a manifest is no JSON list, or a table's columns leave a
            question open.
        UsageError: its labels name a field that does not exist.
    """
    _check_labels(source)
    parts: Iterator[Lines | Documents | Annotations | Files | TableDocuments]
    if isinstance(source, ManifestSource):
        parts = (Documents(some) for some in _grouped(read_documents(source.path)))
    elif isinstance(source, AnnotationsSource):
        parts = (Annotations(some) for some in _grouped(annotation_items(source.path)))
    elif isinstance(source, EInvoiceSource):
        parts = _files(einvoice_files(source.path))
    elif isinstance(source, TableSource):
        parts = _table(source, date_order)
    else:
        parts = cut_lines(source.path)
    return (Shard(source, role_is_test, part, date_order) for part in parts)


def _check_labels(source: AnySource) -> None:
    if isinstance(source, (ManifestSource, AnnotationsSource)) and (unknown := unknown_fields(source.labels)):
        fields = f"the fields are {', '.join(all_fields())}"
        raise misuse(f"labels of {source.path}", f"no such field: {', '.join(unknown)[:300]}", fields)


def cut_lines(path: Path, shard_bytes: int = SHARD_BYTES) -> Iterator[Lines]:
    """Cut a file behind line ends into parts of about so many bytes; only line ends are looked for.

    Raises:
        AdapterError: the file is missing, no regular file, or unreadable.
    """
    if not path.is_file():
        raise fail(path, "no such file" if not path.exists() else "not a regular file")
    try:
        with path.open("rb") as stream:
            first, start = 1, 0
            while chunk := stream.read(shard_bytes):
                count, end = chunk.count(b"\n"), start + len(chunk)
                while not chunk.endswith(b"\n") and (chunk := stream.readline(MAX_LINE_BYTES)):
                    end += len(chunk)
                    count += chunk.endswith(b"\n")
                yield Lines(first, start, end)
                first, start = first + count, end
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error


def _grouped(items: Iterator[Part]) -> Iterator[tuple[Part, ...]]:
    while some := tuple(islice(items, DOCUMENTS_IN_A_SHARD)):
        yield some


def _files(paths: Sequence[Path]) -> Iterator[Files]:
    for place in range(0, len(paths), DOCUMENTS_IN_A_SHARD):
        yield Files(place + 1, tuple(paths[place : place + DOCUMENTS_IN_A_SHARD]))


def _table(source: TableSource, date_order: DateOrder | None) -> Iterator[TableDocuments]:
    # What a cell leaves open, any other cell of its column may prove: so the whole table is read before it is cut.
    conventions, documents = read_table_documents(source, date_order)
    for some in _grouped(iter(documents)):
        yield TableDocuments(some, conventions)


def read_shard(shard: Shard) -> Iterator[Reading]:
    """The records and rejections of a shard, in order.

    Raises:
        AdapterError: a file that the source consists of cannot be read.
    """
    source, part = shard.source, shard.part
    if isinstance(source, ManifestSource) and isinstance(part, Documents):
        for document in part.documents:
            if isinstance(document, Rejection):
                yield document
            else:
                folders = Folders(source.root, source.images_dir, source.ground_truth_dir)
                yield read_document(source.path, document, folders, shard.settings)
    elif isinstance(source, AnnotationsSource) and isinstance(part, Annotations):
        places = AnnotationPlaces(source.path, source.root)
        for item in part.items:
            yield item if isinstance(item, Rejection) else read_annotation(item, places, shard.settings)
    elif isinstance(source, EInvoiceSource) and isinstance(part, Files):
        for number, path in enumerate(part.paths, start=part.first):
            yield read_einvoice_file(path, source.path, number)
    elif isinstance(source, TableSource) and isinstance(part, TableDocuments):
        for found in part.documents:
            if isinstance(found, Rejection):
                yield found
            else:
                yield read_table_document(source.path, found, part.conventions)
    elif isinstance(source, (ActiveLearningSource, LinesSource)) and isinstance(part, Lines):
        lines = read_lines(source.path, first=part.first, start=part.start, end=part.end)
        if isinstance(source, ActiveLearningSource):
            yield from read_active_learning(source.path, lines, shard.settings)
        else:
            yield from read_line_file(source.path, lines)
    else:
        raise TypeError(f"a {source.kind} source has no {type(part).__name__}")
