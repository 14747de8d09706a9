"""The paddle build and the GPUs: can the toolkit compute on the device of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.backends.environments.probing import Installed
from erniekit_adapter.doctor.check import Check, ok, release, skipped, wrong
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.gpus import VISIBLE

_QUERY = "index,name,memory.total,driver_version,compute_cap"
_QUERY_TIMEOUT_S = 10
# ERNIEKit's own requirements: driver 535.171, Ampere (compute capability 8) or Hopper.
_OLDEST_DRIVER = (535, 171)
_LEAST_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi lists it; memory in MiB."""

    index: int
    name: str
    memory_mib: int
    driver: str
    capability: str


def list_gpus() -> list[Gpu] | str:
    """Return the GPUs of this machine, or why none was found."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return (
            "no nvidia-smi on PATH: this machine has no NVIDIA driver, or this container was started without its GPUs"
        )
    command = [tool, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_QUERY_TIMEOUT_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        return f"nvidia-smi fails: {' '.join(last)}"
    gpus = []
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 5 and cells[0].isdigit():
            memory = int(cells[2]) if cells[2].isdigit() else 0
            gpus.append(Gpu(int(cells[0]), cells[1], memory, cells[3], cells[4]))
    return gpus or "nvidia-smi lists no GPU"


def count_visible(gpus: list[Gpu] | str) -> int:
    """Return the number of GPUs that the launcher starts a process on: all, or those in CUDA_VISIBLE_DEVICES."""
    if isinstance(gpus, str):
        return 0
    named = os.environ.get(VISIBLE)
    if named is None:
        return len(gpus)
    numbers = [name.strip() for name in named.split(",") if name.strip()]
    usable = [name for name in numbers if not name.lstrip("-").isdigit() or 0 <= int(name) < len(gpus)]
    return len(usable)


def paddle_build(project: Project, installed: Installed) -> Iterator[Check]:
    """Check the build of paddle by the name of its distribution, as importing paddle takes seconds."""
    on_cpu, on_gpu = installed.versions.get("paddlepaddle"), installed.versions.get("paddlepaddle-gpu")
    device, version = project.training.device, on_gpu or on_cpu
    name = "paddlepaddle-gpu" if on_gpu else "paddlepaddle"
    install = "install paddlepaddle-gpu 3.x from Paddle's package index (docs/cluster.md)"
    if on_cpu and on_gpu:
        yield wrong(
            f"paddlepaddle {on_cpu} and paddlepaddle-gpu {on_gpu} are both installed and overwrite each other",
            "pip uninstall both, then install the one that you need: docs/cluster.md",
        )
    elif not version:
        if not installed.lacks("paddle"):
            yield skipped("paddle was not installed with pip: its build is unknown")
    elif release(version) < (3,):
        older = " (the last on PyPI is 2.6.2)" if on_gpu else ""
        yield wrong(f"{name} {version} is too old{older}: 3.x is needed", install if device == "gpu" else "install 3.x")
    elif device == "gpu" and not on_gpu:
        yield wrong(
            f"training.device gpu: paddlepaddle {version} is the build for CPUs",
            f"{install}, or set training.device: cpu",
        )
    else:
        yield ok(f"training.device {device}: {name} {version}")


def gpu_checks(project: Project, gpus: list[Gpu] | str, machines: int) -> Iterator[Check]:
    """Check the GPUs of this machine, and that there are as many as the project uses."""
    if project.training.device == "cpu":
        return
    if isinstance(gpus, str):
        yield wrong(gpus, "start it with its GPUs (docker run --gpus all), or set training.device: cpu")
        return
    names = sorted({f"{gpu.name} ({gpu.memory_mib / 1024:.0f} GiB)" for gpu in gpus})
    yield from _old_gpus(gpus)
    visible = count_visible(gpus)
    named = os.environ.get(VISIBLE)
    if visible == 0:
        yield wrong(f"CUDA_VISIBLE_DEVICES is {named!r}: none of {len(gpus)} GPUs", "unset CUDA_VISIBLE_DEVICES")
        return
    found = f"{visible} of {len(gpus)} GPUs visible, {', '.join(names)}"
    if machines > 1:
        found += f", × {machines} machines"
    yield _enough(project, found, visible * machines)


def _old_gpus(gpus: list[Gpu]) -> Iterator[Check]:
    driver = gpus[0].driver
    if release(driver)[:2] < _OLDEST_DRIVER:
        yield wrong(f"NVIDIA driver {driver}, and CUDA 12.3 needs 535.171", "install driver 535.171 or newer")
    for name in sorted({gpu.name for gpu in gpus if (0,) < release(gpu.capability) < _LEAST_CAPABILITY}):
        yield wrong(f"{name}: ERNIEKit needs Ampere or Hopper", "use another machine, or set training.device: cpu")


def _enough(project: Project, found: str, present: int) -> Check:
    needed = project.parallel.world_size
    if present < needed:
        return wrong(
            f"{found}: the project's parallel section needs {needed} GPUs",
            f"export NNODES=… for more machines, or lower parallel.* to {present} GPUs (erniekit-adapter plan)",
        )
    if present == needed:
        return ok(f"{found}: as many as the project needs")
    if VISIBLE not in os.environ:
        return ok(f"{found}: the project uses {needed} of them")
    finding = f"{found}: the launcher starts a process on each, and the project needs {needed}"
    return wrong(finding, f"unset {VISIBLE}, or set parallel.gpus: {present}")
