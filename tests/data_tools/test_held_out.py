"""Test sources: documents that are only ever tested on, whatever else knows of them."""

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
from data_tools.cli import main
from data_tools.stage.data_manifest import DataManifest
from data_tools.stage.pipeline import build
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.evaluation.stage import read_test_samples
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import ActiveLearningSource, LinesSource
from erniekit_adapter.project.sources import missing_sources

FIXED_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)
TEST, TRAIN = "held-out.jsonl", "log.jsonl"


def doc(number: int, **changes: Any) -> dict[str, Any]:
    """A correction of a document that shares nothing with those of other numbers."""
    return numbered(correction(), number) | changes


def reading(number: int, text: str, **changes: Any) -> dict[str, Any]:
    """The same document, read by another OCR."""
    return doc(number, ocr_context=read_as(text, f"RE-{number}"), **changes)


def read_as(*more: str) -> dict[str, Any]:
    """What an engine gives of the page, with a few words of its own."""
    return {"raw_ocr": "\n".join([*OCR["tokens"], *more])}


def unnumbered(**changes: Any) -> dict[str, Any]:
    """A correction without an invoice number."""
    value = answer()
    del value["structured_data"]["client_info"]["invoice_number"]
    return correction(corrected_output=value, **changes)


def built(
    folder: Path, tested: Sequence[Any], trained: Sequence[Any], settings: BuildSettings = FIXED_ONLY
) -> DataManifest:
    """Build from a log to test on and a log to train on, into `folder/out`."""
    test_log = ActiveLearningSource(kind="active_learning", path=write_lines(folder / TEST, list(tested)))
    train_log = ActiveLearningSource(kind="active_learning", path=write_lines(folder / TRAIN, list(trained)))
    return build([train_log], folder / "out", settings, test_sources=[test_log])


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_text().splitlines()]


def numbers(folder: Path, name: str) -> list[str]:
    """The invoice numbers in a split, in the file's order."""
    found = [json.loads(row["tgt"][0])["structured_data"]["client_info"] for row in rows(folder, name)]
    return [client["invoice_number"] for client in found]


def test_every_accepted_record_of_a_test_source_is_a_test_line_and_no_other(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1), doc(2)], [doc(3), doc(4), doc(5)])
    assert found.by_split == {"train": 3, "eval": 0, "test": 2}
    assert numbers(tmp_path, "test") == ["RE-1", "RE-2"]
    assert numbers(tmp_path, "train") == ["RE-3", "RE-4", "RE-5"]


def test_test_lines_stay_in_the_files_order_and_those_of_a_share_come_after_them(tmp_path: Path) -> None:
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
def test_a_document_that_is_also_in_a_test_source_is_not_trained_on(
    tmp_path: Path, tested: dict[str, Any], trained: dict[str, Any]
) -> None:
    found = built(tmp_path, [doc(8), tested], [doc(9), trained])
    assert (found.by_gate, found.by_split["train"], found.by_split["test"]) == ({"held_out": 1}, 1, 2)
    (refused,) = rows(tmp_path, "rejected")
    assert (refused["source"], refused["line"], refused["gate"]) == (str(tmp_path / TRAIN), 2, "held_out")
    assert refused["reason"] == f"the document is also among the test sources, at {tmp_path / TEST}:2"


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(reading(1, "third", document_id="doc-x"), id="another reading"),
        pytest.param(doc(1, document_id="doc-x"), id="a copy of the test record"),
    ],
)
def test_what_is_of_one_document_through_a_third_record_is_held_out_too(
    tmp_path: Path, between: dict[str, Any]
) -> None:
    far = unnumbered(document_id="doc-x", ocr_context=read_as("far"))
    for folder, order in ((tmp_path / "before", [far, between]), (tmp_path / "after", [between, far])):
        folder.mkdir()
        found = built(folder, [doc(1)], [doc(9), *order])
        assert numbers(folder, "train") == ["RE-9"]
        assert found.rejected + found.duplicates == 2


@pytest.mark.parametrize(
    ("tested", "gate"),
    [
        pytest.param(doc(1, corrected_output=answer(grand_total=1119)), "arithmetic", id="arithmetic"),
        pytest.param(automatic_log("doc-1"), "reviewed", id="reviewed"),
        pytest.param(doc(1, corrected_output="{"), "canonical", id="no answer"),
        pytest.param(doc(1, ocr_context={}), "visible", id="no OCR"),
    ],
)
def test_a_test_document_that_a_gate_refuses_is_named_and_still_not_trained_on(
    tmp_path: Path, tested: dict[str, Any], gate: str
) -> None:
    found = built(tmp_path, [tested, doc(2)], [doc(1), doc(9)])
    assert found.by_gate == {gate: 1, "held_out": 1}
    assert [(row["source"], row["gate"]) for row in rows(tmp_path, "rejected")] == [
        (str(tmp_path / TEST), gate),
        (str(tmp_path / TRAIN), "held_out"),
    ]
    assert (numbers(tmp_path, "test"), numbers(tmp_path, "train")) == (["RE-2"], ["RE-9"])
    assert found.documents == 2


