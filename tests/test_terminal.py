"""The console after its reader has ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRINTS = """
import sys
from erniekit_adapter.terminal import console
shown = console(stderr={stderr})
for number in range(3):
    shown.print("line", number)
    sys.stdin.readline()
sys.exit(7)
"""


@pytest.mark.parametrize("stderr", [True, False])
def test_a_run_outlives_the_reader_of_its_notes(stderr: bool) -> None:
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
