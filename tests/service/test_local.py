"""The service without a server: its own worker answers, dies, hangs, is started anew, replaced, and ended.

The worker is fake_worker.py in the place of transformers' python; the real ones are in test_service_local.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from service_examples import ANSWER, PNG, write_bundle

from erniekit_adapter.answering.local import LocalModel, WorkerError, start_worker
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import write_json
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.service import ErnieVLMService, ServiceSettings

OCR = {"lines": ["Total 119.00"]}
HERE = Path(__file__).parent
TINY_BASE = HERE.parents[1] / "tiny_base" / "model"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake worker as transformers' python, and a folder for temporary files that a test can look into."""
    python = tmp_path / "python"
    installed = {"torch": "2.13.0", "transformers": "4.57.6", "peft": "0.21.2"}
    probed = json.dumps({"python": "3.11.9", "versions": installed, "packages": {}})
    python.write_text(
        f"""#!/bin/sh
        if [ "$1" = -c ]; then echo '{probed}'; exit; fi
        PYTHONPATH={HERE}:$PYTHONPATH exec {sys.executable} {HERE / "fake_worker.py"} "$@"
        """
    )
    python.chmod(0o755)
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(python))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A base model in transformers' layout, as far as the fake worker cares."""
    write_json(tmp_path / "model" / "config.json", {"torch_dtype": "float32"})
    return tmp_path / "model"


def service(model: Path, **settings: Any) -> ErnieVLMService:
    given = {"local": "transformers", "base_model_dir": str(model), "first_wait": 0.001, "timeout": 20, **settings}
    given["trust"] = "unsigned"
    return ErnieVLMService({"ernie_vl": given})


def bundle_for(model: Path, folder: Path, value: float = 1.0) -> Path:
    return write_bundle(folder, value=value, base_model={"fingerprint": model_fingerprint(model)})


def started(model: Path) -> list[tuple[int, str]]:
    """Each worker that was started: its process and its adapter."""
    lines = (model / "started").read_text().splitlines() if (model / "started").exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def is_running(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60  # a busy machine may take seconds to start a process
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


def test_the_base_model_answers_without_a_bundle(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.raw_text, result.attempts) == ("success", ANSWER, 1)
    assert (result.model, result.bundle) == ("model", None)
    assert (result.prompt_tokens, result.completion_tokens) == (300, 90)
    assert [adapter for _, adapter in started(model)] == ["none"]


def test_the_bundles_adapter_is_on_the_base_model(model: Path, tmp_path: Path) -> None:
    bundle = bundle_for(model, tmp_path / "a")
    with service(model, fine_tuned_model_path=str(bundle)) as vlm:
        result = vlm.parse(OCR)
    assert result.status == "success"
    assert result.bundle == vlm.target.bundle is not None
    assert result.model.startswith("demo-")
    assert [adapter for _, adapter in started(model)] == [str(bundle / "peft")]


def test_one_worker_answers_all_and_a_name_that_was_given_is_shown(model: Path) -> None:
    with service(model, model_name="tuned") as vlm:
        assert [vlm.parse(OCR).model for _ in range(3)] == ["tuned"] * 3
    assert len(started(model)) == 1


def test_each_request_gets_its_own_answer_however_many_are_under_way(model: Path) -> None:
    with service(model) as vlm, ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: vlm.parse(f"echo {number}."), range(24)))
    assert all(f"echo {number}." in result.raw_text for number, result in enumerate(results))
    assert len(started(model)) == 1


