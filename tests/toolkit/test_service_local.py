"""The service with real local workers: both environments give the same answers from the same bundle.

The tiny base model does not know the structure of answers, and the adapter is random, so the texts are compared.
"""

from __future__ import annotations

import io
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_ernie import write_native_adapter

from erniekit_adapter.bundle.export import export
from erniekit_adapter.files import write_json
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project
from erniekit_adapter.service import ErnieVLMService, ParseResult
from tiny_base.sizes import SHAPE

pytestmark = pytest.mark.toolkit

TINY_BASE = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
ENVIRONMENTS = ("erniekit", "transformers")
PAGES = [{"lines": ["INVOICE 7", "Total 119.00"]}, {"lines": ["Müller GmbH", "2 x 50.00 €", "Summe 100,00"]}, "Total 5"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that export makes from a synthetic training folder."""
    folder = tmp_path_factory.mktemp("local")
    training = folder / "run" / "training"
    training.mkdir(parents=True)
    write_native_adapter(training / "output", SHAPE, "float32", rslora=False)
    manifest: dict[str, Any] = {
        "toolkit": {"name": "erniekit", "version": "1.0.1", "distributions": {}},
        **dict.fromkeys(("seconds", "first_loss", "last_loss", "last_eval_loss", "trainable_parameters")),
        "steps": 1,
        "adapter": "output",
        "settings": {},
        "data": "d" * 64,
        "base_model": model_fingerprint(TINY_BASE),
    }
    write_json(training / "manifest.json", manifest)
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": str(TINY_BASE)},
            "output_dir": str(folder / "run"),
            "run_name": "invoices",
            "export": {"formats": ["native", "peft"]},
        }
    )
    export(project, Console(file=io.StringIO()))
    return project.bundle_dir


@pytest.fixture(scope="module")
def answers(bundle: Path, erniekit_python: Path, transformers_python: Path) -> dict[str, list[ParseResult]]:
    """The answers of each environment to the pages: first of the base model, then of the bundle."""
    return {environment: answers_of(environment, bundle) for environment in ENVIRONMENTS}


def service(environment: str, **more: Any) -> ErnieVLMService:
    settings = {
        "trust": "unsigned",
        "local": environment,
        "base_model_dir": str(TINY_BASE),
        "max_tokens": 24,
        "timeout": 120,
    }
    return ErnieVLMService({"ernie_vl": {**settings, **more}})


def answers_of(environment: str, bundle: Path) -> list[ParseResult]:
    with service(environment) as vlm:
        base = [vlm.parse(page) for page in PAGES]
        vlm.use(bundle)
        return [*base, *(vlm.parse(page) for page in PAGES)]


def workers() -> set[int]:
    """Return the running child processes of this process."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(process) for file in children for process in file.read_text().split()}


def test_both_environments_give_the_same_answers(
    answers: dict[str, list[ParseResult]], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        for environment, results in answers.items():
            first, *others = (round(result.latency_s, 2) for result in results)
            print(f"\n{environment}: first answer with the start {first} s, then {others}", end="")
    erniekit, transformers = ([result.raw_text for result in answers[name]] for name in ENVIRONMENTS)
    assert all(erniekit)
    assert erniekit == transformers
    counts = [[(each.prompt_tokens, each.completion_tokens) for each in answers[name]] for name in ENVIRONMENTS]
    assert counts[0] == counts[1]


def test_answers_begin_as_the_schema_requires(answers: dict[str, list[ParseResult]]) -> None:
    for results in answers.values():
        assert {result.structured for result in results} == {"used"}
        assert all(result.raw_text.startswith('{"structured_data":{') for result in results)


def test_bundle_changes_the_answers(answers: dict[str, list[ParseResult]]) -> None:
    for results in answers.values():
        base, tuned = results[: len(PAGES)], results[len(PAGES) :]
        assert [result.bundle for result in base] == [None] * len(PAGES)
        assert {result.model for result in tuned} == {f"invoices-{str(tuned[0].bundle)[:12]}"}
        assert all(before.raw_text != after.raw_text for before, after in zip(base, tuned, strict=True))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_replaces_a_worker_killed_during_an_answer(
    environment: str, bundle: Path, erniekit_python: Path, transformers_python: Path
) -> None:
    before, pool = workers(), ThreadPoolExecutor(1)
    with service(environment, fine_tuned_model_path=str(bundle), first_wait=0.01, max_tokens=200) as vlm, pool:
        first = vlm.parse("Total 5").raw_text
        [process] = workers() - before
        future = pool.submit(vlm.parse, "Total 5")
        time.sleep(0.3)
        assert not future.done(), "the answer must still be running"
        os.kill(process, signal.SIGKILL)
        result = future.result(120)
        assert (result.raw_text, result.attempts) == (first, 2)
        refused = vlm.parse("Total 5 " * 4000)
        assert (refused.reason, refused.attempts) == ("refused", 1)
        assert "more than the model's 4,096" in refused.detail
        assert vlm.parse("Total 5").raw_text == first
        assert len(workers() - before) == 1
    assert workers() == before
