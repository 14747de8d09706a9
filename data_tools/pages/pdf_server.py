"""The process that opens PDFs of strangers, with limits that it sets itself before it sees the first.

Started by pdf_process as `python -m data_tools.pages.pdf_server`, with a socket as standard input. The limits stop what
takes too much; they are no jail for code that a hostile PDF might bring PDFium to run.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from data_tools.pages.pdf_content import draw_pages, read_text, unpack_attachments
from data_tools.pages.pdf_process import END, PART, READY, REFUSED, receive_frame, send_frame
from data_tools.pages.tiff_content import split_tiff

# After so many PDFs, or one that took so much memory, it ends, and a new process goes on.
_MAX_PDFS = 500
_MAX_PEAK_BYTES = 512 * 1024 * 1024
# Each page that is drawn adds so much to the processor time: large scans take a second each.
_CPU_FOR_A_PAGE_S = 2
# The connection, the fonts that PDFium looks for, and some to spare.
_MAX_OPEN_FILES = 32
# As in linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def main() -> None:
    """Read one PDF after the other, until the process that asks has ended.

    Its arguments are the processor time for each, in seconds, and the limit of its address space, in bytes.
    """
    cpu_s, memory_bytes = map(int, sys.argv[1:])
    connection = socket.socket(fileno=sys.stdin.fileno())
    # Where it is missing, that must come out before a PDF is blamed for it.
    import pypdfium2  # noqa: F401

    _prepare(memory_bytes)
    connection.sendall(READY)
    with connection.makefile("rb") as received, suppress(OSError, EOFError):
        for _ in range(_MAX_PDFS):
            _, asked = receive_frame(received, sys.maxsize)
            _, raw = receive_frame(received, sys.maxsize)
            _read(connection, raw, asked, cpu_s)
            if _peak_bytes() > _MAX_PEAK_BYTES:
                break


def _prepare(memory_bytes: int) -> None:
    """Set every limit but that of time; end with the process that asks, and before it where memory is short."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    prctl = ctypes.CDLL(None).prctl
    # Also in the middle of a PDF, when nobody looks whether the connection has ended.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A limit of no bytes does not stop a dump that the system pipes to a program.
    prctl(_PR_SET_DUMPABLE, 0)
    # What PDFium and Python say when a PDF breaks them is for nobody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


def _limit(kind: int, most: int) -> None:
    """Set a limit, or keep that which holds already where it is lower."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _read(connection: socket.socket, raw: bytes, asked: bytes, cpu_s: int) -> None:
    """Send what is asked of a PDF, part by part, or why it is refused; beyond a limit the process ends."""
    settings = orjson.loads(asked)
    operation = settings.pop("operation")
    most_s = int(_used_s()) + 1 + cpu_s
    _limit(resource.RLIMIT_CPU, most_s)
    try:
        for number, part in enumerate(_OPERATIONS[operation](raw, **settings), start=1):
            send_frame(connection, PART, part)
            if operation in ("render_pages", "tiff_pages"):
                _limit(resource.RLIMIT_CPU, most_s + number * _CPU_FOR_A_PAGE_S)
    except MemoryError:
        raise
    except ValueError as error:
        send_frame(connection, REFUSED, str(error).encode(errors="replace"))
    except Exception as error:
        name = "TIFF" if operation == "tiff_pages" else "PDF"
        send_frame(connection, REFUSED, f"a {name} that cannot be read: {error!r}".encode(errors="replace"))
    else:
        send_frame(connection, END)


def _peak_bytes() -> int:
    """The most memory it has had: not ru_maxrss, which begins with the memory of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _text_layer(raw: bytes) -> Iterator[bytes]:
    yield orjson.dumps(read_text(raw))


def _attachments(raw: bytes, limit_bytes: int) -> Iterator[bytes]:
    for name, content in unpack_attachments(raw, limit_bytes):
        yield name.encode()
        yield content or b""


# What comes of each: a JSON value, a PNG for each page, a name and a content in turn for each attachment.
_OPERATIONS: dict[str, Callable[..., Iterator[bytes]]] = {
    "text_layer": _text_layer,
    "render_pages": draw_pages,
    "read_attachments": _attachments,
    "tiff_pages": split_tiff,
}

if __name__ == "__main__":
    main()
