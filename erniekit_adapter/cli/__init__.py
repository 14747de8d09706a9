"""The command line: parse arguments, call one function, print. Heavy imports are inside the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `erniekit-adapter`."""
    sys.exit(_run("app"))


def data_main() -> None:
    """Run `erniekit-adapter data`, for `python -m data_tools`."""
    sys.exit(_run("data_app"))


def _run(group: str) -> int:
    """Run a group of commands and return its exit code; Ctrl-C is reported during the imports too."""
    try:
        from erniekit_adapter.cli.program import run

        return run(group)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