def test_a_number_that_nobody_confirmed_holds_nothing_out(tmp_path: Path) -> None:
    misread = automatic_log("doc-7")  # its model read RE-1
    found = built(tmp_path, [misread, doc(2)], [doc(1)])
    assert (found.by_gate, numbers(tmp_path, "train")) == ({"reviewed": 1}, ["RE-1"])


def test_of_two_equal_records_the_test_sources_is_kept_and_the_copy_is_a_duplicate(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1)], [doc(1, document_id="copy", timestamp="later"), doc(9)])
    assert (found.duplicates, found.rejected) == (1, 0)
    (refused,) = rows(tmp_path, "rejected")
    assert (refused["document_id"], refused["reason"]) == ("copy", f"says the same as {tmp_path / TEST}:1")
    assert [row["id"] for row in rows(tmp_path, "test")] == ["doc-1"]


def test_a_copy_within_the_test_sources_is_a_duplicate(tmp_path: Path) -> None:
    found = built(tmp_path, [doc(1), doc(1)], [doc(9)])
    assert (found.duplicates, found.by_split["test"]) == (1, 1)


def test_two_readings_of_a_test_document_are_two_test_lines_with_ids_of_their_own(tmp_path: Path) -> None:
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
def test_nothing_of_the_training_changes_the_test_lines(
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


def test_max_samples_limits_what_is_trained_on_and_never_the_test(tmp_path: Path) -> None:
    tested, trained = [doc(n) for n in range(6)], [doc(n) for n in range(4, 20)]
    found = built(tmp_path, tested, trained, replace(FIXED_ONLY, max_samples=3))
    assert found.by_split == {"train": 3, "eval": 0, "test": 6}
    assert found.by_gate == {"duplicate": 2, "max_samples": 11}
    assert found.documents == 9


def test_the_manifest_gives_each_source_its_role_and_the_counts_add_up(tmp_path: Path) -> None:
    tested = [doc(1), doc(1), automatic_log("doc-2")]
    found = built(tmp_path, tested, [doc(9), doc(1), reading(1, "again"), b"{"])
    counts = ("role", "path", "read", "accepted", "rejected", "duplicates")
    told = [{key: source[key] for key in counts} for source in found.inputs]
    assert told == [
        {"role": "test", "path": str(tmp_path / TEST), "read": 3, "accepted": 1, "rejected": 1, "duplicates": 1},
        {"role": "train", "path": str(tmp_path / TRAIN), "read": 4, "accepted": 1, "rejected": 2, "duplicates": 1},
    ]
    assert (found.read, found.written, found.rejected, found.duplicates) == (7, 2, 3, 2)


def test_what_is_held_out_counts_neither_as_taught_nor_among_the_lengths(tmp_path: Path) -> None:
    value = answer(subtotal=None)
    value["structured_data"]["vendor_block"]["email"] = "unseen@acme.example"
    same_request = {"ocr_context": {"structured_ocr": OCR}}
    found = built(tmp_path, [correction()], [doc(9), correction(corrected_output=value, **same_request)])
    assert found.by_gate == {"held_out": 1}
    assert not found.left_out
    assert not any("another answer" in warning for warning in found.warnings)


def test_two_answers_to_one_test_request_are_a_warning(tmp_path: Path) -> None:
    found = built(tmp_path, [correction(), correction(corrected_output=answer(subtotal=None))], [doc(9)])
    assert "1 test requests came again with another answer: no model can give both" in found.warnings


@pytest.mark.parametrize("tested", [[], [automatic_log(), b"{"]], ids=["empty", "all refused"])
def test_a_test_source_of_which_nothing_is_left_is_an_error(tmp_path: Path, tested: list[Any]) -> None:
    said = r"data\.test_sources: (the sources hold no record at all|none of 2 records .*reviewed 1)"
    with pytest.raises(AdapterError, match=said):
        built(tmp_path, tested, [doc(1)])
    assert not (tmp_path / "out").exists()


def test_sources_that_know_nothing_but_test_documents_are_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"none of 2 records passed the gates \(held_out 1, duplicate 1\)"):
        built(tmp_path, [doc(1)], [reading(1, "again"), doc(1)])


