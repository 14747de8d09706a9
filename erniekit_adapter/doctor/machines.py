"""What several machines need to meet: the master's address, its port, ranks, proxies; and shared memory on each."""

from __future__ import annotations

import errno
import ipaddress
import math
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.backends.probing import Installed
from erniekit_adapter.doctor.check import Check, gib, ok, skipped, wrong
from erniekit_adapter.doctor.model import IMAGE_KINDS
from erniekit_adapter.project.model_folder import local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

DEFAULT_PORT = 8080
# A container has 64 MiB unless it is told otherwise, and Paddle's own images are run with 128 GiB: this much for each
# process is our line between the two.
SHM_BYTES_EACH = 2**30
SHM = Path("/dev", "shm")
_NEXT = "on the first machine, 1 on the next, and so on"


@dataclass(frozen=True)
class Machines:
    """How many machines train together.

    Attributes:
        count: how many there have to be.
        launched: how many the launcher is told of.
        said_by: who says how many.
    """

    count: int
    launched: int
    said_by: str


def count_machines(project: Project, cards_here: int) -> Machines:
    """The machines of a run: PADDLE_NNODES or NNODES, else as many as the project's GPUs take up."""
    for name in ("PADDLE_NNODES", "NNODES"):
        least = os.environ.get(name, "").partition(":")[0]
        if least.isdigit():
            count = max(1, int(least))
            return Machines(count, count, f"{name}={os.environ[name]}")
    if project.training.device == "gpu" and cards_here:
        wanted = math.ceil(project.parallel.world_size / cards_here)
        return Machines(wanted, 1, f"parallel wants {project.parallel.world_size} GPUs, {cards_here} are here")
    return Machines(1, 1, "NNODES is not set")


def machine_checks(
    project: Project, machines: Machines, cards_here: int, installed: Installed | None
) -> Iterator[Check]:
    """Everything that only shows when machines are to meet, and what each needs for itself."""
    if machines.count > 1:
        yield from _meeting(project, machines, installed)
    else:
        yield skipped(f"one machine ({machines.said_by}): the master's name, its port and ranks are not looked at")
    yield _proxies(project)
    yield from _shared_memory(project, cards_here)


def _meeting(project: Project, machines: Machines, installed: Installed | None) -> Iterator[Check]:
    yield skipped(f"{machines.count} machines: {machines.said_by}")
    given, variable = _master()
    addressed, asked = os.environ.get("MASTER_ADDR"), os.environ.get("PADDLE_MASTER")
    if asked and addressed and asked.partition(":")[0] != addressed:
        yield wrong(
            f"PADDLE_MASTER={asked} wins over MASTER_ADDR={addressed}", "unset PADDLE_MASTER, or make them agree"
        )
    host, port = _host_and_port(given)
    if given.startswith("etcd://") or (addressed or "").startswith("etcd://"):
        if installed and "etcd3" in installed.versions and not installed.versions["etcd3"]:
            yield wrong("the master is etcd, and the toolkit's environment lacks etcd3", "pip install etcd3 there")
        else:
            yield ok("the master is etcd: machines find each other there")
    elif not host:
        yield wrong(
            "no MASTER_ADDR: the launcher's default is 127.0.0.1, so every machine would wait for itself",
            "export MASTER_ADDR=ADDRESS, that of the first machine, on all of them (hostname -I tells it)",
        )
    elif not port:
        yield wrong(f"{variable} has no port that is a number", f"export MASTER_PORT={DEFAULT_PORT}")
    else:
        yield from _master_checks(host, port, variable)
    yield from _ranks(project)
    yield skipped(
        "each machine writes its own part of a checkpoint", "let output_dir be one folder that every machine mounts"
    )


def _master() -> tuple[str, str]:
    """The master as the launcher will take it, `host:port`, and which variable says so."""
    if paddle_master := os.environ.get("PADDLE_MASTER"):
        return paddle_master, "PADDLE_MASTER"
    host = os.environ.get("MASTER_ADDR", "")
    return (f"{host}:{os.environ.get('MASTER_PORT', DEFAULT_PORT)}" if host else ""), "MASTER_ADDR"


def _host_and_port(master: str) -> tuple[str, int | None]:
    host, _, port = master.removeprefix("http://").rpartition(":")
    return host, int(port) if port.isdigit() and 0 < int(port) < 65536 else None


