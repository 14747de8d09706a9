"""The service with a real server, `transformers serve` on a CPU with merged weights, which is killed midway.

The tiny base model does not know the structure of answers, so a request counts as answered if any text came back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tiny_ernie import write_native_adapter

from erniekit_adapter.merge.merging import merge
from erniekit_adapter.service import ErnieVLMService, ParseResult
from tiny_base.sizes import SHAPE

pytestmark = pytest.mark.toolkit

TINY_BASE = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
REQUESTS = 200
START_LIMIT_S = 120


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's `merged-hf`: the tiny base model with a random adapter that changes it little."""
    folder = tmp_path_factory.mktemp("served")
    write_native_adapter(folder / "native", SHAPE, "float32", rslora=False, deviation=0.02)
    merge(TINY_BASE, folder / "native", folder / "merged-hf", "hugging-face")
    return folder / "merged-hf"


class Server:
    """A `transformers serve` that can be killed and restarted at the same address."""

    def __init__(self, python: Path, model: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._command = [str(python), "-m", "transformers.cli.transformers", "serve", str(model)]
        self._command += ["--host", "127.0.0.1", "--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended; is the serving extra installed?"
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.2)
            else:
                return
        pytest.fail(f"the server was not up within {START_LIMIT_S} seconds")

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def serving(python: Path, model: Path) -> Iterator[Server]:
    server = Server(python, model)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def outcome(result: ParseResult) -> str:
    """Return `answered` if the model's text came back, otherwise the reason of the failure."""
    return "answered" if result.raw_text else str(result.reason)


@pytest.mark.parametrize("max_attempts", [5, 12])
def test_server_restart_loses_no_request(
    max_attempts: int, transformers5_python: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with serving(transformers5_python, model) as server:
        settings = {
            "vllm_server_url": server.url,
            "model_name": str(model),
            "max_tokens": 2,
            "max_concurrency": 16,
            "max_attempts": max_attempts,
            "timeout": 300,
        }
        service = ErnieVLMService({"ernie_vl": settings})

        async def ask_all() -> list[ParseResult]:
            async def ask(number: int) -> ParseResult:
                result = await service.parse_async({"lines": [f"INVOICE {number}", "Total 119.00"]})
                done.append(number)
                return result

            async def kill_in_the_middle() -> None:
                while len(done) < REQUESTS // 4:
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)

            done: list[int] = []
            killer = asyncio.create_task(kill_in_the_middle())
            results = await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
            await killer
            return list(results)

        with service:
            results = asyncio.run(ask_all())
    counted = Counter(map(outcome, results))
    attempts = Counter(result.attempts for result in results)
    with capsys.disabled():
        print(f"\n{dict(counted)}; requests by attempts {dict(sorted(attempts.items()))}", end="")
        print(f"; {time.monotonic() - started:.0f} s with two starts of the server")
    assert counted.total() == REQUESTS
    assert set(counted) <= {"answered", "unreachable", "server_error", "timeout"}
    assert max(attempts) > 1, "no request was running when the server was killed"
    # Five attempts take under eight seconds, and the start about ten; twelve outlast it.
    assert counted["answered"] >= (REQUESTS // 4 if max_attempts == 5 else REQUESTS)
