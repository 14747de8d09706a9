"""Bundles are verified before use and replaced between two requests; a bad bundle keeps the old one in use."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import service_examples as examples
from service_examples import ANSWER, URL, completion, in_turn, service, write_bundle
from signing_examples import key_files

from erniekit_adapter.bundle.signing import sign
from erniekit_adapter.errors import AdapterError, UsageError

OCR = {"lines": ["Total 119.00"]}


class AdapterServer:
    """A stand-in for vLLM that answers as its base model and as the adapters that were loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.requested, self.released = threading.Event(), threading.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        route, content = request.url.path.removeprefix("/v1/"), examples.body(request)
        name = str(content.get("lora_name") or content.get("model"))
        self.calls.append((route, name))
        if route == "load_lora_adapter":
            if name in self.loaded:
                return httpx.Response(400, json={"message": f"The lora adapter '{name}' has already been loaded."})
            self.loaded[name] = content["lora_path"]
        elif route == "unload_lora_adapter":
            del self.loaded[name]
        elif name not in self.loaded:
            return httpx.Response(404, json={"message": f"The model `{name}` does not exist."})
        elif b"hold" in request.content:
            self.requested.set()
            await asyncio.to_thread(self.released.wait, 5)
        return completion(ANSWER)

    def restart(self) -> None:
        self.loaded.clear()


def loading_service(server: Any, bundle: Path, **more: Any) -> Any:
    return service(server, fine_tuned_model_path=str(bundle), lora="load", **more)


def damage(bundle: Path) -> Path:
    (bundle / "README.md").write_text("Another model card.\n")
    return bundle


def test_bad_bundle_names_the_file(tmp_path: Path) -> None:
    bundle = damage(write_bundle(tmp_path / "a"))
    with pytest.raises(AdapterError, match=r"README\.md"):
        service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle))


def test_bad_bundle_falls_back_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERNIE_API_KEY", "for-the-first-server")
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return completion(ANSWER)

    caplog.set_level(logging.ERROR)
    fallback = {"fallback_url": "https://api.example/v1", "fallback_model_name": "hosted"}
    bundle = damage(write_bundle(tmp_path / "a"))
    with service(handler, fine_tuned_model_path=str(bundle), when_bundle_is_bad="fallback", **fallback) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.model, result.bundle) == ("success", "hosted", None)
    assert str(requests[0].url) == "https://api.example/v1/chat/completions"
    assert "Authorization" not in requests[0].headers
    assert "README.md" in caplog.text


def test_rejects_an_unsigned_bundle_if_a_key_is_set(tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    bundle = write_bundle(tmp_path / "a")
    with pytest.raises(AdapterError, match=r"manifest\.sig: no such file"):
        service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle), public_key=str(public))


def test_bundle_needs_a_key_or_trust_unsigned(tmp_path: Path) -> None:
    handler, bundle = in_turn(completion(ANSWER)), write_bundle(tmp_path / "a")
    fallback = {"fallback_url": "http://b/v1", "fallback_model_name": "b", "when_bundle_is_bad": "fallback"}
    with pytest.raises(UsageError, match=r"public_key: missing(.|\n)*trust: unsigned \(or ERNIE_TRUST=unsigned\)"):
        service(handler, fine_tuned_model_path=str(bundle), trust="signed", **fallback)
    with service(handler, trust="signed") as vlm, pytest.raises(UsageError, match="public_key: missing"):
        vlm.use(bundle, model="b")


