"""Tables, problems and progress on the terminal, in one look for every command."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from erniekit_adapter.terminal import echo

if TYPE_CHECKING:
    from erniekit_adapter.console import SafeConsole
    from erniekit_adapter.errors import Problem

_PROGRESS_AFTER_S = 2.0
_PROGRESS_EVERY_S = 0.2
_MAX_CELL_CHARACTERS = 400


def progress_console() -> SafeConsole:
    """Create the console for notes and progress: standard error."""
    from erniekit_adapter.console import console

    return console()


def result_console() -> SafeConsole:
    """Create the console for results: standard output."""
    from erniekit_adapter.console import console

    return console(stderr=False)


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to standard error; do nothing if the terminal is closed."""
    with suppress(OSError):
        for problem in problems:
            echo(problem, stderr=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns of numbers are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    from erniekit_adapter.terminal import printable

    cells = [[printable(cell[:_MAX_CELL_CHARACTERS]) for cell in row] for row in rows]
    table = Table(title=Text(printable(title)), title_justify="left")
    for index, column in enumerate(columns):
        is_number = bool(cells) and all(row[index].isdecimal() for row in cells)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    result_console().print(table)


@contextmanager
def counting(unit: str) -> Iterator[Callable[[int], None] | None]:
    """Yield a function that shows a count on the terminal when the work takes more than two seconds.

    Args:
        unit: the counted things, such as `records read`.

    Yields:
        The function, which takes the count; None if standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    started = shown = time.monotonic()
    status = progress_console().status("starting …")

    def show(count: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started > _PROGRESS_AFTER_S and now - shown > _PROGRESS_EVERY_S:
            shown = now
            status.update(f"{count:,} {unit}, {count / (now - started):,.0f}/s")
            status.start()

    try:
        yield show
    finally:
        status.stop()
