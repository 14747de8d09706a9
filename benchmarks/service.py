"""Measure the service under load: lost and mixed-up answers, time compared with the bare HTTP client, and memory.

The server is a stand-in for vLLM without a model: a separate process with the event loop of the standard library. It
answers chat completions after a time that depends on the request, holds adapters by name, and answers 404 for one that
is not loaded. Run `python benchmarks/service.py`; `--help` lists the parts.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

CALLERS = 200
_PAGE_LINES = 20
_TURN = 500
_PLAIN, _POOLED, _SERVICE = "httpx.AsyncClient", "the same with the service's pools", "service"


# --- the stand-in for vLLM ---


@dataclass
class StandIn:
    """A stand-in for vLLM, whose answers repeat the number of the request after a random time.

    Attributes:
        latency_s: mean time of an answer; times are between half and one and a half of it.
    """

    latency_s: float

    async def serve(self, port: int) -> None:
        """Answer until this process or its parent ends."""
        self.loaded: set[str] = set()
        parent = os.getppid()
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1024)
        async with server:
            while os.getppid() == parent:
                await asyncio.sleep(0.5)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                route = head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode()
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                status, reply = await self._answer(route, json.loads(await reader.readexactly(length)))
                content = json.dumps(reply).encode()
                kind = b"Content-Type: application/json\r\n"
                writer.write(b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, kind, len(content), content))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = str(body.get("lora_name") or body.get("model"))
        if route == "load_lora_adapter":
            if name in self.loaded:
                return 400, {"message": f"The lora adapter '{name}' has already been loaded."}
            self.loaded.add(name)
            return 200, {}
        if route == "unload_lora_adapter":
            self.loaded.discard(name)
            return 200, {}
        started = time.perf_counter()
        number = _number_in(str(body["messages"][0]["content"]))
        await asyncio.sleep(self.latency_s * (0.5 + random.Random(number).random()))  # noqa: S311
        if name != "base" and name not in self.loaded:
            return 404, {"message": f"The model `{name}` does not exist."}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer_to(number, time.perf_counter() - started)},
            "finish_reason": "stop",
        }
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 90}}


def answer_to(number: int, server_s: float) -> str:
    """Return the answer to a request: three line items that add up, its number, and the server's time as a note."""
    lines = [
        {"description": f"Item {n} of {number}", "quantity": n, "unit_price": 5, "total": 5 * n} for n in (1, 2, 3)
    ]
    summary = {"subtotal": 30, "grand_total": 30, "currency": "EUR"}
    data: dict[str, Any] = {
        "client_info": {"invoice_number": f"N{number}"},
        "line_items": lines,
        "financial_summary": summary,
    }
    data["payment_terms"] = {"notes": f"{server_s:.6f}"}
    claimed = {"is_valid": True, "math_verified": True, "issues": []}
    return json.dumps({"structured_data": data, "validation_summary": claimed}, separators=(",", ":"))


def page(number: int) -> dict[str, list[str]]:
    """Return the OCR data of the invoice with this number."""
    return {"lines": [f"INVOICE N{number} ;", *(f"Item {n} of {number} 1 x 5.00 5.00" for n in range(_PAGE_LINES))]}


def _number_in(text: str) -> int:
    found = text.partition("INVOICE N")[2].partition(" ")[0]
    return int(found) if found else 0


