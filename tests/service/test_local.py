"""The service with local workers: they answer, die, hang, are restarted, replaced and ended.

The worker is fake_worker.py in place of the Python of transformers; test_service_local.py runs the real workers.
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

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import write_json
from erniekit_adapter.predictors.local import LocalModel, WorkerError, start_worker
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.service import ErnieVLMService, ServiceSettings

OCR = {"lines": ["Total 119.00"]}
HERE = Path(__file__).parent
TINY_BASE = HERE.parents[1] / "tiny_base" / "model"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake worker as the Python of transformers, and a folder for temporary files."""
    python = tmp_path / "python"
    installed = {"torch": "2.13.0", "transformers": "4.57.6", "peft": "0.21.2"}
    probed = json.dumps({"python": "3.11.9", "versions": installed, "packages": {}})
    python.write_text(
        f"""#!/bin/sh
        if [ "$1" = -c ]; then echo '{probed}'; exit; fi
        PYTHONPATH={HERE}:{HERE.parents[1]}:$PYTHONPATH exec {sys.executable} {HERE / "fake_worker.py"} "$@"
        """
    )
    python.chmod(0o755)
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(python))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A base model in transformers' layout, as far as the fake worker reads it."""
    write_json(tmp_path / "model" / "config.json", {"torch_dtype": "float32"})
    return tmp_path / "model"


def service(model: Path, **settings: Any) -> ErnieVLMService:
    given = {"local": "transformers", "base_model_dir": str(model), "first_wait": 0.001, "timeout": 20, **settings}
    given["trust"] = "unsigned"
    return ErnieVLMService({"ernie_vl": given})


def bundle_for(model: Path, folder: Path, value: float = 1.0) -> Path:
    return write_bundle(folder, value=value, base_model={"fingerprint": model_fingerprint(model)})


def started(model: Path) -> list[tuple[int, str]]:
    """Process id and adapter of each worker that was started."""
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
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)


def test_require_needs_the_library_in_the_environment(model: Path) -> None:
    with service(model, structured="require", max_attempts=1) as vlm:
        result = vlm.parse(OCR)
    assert result.reason == "unreachable"
    assert "ernie_vl.structured: found require, but the environment" in result.detail
    assert "lacks llguidance" in result.detail


def test_base_model_answers_without_a_bundle(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse(OCR)
    assert (result.status, result.raw_text, result.attempts) == ("success", ANSWER, 1)
    assert (result.model, result.bundle) == ("model", None)
    assert (result.prompt_tokens, result.completion_tokens) == (300, 90)
    assert [adapter for _, adapter in started(model)] == ["none"]


def test_adapter_of_the_bundle_answers(model: Path, tmp_path: Path) -> None:
    bundle = bundle_for(model, tmp_path / "a")
    with service(model, fine_tuned_model_path=str(bundle)) as vlm:
        result = vlm.parse(OCR)
    assert result.status == "success"
    assert result.bundle == vlm.target.bundle is not None
    assert result.model.startswith("demo-")
    assert [adapter for _, adapter in started(model)] == [str(bundle / "peft")]


def test_one_worker_answers_all_requests(model: Path) -> None:
    with service(model, model_name="tuned") as vlm:
        assert [vlm.parse(OCR).model for _ in range(3)] == ["tuned"] * 3
    assert len(started(model)) == 1


def test_each_request_gets_its_own_answer(model: Path) -> None:
    with service(model) as vlm, ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: vlm.parse(f"echo {number}."), range(24)))
    assert all(f"echo {number}." in result.raw_text for number, result in enumerate(results))
    assert len(started(model)) == 1


