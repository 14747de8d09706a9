"""The GPUs of this machine that a run takes: as many as the project asks, since a launcher starts a process on each."""

from __future__ import annotations

import os

from erniekit_adapter.errors import misuse
from erniekit_adapter.project.schema import Project

VISIBLE = "CUDA_VISIBLE_DEVICES"


def machines_of_run() -> int:
    """How many machines train together, as the launcher is told: PADDLE_NNODES, else NNODES, else one."""
    for name in ("PADDLE_NNODES", "NNODES"):
        least = os.environ.get(name, "").partition(":")[0]
        if least.isdigit():
            return max(1, int(least))
    return 1


def cards_of_run(project: Project) -> dict[str, str]:
    """The variable that shows a run its GPUs; empty on a CPU, and where the user has set it himself.

    Raises:
        UsageError: the GPUs that the user names are not as many as the project asks, or these cannot be shared out
            among the machines.
    """
    if project.training.device == "cpu":
        return {}
    wanted, machines = project.parallel.world_size, machines_of_run()
    if wanted % machines:
        raise misuse("project parallel.gpus", f"{wanted} GPUs cannot be shared out among {machines} machines")
    here, named = wanted // machines, os.environ.get(VISIBLE)
    if named is None:
        return {VISIBLE: ",".join(map(str, range(here)))}
    count = len([name for name in named.split(",") if name.strip()])
    if count != here:
        among = f" on each of {machines} machines" if machines > 1 else ""
        what = f"names {count} GPUs, and the project asks for {here}{among}: a process is started on each"
        other = f", or set parallel.gpus: {count * machines}" if count else ""
        raise misuse(VISIBLE, what, f"unset it, or name {here}{other}")
    return {}
