"""Results of a sweep: metrics of each run, and its difference from the first run on the same test examples."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import UsageError
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.files import sha256
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep.sweep_file import SweepRun
from erniekit_adapter.sweep.table import read_results, sweep_markdown, sweep_results, sweep_table

ANSWER = read_answer({"structured_data": {"vendor_block": {"name": "Acme"}, "financial_summary": {"grand_total": 20}}})
RIGHT, WRONG, BROKEN = INVOICE.text_of(ANSWER), INVOICE.text_of(ANSWER).replace("Acme", "Acne"), "{"


def finished_run(
    folder: Path,
    name: str,
    answers: list[str],
    request: str = "request",
    document_type: DocumentType = INVOICE,
    expected: str = RIGHT,
) -> SweepRun:
    """Write the folder of a finished run, as far as the comparison reads it."""
    given = {"model": {"model_name_or_path": "./model"}, "document_type": document_type.reference}
    project = Project.model_validate({**given, "output_dir": str(folder / name)})
    for part in (project.data_dir, project.training_dir, project.evaluation_dir):
        part.mkdir(parents=True)
    ids = [f"doc-{number}" for number in range(len(answers))]
    lines = [json.dumps({"id": each, "src": [request], "tgt": [expected]}) for each in ids]
    test_lines = project.data_dir / "test.jsonl"
    test_lines.write_text("\n".join(lines) + "\n")
    made = {"settings": {"document_type": document_type.record}}
    write(project.data_dir / "manifest.json", made | {"files": {"test.jsonl": {"sha256": sha256(test_lines)}}})
    write(project.training_dir / "manifest.json", {"steps": 5, "seconds": 61.4})
    replies: list[dict[str, Any]] = [
        {"id": each, "answer": text, "answer_tokens": 9, "finished": True}
        for each, text in zip(ids, answers, strict=True)
    ]
    (project.evaluation_dir / "tuned.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    truth = document_type.read(json.loads(expected))
    scores = [score_answer(document_type, truth, reply["answer"], sample=reply["id"]) for reply in replies]
    figures = summarize(document_type, scores).as_json()
    results = {"samples": len(ids), "test_lines": sha256(test_lines), "base": figures, "tuned": figures}
    results["document_type"] = document_type.record
    write(project.evaluation_dir / "results.json", results)
    return SweepRun(name, (), project)


def write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, default=str))


def printed(runs: list[SweepRun], columns: int = 200) -> str:
    console = Console(file=StringIO(), width=columns)
    console.print(sweep_table(read_results(runs)))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_compares_each_run_with_the_first(tmp_path: Path) -> None:
    good = finished_run(tmp_path, "good", [RIGHT] * 20)
    bad = finished_run(tmp_path, "bad", [WRONG] * 20)
    first, second = read_results([good, bad])
    assert first.against_first is None
    assert second.against_first is not None
    assert second.against_first.differences["field_f1"].difference == pytest.approx(-0.5)
    assert second.against_first.differences["field_f1"].verdict == "worse"


def test_table_has_the_base_and_every_run(tmp_path: Path) -> None:
    good = finished_run(tmp_path, "good", [RIGHT] * 20)
    text = printed([good, finished_run(tmp_path, "half", [RIGHT, BROKEN] * 10)])
    assert "2 runs on 20 test documents" in text
    half = next(place for place, line in enumerate(text.splitlines()) if line.strip().startswith("half"))
    figures, interval, verdict = text.splitlines()[half : half + 3]
    assert figures.split()[1:3] == ["0.500", "0.500"]
    assert figures.split()[-1] == "61"
    assert interval.strip().startswith("[")
    assert verdict.strip() == "worse"


def test_table_fits_80_columns(tmp_path: Path) -> None:
    first = finished_run(tmp_path, "attention-only", [RIGHT, WRONG] * 10)
    text = printed([first, finished_run(tmp_path, "rank-64", [RIGHT, WRONG] * 10)], columns=80)
    assert "seconds" in text
    assert " no difference " in text
    assert "…" not in text


def test_markdown_has_the_same_table(tmp_path: Path) -> None:
    found = read_results([finished_run(tmp_path, "only", [RIGHT] * 3)])
    heading, rule, base, only = sweep_markdown(found).splitlines()
    assert heading.startswith("| run | JSON validity | schema valid | line item F1 | field F1 [95 %] |")
    assert rule.count("---") == heading.count("|") - 1
    assert base.startswith("| base | 1.000 |")
    assert only.startswith("| only | 1.000 | 1.000 | – | 1.000 [1.000, 1.000] |")


def test_sweep_json_has_metrics_and_differences(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path, name, [RIGHT] * 6) for name in ("one", "two")]
    written = json.loads(json.dumps(sweep_results(read_results(runs)), default=str))
    assert [run["name"] for run in written["runs"]] == ["one", "two"]
    assert written["runs"][0]["against_first"] is None
    assert written["runs"][1]["against_first"]["field_f1"]["verdict"] == "no difference shown"
    assert written["runs"][1]["tuned"]["schema_valid"]["value"] == 1


def test_type_without_tables_has_no_column_for_them(tmp_path: Path) -> None:
    receipt = write_type(tmp_path / "receipt", {"total": {"type": "number", "x-kind": "amount"}})
    runs = [
        finished_run(tmp_path, name, [text] * 6, document_type=receipt, expected='{"total":1}')
        for name, text in (("right", '{"total":1}'), ("wrong", '{"total":2}'))
    ]
    found = read_results(runs)
    heading, _, base, *_ = sweep_markdown(found).splitlines()
    assert heading.startswith("| run | JSON validity | schema valid | field F1 [95 %] |")
    assert base.count("|") == heading.count("|")
    assert sweep_results(found)["document_type"] == receipt.record
    assert "worse" in printed(runs)


def test_rejects_runs_with_another_definition(tmp_path: Path) -> None:
    one, other = (finished_run(tmp_path, name, [RIGHT] * 6) for name in ("one", "other"))
    file = other.project.evaluation_dir / "results.json"
    write(file, json.loads(file.read_text()) | {"document_type": {"name": "invoice", "digest": "0"}})
    with pytest.raises(
        UsageError, match="run other: was evaluated with another definition of the document type than one"
    ):
        read_results([one, other])


def test_rejects_runs_with_other_test_examples(tmp_path: Path) -> None:
    one = finished_run(tmp_path, "one", [RIGHT] * 6)
    other = finished_run(tmp_path, "other", [RIGHT] * 6, request="another request")
    with pytest.raises(UsageError, match="run other: was evaluated on other test examples than one"):
        read_results([one, other])
