"""GPUs that a run uses: as many as the project sets, because a launcher starts a process on each visible GPU."""

from __future__ import annotations

import os

from erniekit_adapter.errors import usage_error

VISIBLE = "CUDA_VISIBLE_DEVICES"


def machine_count() -> int:
    """Return how many machines train together, read as the launcher does: PADDLE_NNODES, else NNODES, else one."""
    for name in ("PADDLE_NNODES", "NNODES"):
        least = os.environ.get(name, "").partition(":")[0]
        if least.isdigit():
            return max(1, int(least))
    return 1


def gpu_variables(device: str, gpus: int) -> dict[str, str]:
    """Return the variable that makes the GPUs of a run visible; empty on a CPU, and if the user has set it.

    Args:
        device: the project's training.device, `cpu` or `gpu`.
        gpus: number of GPUs that the project uses on all machines together.

    Raises:
        UsageError: CUDA_VISIBLE_DEVICES names another number of GPUs, or the machines cannot share them evenly.
    """
    if device == "cpu":
        return {}
    machines = machine_count()
    if gpus % machines:
        raise usage_error(
            "project parallel.gpus",
            f"{gpus} GPUs cannot be divided among {machines} machines",
            "set a multiple of the number of machines",
        )
    here, named = gpus // machines, os.environ.get(VISIBLE)
    if named is None:
        return {VISIBLE: ",".join(map(str, range(here)))}
    count = len([name for name in named.split(",") if name.strip()])
    if count != here:
        each = f" on each of {machines} machines" if machines > 1 else ""
        finding = f"names {count} GPUs, but the project uses {here}{each}: the toolkit starts a process on each GPU"
        other = f", or set parallel.gpus: {count * machines}" if count else ""
        raise usage_error(VISIBLE, finding, f"unset it, or name {here}{other}")
    return {}
