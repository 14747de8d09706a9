"""Signals that ask us to end: they end a block as Ctrl-C does, and the exit code names the signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# SIGTERM comes from Slurm, Kubernetes and `kill`, SIGHUP from a terminal or an ssh connection that is closed.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class EndedBySignal(KeyboardInterrupt):
    """Raised where SIGTERM or SIGHUP arrives.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    """Return the signal behind an interrupt: SIGINT (Ctrl-C) unless another is named."""
    return signal.Signals(interrupt.number) if isinstance(interrupt, EndedBySignal) else signal.SIGINT


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
