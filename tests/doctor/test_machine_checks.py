"""Checks of several machines, proxies and shared memory."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    FORMERS,
    GPU,
    H100,
    checks_of,
    find,
    gpus,
    toolkit,
)

from erniekit_adapter.doctor import machines
from erniekit_adapter.doctor.machines import can_bind


def test_one_machine_needs_no_master(ready: dict[str, Any]) -> None:
    assert find(checks_of(ready), "one machine (NNODES is not set)").state == "skipped"


OURS, THEIRS = "192.0.2.2", "192.0.2.9"


@pytest.mark.parametrize(
    ("variables", "own", "state", "finding"),
    [
        ({}, OURS, "wrong", "no MASTER_ADDR: the launcher's default is 127.0.0.1"),
        ({"MASTER_ADDR": "first"}, OURS, "wrong", "MASTER_ADDR first is 127.0.1.1: each machine would wait for itself"),
        ({"MASTER_ADDR": "lost"}, OURS, "wrong", "MASTER_ADDR lost cannot be resolved here"),
        ({"MASTER_ADDR": OURS}, OURS, "ok", f"master {OURS}: this machine, and port 8080 is free"),
        ({"MASTER_ADDR": "named"}, OURS, "wrong", "MASTER_ADDR named is this machine, whose address is 192.0.2.2 for"),
        (
            {"MASTER_ADDR": OURS},
            "127.0.1.1",
            "wrong",
            f"MASTER_ADDR {OURS} is this machine, whose address is 127.0.1.1 for",
        ),
        ({"MASTER_ADDR": OURS, "POD_IP": OURS}, "127.0.1.1", "ok", f"master {OURS}: this machine"),
        ({"MASTER_ADDR": THEIRS}, OURS, "ok", f"master {THEIRS}: another machine"),
        ({"MASTER_ADDR": THEIRS}, "127.0.1.1", "wrong", "this machine's address is 127.0.1.1"),
        ({"MASTER_ADDR": OURS, "MASTER_PORT": "x"}, OURS, "wrong", "MASTER_ADDR has no port number"),
        (
            {"MASTER_ADDR": OURS, "PADDLE_MASTER": f"{THEIRS}:1"},
            OURS,
            "wrong",
            f"PADDLE_MASTER={THEIRS}:1 takes precedence",
        ),
        (
            {"MASTER_ADDR": "etcd://host"},
            OURS,
            "wrong",
            "the master is etcd, and the toolkit's environment lacks etcd3",
        ),
        ({"MASTER_ADDR": OURS, "PADDLE_RANK": "1"}, OURS, "ok", "rank of this machine: 1"),
        ({"MASTER_ADDR": OURS}, OURS, "skipped", "PADDLE_RANK is not set"),
    ],
)
def test_address_of_the_master(
    ready: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    own: str,
    state: str,
    finding: str,
) -> None:
    addresses = {"first": "127.0.1.1", "named": OURS, OURS: OURS, THEIRS: THEIRS, socket.getfqdn(): own}

    def resolve(name: str) -> str:
        if name not in addresses:
            raise socket.gaierror("no such name")
        return addresses[name]

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    monkeypatch.setattr(machines, "can_bind", lambda address, port: "free" if address == OURS else "elsewhere")
    for name, value in ({"NNODES": "2"} | variables).items():
        monkeypatch.setenv(name, value)
    assert find(checks_of(ready), finding).state == state


def test_port_is_free_in_use_or_elsewhere() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert can_bind("127.0.0.1", port) == "in use"
    assert can_bind("127.0.0.1", port) == "free"
    assert can_bind("203.0.113.7", port) == "elsewhere"


def test_paddleformers_needs_a_rank(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    monkeypatch.setenv("NNODES", "2:4")
    assert find(checks_of(ready, backend="paddleformers"), "RANK is not set").state == "wrong"
    monkeypatch.setenv("RANK", "1")
    assert find(checks_of(ready, backend="paddleformers"), "rank of this machine: 1").state == "ok"


def test_proxies_and_a_missing_model(ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert find(checks_of(ready), "https_proxy set: Paddle's launcher unsets them; the model is here").state == "ok"
    absent = {"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"}
    check = find(
        checks_of(ready, model=absent), "https_proxy set: Paddle's launcher unsets them, and the model is not here"
    )
    assert check.state == "wrong"


def test_small_shared_memory(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "SHM_BYTES_EACH", 2**60)
    assert find(checks_of(ready), f"{machines.SHM} has ").state == "skipped"
    gpus(tmp_path, H100.format(0), H100.format(1))
    check = find(checks_of(ready, training=GPU), f"{machines.SHM} has ")
    assert check.state == "wrong"
    assert "--shm-size=128g" in check.hint
