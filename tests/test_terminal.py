"""Text that is safe to print."""

from __future__ import annotations

import pytest

from erniekit_adapter.terminal import echo, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 发票 🧾\n\u00a0x", "Größe 发票 🧾\n\u00a0x"),
        ("\x1b[31m", "␛[31m"),
        ("a\rb\tc\x07", "a␍b␉c␇"),
        ("\x9b2J", "‹U+009B›2J"),
        ("\u202e\u2066", "‹U+202E›‹U+2066›"),
        ("\x7f", "␡"),
        ("name-\udcfc", "name-‹U+DCFC›"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_joins_lines() -> None:
    assert one_line("a\nfake: pass\u2028b ") == "a fake: pass b"


def test_echo_keeps_the_order_of_both_streams(capfd: pytest.CaptureFixture[str]) -> None:
    echo("out\x1b")
    echo("err", stderr=True)
    assert capfd.readouterr() == ("out␛\n", "err\n")
