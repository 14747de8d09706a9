"""The evaluate stage on a declared document type, with answers of a stub instead of a model."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from rich.console import Console
from scored_types import CONTENT, VERDICT, chinese_invoice, plain_receipt

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import UsageError
from erniekit_adapter.evaluation import stage
from erniekit_adapter.evaluation.stage import evaluate, native_adapter, read_test_examples
from erniekit_adapter.evaluation.summary import print_results
from erniekit_adapter.files import sha256, write_json
from erniekit_adapter.predictors.toolkit import ModelReply, Request
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project

EXAMPLES = 8


class StubToolkit(NamedTuple):
    """A toolkit that is not installed."""

    version: str = "1.4"
    python: Path = Path("python")
    versions: Mapping[str, str | None] = MappingProxyType({})


def project_of(folder: Path, document_type: DocumentType, content: dict[str, Any]) -> Project:
    """Write model, test examples and bundle of a project as the earlier stages do, as far as evaluate reads them."""
    write_json(folder / "model" / "config.json", {"hidden_size": 8})
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": str(folder / "model")},
            "output_dir": str(folder / "run"),
            "document_type": document_type.reference,
        }
    )
    project.data_dir.mkdir(parents=True)
    answer = document_type.text_of(document_type.read(content))
    lines = [json.dumps({"id": str(each), "src": ["read this"], "tgt": [answer]}) for each in range(EXAMPLES)]
    (project.data_dir / "test.jsonl").write_text("\n".join(lines))
    write_manifests(project, document_type.record)
    return project


def write_manifests(project: Project, record: object) -> None:
    """Write the manifests of data folder and bundle, made for a document type; None leaves it out."""
    made_for = {} if record is None else {"document_type": record}
    digest = sha256(project.data_dir / "test.jsonl")
    write_json(project.data_dir / "manifest.json", {"files": {"test.jsonl": {"sha256": digest}}, "settings": made_for})
    write_json(project.bundle_dir / "native" / "lora_config.json", {})
    base = {"fingerprint": model_fingerprint(Path(project.model.model_name_or_path))}
    toolkit = {"toolkit": {"name": "erniekit"}}
    write_json(
        project.bundle_dir / "manifest.json",
        {"adapter": "a" * 64, "training": toolkit, "base_model": base, **made_for},
    )


@pytest.fixture
def answered_by_a_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the base model answer nothing that can be read, and the tuned model answer as expected."""

    def answer(
        requests: Sequence[Request],
        toolkit: object,
        model: Path,
        adapter: Path | None,
        settings: object,
        file: Path,
        *_: object,
    ) -> list[ModelReply]:
        examples = (file.parent.parent / "data" / "test.jsonl").read_text().splitlines()
        right = json.loads(examples[0])["tgt"][0]
        replies = [ModelReply(request.id, right if adapter else "no", 9, True) for request in requests]
        file.write_text("".join(json.dumps({"id": reply.id}) + "\n" for reply in replies))
        return replies

    monkeypatch.setattr(stage, "find_erniekit", StubToolkit)
    monkeypatch.setattr(stage, "answer_in_toolkit", answer)
    monkeypatch.setattr(stage, "add_metrics", lambda *_: True)


def printed(results: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_results(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.usefixtures("answered_by_a_stub")
def test_evaluates_a_declared_type(tmp_path: Path) -> None:
    document_type = chinese_invoice(tmp_path)
    project = project_of(tmp_path, document_type, CONTENT | VERDICT)
    results = evaluate(project, Console(file=io.StringIO()))
    assert results["document_type"] == document_type.record
    assert json.loads((project.evaluation_dir / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["comparison"]["field_f1"]["verdict"] == "better"
    assert results["tuned"]["kinds"]["rate"]["f1"] == 1
    assert results["base"]["kinds"]["rate"]["f1"] == 0


@pytest.mark.usefixtures("answered_by_a_stub")
def test_samples_have_the_keys_of_the_type(tmp_path: Path) -> None:
    project = project_of(tmp_path, chinese_invoice(tmp_path), CONTENT | VERDICT)
    evaluate(project, Console(file=io.StringIO()))
    lines = (project.evaluation_dir / "samples.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert len(lines) == EXAMPLES
    assert first["expected"].keys() == {*CONTENT, *VERDICT}
    assert first["tuned"]["score"]["fields"]["明细.名称"]["true_positives"] == 2


@pytest.mark.usefixtures("answered_by_a_stub")
def test_table_has_the_metrics_of_the_type_only(tmp_path: Path) -> None:
    receipt = project_of(tmp_path / "r", plain_receipt(tmp_path), {"shop": "A", "total": 1})
    text = printed(evaluate(receipt, Console(file=io.StringIO())))
    assert "field F1" in text
    assert not any(label in text for label in ("line item F1", "rule compliance", "arithmetic", "invoice"))
    kinds = [line.split() for line in text.splitlines() if line.split()[:1] in (["text"], ["amount"])]
    assert kinds == [[kind, "0.000", "1.000", str(EXAMPLES)] for kind in ("text", "amount")]


@pytest.mark.usefixtures("answered_by_a_stub")
def test_note_names_the_reachable_figures(tmp_path: Path) -> None:
    project = project_of(tmp_path, chinese_invoice(tmp_path), CONTENT | {"价税合计": 9})
    text = " ".join(printed(evaluate(project, Console(file=io.StringIO()))).split())
    assert "a perfect reader reaches 0.000 in rule compliance and 0.000 in arithmetic." in text


def test_results_of_an_earlier_version_can_be_printed(tmp_path: Path) -> None:
    system: dict[str, Any] = {"expected_rule_compliant": 1.0, "expected_arithmetic_verified": 1.0}
    assert "2 test documents" in printed({"samples": 2, "base": system, "tuned": system, "comparison": {}})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"name": "receipt", "digest": "0"},
            r"for the document type receipt, and the project's is fapiao\n.*set document_type",
        ),
        (
            {"name": "fapiao", "digest": "0"},
            r"with another definition of the document type fapiao\n.*restore schema\.json",
        ),
        (None, r"for the document type invoice, and the project's is fapiao"),
        ("receipt", "for the document type receipt"),
        ({}, "for the document type None"),
    ],
)
def test_refuses_files_of_another_type(tmp_path: Path, record: object, message: str) -> None:
    project = project_of(tmp_path, chinese_invoice(tmp_path), CONTENT)
    write_manifests(project, record)
    for read in (read_test_examples, native_adapter):
        with pytest.raises(UsageError, match=f"made {message}"):
            read(project)


@pytest.mark.parametrize("record", [None, INVOICE.record])
def test_files_without_a_type_are_for_invoices(tmp_path: Path, record: object) -> None:
    project = project_of(tmp_path, INVOICE, {"structured_data": {"vendor_block": {"name": "Acme"}}})
    write_manifests(project, record)
    assert len(read_test_examples(project)) == EXAMPLES
    assert native_adapter(project)
