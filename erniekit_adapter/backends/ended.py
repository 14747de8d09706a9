"""Signals that ask us to end: they end a block as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# SIGTERM comes from Slurm, Kubernetes and `kill`, SIGHUP from a terminal or an ssh connection that is closed.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class EndedBySignal(BaseException):
    """Raised where SIGTERM or SIGHUP arrives; like KeyboardInterrupt, not an error that a caller handles.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """The signal's name, such as SIGTERM."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """The exit code by which shells know a program that a signal ended."""
        return 128 + self.number


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Raise EndedBySignal in the block when SIGTERM or SIGHUP arrives.

    A signal that is ignored stays ignored: under nohup a closed terminal does not end a run. Outside the main thread,
    where Python handles no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise EndedBySignal(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # None: a handler that is not Python's.
    handled = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
