"""What the stage remembers of each record until it is known which records are of one document."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Literal

import numpy as np
import orjson

from data_tools.records import Rejection

# A key of a record with the number of its row. Keys are compared as two big-endian halves: in the order of their bytes.
KEY = np.dtype([("high", ">u8"), ("low", ">u8"), ("row", "<u4")])
KEY_BYTES = 16
PLACE = np.dtype("<i8")
DocumentVerdict = Literal["valid", "invalid", "not checkable"]


@dataclass(frozen=True)
class Row:
    """A record that has passed the gates; its texts stand in the spool, one behind the other.

    Attributes:
        line, document_id: the record's.
        line_bytes: size of its training line.
        test_bytes: size of its line for evaluate, without an id; 0 where that is the training line.
        preference_bytes: size of its line for DPO; 0 where it has none.
        task, faults, left_out, tokens: the pair's.
        language, unused_keys: the record's.
        images: the record's pages, as paths.
        pages: width and height of each page in pixels.
        page_hashes: perceptual hash of each page, in hexadecimal.
        warned: gates that warn, each with its reason.
        masked: kinds of personal data that were masked.
        preference_refused: the gate that keeps the model's output from being a line for DPO, with its reason.
        verdict: of the complete document.
        failed_rules: the rules of level error that the document fails.
    """

    line: int | None
    document_id: str
    line_bytes: int
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
    warned: list[tuple[str, str]]
    masked: list[str]
    preference_refused: tuple[str, str] | None = None
    verdict: DocumentVerdict = "not checkable"
    failed_rules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class JudgedShard:
    """What became of the records of a shard, in their order.

    Attributes:
        read: number of records.
        rows: a row or a rejection for each, as one line of JSON.
        texts: the lines to write of each row: for training, for evaluate, for DPO.
        keys: what tells which rows are of one document or say the same, as KEY, with rows counted from 0.
        places: line or number of each record in its source, as PLACE; 0 where it has none.
    """

    read: int
    rows: bytes
    texts: bytes
    keys: bytes
    places: bytes


def row_json(row: Row | Rejection) -> bytes:
    """A row or a rejection as one line of JSON."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def read_row(line: bytes) -> Row | Rejection:
    """The row or rejection of a line that `row_json` wrote."""
    value = orjson.loads(line)
    return Rejection(**value) if "gate" in value else Row(**value)


def key_records(keys: Iterable[bytes], row: int) -> bytes:
    """Keys of a row, packed as KEY."""
    end = row.to_bytes(4, "little")
    return b"".join(key + end for key in keys)


class Spool:
    """The judged shards of a stage, on disk, in order.

    Attributes:
        read: number of rows so far.
    """

    def __init__(self, rows: IO[bytes], texts: IO[bytes], keys: IO[bytes]) -> None:
        self._rows, self._texts, self.keys = rows, texts, keys
        self._places: list[bytes] = []
        self._sources: list[tuple[int, str]] = []
        self.read = 0

    def add(self, shard: JudgedShard, source: str) -> None:
        """Append a shard of a source; the rows of its keys are counted on from here."""
        self._rows.write(shard.rows)
        self._texts.write(shard.texts)
        keys = np.frombuffer(shard.keys, KEY).copy()
        keys["row"] += self.read
        self.keys.write(keys.tobytes())
        self._places.append(shard.places)
        if not self._sources or self._sources[-1][1] != source:
            self._sources.append((self.read, source))
        self.read += shard.read

    def place(self, row: int) -> str:
        """`file:line` of a row."""
        source = next(source for first, source in reversed(self._sources) if first <= row)
        if len(self._places) > 1:
            self._places = [b"".join(self._places)]
        line = int(np.frombuffer(self._places[0], PLACE)[row])
        return f"{source}:{line}" if line else source

    def numbers_of(self, sources: Container[str]) -> Iterator[int]:
        """The numbers of the rows of some sources."""
        for first, end, source in self._spans():
            if source in sources:
                yield from range(first, end)

    def rows(self) -> Iterator[tuple[int, str, Row | Rejection]]:
        """Every row with its number and its source."""
        self._rows.seek(0)
        lines = iter(self._rows)
        for first, end, source in self._spans():
            for number in range(first, end):
                yield number, source, read_row(next(lines))

    def _spans(self) -> Iterator[tuple[int, int, str]]:
        """The first row of each source, the one behind its last, and the source."""
        ends = [*(first for first, _ in self._sources), self.read][1:]
        yield from ((first, end, source) for (first, source), end in zip(self._sources, ends, strict=True))

    def rows_with_texts(self) -> Iterator[tuple[int, str, Row | Rejection, tuple[bytes, bytes, bytes]]]:
        """Every row with its number, its source and its lines: for training, for evaluate and for DPO."""
        self._texts.seek(0)
        for number, source, row in self.rows():
            if isinstance(row, Rejection):
                yield number, source, row, (b"", b"", b"")
                continue
            line_end = row.line_bytes
            test_end = line_end + row.test_bytes
            texts = self._texts.read(test_end + row.preference_bytes)
            yield number, source, row, (texts[:line_end], texts[line_end:test_end], texts[test_end:])
