"""Test sources: their documents are used only for tests, even if other sources contain them."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, answer, automatic_log, correction, interchange, numbered, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from erniekit_adapter.cli import data_main as main
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.evaluation.stage import read_test_examples
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import ActiveLearningSource, TrainingExamplesSource
from erniekit_adapter.project.sources import missing_sources

FIXED_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)
TEST, TRAIN = "held-out.jsonl", "log.jsonl"


def doc(number: int, **changes: Any) -> dict[str, Any]:
    """Return a correction of a document that shares no value with other numbers."""
    return numbered(correction(), number) | changes


def reading(number: int, text: str, **changes: Any) -> dict[str, Any]:
    """Return the same document with another OCR."""
    return doc(number, ocr_context=read_as(text, f"RE-{number}"), **changes)


def read_as(*more: str) -> dict[str, Any]:
    """Return the OCR of the page with additional words."""
    return {"raw_ocr": "\n".join([*OCR["tokens"], *more])}


def unnumbered(**changes: Any) -> dict[str, Any]:
    """Return a correction without an invoice number."""
    value = answer()
    del value["structured_data"]["client_info"]["invoice_number"]
    return correction(corrected_output=value, **changes)


def built(
    folder: Path, tested: Sequence[Any], trained: Sequence[Any], settings: BuildSettings = FIXED_ONLY
) -> DataManifest:
    """Build a test log and a training log into `folder/out`."""
    test_log = ActiveLearningSource(kind="active_learning", path=write_lines(folder / TEST, list(tested)))
    train_log = ActiveLearningSource(kind="active_learning", path=write_lines(folder / TRAIN, list(trained)))
    return build([train_log], folder / "out", settings, test_sources=[test_log])


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_text().splitlines()]


def numbers(folder: Path, name: str) -> list[str]:
    """Return the invoice numbers of a split in the order of its file."""
    found = [json.loads(row["tgt"][0])["structured_data"]["client_info"] for row in rows(folder, name)]
    return [client["invoice_number"] for client in found]


def test_accepted_test_source_records_are_the_test_split(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1), doc(2)], [doc(3), doc(4), doc(5)])
    assert found.by_split == {"train": 3, "eval": 0, "test": 2}
    assert numbers(tmp_path, "test") == ["RE-1", "RE-2"]
    assert numbers(tmp_path, "train") == ["RE-3", "RE-4", "RE-5"]


def test_test_examples_keep_the_order_of_their_file(tmp_path: Path) -> None:
    order = [7, 3, 9, 1, 5]
    others = range(20, 60)
    built(tmp_path, [doc(n) for n in order], [doc(n) for n in others], BuildSettings(eval_ratio=0, test_ratio=0.3))
    found = numbers(tmp_path, "test")
    assert found[:5] == [f"RE-{n}" for n in order]
    assert set(found[5:]) < {f"RE-{n}" for n in others}
    assert len(found) > 5


@pytest.mark.parametrize(
    ("tested", "trained"),
    [
        pytest.param(doc(1), reading(1, "another", document_id="other"), id="invoice number of a vendor"),
        pytest.param(unnumbered(), unnumbered(ocr_context=read_as("another")), id="name in the source"),
        pytest.param(unnumbered(), correction("other"), id="request"),
    ],
)
def test_documents_of_test_sources_are_not_trained_on(
    tmp_path: Path, tested: dict[str, Any], trained: dict[str, Any]
) -> None:
    found = built(tmp_path, [doc(8), tested], [doc(9), trained])
    assert (found.by_filter, found.by_split["train"], found.by_split["test"]) == ({"held_out": 1}, 1, 2)
    (refused,) = rows(tmp_path, "rejected")
    assert (refused["source"], refused["line"], refused["filter"]) == (str(tmp_path / TRAIN), 2, "held_out")
    assert refused["reason"] == f"the document is also among the test sources, at {tmp_path / TEST}:2"


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(reading(1, "third", document_id="doc-x"), id="another reading"),
        pytest.param(doc(1, document_id="doc-x"), id="a copy of the test record"),
    ],
)
def test_records_linked_by_a_third_record_are_held_out(tmp_path: Path, between: dict[str, Any]) -> None:
    far = unnumbered(document_id="doc-x", ocr_context=read_as("far"))
    for folder, order in ((tmp_path / "before", [far, between]), (tmp_path / "after", [between, far])):
        folder.mkdir()
        found = built(folder, [doc(1)], [doc(9), *order])
        assert numbers(folder, "train") == ["RE-9"]
        assert found.rejected + found.duplicates == 2


@pytest.mark.parametrize(
    ("tested", "filter_name"),
    [
        pytest.param(doc(1, corrected_output=answer(grand_total=1119)), "arithmetic", id="arithmetic"),
        pytest.param(automatic_log("doc-1"), "reviewed", id="reviewed"),
        pytest.param(doc(1, corrected_output="{"), "canonical", id="no answer"),
        pytest.param(doc(1, ocr_context={}), "visible", id="no OCR"),
    ],
)
def test_a_rejected_test_document_is_held_out(tmp_path: Path, tested: dict[str, Any], filter_name: str) -> None:
    found = built(tmp_path, [tested, doc(2)], [doc(1), doc(9)])
    assert found.by_filter == {filter_name: 1, "held_out": 1}
    assert [(row["source"], row["filter"]) for row in rows(tmp_path, "rejected")] == [
        (str(tmp_path / TEST), filter_name),
        (str(tmp_path / TRAIN), "held_out"),
    ]
    assert (numbers(tmp_path, "test"), numbers(tmp_path, "train")) == (["RE-2"], ["RE-9"])
    assert found.documents == 2


def test_an_unreviewed_number_holds_nothing_out(tmp_path: Path) -> None:
    misread = automatic_log("doc-7")  # its model read RE-1
    found = built(tmp_path, [misread, doc(2)], [doc(1)])
    assert (found.by_filter, numbers(tmp_path, "train")) == ({"reviewed": 1}, ["RE-1"])


def test_of_equal_records_the_test_record_is_kept(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1)], [doc(1, document_id="copy", timestamp="later"), doc(9)])
    assert (found.duplicates, found.rejected) == (1, 0)
    (refused,) = rows(tmp_path, "rejected")
    assert (refused["document_id"], refused["reason"]) == ("copy", f"has the same content as {tmp_path / TEST}:1")
    assert [row["id"] for row in rows(tmp_path, "test")] == ["doc-1"]


def test_a_copy_within_the_test_sources_is_a_duplicate(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1), doc(1)], [doc(9)])
    assert (found.duplicates, found.by_split["test"]) == (1, 1)


def test_two_records_of_a_test_document_get_unique_ids(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1), reading(1, "again")], [doc(9)])
    assert [row["id"] for row in rows(tmp_path, "test")] == ["doc-1", "doc-1#2"]
    assert found.documents == 2


@pytest.mark.parametrize(
    ("trained", "changes"),
    [
        pytest.param(range(20, 40), {}, id="other sources"),
        pytest.param(range(1, 30), {}, id="sources that know the test documents"),
        pytest.param(range(10, 20), {"seed": 7}, id="another seed"),
        pytest.param(range(10, 20), {"max_samples": 2}, id="fewer documents"),
        pytest.param(range(10, 20), {"eval_ratio": 0.5}, id="another share"),
    ],
)
def test_training_settings_do_not_change_the_test_split(
    tmp_path: Path, trained: range, changes: dict[str, Any]
) -> None:
    tested = [doc(n) for n in (3, 1, 2)]
    lines = []
    usual, other = (range(10, 20), FIXED_ONLY), (trained, replace(FIXED_ONLY, **changes))
    for name, (documents, chosen) in (("usual", usual), ("other", other)):
        (tmp_path / name).mkdir()
        built(tmp_path / name, tested, [doc(n) for n in documents], chosen)
        lines.append((tmp_path / name / "out" / "test.jsonl").read_bytes())
    assert lines[0] == lines[1]


def test_max_samples_does_not_limit_the_test_split(tmp_path: Path) -> None:
    tested, trained = [doc(n) for n in range(6)], [doc(n) for n in range(4, 20)]
    found = built(tmp_path, tested, trained, replace(FIXED_ONLY, max_samples=3))
    assert found.by_split == {"train": 3, "eval": 0, "test": 6}
    assert found.by_filter == {"duplicate": 2, "max_samples": 11}
    assert found.documents == 9


def test_the_manifest_has_roles_and_consistent_counts(tmp_path: Path) -> None:
    tested = [doc(1), doc(1), automatic_log("doc-2")]
    found = built(tmp_path, tested, [doc(9), doc(1), reading(1, "again"), b"{"])
    counts = ("role", "path", "read", "accepted", "rejected", "duplicates")
    inputs = [{key: source[key] for key in counts} for source in found.inputs]
    assert inputs == [
        {"role": "test", "path": str(tmp_path / TEST), "read": 3, "accepted": 1, "rejected": 1, "duplicates": 1},
        {"role": "train", "path": str(tmp_path / TRAIN), "read": 4, "accepted": 1, "rejected": 2, "duplicates": 1},
    ]
    assert (found.read, found.written, found.rejected, found.duplicates) == (7, 2, 3, 2)


def test_held_out_records_are_not_counted_as_examples(tmp_path: Path) -> None:
    value = answer(subtotal=None)
    value["structured_data"]["vendor_block"]["email"] = "unseen@acme.example"
    same_request = {"ocr_context": {"structured_ocr": OCR}}
    found = built(tmp_path, [correction()], [doc(9), correction(corrected_output=value, **same_request)])
    assert found.by_filter == {"held_out": 1}
    assert not found.left_out
    assert not any("another answer" in warning for warning in found.warnings)


def test_two_answers_to_a_test_request_are_a_warning(tmp_path: Path) -> None:
    found = built(tmp_path, [correction(), correction(corrected_output=answer(subtotal=None))], [doc(9)])
    assert "1 test requests occur again with another answer: no model can give both" in found.warnings


@pytest.mark.parametrize("tested", [[], [automatic_log(), b"{"]], ids=["empty", "all refused"])
def test_a_test_source_without_accepted_records_is_an_error(tmp_path: Path, tested: list[Any]) -> None:
    message = r"data\.test_sources: (the sources contain no records|none of 2 records .*reviewed 1)"
    with pytest.raises(AdapterError, match=message):
        built(tmp_path, tested, [doc(1)])
    assert not (tmp_path / "out").exists()


def test_sources_with_only_test_documents_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"none of 2 records passed the filters \(held_out 1, duplicate 1\)"):
        built(tmp_path, [doc(1)], [reading(1, "again"), doc(1)])


def test_rejects_a_file_for_training_and_testing(tmp_path: Path) -> None:
    source = TrainingExamplesSource(kind="training_examples", path=write_lines(tmp_path / TRAIN, [interchange()]))
    with pytest.raises(UsageError, match="is given twice as a source"):
        build([source], tmp_path / "out", FIXED_ONLY, test_sources=[source])


def test_test_sources_need_a_training_source(tmp_path: Path) -> None:
    source = TrainingExamplesSource(kind="training_examples", path=write_lines(tmp_path / TEST, [interchange()]))
    with pytest.raises(UsageError, match="no source to train on"):
        build([], tmp_path / "out", FIXED_ONLY, test_sources=[source])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write a project file with a training log and a test log; neither log is written yet."""
    path = tmp_path / "project.yaml"
    path.write_text(
        f"model: {{model_name_or_path: baidu/ERNIE-4.5-0.3B-PT}}\n"
        f"output_dir: {tmp_path / 'run'}\n"
        f"training: {{val_split_ratio: 0.0}}\n"
        f"data:\n"
        f"  sources: [{{kind: active_learning, path: {tmp_path / TRAIN}}}]\n"
        f"  test_sources: [{{kind: active_learning, path: {tmp_path / TEST}}}]\n"
    )
    return path


