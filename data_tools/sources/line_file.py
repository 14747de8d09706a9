"""Sources that are one JSON Lines file: a record or a rejection for each line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from data_tools.records import RecordOrRejection, Rejection
from data_tools.sources.files.json_lines import LineRange, cut_lines
from data_tools.sources.files.json_values import parse_object
from data_tools.sources.source import Settings, Source


class LineFile(Source[Settings, LineRange]):
    """A JSON Lines file; a shard is a range of its lines."""

    reads_ahead = True

    def shards(self) -> Iterator[LineRange]:
        """Yield ranges of lines.

        Raises:
            AdapterError: the file is missing, not a regular file, or unreadable.
        """
        return cut_lines(self.path)

    def read(self, shard: LineRange) -> Iterator[RecordOrRejection]:
        """Yield a record or rejection for each line."""
        for number, raw in shard.read(self.path):
            try:
                yield self.read_line(number, parse_object(raw))
            except (ValueError, RecursionError) as error:
                yield Rejection(str(self.path), number, None, "source", str(error) or "nested too deeply")

    @abstractmethod
    def read_line(self, number: int, line: dict[str, Any]) -> RecordOrRejection:
        """Return the record of a line, or its rejection.

        Raises:
            ValueError: the line cannot be read; the message becomes the reason of its rejection.
        """