class Server:
    """The process of the stand-in, which can be killed and restarted at the same address."""

    def __init__(self, latency_s: float) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.port = int(listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._command = [sys.executable, __file__, "--serve", str(self.port), "--latency", str(latency_s)]
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it accepts connections."""
        self._process = subprocess.Popen(self._command)
        for _ in range(200):
            with socket.socket() as connecting:
                if connecting.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("the stand-in did not start")

    def kill(self) -> None:
        """Kill the process."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


# --- the load ---


def new_service(server: Server, **more: Any) -> Any:
    """Return a service with a slot for each caller."""
    from erniekit_adapter.service import ErnieVLMService

    given = {
        "vllm_server_url": server.url,
        "model_name": "base",
        "max_concurrency": CALLERS,
        "timeout": 120,
        "trust": "unsigned",
        **more,
    }
    return ErnieVLMService({"ernie_vl": given})


async def from_all_callers(
    numbers: Iterator[int], ask: Callable[[int], Awaitable[None]], callers: int = CALLERS, over_s: float = 0.0
) -> None:
    """Send the requests with these numbers, each caller one after the other; callers start within `over_s` seconds."""

    async def caller(wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(caller(over_s * place / callers) for place in range(callers)))


def is_own(result: Any, number: int) -> bool:
    """Return whether an answer belongs to this request."""
    client = result.answer and result.answer.structured_data.client_info
    return bool(client) and client.invoice_number == f"N{number}"


async def measure_faults(total: int) -> dict[str, Any]:
    """Send requests from 200 callers while the server is killed five times and the bundle switched fifty times."""
    server, folder = Server(0.5), Path(tempfile.mkdtemp(prefix="service-benchmark-"))
    bundles = [write_bundle(folder / name, value) for name, value in (("a", 1.0), ("b", 2.0))]
    more = {"fine_tuned_model_path": str(bundles[0]), "lora": "load", "max_attempts": 12}
    service = new_service(server, **more)
    outcomes: Counter[str] = Counter()
    attempts: Counter[int] = Counter()
    done, swaps, kills = 0, 0, 0

    async def ask(number: int) -> None:
        nonlocal done
        result = await service.parse_async(page(number))
        own = "" if is_own(result, number) else " of another request"
        outcomes["answered" + own if result.status == "success" else str(result.reason)] += 1
        attempts[result.attempts] += 1
        done += 1

    async def swap() -> None:
        nonlocal swaps
        for bundle in itertools.islice(itertools.cycle(reversed(bundles)), 50):
            while done < total * (swaps + 1) / 52:
                await asyncio.sleep(0.01)
            await service.use_async(bundle)
            swaps += 1

    async def kill() -> None:
        nonlocal kills
        for share in range(1, 6):
            while done < total * share / 6:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
            kills += 1

    started = time.monotonic()
    await asyncio.gather(from_all_callers(iter(range(1, total + 1)), ask), swap(), kill())
    await asyncio.to_thread(service.close)
    server.kill()
    return {
        "requests": total,
        "outcomes": dict(outcomes),
        "requests by attempts": dict(sorted(attempts.items())),
        "swaps": swaps,
        "kills": kills,
        "seconds": round(time.monotonic() - started, 1),
    }


async def measure_overhead(total: int, latency_s: float) -> dict[str, Any]:
    """Send requests with the bare client and with the service, from the same callers, in alternating rounds.

    The measured time is the caller's waiting time minus the server's own time for this request.
    """
    from erniekit_adapter.service.calling import connect
    from erniekit_adapter.service.request import chat_body

    server = Server(latency_s)
    service = new_service(server)
    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    plain = httpx.AsyncClient(limits=limits, timeout=120, trust_env=False)
    pooled = connect(service.settings).direct
    taken_s: dict[str, list[float]] = {_PLAIN: [], _POOLED: [], _SERVICE: []}
    numbers = itertools.count(1)

    async def ask_bare(client: httpx.AsyncClient, number: int) -> float:
        body = {"model": "base", **chat_body(service.settings, page(number), None)}
        reply = await client.post(f"{server.url}/chat/completions", json=body)
        answer = json.loads(reply.json()["choices"][0]["message"]["content"])
        return float(answer["structured_data"]["payment_terms"]["notes"])

    async def ask_service(number: int) -> float:
        result = await service.parse_async(page(number))
        assert is_own(result, number)
        return float(result.answer.structured_data.payment_terms.notes)

    clients: dict[str, Callable[[int], Awaitable[float]]] = {
        _POOLED: partial(ask_bare, pooled),
        _SERVICE: ask_service,
        _PLAIN: partial(ask_bare, plain),
    }
    # Callers that start together would wait for each other. The first round also opens the connections.
    for turn in range(total // _TURN + 1):
        for name, send in clients.items():

            async def ask(number: int, name: str = name, send: Callable[[int], Awaitable[float]] = send) -> None:
                started = time.perf_counter()
                server_s = await send(number)
                taken_s[name].append(time.perf_counter() - started - server_s)

            await from_all_callers(itertools.islice(numbers, _TURN), ask, over_s=latency_s)
            if not turn:
                taken_s[name].clear()
    await asyncio.gather(plain.aclose(), pooled.aclose(), asyncio.to_thread(service.close))
    server.kill()
    milliseconds = {
        name: {"median": _ms(statistics.median(values)), "p99": _ms(statistics.quantiles(values, n=100)[98])}
        for name, values in taken_s.items()
    }
    over = {name: _ms_over(milliseconds, name) for name in (_PLAIN, _POOLED)}
    return {
        "requests each": total,
        "mean latency of the server, s": latency_s,
        "ms": milliseconds,
        "p99 more than": over,
    }


def _ms_over(milliseconds: dict[str, dict[str, float]], name: str) -> float:
    return round(milliseconds[_SERVICE]["p99"] - milliseconds[name]["p99"], 2)


async def measure_memory(total: int) -> dict[str, Any]:
    """Measure the resident memory after each tenth of the requests, with a server that answers at once."""
    server = Server(0.0)
    service = new_service(server)
    seen: list[float] = []
    started = time.monotonic()

    async def ask(number: int) -> None:
        result = await service.parse_async(page(number))
        assert is_own(result, number)
        if number % (total // 10) == 0:
            seen.append(resident_mib())

    before = resident_mib()
    await from_all_callers(iter(range(1, total + 1)), ask)
    await asyncio.to_thread(service.close)
    server.kill()
    rate = round(total / (time.monotonic() - started))
    return {"requests": total, "MiB before": before, "MiB after each tenth": seen, "requests a second": rate}


def resident_mib() -> float:
    """Return the resident memory in MiB; the peak if the system does not report the current value."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return round(pages * resource.getpagesize() / 1024 / 1024, 1)


def write_bundle(folder: Path, value: float) -> Path:
    """Write a small bundle with the code of the tests."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "service"))
    import service_examples

    return service_examples.write_bundle(folder, value=value)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the service under load, against a stand-in for vLLM.")
    parser.add_argument(
        "parts", nargs="*", choices=["faults", "overhead", "memory", []], help="all parts if none is given"
    )
    parser.add_argument("--requests", type=int, default=10_000, help="for faults and overhead")
    parser.add_argument("--memory-requests", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=4.0, help="mean seconds of an answer, for overhead")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(StandIn(options.latency).serve(options.serve))
        return
    parts = options.parts or ["faults", "overhead", "memory"]
    if "faults" in parts:
        print(json.dumps({"faults": asyncio.run(measure_faults(options.requests))}), flush=True)
    if "overhead" in parts:
        print(json.dumps({"overhead": asyncio.run(measure_overhead(options.requests, options.latency))}), flush=True)
    if "memory" in parts:
        print(json.dumps({"memory": asyncio.run(measure_memory(options.memory_requests))}), flush=True)


if __name__ == "__main__":
    main()
