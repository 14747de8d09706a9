"""The console for tables, progress and notes."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from erniekit_adapter.terminal import printable


class SafeConsole(Console):
    """A console that prints no control character of a text, and that may lose its reader.

    `train 2>&1 | tee log` continues if tee ends: Rich would end the process, with exit code 1 and without a message.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable; the control characters in them that are not Rich's own are replaced."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def console(*, stderr: bool = True) -> SafeConsole:
    """Create a console that prints names unchanged: square brackets in them are not markup."""
    return SafeConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
