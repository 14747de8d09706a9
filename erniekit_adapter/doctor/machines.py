"""Connections between several machines: the master's address and port, ranks, proxies; shared memory on each."""

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

from erniekit_adapter.architectures.families import takes_images
from erniekit_adapter.backends.environments.probing import Installed
from erniekit_adapter.doctor.check import Check, gib, ok, skipped, wrong
from erniekit_adapter.project.model_folder import download_hint, local_model_dir, model_kind
from erniekit_adapter.project.schema import Project

DEFAULT_PORT = 8080
# Needed for each process: our own choice between the default of containers, 64 MiB, and the 128 GiB that Paddle's
# documentation gives to its images.
SHM_BYTES_EACH = 2**30
SHM = Path("/dev", "shm")
_NEXT = "on the first machine, 1 on the next, and so on"


@dataclass(frozen=True)
class Machines:
    """Number of machines that train together.

    Attributes:
        count: number that the run needs.
        launched: number that the launcher gets.
        source: where the number comes from.
    """

    count: int
    launched: int
    source: str


def count_machines(project: Project, gpus_here: int) -> Machines:
    """Return the machines of a run: PADDLE_NNODES or NNODES, else as many as are needed for the project's GPUs."""
    for name in ("PADDLE_NNODES", "NNODES"):
        least = os.environ.get(name, "").partition(":")[0]
        if least.isdigit():
            count = max(1, int(least))
            return Machines(count, count, f"{name}={os.environ[name]}")
    if project.training.device == "gpu" and gpus_here:
        needed = math.ceil(project.parallel.world_size / gpus_here)
        finding = f"parallel needs {project.parallel.world_size} GPUs, this machine has {gpus_here}"
        return Machines(needed, 1, finding)
    return Machines(1, 1, "NNODES is not set")


def machine_checks(
    project: Project, machines: Machines, gpus_here: int, installed: Installed | None
) -> Iterator[Check]:
    """Check how the machines of a run find each other, and proxies and shared memory on this one."""
    if machines.count > 1:
        yield from _connection(project, machines, installed)
    else:
        yield skipped(f"one machine ({machines.source}): the master's address, its port and ranks are not checked")
    yield _proxies(project)
    yield from _shared_memory(project, gpus_here)


def _connection(project: Project, machines: Machines, installed: Installed | None) -> Iterator[Check]:
    yield skipped(f"{machines.count} machines: {machines.source}")
    given, variable = _master()
    addressed, paddle_master = os.environ.get("MASTER_ADDR"), os.environ.get("PADDLE_MASTER")
    if paddle_master and addressed and paddle_master.partition(":")[0] != addressed:
        yield wrong(
            f"PADDLE_MASTER={paddle_master} takes precedence over MASTER_ADDR={addressed}",
            "unset PADDLE_MASTER, or set both to the same address",
        )
    host, port = _host_and_port(given)
    if given.startswith("etcd://") or (addressed or "").startswith("etcd://"):
        if installed and "etcd3" in installed.versions and not installed.versions["etcd3"]:
            yield wrong("the master is etcd, and the toolkit's environment lacks etcd3", "pip install etcd3 there")
        else:
            yield ok("the master is etcd, where machines find each other")
    elif not host:
        yield wrong(
            "no MASTER_ADDR: the launcher's default is 127.0.0.1, so each machine would wait for itself",
            "export MASTER_ADDR=ADDRESS on all machines, with the address of the first (hostname -I prints it)",
        )
    elif not port:
        yield wrong(f"{variable} has no port number", f"export MASTER_PORT={DEFAULT_PORT}")
    else:
        yield from _master_checks(host, port, variable)
    yield from _ranks(project)
    yield skipped(
        "each machine writes its own part of a checkpoint", "set output_dir to a folder that all machines mount"
    )


def _master() -> tuple[str, str]:
    """Return the master that the launcher uses, `host:port`, and the variable that it comes from."""
    if paddle_master := os.environ.get("PADDLE_MASTER"):
        return paddle_master, "PADDLE_MASTER"
    host = os.environ.get("MASTER_ADDR", "")
    return (f"{host}:{os.environ.get('MASTER_PORT', DEFAULT_PORT)}" if host else ""), "MASTER_ADDR"


def _host_and_port(master: str) -> tuple[str, int | None]:
    host, _, port = master.removeprefix("http://").rpartition(":")
    return host, int(port) if port.isdigit() and 0 < int(port) < 65536 else None


