"""Annotations as a source: their files, pages and documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from data_examples import write_json, write_lines, write_page
from format_examples import EXAMPLES, read, read_one, source_of

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.registry import open_source
from erniekit_adapter.errors import UsageError

FLAT = {"vendor": "Acme GmbH", "invoice_number": "RE-1", "total": "119.00", "currency": "EUR"}


def rejected(typed: str, folder: Path) -> Rejection:
    (found,) = read(source_of(typed, folder))
    assert isinstance(found, Rejection), found
    return found


def export(folder: Path, image: Any) -> None:
    """Return a Label Studio export about one image."""
    result = [{"id": "a", "type": "textarea", "from_name": "total", "value": {"text": ["119.00"]}}]
    task = {"id": 1, "data": {"image": image}, "annotations": [{"completed_by": 1, "result": result}]}
    write_json(folder / "export.json", [task])


EXPORT = "{kind: annotations, path: export.json, root: scans}"


@pytest.mark.parametrize(
    ("image", "page"),
    [
        ("/data/local-files/?d=a.png", "a.png"),
        ("/data/local-files/?d=some/where/batch/a%20b.png", "batch/a b.png"),
        ("/data/upload/12/0123abcd-a.png", "a.png"),
        ("/data/upload/0123abcd-a.png", "0123abcd-a.png"),
        ("s3://bucket/invoices/a.png", "a.png"),
        ("https://label.example/files/a.png?token=x", "a.png"),
        ("a.png", "a.png"),
        ("C:\\scans\\a.png", "a.png"),
    ],
)
def test_finds_a_label_studio_page_in_the_root(tmp_path: Path, image: str, page: str) -> None:
    write_page(tmp_path / "scans" / page)
    export(tmp_path, image)
    found = read_one(EXPORT, tmp_path)
    assert found.images == (tmp_path / "scans" / page,)
    assert found.document_id == page


@pytest.mark.parametrize(
    "image", ["/data/local-files/?d=../outside.png", "/data/local-files/?d=link.png", "../outside.png"]
)
def test_rejects_a_page_outside_the_root(tmp_path: Path, image: str) -> None:
    write_page(tmp_path.parent / "outside.png")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/link.png").symlink_to(tmp_path.parent / "outside.png")
    export(tmp_path, image)
    assert rejected(EXPORT, tmp_path).filter == "image"


def test_rejects_a_url_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    export(tmp_path, "https://label.example/a.png")
    found = rejected(EXPORT, tmp_path)
    assert "is a URL, which is never fetched" in found.reason
    assert "set root:" in found.reason


def test_pages_of_one_task_make_one_record(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_page(tmp_path / "scans" / name)
    export(tmp_path, ["/data/local-files/?d=a.png", "/data/local-files/?d=b.png"])
    assert [page.name for page in read_one(EXPORT, tmp_path).images] == ["a.png", "b.png"]


def test_finds_a_pdf_beside_its_annotation(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", FLAT)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    found = read_one("{kind: annotations, path: .}", tmp_path)
    assert (found.images, found.pdf) == ((), tmp_path / "a.pdf")


def test_reads_every_file_of_a_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "one/a.json", FLAT)
    write_page(tmp_path / "one/a.png")
    write_json(tmp_path / "two/b.json", FLAT)
    write_json(tmp_path / "classes.json", {"colours": [1, 2]})
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[{")
    (tmp_path / "notes.txt").write_text("nothing of interest")
    found = read(source_of("{kind: annotations, path: .}", tmp_path))
    filters = {Path(result.source).name: result.filter for result in found if isinstance(result, Rejection)}
    assert filters == {"broken.json": "source", "list.json": "source", "classes.json": "canonical", "b.json": "image"}
    assert [result.document_id for result in found if isinstance(result, DocumentRecord)] == ["one/a.png"]


def test_rejects_a_link_out_of_the_folder(tmp_path: Path) -> None:
    outside = write_json(tmp_path / "outside.json", FLAT)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.json").symlink_to(outside)
    assert "leaves the folder" in rejected("{kind: annotations, path: in}", tmp_path).reason


def test_rejects_only_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_json(tmp_path / "in/a.json", FLAT)
    write_page(tmp_path / "in/a.png")
    (tmp_path / "in/loop.json").symlink_to("loop.json")
    first, second = read(source_of("{kind: annotations, path: in}", tmp_path))
    assert isinstance(first, DocumentRecord)
    assert isinstance(second, Rejection)


def test_reads_flat_fields_of_metadata_lines(tmp_path: Path) -> None:
    write_page(tmp_path / "a.png")
    write_lines(tmp_path / "metadata.jsonl", [{"file_name": "a.png", **FLAT}, b"{", {"file_name": "gone.png", **FLAT}])
    good, broken, gone = read(source_of("{kind: annotations, path: metadata.jsonl}", tmp_path))
    assert isinstance(good, DocumentRecord)
    assert isinstance(broken, Rejection)
    assert isinstance(gone, Rejection)
    assert (broken.line, broken.filter, gone.line, gone.filter) == (2, "source", 3, "image")
    assert "no such file; tried" in gone.reason


def test_rejects_list_entries_without_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "all.json", [FLAT, FLAT])
    write_page(tmp_path / "all.png")
    found = read(source_of("{kind: annotations, path: all.json}", tmp_path))
    assert all(
        isinstance(result, Rejection) and "give each document of a list a file_name" in result.reason
        for result in found
    )


def test_uses_the_class_list_of_wildreceipt(tmp_path: Path) -> None:
    value = json.loads((EXAMPLES / "wildreceipt/train.txt").read_text())
    names = {1: "9", 23: "8"}
    parts = [{**part, "label": int(names.get(part["label"], 0))} for part in value["annotations"]]
    write_lines(tmp_path / "list.txt", [value | {"annotations": parts}])
    (tmp_path / "class_list.txt").write_text("0 Ignore\n8 Total_value\n9 Store_name_value\n")
    shutil.copytree(EXAMPLES / "wildreceipt/image_files", tmp_path / "image_files")
    answer = read_one("{kind: annotations, path: list.txt}", tmp_path).answer
    assert answer
    assert answer.structured_data.vendor_block
    assert (answer.structured_data.vendor_block.name, answer.summary.grand_total) == ("Birkenhof Papier", 119)


def test_reads_sroie_texts_with_boxes() -> None:
    found = read_one("{kind: annotations, path: sroie}")
    assert found.ocr["tokens"][0] == "BIRKENHOF PAPIER GMBH"
    assert found.ocr["bboxes"][0] == [62, 62, 625, 156]


def test_reads_service_texts_as_ocr() -> None:
    assert read_one("{kind: annotations, path: textract, reviewed: true}").ocr["bboxes"][0] == [100, 50, 400, 70]
    assert read_one("{kind: annotations, path: azure, reviewed: true}").ocr.startswith("Birkenhof")


@pytest.mark.parametrize("kind", ["annotations", "manifest"])
def test_unknown_fields_in_labels_are_usage_errors(tmp_path: Path, kind: str) -> None:
    write_json(tmp_path / "export.json", [])
    with pytest.raises(UsageError, match=r"(?s)no such field: Lieferant: vendorname.*the fields are"):
        read(source_of(f"{{kind: {kind}, path: export.json, labels: {{Lieferant: vendorname}}}}", tmp_path))


def test_ambiguous_date_needs_date_order() -> None:
    typed = "{kind: manifest, path: dates/manifest.json}"
    assert "set data.date_order: day_first or month_first" in rejected(typed, EXAMPLES).reason
    for order, expected in (("day_first", "2025-05-08"), ("month_first", "2025-08-05")):
        answer = read_one(typed, date_order=order).answer
        assert answer
        assert answer.structured_data.client_info
        assert str(answer.structured_data.client_info.invoice_date) == expected


def test_ambiguous_amount_needs_currency(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"vendor": "Acme", "total": "33,000"})
    write_page(tmp_path / "a.png")
    assert "set currency: on its source" in rejected("{kind: annotations, path: .}", tmp_path).reason
    answer = read_one("{kind: annotations, path: ., currency: IDR}", tmp_path).answer
    assert answer
    assert (answer.summary.grand_total, answer.summary.currency) == (33000, "IDR")


def test_digest_of_a_folder_changes_with_its_files(tmp_path: Path) -> None:
    write_json(tmp_path / "in/a.json", FLAT)
    source = source_of("{kind: annotations, path: in}", tmp_path)
    before = open_source(source).digest()
    write_json(tmp_path / "in/a.json", FLAT | {"total": "120.00"})
    assert open_source(source).digest() != before


def test_build_manifest_records_reviewed(tmp_path: Path) -> None:
    typed = "{kind: active_learning, path: log-reviewed/log.jsonl, reviewed: true}"
    found = build([source_of(typed)], tmp_path / "out", BuildSettings())
    assert (found.written, found.inputs[0]["reviewed"]) == (1, True)


@pytest.mark.parametrize(
    ("in_file", "setting", "expected"), [(True, "", True), (None, "", False), (None, ", complete: true", True)]
)
def test_reads_complete_from_ground_truth(tmp_path: Path, in_file: bool | None, setting: str, expected: bool) -> None:
    write_page(tmp_path / "a.png")
    write_json(tmp_path / "truth.json", FLAT | ({"complete": in_file} if in_file else {}))
    write_json(tmp_path / "m.json", [{"image_path": "a.png", "ground_truth_path": "truth.json"}])
    found = read_one(f"{{kind: manifest, path: m.json{setting}}}", tmp_path)
    assert (found.complete, found.unused_keys) == (expected, ())