def test_answer_at_the_token_limit_is_cut(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("cut")
    assert (result.status, result.reason) == ("partial", "cut")


def test_restarts_a_dead_worker_and_repeats_the_request(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("die once")
    assert (result.status, result.attempts) == ("success", 2)
    assert len(started(model)) == 2


@pytest.mark.slow
def test_worker_that_always_dies_is_a_typed_failure(model: Path) -> None:
    with service(model, max_attempts=2) as vlm:
        result = vlm.parse("die")
        assert (result.status, result.reason, result.attempts) == ("failed", "unreachable", 2)
        assert "RuntimeError: no luck today" in result.detail
        assert vlm.parse(OCR).status == "success"


def test_replaces_a_killed_worker(model: Path) -> None:
    with service(model, max_attempts=1) as vlm:
        vlm.parse(OCR)
        os.kill(started(model)[0][0], signal.SIGKILL)
        wait_until(lambda: not is_running(started(model)[0][0]))
        # The service may not have noticed yet: one more attempt is enough.
        results = [vlm.parse(OCR), vlm.parse(OCR)]
    assert results[1].status == "success"
    assert results[0].status == "success" or "killed by SIGKILL" in results[0].detail


@pytest.mark.slow
def test_replaces_a_worker_that_hangs(model: Path) -> None:
    with service(model, timeout=2) as vlm:
        # A request that times out while a worker starts leaves the worker to the next request.
        wait_until(lambda: vlm.parse(OCR).status == "success")
        hung, _ = started(model)[-1]
        result = vlm.parse("hang")
        assert (result.status, result.reason) == ("failed", "timeout")
        wait_until(lambda: vlm.parse(OCR).status == "success")
        wait_until(lambda: not is_running(hung))
        assert is_running(started(model)[-1][0])


def test_too_long_request_keeps_the_worker(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse("too long")
        assert (result.status, result.reason, result.attempts) == ("failed", "refused", 1)
        assert "more than the model's 4,096" in result.detail
        assert vlm.parse(OCR).status == "success"
    assert len(started(model)) == 1


@pytest.mark.slow
def test_model_that_does_not_load_names_the_cause(model: Path) -> None:
    (model / "broken").touch()
    with service(model) as vlm:
        result = vlm.parse(OCR)
        assert (result.reason, result.attempts) == ("unreachable", 1)
        assert "the weights are broken" in result.detail
        (model / "broken").unlink()
        assert vlm.parse(OCR).status == "success"


@pytest.mark.slow
def test_slow_model_is_ready_for_a_later_request(model: Path) -> None:
    (model / "slow").touch()
    with service(model, timeout=0.7) as vlm:
        assert vlm.parse(OCR).reason == "timeout"
        wait_until(lambda: vlm.parse(OCR).status == "success")
    assert len(started(model)) == 1


def test_worker_start_has_a_time_limit(model: Path, tmp_path: Path) -> None:
    (model / "slow").touch()
    with pytest.raises(WorkerError, match=r"was not ready within 0\.5 seconds"):
        asyncio.run(start_worker(LocalModel("transformers", model), tmp_path / "log", limit_s=0.5))
    assert not any(is_running(process) for process, _ in started(model))


def test_rejects_an_image_without_starting_a_worker(model: Path) -> None:
    with service(model) as vlm:
        result = vlm.parse(OCR, PNG)
    assert (result.status, result.reason, result.attempts) == ("failed", "bad_input", 0)
    assert "local workers read only text" in result.detail
    assert started(model) == []


def test_new_bundle_replaces_the_worker_after_its_requests(model: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_bundle_can_be_put_back(model: Path, tmp_path: Path) -> None:
    one, other = bundle_for(model, tmp_path / "a"), bundle_for(model, tmp_path / "b", value=2.0)
    with service(model, fine_tuned_model_path=str(one)) as vlm:
        for bundle in (one, other, one):
            vlm.use(bundle)
            assert vlm.parse(OCR).bundle == vlm.target.bundle
        assert [adapter for _, adapter in started(model)] == [str(bundle / "peft") for bundle in (one, other, one)]


@pytest.mark.slow
def test_bad_bundle_keeps_the_old_worker(model: Path, tmp_path: Path) -> None:
    with service(model, fine_tuned_model_path=str(bundle_for(model, tmp_path / "a"))) as vlm:
        old = vlm.target
        changed = bundle_for(model, tmp_path / "b", value=2.0)
        (changed / "README.md").write_text("Another model card.\n")
        with pytest.raises(AdapterError, match=r"README\.md"):
            vlm.use(changed)
        unloadable = bundle_for(model, tmp_path / "c", value=3.0)
        (model / "unloadable").write_text(str(unloadable / "peft"))
        with pytest.raises(AdapterError, match=r"worker does not answer with it, the old bundle stays(.|\n)*broken"):
            vlm.use(unloadable)
        with pytest.raises(UsageError, match="no server is used"):
            vlm.use(bundle_for(model, tmp_path / "d", value=4.0), url="http://127.0.0.1:8000/v1")
        assert vlm.target == old
        assert vlm.parse(OCR).status == "success"
        assert [is_running(process) for process, _ in started(model)] == [False, True]


def test_close_leaves_no_process_and_no_folder(model: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_close_ends_a_starting_worker(model: Path) -> None:
    (model / "slow").touch()
    with service(model, timeout=0.1) as vlm:
        vlm.parse(OCR)
        wait_until(lambda: started(model))
    wait_until(lambda: not is_running(started(model)[0][0]))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), 9)"])
def test_application_end_leaves_no_process(model: Path, end: str) -> None:
    code = f"""
import os, sys
from erniekit_adapter.service import ErnieVLMService
settings = {{"local": "transformers", "base_model_dir": {str(model)!r}, "structured": "off"}}
vlm = ErnieVLMService({{"ernie_vl": settings}})
print(vlm.parse("Total").status, flush=True)
{end}
"""
    variables = os.environ | {"TMPDIR": tempfile.gettempdir(), "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("success\n", "")
    wait_until(lambda: not is_running(started(model)[0][0]))
    # A killed application cannot clean up; the next one does.
    assert bool(list(Path(tempfile.gettempdir()).iterdir())) is ("kill" in end)
    with service(model) as vlm:
        vlm.parse(OCR)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


@pytest.mark.slow
def test_converts_a_paddle_base_model_once(tmp_path: Path) -> None:
    with service(TINY_BASE) as vlm:
        assert vlm.parse("die once").attempts == 2
        [folder] = (tmp_path / "temporary").iterdir()
        assert len(started(folder / "base")) == 2
        assert (folder / "base" / "config.json").read_text().count("Ernie4_5ForCausalLM") == 1
        assert vlm.target.model == "model"
    assert not started(TINY_BASE)


@pytest.mark.slow
def test_log_holds_no_text_of_a_page(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with service(model, max_attempts=2) as vlm:
        vlm.parse("secret page, die")
        logs = [path.read_text() for path in (tmp_path / "temporary").rglob("*.log")]
    assert len(logs) == 2
    assert "secret page" not in caplog.text + "".join(logs)


def test_rejects_a_bundle_of_another_base_model(model: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "a", base_model={"fingerprint": "0" * 64})
    with pytest.raises(AdapterError, match="is not the base model that was trained on"):
        service(model, fine_tuned_model_path=str(bundle))


def test_rejects_a_bundle_without_the_needed_format(model: Path, tmp_path: Path) -> None:
    bundle = bundle_for(model, tmp_path / "a")
    with pytest.raises(AdapterError, match=r"peft-v5: is not in the bundle, but local: transformers needs it"):
        service(model, fine_tuned_model_path=str(bundle), adapter_form="peft-v5")


def test_bad_bundle_falls_back_to_the_server(model: Path, tmp_path: Path) -> None:
    fallback = {"fallback_url": "https://api.example/v1", "fallback_model_name": "hosted"}
    bundle = write_bundle(tmp_path / "a")
    with service(model, fine_tuned_model_path=str(bundle), when_bundle_is_bad="fallback", **fallback) as vlm:
        assert (vlm.target.model, vlm.target.local) == ("hosted", None)


def test_names_missing_models_and_environments_at_start(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"base_model_dir: .*nowhere has no config"):
        service(tmp_path / "nowhere")
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"none does not exist\n.*correct TRANSFORMERS_PYTHON, or unset it"):
        service(model)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"base_model_dir": None}, "local: transformers needs base_model_dir"),
        ({"local": "paddle"}, "ernie_vl.local: "),
        ({"lora": "load", "fine_tuned_model_path": "a"}, "uses no server: remove lora: load"),
        (
            {"lora": "named", "adapter_name": "b", "fine_tuned_model_path": "a"},
            "remove lora: named, adapter_name",
        ),
        ({"vllm_server_url": "http://a/v1"}, "uses no server: remove vllm_server_url"),
        ({"server_bundle_path": "/b"}, "uses no server: remove server_bundle_path"),
        ({"local": "erniekit", "adapter_form": "peft"}, "uses no server: remove adapter_form"),
        ({"temperature": 0.5}, "local: transformers always takes the most likely token"),
        ({"local": "no"}, "ernie_vl.model_name or ERNIE_MODEL_NAME: Value error, required"),
    ],
)
def test_rejects_settings_that_conflict_with_local(more: dict[str, Any], expected: str) -> None:
    given = {"local": "transformers", "base_model_dir": "model", **more}
    with pytest.raises(UsageError) as raised:
        ServiceSettings.read({"ernie_vl": given}, {})
    assert expected in str(raised.value)
