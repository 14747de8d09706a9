"""Worker processes end with the process that started them, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from multiprocessing import parent_process
from threading import Thread

# As in linux/prctl.h.
_PR_SET_PDEATHSIG = 1


def end_with_parent(*, of_main_thread: bool = True) -> None:
    """End this worker process when its parent has ended; to be called in the worker.

    On Linux the kernel kills it at that moment, also while it is stopped or inside a call that lets no other Python
    thread run. Elsewhere a thread waits for the parent.

    Args:
        of_main_thread: whether the parent's main thread started this process. The kernel goes by threads: of another
            thread it would kill the worker when that thread ends.
    """
    parent = parent_process()
    if parent is None:
        return
    if of_main_thread:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it has ended before
            os._exit(1)

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
