"""The data stage with a declared document type: build, report, preview, and settings that do not fit the type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from built_examples import MODEL
from data_examples import write_json, write_lines
from declared_source_examples import STATEMENT, STATEMENT_PAGE, content_of, statement_type

from data_tools.build_settings import BuildSettings
from data_tools.inspect.data_folder import read_manifest, request_prompts
from data_tools.inspect.preview import preview
from data_tools.inspect.report import write_report
from data_tools.pipeline.build import build
from erniekit_adapter.cli.data_printing import print_manifest
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import TrainingExamplesSource


def line_of(document_type: DocumentType, number: int, page: str = STATEMENT_PAGE, **changes: Any) -> dict[str, Any]:
    """Return a ready-made training example whose request has the OCR of the page."""
    ocr = {"tokens": [*page.splitlines(), f"Blatt {number}"]}
    content = content_of(document_type, {**STATEMENT, **changes})
    return {
        "id": f"A-{number}",
        "conversations": [
            {"role": "human", "content": document_type.prompts.analysis_request(ocr, with_image=False)},
            {"role": "assistant", "content": json_text.compose(document_type.wrapped(content))},
        ],
    }


def built(folder: Path, document_type: DocumentType, lines: list[dict[str, Any]], **settings: Any) -> Path:
    source = TrainingExamplesSource(kind="training_examples", path=write_lines(folder / "lines.jsonl", lines))
    settings = {"eval_ratio": 0, "test_ratio": 0, "document_type": document_type, **settings}
    build([source], folder / "data", BuildSettings(**settings))
    return folder / "data"


def test_a_build_counts_values_and_verdicts(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    page = STATEMENT_PAGE.replace("Erika Beispiel", "")
    lines = [
        line_of(document_type, 1),
        line_of(document_type, 2, page),
        line_of(document_type, 3, opening_balance=999),
        line_of(document_type, 4, bank="Sparkasse Berg", account={"iban": "DE02"}, closing_balance=1),
    ]
    manifest = read_manifest(built(tmp_path, document_type, lines))
    assert manifest.left_out == {"account.owner": 1}
    assert manifest.by_filter == {"arithmetic": 2}
    assert manifest.inputs[0]["verdicts"] == {"valid": 2, "invalid": 0, "not checkable": 0}
    assert manifest.settings["document_type"] == document_type.record


def test_another_page_is_rejected(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path, rules=[])
    other = {"bank": "Sparkasse Berg", "account": {"iban": "DE02 1203 0000 0000 2020 51"}, "closing_balance": 1.5}
    lines = [line_of(document_type, 1), line_of(document_type, 2, **other)]
    manifest = read_manifest(built(tmp_path, document_type, lines))
    assert manifest.by_filter == {"page_mismatch": 1}


def test_a_record_without_seen_values_is_rejected(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path, rules=[])
    with pytest.raises(AdapterError, match="none of its values is on the page: bank"):
        built(tmp_path, document_type, [{**line_of(document_type, 1), **only_bank(document_type)}])


def only_bank(document_type: DocumentType) -> dict[str, Any]:
    """Return the turns of an example with one value, on a page without it."""
    request = document_type.prompts.analysis_request({"tokens": ["Kontoauszug"]}, with_image=False)
    turns = [{"role": "human", "content": request}, {"role": "assistant", "content": '{"bank":"Volksbank Nord"}'}]
    return {"conversations": turns}


def test_report_and_preview_show_the_requests(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    data = built(tmp_path, document_type, [line_of(document_type, 1)])
    write_report(data, tmp_path / "report.html")
    (example,) = preview(data, 1, model_dir=MODEL)
    text = (tmp_path / "report.html").read_text()
    assert "Read this bank statement." in text
    assert "document type <code>statement</code>" in text
    assert "Read this bank statement." in example.text.untrained
    assert (
        request_prompts(read_manifest(data))
        .constant_part(example.example.request)
        .endswith(document_type.prompts.ocr_mark + " ")
    )


def test_an_earlier_build_is_of_invoices(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    data = built(tmp_path, document_type, [line_of(document_type, 1)])
    manifest = read_json(data / "manifest.json")
    for name in ("document_type", "request_marks"):
        del manifest["settings"][name]
    write_json(data / "manifest.json", manifest)
    write_report(data, tmp_path / "report.html")
    assert request_prompts(read_manifest(data)) is INVOICE.prompts


def test_a_rule_of_dates_warns(tmp_path: Path) -> None:
    order = {"name": "PERIOD", "sentence": "It ends later.", "order": ["closed", "opened"], "severity": "warn"}
    document_type = statement_type(tmp_path, rules=[order])
    data = built(tmp_path, document_type, [line_of(document_type, 1)])
    assert read_manifest(data).warned == {"dates": 1}


def test_validation_needs_answers_with_a_verdict(tmp_path: Path) -> None:
    statement_type(tmp_path, answer={})
    project = tmp_path / "project.yaml"
    project.write_text(
        f"model: {{model_name_or_path: {MODEL}}}\ndocument_type: {tmp_path}/statement\n"
        "data: {sources: [], tasks: {validation: 1}}\noutput_dir: out\n"
    )
    with pytest.raises(UsageError, match="found 1; answers of statement have no verdict"):
        load_project(project)


def test_the_build_prints_fields_that_were_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document_type = statement_type(tmp_path)
    data = built(tmp_path, document_type, [line_of(document_type, 1)])
    manifest = replace(read_manifest(data), left_out={"bank": 3, "iban": 2}, unused_keys={"tenant": 1})
    print_manifest(manifest, tmp_path / "run" / "data")
    output = capsys.readouterr()
    assert "left out of answers, because their pages do not show them: bank 3, iban 2" in output.out
    assert f"→ look: erniekit-adapter data preview {tmp_path}/run;" in output.out
    assert "→ keys without a place: none needed if" in output.err


def test_the_build_prints_that_there_are_no_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document_type = statement_type(tmp_path)
    manifest = read_manifest(built(tmp_path, document_type, [line_of(document_type, 1)]))
    print_manifest(manifest, tmp_path)
    assert "pairs" not in capsys.readouterr().out
    print_manifest(replace(manifest, settings=manifest.settings | {"preference": True}), tmp_path)
    assert "preference pairs" in capsys.readouterr().out