def run_build(monkeypatch: pytest.MonkeyPatch, project: Path, *overrides: str) -> int:
    options = [part for override in overrides for part in ("--set", override)]
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter data", "build", str(project), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_build_reads_the_test_sources_of_a_project(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / TEST, [doc(1)])
    write_lines(tmp_path / TRAIN, [doc(n) for n in range(1, 40)])
    assert run_build(monkeypatch, project) == 0
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert manifest["by_split"] == {"train": 38, "eval": 0, "test": 1}
    assert run_build(monkeypatch, project, "data.test_split_ratio=0.5") == 0
    manifest = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert manifest["by_split"]["test"] > 1


def test_missing_sources_are_named_by_their_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    assert run_build(monkeypatch, project) == 2
    err = capsys.readouterr().err
    assert f"data.sources[0].path: {tmp_path / TRAIN}: no such file" in err
    assert f"data.test_sources[0].path: {tmp_path / TEST}: no such file\n    → correct the path" in err
    write_lines(tmp_path / TRAIN, [doc(1)])
    (tmp_path / TEST).mkdir()
    (problem,) = missing_sources(load_project(project))
    assert (problem.location, problem.finding) == (
        "data.test_sources[0].path",
        f"{tmp_path / TEST}: not a regular file",
    )


