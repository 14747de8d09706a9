"""The console that progress and notes are printed on."""

from __future__ import annotations

from rich.console import Console


class LastingConsole(Console):
    """A console whose reader may end before the run: `train 2>&1 | tee log` continues if tee is ended.

    Rich ends the process instead, with exit code 1 and without a message.
    """

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def console(*, stderr: bool = True) -> LastingConsole:
    """Create a console that prints names as they are: they are the user's, and no markup."""
    return LastingConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
