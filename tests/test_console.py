"""The console: after its reader has ended, and with control characters in a text."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.table import Table
from rich.text import Text

from erniekit_adapter.console import SafeConsole

PRINTS = """
import sys
from erniekit_adapter.console import console
shown = console(stderr={stderr})
for number in range(3):
    shown.print("line", number)
    sys.stdin.readline()
sys.exit(7)
"""


@pytest.mark.parametrize("stderr", [True, False])
def test_run_continues_after_its_reader_has_ended(stderr: bool) -> None:
    streams = {"stderr" if stderr else "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", PRINTS.format(stderr=stderr)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, **streams) as process:
        reader = process.stderr if stderr else process.stdout
        assert reader is not None
        assert reader.readline() == b"line 0\n"
        reader.close()
        process.communicate(b"\n" * 3, timeout=60)
    # 120: Python cannot flush its standard output at the end.
    assert process.returncode in ({7} if stderr else {7, 120})


def test_text_has_no_control_characters() -> None:
    output = StringIO()
    shown = SafeConsole(file=output, force_terminal=True)
    table = Table("a\x1b[2J")
    table.add_row("\x9b31m", Text("b\u202e"))
    shown.print("c\x1b]0;title\x07", Text("d\x1b[0m", "bold"))
    shown.print(table)
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())  # styles of Rich itself
    assert {character for character in text if not character.isprintable()} == {"\n"}
    assert "c␛]0;title" in text