def _master_checks(host: str, port: int, variable: str) -> Iterator[Check]:
    """Paddle's launcher becomes the master where the master's address, as text, is this machine's own address.

    Its own address is what its own name resolves to, or POD_IP. Where no machine's is the same text, none becomes the
    master, and all wait for ever (seen with PaddlePaddle 3.1.1 and 3.3.1).
    """
    to_set = f"export {variable}={'ADDRESS:PORT' if variable == 'PADDLE_MASTER' else 'ADDRESS'}"
    first = "that of the first machine, on all of them (hostname -I tells it)"
    try:
        address = socket.gethostbyname(host)
    except OSError:
        yield wrong(f"{variable} {host} resolves to nothing here", f"{to_set}, {first}")
        return
    if _is_loopback(address):
        yield wrong(f"{variable} {host} is {address}: each machine would wait for itself", f"{to_set}, {first}")
        return
    own, own_by = own_address()
    here = can_bind(address, port)
    if here != "elsewhere" and own != host:
        what = f"{variable} {host} is this machine, and Paddle's launcher takes its address to be {own} ({own_by})"
        remedy = f"export POD_IP={address} here, and {to_set.replace('ADDRESS', address)} on every machine"
        yield wrong(f"{what}: it compares them as text, so no machine becomes the master", remedy)
    elif own is None or _is_loopback(own):
        what = f"this machine's address is {own or 'unknown'} ({own_by}), and the others would be told so"
        yield wrong(what, "export POD_IP=ADDRESS here, its own (hostname -I tells it), or correct /etc/hosts")
    if here == "elsewhere":
        yield ok(f"master {host}: another machine ({address})")
    elif here != "free":
        remedy = f"export MASTER_PORT={port + 1} on every machine, or another that is free"
        yield wrong(f"master {host}: this machine, and port {port} is {here}", remedy)
    elif own == host:
        yield ok(f"master {host}: this machine, and port {port} is free")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def own_address() -> tuple[str | None, str]:
    """This machine's address as Paddle's launcher takes it, and where it comes from."""
    pod = os.environ.get("POD_IP", "")
    if "." in pod:
        return pod, "POD_IP"
    name = socket.gethostname()
    try:
        return socket.gethostbyname(socket.getfqdn(name)), f"of its name {name}"
    except OSError:
        return None, f"of its name {name}"


def can_bind(address: str, port: int) -> str:
    """`free`, `taken` or `not to be had` where the address is this machine's; `elsewhere` where it is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return "elsewhere"
            return "taken" if error.errno == errno.EADDRINUSE else "not to be had"
    return "free"


def _ranks(project: Project) -> Iterator[Check]:
    variable = "RANK" if project.backend == "paddleformers" else "PADDLE_RANK"
    given = os.environ.get("PADDLE_RANK") or os.environ.get(variable)
    if given:
        yield ok(f"rank of this machine: {given}")
    elif project.backend == "paddleformers":
        yield wrong("RANK is not set: paddleformers-cli then says rank 0 on every machine", f"export RANK=0 {_NEXT}")
    else:
        yield skipped("PADDLE_RANK is not set: ranks are given as machines arrive", f"export PADDLE_RANK=0 {_NEXT}")


def _proxies(project: Project) -> Check:
    names = [name for name in ("http_proxy", "https_proxy") if os.environ.get(name)]
    if not names:
        return ok("no http_proxy or https_proxy that the launcher would drop")
    dropped = f"{' and '.join(names)} set: Paddle's launcher drops them"
    folder = local_model_dir(project)
    if not (folder / "config.json").is_file():
        name = project.model.model_name_or_path
        return wrong(
            f"{dropped}, and the model is not here", f"download it before: hf download {name} --local-dir {folder}"
        )
    return ok(f"{dropped}; the model is here, so nothing has to be downloaded")


def _shared_memory(project: Project, cards_here: int) -> Iterator[Check]:
    on_images = model_kind(project.model.model_name_or_path) in IMAGE_KINDS
    processes = max(1, cards_here)
    if not SHM.is_dir():
        yield wrong(f"no {SHM}", f"mount -t tmpfs -o size=16g tmpfs {SHM}")
        return
    size = shutil.disk_usage(SHM).total
    wanted = processes * SHM_BYTES_EACH
    if size >= wanted:
        yield ok(f"{SHM} has {gib(size)}")
    elif processes > 1 or on_images:
        what = (
            f"{SHM} has {gib(size)}, and {processes} processes want {gib(wanted)} (containers have 64 MiB by default)"
        )
        yield wrong(what, "start the container with --shm-size=128g, or mount a memory-backed emptyDir there")
    else:
        yield skipped(f"{SHM} has {gib(size)}: enough for one process on text")
    others = sorted(path.name for path in SHM.glob("paddle_*"))
    if others and on_images and project.backend == "erniekit":
        what = f"{len(others)} files {SHM}/paddle_*: VL-SFT deletes them, another job of this machine may use them"
        yield skipped(what, "let that job end first")
