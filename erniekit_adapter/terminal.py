"""Text for a terminal. Every command prints through this module or through `erniekit_adapter.console`.

Names and messages can come from documents, project files and bundles. A terminal obeys control characters in them:
they can move the cursor, set the title of the window or reverse the text.
"""

from __future__ import annotations

import sys
import unicodedata
from contextlib import suppress


def printable(text: str) -> str:
    """Return a text with its control characters and invisible characters replaced by visible ones.

    A control character of ASCII becomes its picture (␛), any other character that shows nothing its number (‹U+202E›).
    Line ends and spaces of every width stay.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _spelled(character) for character in text)


def one_line(text: str) -> str:
    """Return a printable text on a single line: a line end in a name must not look like a second message."""
    return printable(" ".join(text.splitlines())).rstrip()


def echo(text: object, *, stderr: bool = False, end: str = "\n") -> None:
    """Print a text with its control characters replaced, and `end`."""
    stream = sys.stderr if stderr else sys.stdout
    if stderr:
        with suppress(OSError):
            sys.stdout.flush()  # keeps the order if both go to one terminal
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(f"{printable(str(text))}{end}".encode(encoding, "replace").decode(encoding))
    stream.flush()


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == "\n" or unicodedata.category(character) == "Zs"


def _spelled(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"‹U+{code:04X}›"
