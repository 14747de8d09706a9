"""The paddle build and the GPUs: does the toolkit compute where the project wants it to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.backends.probing import Installed
from erniekit_adapter.doctor.check import Check, ok, release, skipped, wrong
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.cards import VISIBLE

_QUERY = "index,name,memory.total,driver_version,compute_cap"
_QUERY_TIMEOUT_S = 10
# ERNIEKit's own requirements: driver 535.171, Ampere (compute capability 8) or Hopper.
_OLDEST_DRIVER = (535, 171)
_LEAST_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Card:
    """A GPU as nvidia-smi tells it; memory in MiB."""

    index: int
    name: str
    memory_mib: int
    driver: str
    capability: str


def list_cards() -> list[Card] | str:
    """Every card of this machine, or why there is none."""
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
    cards = []
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 5 and cells[0].isdigit():
            memory = int(cells[2]) if cells[2].isdigit() else 0
            cards.append(Card(int(cells[0]), cells[1], memory, cells[3], cells[4]))
    return cards or "nvidia-smi lists no card"


def count_visible(cards: list[Card] | str) -> int:
    """Cards that the launcher starts a process on: all, or as many as CUDA_VISIBLE_DEVICES names."""
    if isinstance(cards, str):
        return 0
    named = os.environ.get(VISIBLE)
    if named is None:
        return len(cards)
    numbers = [name.strip() for name in named.split(",") if name.strip()]
    usable = [name for name in numbers if not name.lstrip("-").isdigit() or 0 <= int(name) < len(cards)]
    return len(usable)


def paddle_build(project: Project, installed: Installed) -> Iterator[Check]:
    """By the distribution's name, since asking paddle itself takes seconds."""
    on_cpu, on_gpu = installed.versions.get("paddlepaddle"), installed.versions.get("paddlepaddle-gpu")
    device, version = project.training.device, on_gpu or on_cpu
    name = "paddlepaddle-gpu" if on_gpu else "paddlepaddle"
    install = "install paddlepaddle-gpu 3.x from Paddle's package index (docs/cluster.md)"
    if on_cpu and on_gpu:
        yield wrong(
            f"paddlepaddle {on_cpu} and paddlepaddle-gpu {on_gpu} are both installed, one over the other",
            "pip uninstall both, then install the one you want again: docs/cluster.md",
        )
    elif not version:
        if not installed.lacks("paddle"):
            yield skipped("paddle is no installed distribution: its build cannot be told without loading it")
    elif release(version) < (3,):
        older = " (PyPI's end at 2.6.2)" if on_gpu else ""
        yield wrong(f"{name} {version} is too old{older}: 3.x is needed", install if device == "gpu" else "install 3.x")
    elif device == "gpu" and not on_gpu:
        yield wrong(
            f"training.device gpu: paddlepaddle {version} computes on CPUs alone",
            f"{install}, or set training.device: cpu",
        )
    else:
        yield ok(f"training.device {device}: {name} {version} will do")


def card_checks(project: Project, cards: list[Card] | str, machines: int) -> Iterator[Check]:
    """The cards of this machine, and whether they are as many as the project wants."""
    if project.training.device == "cpu":
        return
    if isinstance(cards, str):
        yield wrong(cards, "start it with its GPUs (docker run --gpus all), or set training.device: cpu")
        return
    names = sorted({f"{card.name} ({card.memory_mib / 1024:.0f} GiB)" for card in cards})
    yield from _old_cards(cards)
    visible = count_visible(cards)
    named = os.environ.get(VISIBLE)
    if visible == 0:
        yield wrong(f"CUDA_VISIBLE_DEVICES is {named!r}: none of {len(cards)} cards", "unset CUDA_VISIBLE_DEVICES")
        return
    where = f"{visible} of {len(cards)} cards visible, {', '.join(names)}"
    if machines > 1:
        where += f", × {machines} machines"
    yield _enough(project, where, visible * machines)


def _old_cards(cards: list[Card]) -> Iterator[Check]:
    driver = cards[0].driver
    if release(driver)[:2] < _OLDEST_DRIVER:
        yield wrong(f"NVIDIA driver {driver}, and CUDA 12.3 needs 535.171", "install driver 535.171 or newer")
    for name in sorted({card.name for card in cards if (0,) < release(card.capability) < _LEAST_CAPABILITY}):
        yield wrong(f"{name}: ERNIEKit wants Ampere or Hopper", "take another machine, or set training.device: cpu")


def _enough(project: Project, where: str, present: int) -> Check:
    wanted = project.parallel.world_size
    if present < wanted:
        return wrong(
            f"{where}: the project's parallel section wants {wanted} GPUs",
            f"export NNODES=… for more machines, or lower parallel.* to {present} GPUs (make plan)",
        )
    if present == wanted:
        return ok(f"{where}: as many as the project wants")
    if VISIBLE not in os.environ:
        return ok(f"{where}: the project takes {wanted} of them")
    what = f"{where}: the launcher starts a process on each, and the project wants {wanted}"
    return wrong(what, f"unset {VISIBLE}, or set parallel.gpus: {present}")
