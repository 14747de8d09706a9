from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import (
    OCR,
    answer,
    automatic_log,
    correction,
    flat_correction,
    ground_truth,
    numbered,
    write_json,
    write_lines,
    write_page,
)

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build, prepare
from data_tools.pipeline.manifest import DataManifest, check_counts
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import sha256
from erniekit_adapter.project.schema import (
    ActiveLearningSource,
    AnySource,
    FiltersSection,
    ManifestSource,
    TrainingExamplesSource,
)

TRAIN_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)
FILES = {f"{name}.jsonl" for name in ("train", "eval", "test", "rejected", "warned", "samples")} | {"manifest.json"}


def log(folder: Path, *values: Any) -> ActiveLearningSource:
    folder.mkdir(exist_ok=True)
    return ActiveLearningSource(kind="active_learning", path=write_lines(folder / "log.jsonl", list(values)))


def many(count: int) -> list[dict[str, Any]]:
    return [numbered(correction(), number) for number in range(count)]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def reading_of(number: int) -> str:
    """Return the OCR of the same page by another engine."""
    return "\n".join([*OCR["tokens"], f"RE-{number}", f"reading {number}"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_writes_every_split_with_consistent_counts(tmp_path: Path) -> None:
    found = build(
        [log(tmp_path, *many(60), automatic_log(), b"{", correction("again"))], tmp_path / "out", BuildSettings()
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert found.read == 63
    assert found.read == found.written + found.rejected + found.duplicates
    assert {name: len(rows(tmp_path / "out", name)) for name in found.by_split} == found.by_split
    assert min(found.by_split.values()) > 0


def test_the_manifest_names_settings_sources_and_hashes(tmp_path: Path) -> None:
    source = log(tmp_path, *many(5), automatic_log())
    build([source], tmp_path / "out", TRAIN_ONLY)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["made_by"].startswith("data_tools ")
    assert manifest["settings"]["seed"] == 42
    assert manifest["inputs"] == [
        {
            "role": "train",
            "kind": "active_learning",
            "path": str(source.path),
            "sha256": sha256(source.path),
            "reviewed": False,
            "read": 6,
            "accepted": 5,
            "rejected": 1,
            "duplicates": 0,
            "verdicts": {"valid": 5, "invalid": 0, "not checkable": 0},
            "failed_rules": {},
            "by_filter": {"reviewed": 1},
            "first_reasons": {"reviewed": manifest["first_reasons"]["reviewed"]},
        }
    ]
    assert manifest["first_reasons"]["reviewed"].endswith("set reviewed: true on its source")
    assert manifest["files"]["train.jsonl"] == {"lines": 5, "sha256": sha256(tmp_path / "out" / "train.jsonl")}
    assert manifest["by_filter"] == {"reviewed": 1}


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    source = log(tmp_path, *many(20))
    build([source], tmp_path / "a", BuildSettings())
    build([source], tmp_path / "b", BuildSettings())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_duplicate_names_the_first_location(tmp_path: Path) -> None:
    source = log(tmp_path, correction("doc-1"), correction("doc-2", timestamp="later"))
    found = build([source], tmp_path / "out", TRAIN_ONLY)
    assert (found.written, found.duplicates, found.rejected) == (1, 1, 0)
    (rejected,) = rows(tmp_path / "out", "rejected")
    assert (rejected["filter"], rejected["document_id"]) == ("duplicate", "doc-2")
    assert f"{source.path}:1" in rejected["reason"]


def test_a_rejection_has_location_filter_and_reason(tmp_path: Path) -> None:
    build([log(tmp_path, *many(2), automatic_log("doc-x"))], tmp_path / "out", TRAIN_ONLY)
    (rejected,) = rows(tmp_path / "out", "rejected")
    assert rejected["source"].endswith("log.jsonl")
    assert (rejected["line"], rejected["document_id"], rejected["filter"]) == (3, "doc-x", "reviewed")
    assert rejected["reason"]


def test_one_document_is_in_one_split(tmp_path: Path) -> None:
    again = [
        {**value, "document_id": f"{value['document_id']}-again", "ocr_context": {"raw_ocr": reading_of(index)}}
        for index, value in enumerate(many(40))
    ]
    build([log(tmp_path, *many(40), *again)], tmp_path / "out", BuildSettings(0.3, 0.3))
    numbers: dict[str, set[str]] = {}
    for name in ("train", "eval", "test"):
        for row in rows(tmp_path / "out", name):
            number = json.loads(row["tgt"][0])["structured_data"]["client_info"]["invoice_number"]
            numbers.setdefault(number, set()).add(name)
    assert len(numbers) == 40
    assert all(len(names) == 1 for names in numbers.values())


def test_new_documents_do_not_move_old_ones(tmp_path: Path) -> None:
    build([log(tmp_path, *many(30))], tmp_path / "small", BuildSettings(0.3, 0.3))
    build([log(tmp_path, *many(60))], tmp_path / "large", BuildSettings(0.3, 0.3))
    for name in ("train", "eval", "test"):
        small, large = ({row["tgt"][0] for row in rows(tmp_path / size, name)} for size in ("small", "large"))
        assert small <= large


def test_test_examples_have_unique_ids(tmp_path: Path) -> None:
    twice = [correction("doc-1"), {**correction("doc-1"), "ocr_context": {"raw_ocr": reading_of(1)}}]
    write_lines(tmp_path / "log.jsonl", [*twice, *many(30)])
    source = ActiveLearningSource(kind="active_learning", path=tmp_path / "log.jsonl")
    build([source], tmp_path / "out", BuildSettings(0, 0.99))
    ids = [row["id"] for row in rows(tmp_path / "out", "test")]
    assert len(ids) == len(set(ids)) > 2
    assert "doc-1#2" in ids


def test_max_samples_limits_documents_and_lists_the_others(tmp_path: Path) -> None:
    settings = replace(TRAIN_ONLY, max_samples=4)
    found = build([log(tmp_path, *many(10))], tmp_path / "out", settings)
    assert (found.written, found.documents) == (4, 4)
    assert found.by_filter == {"max_samples": 6}
    assert found.inputs[0]["rejected"] == 6


def test_a_larger_max_samples_keeps_the_smaller_choice(tmp_path: Path) -> None:
    source = log(tmp_path, *many(20))
    kept = []
    for count in (5, 10):
        build([source], tmp_path / str(count), replace(TRAIN_ONLY, max_samples=count))
        kept.append({row["tgt"][0] for row in rows(tmp_path / str(count), "train")})
    assert kept[0] < kept[1]


def test_an_error_counts_filters_if_no_record_is_accepted(tmp_path: Path) -> None:
    source = log(tmp_path, automatic_log(), automatic_log(), b"{", flat_correction())
    with pytest.raises(AdapterError, match=r"none of 4 records.*reviewed 2") as caught:
        build([source], tmp_path / "out", BuildSettings())
    assert caught.value.exit_code == 1
    message = str(caught.value)
    assert all(
        part in message for part in ("2 × reviewed, for example", "1 × visible", "log.jsonl:1", "reviewed: true")
    )
    assert not (tmp_path / "out").exists()
    assert len(rows(tmp_path / "out-rejected", "rejected")) == 4


def test_a_failed_build_keeps_its_rejections_separately(tmp_path: Path) -> None:
    source = log(tmp_path, correction())
    build([source], tmp_path / "out", TRAIN_ONLY)
    before = contents(tmp_path / "out")
    with pytest.raises(AdapterError, match=r"out-rejected/rejected\.jsonl"):
        build([log(tmp_path, automatic_log())], tmp_path / "out", TRAIN_ONLY)
    assert contents(tmp_path / "out") == before
    build([log(tmp_path, correction())], tmp_path / "out", TRAIN_ONLY)
    assert not (tmp_path / "out-rejected").exists()


def with_wrong_total() -> dict[str, Any]:
    """Return a correction that confirms the wrong total on its page."""
    fault = {"is_valid": False, "math_verified": False, "issues": ["the printed total is wrong"]}
    value = {**answer(grand_total=1119), "validation_summary": fault}
    page = {"structured_ocr": {"tokens": [*OCR["tokens"], "1119.00"]}}
    return correction(corrected_output=value, ocr_context=page)


def test_counts_verdicts_and_failed_rules_by_source(tmp_path: Path) -> None:
    wrong = with_wrong_total()
    unknown = numbered(correction(corrected_output=answer(taxes=None)), 98)
    (source,) = build([log(tmp_path, *many(3), wrong, unknown)], tmp_path / "out", TRAIN_ONLY).inputs
    assert source["verdicts"] == {"valid": 3, "invalid": 1, "not checkable": 1}
    assert source["failed_rules"] == {"BR-CO-15": 1}


def test_an_empty_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="contain no records"):
        build([log(tmp_path)], tmp_path / "out", BuildSettings())


def test_an_empty_split_is_a_warning(tmp_path: Path) -> None:
    found = build([log(tmp_path, *many(1))], tmp_path / "out", BuildSettings(0.01, 0.01))
    assert [warning[:20] for warning in found.warnings[:2]] == ["the eval split is em", "the test split is em"]


def test_two_answers_to_one_request_are_a_warning(tmp_path: Path) -> None:
    source = log(tmp_path, correction(), correction(corrected_output=answer(subtotal=None)))
    assert any("another answer" in warning for warning in build([source], tmp_path / "out", TRAIN_ONLY).warnings)


def test_unchecked_lengths_are_a_warning(tmp_path: Path) -> None:
    found = build([log(tmp_path, correction())], tmp_path / "out", TRAIN_ONLY)
    assert any("lengths were not checked" in warning for warning in found.warnings)


def test_arithmetic_warn_keeps_the_record_as_invalid(tmp_path: Path) -> None:
    page = {"structured_ocr": [*OCR["tokens"], "1119.00"]}
    source = log(tmp_path, correction(corrected_output=answer(grand_total=1119), ocr_context=page))
    build([source], tmp_path / "out", replace(TRAIN_ONLY, filters=FiltersSection(arithmetic="warn")))
    (row,) = rows(tmp_path / "out", "train")
    summary = json.loads(row["tgt"][0])["validation_summary"]
    assert (summary["is_valid"], summary["math_verified"]) == (False, False)
    assert "1119" in summary["issues"][0]


def test_a_failed_build_leaves_the_earlier_one(tmp_path: Path) -> None:
    build([log(tmp_path, *many(3))], tmp_path / "out", TRAIN_ONLY)
    before = contents(tmp_path / "out")
    with pytest.raises(AdapterError):
        build([log(tmp_path, automatic_log())], tmp_path / "out", TRAIN_ONLY)
    assert contents(tmp_path / "out") == before


def test_a_build_replaces_an_earlier_one(tmp_path: Path) -> None:
    build([log(tmp_path, *many(3))], tmp_path / "out", TRAIN_ONLY)
    assert build([log(tmp_path, *many(2))], tmp_path / "out", TRAIN_ONLY).written == 2
    assert len(rows(tmp_path / "out", "train")) == 2


def test_does_not_replace_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not an earlier build"):
        build([log(tmp_path, *many(1))], tmp_path / "mine", TRAIN_ONLY)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_rejects_a_source_in_the_output_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would be overwritten"):
        build([log(tmp_path, *many(1))], tmp_path, TRAIN_ONLY)


def test_names_every_missing_source_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    sources: list[AnySource] = [
        TrainingExamplesSource(kind="training_examples", path=tmp_path / "gone.jsonl"),
        ManifestSource(kind="manifest", path=tmp_path / "folder"),
    ]
    with pytest.raises(UsageError, match=r"(?s)gone\.jsonl: no such file.*folder: not a regular file"):
        build(sources, tmp_path / "out", TRAIN_ONLY)


@pytest.mark.parametrize("twice", [True, False])
def test_rejects_no_source_and_a_repeated_source(tmp_path: Path, twice: bool) -> None:
    sources = [log(tmp_path, *many(1))] * 2 if twice else []
    with pytest.raises(UsageError, match="given twice" if twice else "no source"):
        build(sources, tmp_path / "out", TRAIN_ONLY)


def test_does_not_write_inconsistent_counts(tmp_path: Path) -> None:
    found = build([log(tmp_path, *many(3))], tmp_path / "out", TRAIN_ONLY)
    check_counts(found)
    with pytest.raises(AdapterError, match="read: 4, written"):
        check_counts(replace(found, read=4))


def test_reports_progress_by_shard(tmp_path: Path) -> None:
    reported: list[int] = []
    test = log(tmp_path / "test", *many(2))
    build([log(tmp_path, *many(5))], tmp_path / "out", TRAIN_ONLY, reported.append, [test])
    assert reported == [2, 7]


def test_counts_unused_keys_and_left_out_fields(tmp_path: Path) -> None:
    value = answer()
    value["structured_data"]["vendor_block"]["email"] = "unseen@acme.example"
    found = build([log(tmp_path, correction(corrected_output=value, tenant=1))], tmp_path / "out", TRAIN_ONLY)
    assert (found.unused_keys, found.left_out) == ({"tenant": 1}, {"vendor_block.email": 1})
    (warned,) = rows(tmp_path / "out", "warned")
    assert (warned["filter"], warned["reason"]) == ("unused_keys", "keys without a place in the answer: tenant")
    assert "keys without a place in the answer: tenant (1)" in found.warnings


def prepared(tmp_path: Path, source: AnySource) -> DataManifest:
    return prepare(source, tmp_path / "lines.jsonl", TRAIN_ONLY)


def test_prepared_examples_build_to_the_same_examples(tmp_path: Path) -> None:
    source = log(tmp_path, *many(5), with_wrong_total())
    build([source], tmp_path / "direct", TRAIN_ONLY)
    prepared(tmp_path, source)
    build(
        [TrainingExamplesSource(kind="training_examples", path=tmp_path / "lines.jsonl")],
        tmp_path / "again",
        TRAIN_ONLY,
    )
    assert rows(tmp_path / "direct", "train") == rows(tmp_path / "again", "train")


def test_prepared_examples_build_to_the_same_splits(tmp_path: Path) -> None:
    source = log(tmp_path, *many(30))
    build([source], tmp_path / "direct", BuildSettings(0.3, 0.3))
    prepared(tmp_path, source)
    build(
        [TrainingExamplesSource(kind="training_examples", path=tmp_path / "lines.jsonl")],
        tmp_path / "again",
        BuildSettings(0.3, 0.3),
    )
    assert rows(tmp_path / "direct", "eval") == rows(tmp_path / "again", "eval")


def test_prepare_writes_rejections_and_a_manifest(tmp_path: Path) -> None:
    found = prepared(tmp_path, log(tmp_path, correction(), automatic_log()))
    assert (found.read, found.written, found.rejected) == (2, 1, 1)
    (line,) = rows(tmp_path, "lines")
    assert [turn["role"] for turn in line["conversations"]] == ["human", "assistant"]
    assert rows(tmp_path, "lines.jsonl.rejected")[0]["filter"] == "reviewed"
    assert json.loads((tmp_path / "lines.jsonl.manifest.json").read_text())["written"] == 1


def test_prepare_names_images_relative_to_its_file(tmp_path: Path) -> None:
    write_page(tmp_path / "1.png")
    write_json(tmp_path / "truth.json", ground_truth())
    write_json(tmp_path / "ocr.json", OCR)
    row = {"invoice_id": "RE-1", "image_path": "1.png", "ground_truth_path": "truth.json", "ocr_path": "ocr.json"}
    prepared(tmp_path, ManifestSource(kind="manifest", path=write_json(tmp_path / "m.json", [row])))
    assert rows(tmp_path, "lines")[0]["image"] == "1.png"


def test_prepare_does_not_overwrite_its_source(tmp_path: Path) -> None:
    source = log(tmp_path, correction())
    with pytest.raises(UsageError, match="would be overwritten"):
        prepare(source, source.path, TRAIN_ONLY)


def test_a_failed_prepare_writes_only_rejections(tmp_path: Path) -> None:
    source = log(tmp_path, automatic_log())
    with pytest.raises(AdapterError, match=r"lines.jsonl.rejected.jsonl: contains every rejection"):
        prepared(tmp_path, source)
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "lines.jsonl.rejected.jsonl"}
