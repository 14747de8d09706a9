"""Run and end of the program: every exception becomes a message and an exit code here."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from contextlib import suppress

from erniekit_adapter.backends.processes.ended import EndedBySignal, ending_on_signals
from erniekit_adapter.cli import bundles, data, document_types, projects, runs  # noqa: F401  # they add their commands to the groups
from erniekit_adapter.cli.groups import NAME, app, data_app
from erniekit_adapter.cli.layout import Interrupted, OutputClosed
from erniekit_adapter.cli.printing import print_problems
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.terminal import echo

DEBUG_VARIABLE = "ERNIEKIT_ADAPTER_DEBUG"
_INTERRUPTED = 130
_SHOWN_CHARACTERS = 120
_OUTPUT_CLOSED = 141  # as a shell reports a program that SIGPIPE ended


def run(group: str) -> int:
    """Run a group of commands and return its exit code; an exception is printed without a traceback.

    Args:
        group: `app` or `data_app`.
    """
    warnings.showwarning = _show_warning
    try:
        with ending_on_signals():
            code = _exit_code(group)
    except (Interrupted, KeyboardInterrupt):
        code = _report("interrupted", _INTERRUPTED)
    except EndedBySignal as ended:
        code = _report(f"ended by {ended.name}", ended.exit_code)
    except OutputClosed:
        code = _OUTPUT_CLOSED
    except AdapterError as error:
        print_problems(error.problems)
        code = error.exit_code
    except Exception as error:
        is_wrong_path = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        print_problems([_unexpected(error)])
        if os.environ.get(DEBUG_VARIABLE) == "1":
            _report("".join(traceback.format_exception(error)), 1)
        code = 2 if is_wrong_path else 1
    _flush()
    return code


def _exit_code(group: str) -> int:
    try:
        if group == "data_app":
            data_app(prog_name=f"{NAME} data")
        app(prog_name=NAME)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _unexpected(error: Exception) -> Problem:
    """Describe an exception that is not an AdapterError."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        hint = "give a shorter path: a name may have 255 bytes, a path 4,095"
        return Problem(_shortened(str(error.filename or NAME)), "the path is too long", hint)
    if isinstance(error, OSError) and error.strerror:
        return Problem(str(error.filename or NAME), error.strerror, f"set {DEBUG_VARIABLE}=1 to see the traceback")
    hint = f"report this fault with the output of {NAME} --version and of this command under {DEBUG_VARIABLE}=1"
    return Problem(NAME, f"unexpected {type(error).__name__}: {error}", hint)


def _shortened(path: str) -> str:
    return path if len(path) <= _SHOWN_CHARACTERS else f"{path[:_SHOWN_CHARACTERS]}…"


def _report(text: str, code: int) -> int:
    """Print a text to standard error, if the terminal is still there, and return the exit code."""
    with suppress(OSError):
        echo(text, stderr=True)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a library's warning like every other text: it can quote a file."""
    _report(f"warning: {message}", 0)


def _flush() -> None:
    """Write the rest of the output; if its reader has ended, the interpreter must not report that at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
