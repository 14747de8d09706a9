"""Read untrusted PDF and TIFF files in another process with limits, because PDFium has none.

A few thousand bytes can unpack to gigabytes, or take years to render, inside one call of PDFium. The other process runs
pdf_server. It starts with the first PDF, reads PDFs in turn, and ends together with the process that started it. If it
ends while reading, an earlier PDF may be the cause, so a PDF on which a used process ends is read again in a new
process.
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

from erniekit_adapter.errors import AdapterError, failure

Operation = Literal["text_layer", "render_pages", "read_attachments", "tiff_pages"]
# Limits for reading a PDF: CPU time, to which each rendered page adds a little, and address space, which limits the
# memory. Measured: ordinary pages take 30 MB, the largest accepted pages 80 MB, and with an image of 49 million pixels
# 200 MB; harmful files take everything that they can get.
CPU_S = 30
MEMORY_BYTES = 700_000_000
# Time limit for the next part; it exceeds the CPU time only if too many processes share a machine.
WAIT_S = 180.0
MAX_PART_BYTES = 64 * 1024 * 1024
# Kinds of frames: a part of a request or a result, a rejection of a PDF, the end of a result.
PART, REFUSED, END = b"+", b"!", b"."
_FRAME = struct.Struct(">cQ")
READY = b"\n"


def read_apart(operation: Operation, raw: bytes, **settings: int) -> Iterator[bytes]:
    """Read something from a PDF in another process.

    Args:
        operation: operation of pdf_server.
        raw: the PDF.
        settings: further arguments of the operation.

    Returns:
        The result in parts; the next part is prepared while the last one is used.

    Raises:
        ValueError: the PDF is rejected, exceeds the limits, or crashes PDFium.
        AdapterError: no other process can be started.
    """
    request = orjson.dumps({"operation": operation, **settings})
    yielded = 0
    while True:
        reader = _idle.pop() if _idle else _PdfProcess()
        is_new = not reader.has_read
        try:
            for part in islice(reader.parts(request, raw), yielded, None):
                yielded += 1
                yield part
            return
        except (OSError, EOFError) as error:
            name = "TIFF" if operation == "tiff_pages" else "PDF"
            took_too_long = reader.end() == -signal.SIGXCPU or isinstance(error, TimeoutError)
            if took_too_long:
                raise ValueError(f"a {name} that takes more than {CPU_S} s to read") from error
            if is_new:
                memory = f"{MEMORY_BYTES / 1e6:.0f} MB of memory"
                breaks = "crashes its decoder" if name == "TIFF" else "crashes PDFium"
                raise ValueError(f"a {name} that takes more than {memory} to read, or that {breaks}") from error
        finally:
            _put_back(reader)


class _PdfProcess:
    """A process that reads PDFs, one at a time.

    Attributes:
        has_read: whether it has completed a PDF.
        is_reading: whether it is reading one.
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
                    # The working folder comes first in the module search path, so it must not be the user's.
                    cwd=packages,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), *filter(None, sys.path)])},
                    # Ctrl-C must only reach the parent process.
                    start_new_session=True,
                )
        except OSError as error:
            raise _no_process(error.strerror or str(error)) from error
        try:
            is_ready = self._received.read(1) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            raise _no_process(f"exit code {self.end()}")

    def parts(self, request: bytes, raw: bytes) -> Iterator[bytes]:
        """Yield the result of an operation in parts.

        Raises:
            ValueError: the process rejects the PDF.
            OSError, EOFError: the process has ended, or does not respond in time.
        """
        self.is_reading = True
        self._connection.settimeout(WAIT_S)
        send_frame(self._connection, PART, request)
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
        """End the process and return its exit code, which is negative if a signal ended it."""
        self._received.close()
        self._connection.close()
        self._process.kill()
        return self._process.wait()


def _no_process(reason: str) -> AdapterError:
    return failure("PDF", f"no process can be started to read it: {reason}", "if memory was short, set data.workers: 1")


# The idle process for the next PDF; others are reading at the moment.
_idle: list[_PdfProcess] = []


def _put_back(reader: _PdfProcess) -> None:
    if reader.is_reading or _idle:
        reader.end()
    else:
        _idle.append(reader)


@atexit.register
def end_idle() -> None:
    """End the idle process; the next PDF gets a new one with the limits of that time."""
    while _idle:
        _idle.pop().end()


# A connection belongs to one pair of processes, so a forked process starts without one.
os.register_at_fork(after_in_child=_idle.clear)


def send_frame(connection: socket.socket, kind: bytes, content: bytes = b"") -> None:
    """Send one frame.

    Raises:
        OSError: the other side has ended, or does not read in time.
    """
    connection.sendall(_FRAME.pack(kind, len(content)))
    connection.sendall(content)


def receive_frame(stream: IO[bytes], limit_bytes: int) -> tuple[bytes, bytes]:
    """Wait for one frame; return its kind and content.

    Raises:
        EOFError: the other side has ended, or sends more than the limit.
        OSError: the connection failed, or the other side does not respond in time.
    """
    head = stream.read(_FRAME.size)
    if len(head) < _FRAME.size:
        raise EOFError
    kind, length = _FRAME.unpack(head)
    content = stream.read(length) if length <= limit_bytes else b""
    if len(content) < length:
        raise EOFError
    return kind, content