def test_a_file_that_is_to_be_trained_and_tested_on_is_refused(tmp_path: Path) -> None:
    source = LinesSource(kind="lines", path=write_lines(tmp_path / TRAIN, [interchange()]))
    with pytest.raises(UsageError, match="is given twice as a source"):
        build([source], tmp_path / "out", FIXED_ONLY, test_sources=[source])


def test_test_sources_alone_are_refused(tmp_path: Path) -> None:
    source = LinesSource(kind="lines", path=write_lines(tmp_path / TEST, [interchange()]))
    with pytest.raises(UsageError, match="no source to train on"):
        build([], tmp_path / "out", FIXED_ONLY, test_sources=[source])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project file with a log to train on and one to test on; neither is written yet."""
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
    monkeypatch.setattr(sys, "argv", ["data-tools", "build", "--project", str(project), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_build_reads_the_test_sources_of_a_project(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / TEST, [doc(1)])
    write_lines(tmp_path / TRAIN, [doc(n) for n in range(1, 40)])
    assert run_build(monkeypatch, project) == 0
    told = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert told["by_split"] == {"train": 38, "eval": 0, "test": 1}
    assert run_build(monkeypatch, project, "data.test_split_ratio=0.5") == 0
    told = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())
    assert told["by_split"]["test"] > 1


def test_sources_that_are_missing_are_named_by_their_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    assert run_build(monkeypatch, project) == 2
    err = capsys.readouterr().err
    assert f"data.sources[0].path: {tmp_path / TRAIN}: no such file" in err
    assert f"data.test_sources[0].path: {tmp_path / TEST}: no such file\n    → correct the path" in err
    write_lines(tmp_path / TRAIN, [doc(1)])
    (tmp_path / TEST).mkdir()
    (problem,) = missing_sources(load_project(project))
    assert (problem.where, problem.what) == ("data.test_sources[0].path", f"{tmp_path / TEST}: is no regular file")


def test_evaluate_takes_the_first_test_lines_in_the_files_order(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / TEST, [doc(n) for n in (5, 3, 4, 1)])
    write_lines(tmp_path / TRAIN, [doc(n) for n in range(10, 60)])
    assert run_build(monkeypatch, project, "data.test_split_ratio=0.2") == 0
    samples = read_test_samples(load_project(project, ["evaluate.max_samples=3"]))
    assert [sample.id for sample in samples] == ["doc-5", "doc-3", "doc-4"]


Said = tuple[str | None, str | None, str]
RECORDS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, "1", "2", "3"]), st.sampled_from("pqrst")),
    min_size=1,
    max_size=8,
)


def line(said: Said) -> dict[str, Any]:
    """A ready-made line of a document with this name, invoice number and request."""
    name, number, request = said
    value = answer()
    value["structured_data"]["client_info"]["invoice_number"] = number
    page = json.dumps([*OCR["tokens"], "No. 1", "No. 2", "No. 3", "No. 9"])
    turns = [
        {"role": "human", "content": f"{request} {page}"},
        {"role": "assistant", "content": json.dumps(value, default=str)},
    ]
    return {"id": name, "conversations": turns}


def of_the_same_document(known: Sequence[Said], others: Sequence[Said]) -> list[Said]:
    """Those of the others that share a name, a number or a request with the known, directly or through each other."""
    found, rest = list(known), list(others)
    while near := [one for one in rest if any(a == b for it in found for a, b in zip(one, it, strict=True) if a)]:
        found += near
        rest = [one for one in rest if one not in near]
    return found[len(known) :]


@settings(deadline=None)
@given(tested=RECORDS, trained=RECORDS)
def test_nothing_of_a_test_document_is_trained_on_and_everything_else_is(
    tested: list[Said], trained: list[Said]
) -> None:
    free = ("free", "9", "z")
    held_out = of_the_same_document(tested, trained)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [
            LinesSource(kind="lines", path=write_lines(folder / file, [line(said) for said in records]))
            for file, records in ((TRAIN, [*trained, free]), (TEST, tested))
        ]
        found = build(sources[:1], folder / "out", FIXED_ONLY, test_sources=sources[1:])
        requests = {split: {row["src"][0][0] for row in rows(folder, split)} for split in ("train", "test")}
    assert requests["test"] == {request for *_, request in tested}
    assert requests["train"] == {request for *_, request in [*trained, free]} - {request for *_, request in held_out}
    assert found.read == found.written + found.rejected + found.duplicates == len(tested) + len(trained) + 1
