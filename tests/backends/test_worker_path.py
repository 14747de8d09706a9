"""Imports of a toolkit's process from this package; a folder imitates an installed copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import erniekit_adapter
from erniekit_adapter.backends.environments.probing import probe_python

PACKAGE = Path(erniekit_adapter.__file__).parent
WORKERS = sorted(path.stem for path in (PACKAGE / "workers").glob("*.py") if path.stem not in ("__init__", "start"))
# A worker that reports its imports; the folder of the installed copy also contains numpy and httpx.
REPORT = """
import importlib.util, json, multiprocessing, sys

def own(queue):
    import erniekit_adapter.workers.report as again
    queue.put([again.__name__, *sys.path])

def main():
    import numpy
    import erniekit_adapter.layouts.dense
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=own, args=(queue,))
    process.start()
    spawned = queue.get(timeout=30)
    process.join()
    print(json.dumps({
        "numpy": numpy.__file__,
        "package": sys.modules["erniekit_adapter"].__file__,
        "path": [folder for folder in [*sys.path, *spawned[1:]] if folder],
        "spawned": spawned[0],
        "importable": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    }))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages folder with a copy of this package and packages that a toolkit must not get."""
    site = tmp_path / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, site / "erniekit_adapter", ignore=ignored)
    for name in ("numpy", "ours_alone"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("__version__ = '99'\n")
    (site / "erniekit_adapter" / "workers" / "report.py").write_text(REPORT)
    return site


@pytest.mark.parametrize("kind", ["Toolkit", "Transformers"])
def test_worker_of_an_installed_copy_imports_nothing_else_of_it(site: Path, tmp_path: Path, kind: str) -> None:
    made = {
        "Toolkit": "installed.Toolkit(Path(sys.executable), '1.0.1', 'PATH'), {'on_cpu': True}",
        "Transformers": "hugging_face.Transformers(Path(sys.executable), '5.0', '0.1'), {}",
    }
    names = ["numpy", "ours_alone", "exchange", "start", "workers", "erniekit_adapter.workers.exchange"]
    code = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        "from erniekit_adapter.backends.environments import hugging_face, installed\n"
        f"toolkit, options = {made[kind]}\n"
        f"command = toolkit.worker('report', *{names})\n"
        "sys.exit(subprocess.run(command, env=toolkit.environment(**options)).returncode)\n"
    )
    # The numpy of the interpreter is imported by our process first, as the one in `site` is an empty stand-in.
    command = [sys.executable, "-c", f"import numpy\n{code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["package"] == str(site / "erniekit_adapter" / "__init__.py")
    assert found["importable"] == ["numpy", "erniekit_adapter.workers.exchange"]
    assert found["spawned"] == "erniekit_adapter.workers.report"
    assert not found["numpy"].startswith(str(tmp_path))
    assert [folder for folder in found["path"] if folder.startswith(str(tmp_path))] == []


def test_probe_reads_the_versions_that_a_run_imports(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = site / "numpy-99.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 99\n")
    monkeypatch.chdir(site)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    found = probe_python(Path(sys.executable))
    assert not isinstance(found, str)
    assert found.versions["numpy"] != "99"
    assert found.foreign == {}
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", str(tmp_path / "nothing")]))
    mixed = probe_python(Path(sys.executable))
    assert not isinstance(mixed, str)
    assert (mixed.versions["numpy"], mixed.foreign) == ("99", {"numpy": str(site)})


@pytest.mark.parametrize(
    "name", [name for name in WORKERS if name not in ("constraint", "exchange", "probes", "erniekit_model")]
)
def test_every_worker_has_a_main_function(name: str) -> None:
    assert "\ndef main(" in (PACKAGE / "workers" / f"{name}.py").read_text()