def test_rejects_an_older_bundle_after_a_newer_one(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    old, new = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", value=2.0)
    sign(old, key_file=private, counter=1)
    sign(new, key_file=private, counter=2)
    server = AdapterServer()
    with loading_service(server, old, public_key=str(public)) as vlm:
        vlm.use(new)
        with pytest.raises(AdapterError, match="this one is older"):
            vlm.use(old)
        assert vlm.parse(OCR).bundle == vlm.target.bundle
    assert (tmp_path / "public.pem.counter").is_file()
    with pytest.raises(AdapterError, match="this one is older"):
        loading_service(server, old, public_key=str(public))


def test_counter_of_an_unused_bundle_is_not_kept(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    old, new = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", value=2.0)
    sign(old, key_file=private, counter=1)
    sign(new, key_file=private, counter=2)

    def handler(request: httpx.Request) -> httpx.Response:
        refused = "/b/" in str(examples.body(request).get("lora_path"))
        return httpx.Response(400, json={"message": "no"}) if refused else completion(ANSWER)

    keys = {"public_key": str(public), "counter_file": str(tmp_path / "counters")}
    with loading_service(handler, old, **keys) as vlm, pytest.raises(AdapterError, match="does not answer with it"):
        vlm.use(new)
    loading_service(handler, old, **keys).close()


def test_counter_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    bundle = write_bundle(tmp_path / "a")
    sign(bundle, key_file=private)
    with pytest.raises(UsageError, match=r"set ernie_vl\.counter_file"):
        loading_service(AdapterServer(), bundle, public_key=str(public), counter_file=str(public / "counters"))


def test_merged_weights_use_the_model_name(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a")
    with service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle)) as vlm:
        result = vlm.parse(OCR)
    assert result.model == "base"
    assert result.bundle == vlm.target.bundle is not None


def test_named_adapter_uses_its_name(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a")
    named = {"fine_tuned_model_path": str(bundle), "lora": "named", "adapter_name": "invoices"}
    with service(in_turn(completion(ANSWER)), **named) as vlm:
        assert vlm.parse(OCR).model == "invoices"


def test_loads_an_adapter_once(tmp_path: Path) -> None:
    server, bundle = AdapterServer(), write_bundle(tmp_path / "a")
    with loading_service(server, bundle) as vlm:
        results = [vlm.parse(OCR) for _ in range(3)]
        name = vlm.target.model
    assert {result.status for result in results} == {"success"}
    assert name.startswith("demo-")
    assert server.loaded == {name: str(bundle.resolve() / "peft")}
    assert [route for route, _ in server.calls] == ["load_lora_adapter", *["chat/completions"] * 3]


def test_server_bundle_path_replaces_the_folder(tmp_path: Path) -> None:
    server, bundle = AdapterServer(), write_bundle(tmp_path / "a")
    with loading_service(server, bundle, server_bundle_path="/bundles/{identity}/") as vlm:
        vlm.parse(OCR)
        assert list(server.loaded.values()) == [f"/bundles/{vlm.target.bundle}/peft"]


def test_loads_the_adapter_again_after_a_restart(tmp_path: Path) -> None:
    server = AdapterServer()
    with loading_service(server, write_bundle(tmp_path / "a")) as vlm:
        vlm.parse(OCR)
        server.restart()
        result = vlm.parse(OCR)
    assert (result.status, result.attempts) == ("success", 1)


def test_accepts_an_adapter_that_is_already_loaded(tmp_path: Path) -> None:
    server, bundle = AdapterServer(), write_bundle(tmp_path / "a")
    for _ in range(2):
        with loading_service(server, bundle) as vlm:
            assert vlm.parse(OCR).status == "success"


def test_unloads_the_old_adapter_after_its_requests(tmp_path: Path) -> None:
    server = AdapterServer()
    with loading_service(server, write_bundle(tmp_path / "a")) as vlm:
        old, results = vlm.target.model, []
        caller = threading.Thread(target=lambda: results.append(vlm.parse("hold")))
        caller.start()
        assert server.requested.wait(5)
        new = vlm.use(write_bundle(tmp_path / "b", value=2.0)).model
        assert vlm.parse(OCR).model == new != old
        assert set(server.loaded) == {old, new}
        server.released.set()
        caller.join(5)
        assert [(result.status, result.model) for result in results] == [("success", old)]
        wait_until(lambda: set(server.loaded) == {new})


def wait_until(condition: Any) -> None:
    for _ in range(200):
        if condition():
            return
        threading.Event().wait(0.02)
    pytest.fail("the condition did not become true")


def test_bad_bundle_keeps_the_old_one(tmp_path: Path) -> None:
    server = AdapterServer()
    with loading_service(server, write_bundle(tmp_path / "a")) as vlm:
        old = vlm.target
        with pytest.raises(AdapterError, match=r"README\.md"):
            vlm.use(damage(write_bundle(tmp_path / "b", value=2.0)))
        assert vlm.target == old
        assert vlm.parse(OCR).status == "success"


def test_bundle_that_does_not_load_keeps_the_old_one(tmp_path: Path) -> None:
    server = AdapterServer()

    async def handler(request: httpx.Request) -> httpx.Response:
        if b"/b/peft" in request.content:
            return httpx.Response(400, json={"message": "rank 32 is more than max_lora_rank 16"})
        return await server(request)

    with loading_service(handler, write_bundle(tmp_path / "a")) as vlm:
        old = vlm.target
        with pytest.raises(AdapterError, match="max_lora_rank"):
            vlm.use(write_bundle(tmp_path / "b", value=2.0))
        assert vlm.target == old
        assert vlm.parse(OCR).status == "success"


def test_using_the_same_bundle_changes_nothing(tmp_path: Path) -> None:
    server, bundle = AdapterServer(), write_bundle(tmp_path / "a")
    with loading_service(server, bundle) as vlm:
        vlm.parse(OCR)
        assert vlm.use(bundle) == vlm.target
        assert vlm.parse(OCR).status == "success"
    assert [route for route, _ in server.calls].count("load_lora_adapter") == 1


def test_switches_merged_weights_to_another_server(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a")
    with service(in_turn(completion(ANSWER)), fine_tuned_model_path=str(bundle)) as vlm:
        other = write_bundle(tmp_path / "b", value=2.0)
        with pytest.raises(UsageError, match="cannot load another bundle into the server"):
            vlm.use(other)
        target = asyncio.run(vlm.use_async(other, url=URL.replace("model", "second")))
        assert (vlm.target, target.url) == (target, "http://second.example/v1")


def test_rejects_a_bundle_without_the_server_format(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"peft-v5/adapter_config\.json"):
        loading_service(AdapterServer(), write_bundle(tmp_path / "a"), adapter_form="peft-v5")


def test_close_ends_a_running_switch(tmp_path: Path) -> None:
    requests = threading.Event()

    async def stuck(_: httpx.Request) -> httpx.Response:
        requests.set()
        await asyncio.sleep(30)
        return completion(ANSWER)

    vlm = loading_service(stuck, write_bundle(tmp_path / "a"))
    errors: list[Exception] = []

    def switch() -> None:
        try:
            vlm.use(write_bundle(tmp_path / "b", value=2.0))
        except AdapterError as error:
            errors.append(error)

    caller = threading.Thread(target=switch)
    caller.start()
    assert requests.wait(5)
    vlm.close()
    caller.join(5)
    assert "was closed" in str(errors[0])


def test_unloads_an_adapter_that_does_not_answer(tmp_path: Path) -> None:
    server = AdapterServer()

    async def handler(request: httpx.Request) -> httpx.Response:
        reply = await server(request)
        return httpx.Response(400) if b'"max_tokens":1,' in request.content else reply

    with loading_service(handler, write_bundle(tmp_path / "a")) as vlm:
        vlm.parse(OCR)
        with pytest.raises(AdapterError, match="does not answer with it"):
            vlm.use(write_bundle(tmp_path / "b", value=2.0))
        assert list(server.loaded) == [vlm.target.model]


class BusyServer:
    """A slow stand-in for vLLM that counts requests for an adapter that was unloaded."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.missed = self.unloads = 0
        self._random = random.Random(0)  # noqa: S311

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        content = examples.body(request)
        name = str(content.get("lora_name") or content.get("model"))
        await asyncio.sleep(self._random.random() * 0.003)
        if request.url.path.endswith("/unload_lora_adapter"):
            self.unloads += 1
            self.loaded.discard(name)
            return httpx.Response(200)
        if request.url.path.endswith("/load_lora_adapter"):
            self.loaded.add(name)
            return httpx.Response(200)
        # vLLM looks an adapter up when a request begins, and needs it until the request ends.
        before = name in self.loaded
        await asyncio.sleep(self._random.random() * 0.005)
        if before and name in self.loaded:
            return completion(ANSWER)
        self.missed += 1
        return httpx.Response(404, json={"message": f"The model `{name}` does not exist."})


@pytest.mark.slow
def test_swapping_back_unloads_nothing_in_use(tmp_path: Path) -> None:
    server = BusyServer()
    bundles = [write_bundle(tmp_path / name, value=value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    with loading_service(server, bundles[0], max_concurrency=20, timeout=60) as vlm:

        async def ask(switching: asyncio.Task[None]) -> list[Any]:
            results = []
            while not switching.done():
                results.append(await vlm.parse_async(OCR))
            return results

        async def switch() -> None:
            for place in range(60):
                # There and back within a millisecond, and sometimes to a third bundle.
                await vlm.use_async(bundles[2 if place % 7 == 6 else place % 2])
                await asyncio.sleep(0.002 * (place % 3))

        async def all_at_once() -> list[Any]:
            switching = asyncio.create_task(switch())
            found = await asyncio.gather(*(ask(switching) for _ in range(20)))
            await switching
            return [result for results in found for result in results]

        results = asyncio.run(all_at_once())
        wait_until(lambda: server.loaded == {vlm.target.model})
    assert len(results) > 60
    assert {(result.status, result.attempts) for result in results} == {("success", 1)}
    assert server.missed == 0
    assert server.unloads > 5


def test_reloads_an_adapter_used_during_its_unload(tmp_path: Path) -> None:
    server, unloading, released = AdapterServer(), threading.Event(), threading.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/unload_lora_adapter") and not released.is_set():
            unloading.set()
            await asyncio.to_thread(released.wait, 5)
        return await server(request)

    first, second = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", value=2.0)
    with loading_service(handler, first) as vlm:
        vlm.parse(OCR)
        vlm.use(second)
        assert unloading.wait(5)
        back = threading.Thread(target=vlm.use, args=(first,))
        back.start()
        released.set()
        back.join(5)
        assert vlm.parse(OCR).status == "success"
        assert vlm.target.model in server.loaded
