"""The command `doctor`, and how it shows versions and sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    GPU,
    checks_of,
    no_tokenizer,
)
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.cli import main
from erniekit_adapter.doctor.check import gib, release


def test_every_wrong_line_has_a_hint(ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNODES", "2")
    monkeypatch.delenv("ERNIEKIT_PYTHON")
    everything = checks_of(ready, training=GPU, dataset={}, model={"model_name_or_path": "baidu/ERNIE-4.5-8B"})
    assert [check for check in everything if check.state == "wrong" and not check.hint] == []


def test_exit_code_of_the_command(
    ready: dict[str, Any],
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "project.yaml").write_text(json.dumps(ready))
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", "doctor", "project.yaml"])
    for harm, code in ((None, 0), (no_tokenizer, 1)):
        if harm:
            harm(model)
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0, "✗" in capsys.readouterr().out) == (code, bool(code))


def test_doctor_imports_no_toolkit() -> None:
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys\n"
        "from erniekit_adapter.doctor import examine\n"
        "from erniekit_adapter.project.loading import load_project\n"
        "from pathlib import Path\n"
        "list(examine(load_project(Path('configs/demo-cpu.yaml'))))\n"
        "print(sorted({'paddle', 'paddleformers', 'ernie', 'erniekit', 'torch', 'transformers'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "[]\n"


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4), st.sampled_from(["", "b4", "rc1", ".post1", "+cpu"]))
def test_release_is_the_leading_numbers(numbers: list[int], rest: str) -> None:
    assert release(".".join(map(str, numbers)) + rest) == tuple(numbers)


def test_sizes_for_reading() -> None:
    assert [gib(size) for size in (2_048, 5 * 2**20, 1.5 * 2**30, 64.4 * 2**30)] == [
        "2 KiB",
        "5 MiB",
        "1.5 GiB",
        "64 GiB",
    ]
