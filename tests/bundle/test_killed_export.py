"""Killed exports: the next export writes the same bundle and removes temporary files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from bundle_examples import trained

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the project file of an example of a trained run."""
    values = trained(tmp_path).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "project.yaml"


def started(project: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "erniekit_adapter", "export", str(project), "--allow-unchecked"]
    # Without readers, so that the test is about files only.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ERNIEKIT_PYTHON": "/none", "TRANSFORMERS_PYTHON": "/none"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def exported(project: Path) -> dict[str, bytes]:
    process = started(project)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()
    bundle = project.parent / "run" / "bundle"
    return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def test_next_export_after_a_killed_one(project: Path) -> None:
    undisturbed = exported(project)
    run = project.parent / "run"
    rng, left = random.Random(1), 0  # noqa: S311
    for number in range(KILLS):
        process = started(project)
        while process.poll() is None and not list(run.glob(".bundle.*.partial")):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left += bool(list(run.glob(".*")))
        if number == 0:  # the next export is killed too, and must remove more
            continue
        assert exported(project) == undisturbed
        assert sorted(path.name for path in run.iterdir()) == ["bundle", "training"]
    assert left