def test_evaluate_takes_test_examples_in_file_order(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / TEST, [doc(n) for n in (5, 3, 4, 1)])
    write_lines(tmp_path / TRAIN, [doc(n) for n in range(10, 60)])
    assert run_build(monkeypatch, project, "data.test_split_ratio=0.2") == 0
    samples = read_test_examples(load_project(project, ["evaluate.max_samples=3"]))
    assert [sample.id for sample in samples] == ["doc-5", "doc-3", "doc-4"]


Names = tuple[str | None, str | None, str]
RECORDS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, "1", "2", "3"]), st.sampled_from("pqrst")),
    min_size=1,
    max_size=8,
)


def line(names: Names) -> dict[str, Any]:
    """Return a ready-made example of a document with this name, invoice number and request."""
    name, number, request = names
    value = answer()
    value["structured_data"]["client_info"]["invoice_number"] = number
    page = json.dumps([*OCR["tokens"], "No. 1", "No. 2", "No. 3", "No. 9"])
    turns = [
        {"role": "human", "content": f"{request} {page}"},
        {"role": "assistant", "content": json.dumps(value, default=str)},
    ]
    return {"id": name, "conversations": turns}


def of_the_same_document(known: Sequence[Names], others: Sequence[Names]) -> list[Names]:
    """Return the records that share a name, number or request with `known`, directly or through each other."""
    found, rest = list(known), list(others)
    while near := [one for one in rest if any(a == b for it in found for a, b in zip(one, it, strict=True) if a)]:
        found += near
        rest = [one for one in rest if one not in near]
    return found[len(known) :]


@pytest.mark.slow
@settings(deadline=None)
@given(tested=RECORDS, trained=RECORDS)
def test_only_test_documents_are_excluded_from_training(tested: list[Names], trained: list[Names]) -> None:
    free = ("free", "9", "z")
    held_out = of_the_same_document(tested, trained)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [
            TrainingExamplesSource(
                kind="training_examples", path=write_lines(folder / file, [line(names) for names in records])
            )
            for file, records in ((TRAIN, [*trained, free]), (TEST, tested))
        ]
        found = build(sources[:1], folder / "out", FIXED_ONLY, test_sources=sources[1:])
        requests = {split: {row["src"][0][0] for row in rows(folder, split)} for split in ("train", "test")}
    assert requests["test"] == {request for *_, request in tested}
    assert requests["train"] == {request for *_, request in [*trained, free]} - {request for *_, request in held_out}
    assert found.read == found.written + found.rejected + found.duplicates == len(tested) + len(trained) + 1