def test_an_answer_at_the_limit_of_tokens_is_cut(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("cut")
    assert (result.status, result.reason) == ("partial", "cut")


def test_a_worker_that_dies_is_started_anew_and_the_request_made_again(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("die once")
    assert (result.status, result.attempts) == ("success", 2)
    assert len(started(model)) == 2


def test_a_worker_that_always_dies_is_a_typed_failure_with_its_cause_and_the_next_request_works(model: Path) -> None:
    with service(model, max_attempts=2) as vlm:
        result = vlm.parse("die")
        assert (result.status, result.reason, result.attempts) == ("failed", "unreachable", 2)
        assert "RuntimeError: no luck today" in result.detail
        assert vlm.parse(OCR).status == "success"


def test_a_worker_that_is_killed_is_replaced(model: Path) -> None:
    with service(model, max_attempts=1) as vlm:
        vlm.parse(OCR)
        os.kill(started(model)[0][0], signal.SIGKILL)
        wait_until(lambda: not is_running(started(model)[0][0]))
        # Whether the service has heard of it by now or not: one attempt more is enough.
        results = [vlm.parse(OCR), vlm.parse(OCR)]
    assert results[1].status == "success"
    assert results[0].status == "success" or "killed by SIGKILL" in results[0].detail


def test_a_worker_that_does_not_answer_in_time_is_replaced(model: Path) -> None:
    with service(model, timeout=2) as vlm:
        # A request that times out while a worker starts leaves the worker to the next request.
        wait_until(lambda: vlm.parse(OCR).status == "success")
        hung, _ = started(model)[-1]
        result = vlm.parse("hang")
        assert (result.status, result.reason) == ("failed", "timeout")
        wait_until(lambda: vlm.parse(OCR).status == "success")
        wait_until(lambda: not is_running(hung))
        assert is_running(started(model)[-1][0])


def test_a_request_that_is_too_long_is_refused_and_the_worker_goes_on(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("too long")
        assert (result.status, result.reason, result.attempts) == ("failed", "refused", 1)
        assert "more than the model's 4,096" in result.detail
        assert vlm.parse(OCR).status == "success"
    assert len(started(model)) == 1


def test_a_model_that_does_not_load_is_told_with_its_cause_and_tried_once_a_request(model: Path) -> None:
    (model / "broken").touch()
    with service(model) as vlm:
        result = vlm.parse(OCR)
        assert (result.reason, result.attempts) == ("unreachable", 1)
        assert "the weights are broken" in result.detail
        (model / "broken").unlink()
        assert vlm.parse(OCR).status == "success"


def test_a_model_that_loads_longer_than_a_request_waits_is_there_for_a_later_one(model: Path) -> None:
    (model / "slow").touch()
    with service(model, timeout=0.7) as vlm:
        assert vlm.parse(OCR).reason == "timeout"
        wait_until(lambda: vlm.parse(OCR).status == "success")
    assert len(started(model)) == 1


def test_a_model_that_is_never_ready_is_given_up(model: Path, tmp_path: Path) -> None:
    (model / "slow").touch()
    with pytest.raises(WorkerError, match=r"was not ready within 0\.5 seconds"):
        asyncio.run(start_worker(LocalModel("transformers", model), tmp_path / "log", limit_s=0.5))
    assert not any(is_running(process) for process, _ in started(model))


def test_an_image_is_refused_before_anything_is_started(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse(OCR, PNG)
    assert (result.status, result.reason, result.attempts) == ("failed", "bad_input", 0)
    assert "local answering reads text alone" in result.detail
    assert started(model) == []


def test_a_new_bundle_gets_a_worker_and_the_old_one_ends_with_its_requests(model: Path, tmp_path: Path) -> None:
    old, new = bundle_for(model, tmp_path / "a"), bundle_for(model, tmp_path / "b", value=2.0)
    results: list[Any] = []
    with service(model, fine_tuned_model_path=str(old)) as vlm:
        first = vlm.target
        caller = threading.Thread(target=lambda: results.append(vlm.parse("hold")))
        caller.start()
        wait_until((model / "held").exists)
        assert vlm.use(new) == vlm.target != first
        assert vlm.parse(OCR).bundle == vlm.target.bundle
        [(old_process, _), (new_process, adapter)] = started(model)
        assert adapter == str(new / "peft")
        assert is_running(old_process)
        (model / "released").touch()
        caller.join(10)
        assert [(result.status, result.bundle) for result in results] == [("success", first.bundle)]
        wait_until(lambda: not is_running(old_process))
        assert is_running(new_process)


def test_a_bundle_that_was_put_back_answers_again(model: Path, tmp_path: Path) -> None:
    one, other = bundle_for(model, tmp_path / "a"), bundle_for(model, tmp_path / "b", value=2.0)
    with service(model, fine_tuned_model_path=str(one)) as vlm:
        for bundle in (one, other, one):
            vlm.use(bundle)
            assert vlm.parse(OCR).bundle == vlm.target.bundle
        assert [adapter for _, adapter in started(model)] == [str(bundle / "peft") for bundle in (one, other, one)]


def test_a_bad_bundle_leaves_the_old_one_in_place(model: Path, tmp_path: Path) -> None:
    with service(model, fine_tuned_model_path=str(bundle_for(model, tmp_path / "a"))) as vlm:
        old = vlm.target
        changed = bundle_for(model, tmp_path / "b", value=2.0)
        (changed / "README.md").write_text("Another card.\n")
        with pytest.raises(AdapterError, match=r"README\.md"):
            vlm.use(changed)
        unloadable = bundle_for(model, tmp_path / "c", value=3.0)
        (model / "unloadable").write_text(str(unloadable / "peft"))
        with pytest.raises(AdapterError, match=r"worker does not answer with it, the old one stays(.|\n)*broken"):
            vlm.use(unloadable)
        with pytest.raises(UsageError, match="no server is asked"):
            vlm.use(bundle_for(model, tmp_path / "d", value=4.0), url="http://127.0.0.1:8000/v1")
        assert vlm.target == old
        assert vlm.parse(OCR).status == "success"
        assert [is_running(process) for process, _ in started(model)] == [False, True]


def test_closing_leaves_no_process_and_no_folder(model: Path, tmp_path: Path) -> None:
    vlm = service(model)
    results: list[Any] = []
    caller = threading.Thread(target=lambda: results.append(vlm.parse("hang")))
    caller.start()
    wait_until((model / "hanging").exists)
    assert list((tmp_path / "temporary").iterdir())
    vlm.close()
    caller.join(5)
    assert [result.reason for result in results] == ["closed"]
    assert not is_running(started(model)[0][0])
    assert list((tmp_path / "temporary").iterdir()) == []
    assert vlm.parse(OCR).reason == "closed"


def test_closing_ends_a_worker_that_is_still_starting(model: Path) -> None:
    (model / "slow").touch()
    with service(model, timeout=0.1) as vlm:
        vlm.parse(OCR)
        wait_until(lambda: started(model))
    wait_until(lambda: not is_running(started(model)[0][0]))


@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), 9)"])
def test_an_application_that_ends_without_closing_leaves_no_process(model: Path, end: str) -> None:
    code = f"""
import os, sys
from erniekit_adapter.service import ErnieVLMService
vlm = ErnieVLMService({{"ernie_vl": {{"local": "transformers", "base_model_dir": {str(model)!r}}}}})
print(vlm.parse("Total").status, flush=True)
{end}
"""
    variables = os.environ | {"TMPDIR": tempfile.gettempdir(), "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("success\n", "")
    wait_until(lambda: not is_running(started(model)[0][0]))
    # One that was killed had no time to tidy up; the next one does.
    assert bool(list(Path(tempfile.gettempdir()).iterdir())) is ("kill" in end)
    with service(model) as vlm:
        vlm.parse(OCR)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_base_model_in_erniekits_layout_is_converted_once_for_transformers(tmp_path: Path) -> None:
    with service(TINY_BASE) as vlm:
        assert vlm.parse("die once").attempts == 2
        [folder] = (tmp_path / "temporary").iterdir()
        assert len(started(folder / "base")) == 2
        assert (folder / "base" / "config.json").read_text().count("Ernie4_5ForCausalLM") == 1
        assert vlm.target.model == "model"
    assert not started(TINY_BASE)


def test_the_log_holds_no_text_of_a_page(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with service(model, max_attempts=2) as vlm:
        vlm.parse("secret page, die")
        logs = [path.read_text() for path in (tmp_path / "temporary").rglob("*.log")]
    assert len(logs) == 2
    assert "secret page" not in caplog.text + "".join(logs)


def test_a_bundle_of_another_base_model_is_refused(model: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a", base_model={"fingerprint": "0" * 64})
    with pytest.raises(AdapterError, match="is not the base model that was trained on"):
        service(model, fine_tuned_model_path=str(bundle))


def test_a_bundle_without_the_form_that_answers_is_refused(model: Path, tmp_path: Path) -> None:
    bundle = bundle_for(model, tmp_path / "a")
    with pytest.raises(AdapterError, match=r"peft-v5: is not in the bundle, and local: transformers answers with it"):
        service(model, fine_tuned_model_path=str(bundle), adapter_form="peft-v5")


def test_a_bad_bundle_gives_way_to_the_configured_server(model: Path, tmp_path: Path) -> None:
    fallback = {"fallback_url": "https://api.example/v1", "fallback_model_name": "hosted"}
    bundle = write_bundle(tmp_path / "a")
    with service(model, fine_tuned_model_path=str(bundle), when_bundle_is_bad="fallback", **fallback) as vlm:
        assert (vlm.target.model, vlm.target.local) == ("hosted", None)


def test_what_is_not_installed_or_not_there_is_told_before_the_first_request(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"base_model_dir: .*nowhere holds no model"):
        service(tmp_path / "nowhere")
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"none is not there\n.*correct TRANSFORMERS_PYTHON, or unset it"):
        service(model)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"base_model_dir": None}, "local: transformers needs base_model_dir"),
        ({"local": "paddle"}, "ernie_vl.local: "),
        ({"lora": "load", "fine_tuned_model_path": "a"}, "asks no server, and lora: load would say how"),
        ({"lora": "named", "adapter_name": "b", "fine_tuned_model_path": "a"}, "lora: named, adapter_name would say"),
        ({"vllm_server_url": "http://a/v1"}, "asks no server, and vllm_server_url would say how"),
        ({"server_bundle_path": "/b"}, "asks no server, and server_bundle_path would say how"),
        ({"local": "erniekit", "adapter_form": "peft"}, "asks no server, and adapter_form would say how"),
        ({"temperature": 0.5}, "local: transformers always takes the likeliest token"),
        ({"local": "no"}, "ernie_vl.model_name or ERNIE_MODEL_NAME: Value error, required"),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused_with_their_keys(more: dict[str, Any], expected: str) -> None:
    given = {"local": "transformers", "base_model_dir": "model", **more}
    with pytest.raises(UsageError) as raised:
        ServiceSettings.read({"ernie_vl": given}, {})
    assert expected in str(raised.value)
