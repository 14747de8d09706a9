"""The shipped document types from their examples to results: data, training, bundle and evaluation.

ERNIEKit trains on receipts and on Chinese invoices for one step: the answers are wrong, but every stage takes the type
from the project. For all types, a stub predictor answers from the files of the examples, because training on each of
them would take minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from erniekit_adapter.documents import json_text
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.stage import TestExample as EvaluatedExample
from erniekit_adapter.evaluation.stage import read_test_examples, score
from erniekit_adapter.predictors.toolkit import ModelReply
from erniekit_adapter.project.loading import load_project
from tests.shipped_examples import SHIPPED, example_documents

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ("receipt", "vat-invoice-cn")
# One step, one answer and one bundle format, to be quick; the shipped project files have the other settings.
QUICK = ("training.max_steps=1", "export.formats=[native]", "evaluate.max_samples=1", "evaluate.max_new_tokens=8")
# A field of every example, outside of objects.
CHANGED = {
    "receipt": "receipt_number",
    "purchase-order": "order_number",
    "bank-statement": "bank",
    "vat-invoice-cn": "开票人",
}
# Of about 200 values of the ten examples of a type: `card` on a receipt that prints `Pagamento elettronico`.
MOST_LEFT_OUT = 1


@dataclass(frozen=True)
class TypeRun:
    """The stages of one shipped project file, in a folder of its own."""

    name: str
    folder: Path

    def run(self, *arguments: str) -> str:
        options = [part for change in (*QUICK, f"output_dir={self.folder}") for part in ("--set", change)]
        command = [sys.executable, "-m", "erniekit_adapter", *arguments, f"configs/{self.name}-cpu.yaml", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *parts: str) -> Any:
        return json.loads(self.folder.joinpath(*parts).read_text())


@pytest.fixture(scope="module", params=SHIPPED)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TypeRun:
    """Return a run with training examples."""
    made = TypeRun(request.param, tmp_path_factory.mktemp(request.param))
    made.run("data", "build")
    return made


@pytest.fixture(scope="module", params=TRAINED)
def evaluated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, erniekit_python: Path
) -> TypeRun:
    """Return a run with results, after every stage."""
    made = TypeRun(request.param, tmp_path_factory.mktemp(request.param))
    made.run("data", "build")
    for stage in ("train", "export", "evaluate"):
        made.run(stage)
    return made


class StubPredictor:
    """Stub instead of a model: it answers with the files of the examples, changed by `wrong`."""

    def __init__(self, document_type: str, wrong: Mapping[str, Any] | None = None) -> None:
        self.answers = {
            json_text.compose(document.ocr): json_text.compose(json_text.parse(document.answer) | dict(wrong or {}))
            for document in example_documents(document_type)
        }

    def reply(self, example: EvaluatedExample) -> ModelReply:
        found = [answer for ocr, answer in self.answers.items() if example.request.endswith(ocr)]
        assert len(found) == 1, example.request
        return ModelReply(example.id, found[0], len(found[0]), finished=True)


def test_every_example_is_used(built: TypeRun) -> None:
    manifest = built.json("data", "manifest.json")
    assert (manifest["read"], manifest["written"], manifest["rejected"]) == (10, 10, 0)
    assert set(manifest["by_split"]) == {"train", "eval", "test"}
    assert not (built.folder / "data" / "warned.jsonl").read_text()


def test_few_values_of_the_examples_are_left_out(built: TypeRun) -> None:
    """Every value is on its page; the search is allowed to miss some, which are then not taught."""
    assert sum(built.json("data", "manifest.json")["left_out"].values()) <= MOST_LEFT_OUT


def test_verdicts_of_the_examples_are_counted(built: TypeRun) -> None:
    verdicts = built.json("data", "manifest.json")["inputs"][0]["verdicts"]
    assert verdicts == {"valid": 8, "invalid": 1, "not checkable": 1}


def figures_of(built: TypeRun, predictor: StubPredictor) -> dict[str, Any]:
    settings = built.folder / "project.yaml"
    project = yaml.safe_load((ROOT / "configs" / f"{built.name}-cpu.yaml").read_text())
    settings.write_text(yaml.safe_dump({**project, "output_dir": str(built.folder)}, allow_unicode=True))
    project = load_project(settings)
    examples = read_test_examples(project)
    scores = score(project.documents, examples, [predictor.reply(example) for example in examples])
    return summarize(project.documents, scores).as_json()


def test_answers_of_the_files_score_full_marks(built: TypeRun) -> None:
    """Apart from values that the test examples do not teach."""
    figures = figures_of(built, StubPredictor(built.name))
    assert (figures["strict_json"]["value"], figures["schema_valid"]["value"]) == (1, 1)
    assert figures["field_f1"]["value"] > 0.95
    assert figures["line_item_f1"]["value"] > 0.95


def test_wrong_answers_of_the_stub_lose_marks(built: TypeRun) -> None:
    field = CHANGED[built.name]
    figures = figures_of(built, StubPredictor(built.name, {field: "0000"}))
    assert figures["document_exact"]["value"] == 0
    assert 0.8 < figures["field_f1"]["value"] < 1
    assert figures["fields"][field]["f1"] == 0


def test_stages_record_the_type(evaluated: TypeRun) -> None:
    results = evaluated.json("evaluation", "results.json")
    assert results["document_type"]["name"] == evaluated.name
    assert results["samples"] == 1


def test_bundle_contains_the_type(evaluated: TypeRun) -> None:
    manifest = evaluated.json("bundle", "manifest.json")
    assert manifest["document_type"]["name"] == evaluated.name


def test_model_sees_the_request_of_its_type(evaluated: TypeRun) -> None:
    requests = (evaluated.folder / "evaluation" / "tuned.requests.jsonl").read_text()
    assert load_project(ROOT / "configs" / f"{evaluated.name}-cpu.yaml").documents.title in requests
