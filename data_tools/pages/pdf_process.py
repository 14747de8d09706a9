"""PDFs of strangers are read in another process, which has limits and may be killed: PDFium keeps none.

A few thousand bytes can unpack to gigabytes, or take years to draw, inside one call of PDFium. The other process runs
pdf_server; it is started when the first PDF is met, reads one after the other, and ends with the process that started
it. What ends it while it reads may be the fault of a PDF that it has read before: so a PDF on which a used process ends
is read again in a new one.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import orjson

from erniekit_adapter.errors import AdapterError, fail

Operation = Literal["text_layer", "render_pages", "read_attachments", "tiff_pages"]
# What reading a PDF may take: processor time, to which each page that is drawn adds a little, and address space, which
# bounds the memory. Measured: ordinary pages take 30 MB, the largest that are drawn 80 MB, with 49 million pixels of
# image 200 MB, and what swells without a limit takes all it gets.
CPU_S = 30
MEMORY_BYTES = 700_000_000
# For the next part to come: it takes longer than the processor time only where too many processes share a machine.
WAIT_S = 180.0
MAX_PART_BYTES = 64 * 1024 * 1024
# What is sent: a part of what is asked or was read, why a PDF is refused, and the end of what was read.
PART, REFUSED, END = b"+", b"!", b"."
_FRAME = struct.Struct(">cQ")
READY = b"\n"


def read_apart(operation: Operation, raw: bytes, **settings: int) -> Iterator[bytes]:
    """Read something in a PDF in another process.

    Args:
        operation: what to read; pdf_server says what comes of it.
        raw: the PDF.
        settings: further arguments of the operation.

    Returns:
        What was read, part by part; the next is worked on while the last is used.

    Raises:
        ValueError: the PDF is refused, or takes more than the limits, or PDFium breaks on it.
        AdapterError: no other process can be started.
    """
    asked = orjson.dumps({"operation": operation, **settings})
    given = 0
    while True:
        reader = _idle.pop() if _idle else _Reader()
        is_new = not reader.has_read
        try:
            for part in islice(reader.parts(asked, raw), given, None):
                given += 1
                yield part
            return
        except (OSError, EOFError) as error:
            name = "TIFF" if operation == "tiff_pages" else "PDF"
            took_too_long = reader.end() == -signal.SIGXCPU or isinstance(error, TimeoutError)
            if took_too_long:
                raise ValueError(f"a {name} that takes more than {CPU_S} s to read") from error
            if is_new:
                memory = f"{MEMORY_BYTES / 1e6:.0f} MB of memory"
                breaks = "breaks its decoder" if name == "TIFF" else "breaks PDFium"
                raise ValueError(f"a {name} that takes more than {memory} to read, or that {breaks}") from error
        finally:
            _put_back(reader)


class _Reader:
    """A process that reads PDFs, one at a time.

    Attributes:
        has_read: whether it has read a PDF to its end.
        is_reading: whether it is in the middle of one.
    """

    def __init__(self) -> None:
        self.has_read = self.is_reading = False
        packages = Path(__file__).resolve().parents[2]
        try:
            self._connection, theirs = socket.socketpair()
            self._connection.settimeout(WAIT_S)
            self._received = self._connection.makefile("rb")
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "data_tools.pages.pdf_server", str(CPU_S), str(MEMORY_BYTES)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    # The folder it starts in comes first in its search path, so that must not be the user's.
                    cwd=packages,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), *filter(None, sys.path)])},
                    # Ctrl-C is for the process that asks.
                    start_new_session=True,
                )
        except OSError as error:
            raise _no_process(error.strerror or str(error)) from error
        try:
            is_ready = self._received.read(1) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            raise _no_process(f"it ended with exit code {self.end()}")

    def parts(self, asked: bytes, raw: bytes) -> Iterator[bytes]:
        """What it reads in a PDF, part by part.

        Raises:
            ValueError: it refuses the PDF.
            OSError, EOFError: it has ended, or is silent for too long.
        """
        self.is_reading = True
        self._connection.settimeout(WAIT_S)
        send_frame(self._connection, PART, asked)
        send_frame(self._connection, PART, raw)
        while True:
            kind, content = receive_frame(self._received, MAX_PART_BYTES)
            if kind == PART:
                yield content
                continue
            self.has_read, self.is_reading = True, False
            if kind == REFUSED:
                raise ValueError(content.decode(errors="replace"))
            return

    def end(self) -> int:
        """End it, and wait for that; gives its exit code, which is a negative number where a signal has ended it."""
        self._received.close()
        self._connection.close()
        self._process.kill()
        return self._process.wait()


def _no_process(reason: str) -> AdapterError:
    return fail("PDF", f"no process can be started to read it: {reason}", "is memory short? set data.workers: 1")


# The process that waits for the next PDF; others read at the moment.
_idle: list[_Reader] = []


def _put_back(reader: _Reader) -> None:
    if reader.is_reading or _idle:
        reader.end()
    else:
        _idle.append(reader)


@atexit.register
def end_idle() -> None:
    """End the process that waits; the next PDF gets a new one, under the limits that hold then."""
    while _idle:
        _idle.pop().end()


# A connection is for two: a process that is forked from this one begins without.
os.register_at_fork(after_in_child=_idle.clear)


def send_frame(connection: socket.socket, kind: bytes, content: bytes = b"") -> None:
    """Send one frame.

    Raises:
        OSError: nobody listens, or does not for too long.
    """
    connection.sendall(_FRAME.pack(kind, len(content)))
    connection.sendall(content)


def receive_frame(stream: IO[bytes], limit_bytes: int) -> tuple[bytes, bytes]:
    """Wait for one frame; gives its kind and its content.

    Raises:
        EOFError: the other side has ended, or sends more than the limit.
        OSError: it cannot be heard, or is silent for too long.
    """
    head = stream.read(_FRAME.size)
    if len(head) < _FRAME.size:
        raise EOFError
    kind, length = _FRAME.unpack(head)
    content = stream.read(length) if length <= limit_bytes else b""
    if len(content) < length:
        raise EOFError
    return kind, content
