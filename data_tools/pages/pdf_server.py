"""Read untrusted PDF and TIFF files in a process that limits itself before it reads the first one.

pdf_process starts it as `python -m data_tools.pages.pdf_server`, with a socket as standard input. The limits stop
excessive use of time and memory; they are not a sandbox against code that a hostile PDF might run in PDFium.
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

# After this number of PDFs, or one that took this memory, it ends and a new process continues.
_MAX_PDFS = 500
_MAX_PEAK_BYTES = 512 * 1024 * 1024
# Each rendered page adds this CPU time; large scans take a second each.
_CPU_FOR_A_PAGE_S = 2
# The connection, the fonts that PDFium searches for, and a reserve.
_MAX_OPEN_FILES = 32
# As in linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def main() -> None:
    """Read PDFs in turn until the parent process has ended.

    Arguments of the process: CPU time for each PDF in seconds, and the limit of its address space in bytes.
    """
    cpu_s, memory_bytes = map(int, sys.argv[1:])
    connection = socket.socket(fileno=sys.stdin.fileno())
    # A missing package must be reported before it looks like a fault of a PDF.
    import pypdfium2  # noqa: F401

    _prepare(memory_bytes)
    connection.sendall(READY)
    with connection.makefile("rb") as received, suppress(OSError, EOFError):
        for _ in range(_MAX_PDFS):
            _, request = receive_frame(received, sys.maxsize)
            _, raw = receive_frame(received, sys.maxsize)
            _read(connection, raw, request, cpu_s)
            if _peak_bytes() > _MAX_PEAK_BYTES:
                break


def _prepare(memory_bytes: int) -> None:
    """Set all limits except the time limit; end with the parent, and be killed before it if memory is short."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    prctl = ctypes.CDLL(None).prctl
    # This also works during a PDF, when the connection is not checked.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A limit of 0 bytes does not stop a core dump that the system pipes to a program.
    prctl(_PR_SET_DUMPABLE, 0)
    # Messages of PDFium and Python about a broken PDF are of no use to anyone.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


def _limit(kind: int, most: int) -> None:
    """Set a limit, or keep the present one if it is lower."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _read(connection: socket.socket, raw: bytes, request: bytes, cpu_s: int) -> None:
    """Send the result of an operation in parts, or the reason of a rejection; above a limit the process ends."""
    settings = orjson.loads(request)
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
        send_frame(connection, REFUSED, f"an unreadable {name}: {error!r}".encode(errors="replace"))
    else:
        send_frame(connection, END)


def _peak_bytes() -> int:
    """Return the peak memory. Not ru_maxrss, which starts with the memory of the process that started this one."""
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


# Results: a JSON value; a PNG for each page; name and content in turn for each attachment.
_OPERATIONS: dict[str, Callable[..., Iterator[bytes]]] = {
    "text_layer": _text_layer,
    "render_pages": draw_pages,
    "read_attachments": _attachments,
    "tiff_pages": split_tiff,
}

if __name__ == "__main__":
    main()