def _master_checks(host: str, port: int, variable: str) -> Iterator[Check]:
    """Check the address and the port of the master.

    Paddle's launcher becomes the master if the master's address is, as text, the machine's own address: the one that
    its name resolves to, or POD_IP. If no machine has that text, none becomes the master and all wait for ever
    (observed with PaddlePaddle 3.1.1 and 3.3.1).
    """
    to_set = f"export {variable}={'ADDRESS:PORT' if variable == 'PADDLE_MASTER' else 'ADDRESS'}"
    first = "on all machines, with the address of the first (hostname -I prints it)"
    try:
        address = socket.gethostbyname(host)
    except OSError:
        yield wrong(f"{variable} {host} cannot be resolved here", f"{to_set} {first}")
        return
    if _is_loopback(address):
        yield wrong(f"{variable} {host} is {address}: each machine would wait for itself", f"{to_set} {first}")
        return
    own, own_by = own_address()
    here = can_bind(address, port)
    if here != "elsewhere" and own != host:
        finding = f"{variable} {host} is this machine, whose address is {own} for Paddle's launcher ({own_by})"
        hint = f"export POD_IP={address} here, and {to_set.replace('ADDRESS', address)} on every machine"
        yield wrong(f"{finding}: the launcher compares both as text, so no machine becomes the master", hint)
    elif own is None or _is_loopback(own):
        finding = f"this machine's address is {own or 'unknown'} ({own_by}), and the other machines would get it"
        yield wrong(
            finding, "export POD_IP=ADDRESS with this machine's address (hostname -I prints it), or correct /etc/hosts"
        )
    if here == "elsewhere":
        yield ok(f"master {host}: another machine ({address})")
    elif here != "free":
        hint = f"export MASTER_PORT={port + 1} on every machine, or another free port"
        yield wrong(f"master {host}: this machine, and port {port} is {here}", hint)
    elif own == host:
        yield ok(f"master {host}: this machine, and port {port} is free")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def own_address() -> tuple[str | None, str]:
    """Return the address of this machine for Paddle's launcher, and where it comes from."""
    pod = os.environ.get("POD_IP", "")
    if "." in pod:
        return pod, "POD_IP"
    name = socket.gethostname()
    try:
        return socket.gethostbyname(socket.getfqdn(name)), f"of its name {name}"
    except OSError:
        return None, f"of its name {name}"


def can_bind(address: str, port: int) -> str:
    """Return `free`, `in use` or `not available` if the address is this machine's, else `elsewhere`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return "elsewhere"
            return "in use" if error.errno == errno.EADDRINUSE else "not available"
    return "free"


def _ranks(project: Project) -> Iterator[Check]:
    variable = "RANK" if project.backend == "paddleformers" else "PADDLE_RANK"
    given = os.environ.get("PADDLE_RANK") or os.environ.get(variable)
    if given:
        yield ok(f"rank of this machine: {given}")
    elif project.backend == "paddleformers":
        yield wrong("RANK is not set: paddleformers-cli then gives each machine rank 0", f"export RANK=0 {_NEXT}")
    else:
        yield skipped(
            "PADDLE_RANK is not set: machines get ranks in the order in which they connect",
            f"export PADDLE_RANK=0 {_NEXT}",
        )


def _proxies(project: Project) -> Check:
    names = [name for name in ("http_proxy", "https_proxy") if os.environ.get(name)]
    if not names:
        return ok("no http_proxy or https_proxy, which the launcher would unset")
    unset = f"{' and '.join(names)} set: Paddle's launcher unsets them"
    folder = local_model_dir(project)
    if not (folder / "config.json").is_file():
        name = project.model.model_name_or_path
        return wrong(f"{unset}, and the model is not here", download_hint(name, folder))
    return ok(f"{unset}; the model is here, so nothing is downloaded")


def _shared_memory(project: Project, gpus_here: int) -> Iterator[Check]:
    on_images = takes_images(model_kind(project.model.model_name_or_path))
    processes = max(1, gpus_here)
    if not SHM.is_dir():
        yield wrong(f"no {SHM}", f"mount -t tmpfs -o size=16g tmpfs {SHM}")
        return
    size = shutil.disk_usage(SHM).total
    needed = processes * SHM_BYTES_EACH
    if size >= needed:
        yield ok(f"{SHM} has {gib(size)}")
    elif processes > 1 or on_images:
        finding = (
            f"{SHM} has {gib(size)}, and {processes} processes need {gib(needed)} (containers have 64 MiB by default)"
        )
        yield wrong(finding, "start the container with --shm-size=128g, or mount a memory-backed emptyDir there")
    else:
        yield skipped(f"{SHM} has {gib(size)}: enough for one process on text")
    others = sorted(path.name for path in SHM.glob("paddle_*"))
    if others and on_images and project.backend == "erniekit":
        finding = f"{len(others)} files {SHM}/paddle_*: VL-SFT deletes them, although another job may use them"
        yield skipped(finding, "wait until the other job ends")
