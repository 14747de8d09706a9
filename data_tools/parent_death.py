"""End worker processes together with their parent, however it ends."""

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
    """End this worker process when its parent ends; call it in the worker.

    On Linux the kernel kills the worker at that moment, even if it is stopped or inside a call that blocks all Python
    threads. On other systems a thread waits for the parent.

    Args:
        of_main_thread: whether the parent's main thread started this process. The kernel watches threads: with another
            thread, it would kill the worker when that thread ends.
    """
    parent = parent_process()
    if parent is None:
        return
    # Ctrl-C reaches every process of the terminal; a forked worker has its parent's handlers, which raise exceptions.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if of_main_thread:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it has ended before
            os._exit(1)

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
