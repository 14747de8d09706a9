"""Filtered records on disk, until all are read and the records of each document are known."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Literal

import numpy as np
import orjson

from data_tools.records import Rejection

# A key of a record with the number of its row. The two big-endian halves sort in the order of the key's bytes.
KEY = np.dtype([("high", ">u8"), ("low", ">u8"), ("row", "<u4")])
KEY_BYTES = 16
LOCATION = np.dtype("<i8")
DocumentVerdict = Literal["valid", "invalid", "not checkable"]


@dataclass(frozen=True)
class RecordRow:
    """A record that the filters accept; its JSONL texts follow each other in the spool.

    Attributes:
        line, document_id: of the record.
        training_bytes: size of its training example in bytes.
        test_bytes: size of its test example without an ID; 0 if it equals the training example.
        preference_bytes: size of its preference; 0 if it has none.
        task, faults, left_out, tokens: of the training example.
        language, unused_keys: of the record.
        images: paths of the record's pages.
        pages: width and height of each page in pixels.
        page_hashes: perceptual hash of each page, in hexadecimal.
        warnings: filters that warn, each with its reason.
        masked: kinds of personal data that were masked.
        preference_rejection: the filter that rejects the preference, with its reason.
        verdict: verdict on the complete document.
        failed_rules: rules of level error that the document fails.
    """

    line: int | None
    document_id: str
    training_bytes: int
    test_bytes: int
    preference_bytes: int
    task: str
    faults: list[str]
    left_out: list[str]
    tokens: int | None
    language: str | None
    unused_keys: list[str]
    images: list[str]
    pages: list[tuple[int, int]]
    page_hashes: list[str]
    warnings: list[tuple[str, str]]
    masked: list[str]
    preference_rejection: tuple[str, str] | None = None
    verdict: DocumentVerdict = "not checkable"
    failed_rules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FilteredShard:
    """The filtered records of a shard, in their order.

    Attributes:
        records: number of records.
        rows: a row or a rejection for each record, as one line of JSON.
        texts: JSONL texts of each row: training, test, preference.
        keys: keys of the records as KEY, with rows numbered from 0.
        locations: line or number of each record in its source as LOCATION; 0 if it has none.
    """

    records: int
    rows: bytes
    texts: bytes
    keys: bytes
    locations: bytes


def row_json(row: RecordRow | Rejection) -> bytes:
    """Write a row or a rejection as one line of JSON."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def read_row(line: bytes) -> RecordRow | Rejection:
    """Read a row or a rejection that `row_json` wrote."""
    value = orjson.loads(line)
    return Rejection(**value) if "filter" in value else RecordRow(**value)


def pack_keys(keys: Iterable[bytes], row: int) -> bytes:
    """Pack the keys of a row as KEY."""
    end = row.to_bytes(4, "little")
    return b"".join(key + end for key in keys)


class Spool:
    """The filtered shards of a build on disk, in order.

    Attributes:
        records: number of rows so far.
    """

    def __init__(self, rows: IO[bytes], texts: IO[bytes], keys: IO[bytes]) -> None:
        self._rows, self._texts, self.keys = rows, texts, keys
        self._locations: list[bytes] = []
        self._sources: list[tuple[int, str]] = []
        self.records = 0

    def add(self, shard: FilteredShard, source: str) -> None:
        """Append a shard of a source; the row numbers of its keys continue those of the spool."""
        self._rows.write(shard.rows)
        self._texts.write(shard.texts)
        keys = np.frombuffer(shard.keys, KEY).copy()
        keys["row"] += self.records
        self.keys.write(keys.tobytes())
        self._locations.append(shard.locations)
        if not self._sources or self._sources[-1][1] != source:
            self._sources.append((self.records, source))
        self.records += shard.records

    def location(self, row: int) -> str:
        """Return `file:line` of a row."""
        source = next(source for first, source in reversed(self._sources) if first <= row)
        if len(self._locations) > 1:
            self._locations = [b"".join(self._locations)]
        line = int(np.frombuffer(self._locations[0], LOCATION)[row])
        return f"{source}:{line}" if line else source

    def numbers_of(self, sources: Container[str]) -> Iterator[int]:
        """Yield the row numbers of some sources."""
        for first, end, source in self._spans():
            if source in sources:
                yield from range(first, end)

    def rows(self) -> Iterator[tuple[int, str, RecordRow | Rejection]]:
        """Yield number, source and content of every row."""
        self._rows.seek(0)
        lines = iter(self._rows)
        for first, end, source in self._spans():
            for number in range(first, end):
                yield number, source, read_row(next(lines))

    def _spans(self) -> Iterator[tuple[int, int, str]]:
        """Yield the first row of each source, the row after its last, and the source."""
        ends = [*(first for first, _ in self._sources), self.records][1:]
        yield from ((first, end, source) for (first, source), end in zip(self._sources, ends, strict=True))

    def rows_with_texts(self) -> Iterator[tuple[int, str, RecordRow | Rejection, tuple[bytes, bytes, bytes]]]:
        """Yield number, source and content of every row with its texts: training, test, preference."""
        self._texts.seek(0)
        for number, source, row in self.rows():
            if isinstance(row, Rejection):
                yield number, source, row, (b"", b"", b"")
                continue
            training_end = row.training_bytes
            test_end = training_end + row.test_bytes
            texts = self._texts.read(test_end + row.preference_bytes)
            yield number, source, row, (texts[:training_end], texts[training_end:test_end], texts[test_end:])
