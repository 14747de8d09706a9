"""SIGTERM and SIGHUP as exceptions, which end a block like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# SIGTERM comes from Slurm, Kubernetes and `kill`, SIGHUP from a terminal or an ssh connection that is closed.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class EndedBySignal(BaseException):
    """SIGTERM or SIGHUP has arrived; like KeyboardInterrupt, this is not an error that a caller handles.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Name of the signal, such as SIGTERM."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """Exit code that shells give to a program that a signal ended."""
        return 128 + self.number


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Raise EndedBySignal in the block if SIGTERM or SIGHUP arrives.

    A signal that is ignored stays ignored: under nohup a closed terminal does not end a run. Outside the main thread
    Python handles no signals, so nothing changes there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise EndedBySignal(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # None is a handler that was not set by Python.
    handled = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
