from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, ground_truth, write_json
from source_examples import make_source, read_source

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from erniekit_adapter.errors import AdapterError


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"png")


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "invoice_id": "RE-1",
        "pdf_path": "pdf/RE-1.pdf",
        "image_path": f"images/{number}.png",
        "ground_truth_path": "truth/RE-1.json",
        "page_num": number,
        "is_augmented": False,
        **changes,
    }


def read(folder: Path, rows: Any, **folders: Path) -> list[RecordOrRejection]:
    return read_source(make_source("manifest", write_json(folder / "training_manifest.json", rows), **folders))


def read_record(folder: Path, rows: Any, **folders: Path) -> DocumentRecord:
    (found,) = read(folder, rows, **folders)
    assert isinstance(found, DocumentRecord), found
    return found


def read_rejection(folder: Path, rows: Any) -> Rejection:
    (found,) = read(folder, rows)
    assert isinstance(found, Rejection), found
    return found


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    make_files(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    write_json(tmp_path / "truth/RE-1.json", ground_truth())
    write_json(tmp_path / "ocr/1.json", OCR)
    write_json(tmp_path / "ocr/2.json", ["page 2"])
    (tmp_path / "ocr/broken.json").write_text("{")
    return tmp_path


def test_reads_an_entry(corpus: Path) -> None:
    found = read_record(corpus, [row()])
    assert (found.document_id, found.reviewed, found.line) == ("RE-1", True, 1)
    assert found.images == (corpus / "images/1.png",)
    assert found.answer
    assert found.answer.summary.grand_total == 119


def test_finds_files_of_an_older_manifest(corpus: Path) -> None:
    rows = [{"image": "1.png", "ground_truth": "RE-1.json"}]
    found = read_record(corpus, rows, images_dir=corpus / "images", ground_truth_dir=corpus / "truth")
    assert found.images == (corpus / "images/1.png",)


def test_finds_a_file_of_a_moved_folder_by_name(corpus: Path) -> None:
    found = read_record(
        corpus, [row(image_path="old/1.png")], images_dir=corpus / "images", ground_truth_dir=corpus / "truth"
    )
    assert found.images == (corpus / "images/1.png",)


def test_pages_of_one_invoice_make_one_record(corpus: Path) -> None:
    found = read_record(corpus, [row(2), row(3), row(1)])
    assert [image.name for image in found.images] == ["1.png", "2.png", "3.png"]


def test_rejects_several_ids_with_one_ground_truth(corpus: Path) -> None:
    found = read(corpus, [row(1, invoice_id="RE-1"), row(2, invoice_id="RE-2"), row(3, invoice_id="RE-1")])
    assert [(type(result), result.line) for result in found] == [(Rejection, 1), (Rejection, 2), (Rejection, 3)]
    assert all(isinstance(result, Rejection) and result.filter == "source" for result in found)
    assert isinstance(found[0], Rejection)
    assert "truth/RE-1.json' is the ground truth of 2 invoice ids, RE-1, RE-2" in found[0].reason


def test_keeps_the_order_of_pages_without_numbers(corpus: Path) -> None:
    rows = [{"image": f"images/{n}.png", "ground_truth": "truth/RE-1.json"} for n in (2, 1)]
    assert [image.name for image in read_record(corpus, rows).images] == ["2.png", "1.png"]


def test_rejects_a_document_with_a_missing_page(corpus: Path) -> None:
    found = read_rejection(corpus, [row(1), row(3)])
    assert (found.filter, found.reason) == ("image", "page 2 of 3 is missing; listed: 1, 3")


def test_augmented_copies_share_the_original_s_group(corpus: Path) -> None:
    found = read(corpus, [row(1), row(1, image_path="images/2.png", is_augmented=True), row(1, is_augmented=True)])
    assert [result.document_id for result in found] == ["RE-1", "RE-1#augmented-1", "RE-1#augmented-2"]
    assert {result.group for result in found if isinstance(result, DocumentRecord)} == {"RE-1"}


def test_copy_with_another_id_shares_the_group(corpus: Path) -> None:
    found = read(corpus, [row(1), row(1, invoice_id="RE-1_noise", is_augmented=True)])
    assert len({result.group for result in found if isinstance(result, DocumentRecord)}) == 1


def test_reads_ocr(corpus: Path) -> None:
    assert read_record(corpus, [row(ocr_path="ocr/1.json")]).ocr == OCR


def test_ocr_of_several_pages_is_a_list(corpus: Path) -> None:
    rows = [row(2, ocr_path="ocr/2.json"), row(1, ocr_path="ocr/1.json")]
    assert read_record(corpus, rows).ocr == [OCR, ["page 2"]]


def test_accepts_ocr_without_pages(corpus: Path) -> None:
    assert read_record(corpus, [row(image_path=None, ocr_path="ocr/1.json")]).images == ()


@pytest.mark.parametrize(
    ("changes", "filter_name", "reason"),
    [
        ({"image_path": "images/gone.png"}, "image", "no such file"),
        ({"image_path": "images"}, "image", "no such file"),
        ({"image_path": "../../../../etc/passwd"}, "image", "leaves the folder"),
        ({"image_path": "/etc/passwd"}, "image", "leaves the folder"),
        ({"image_path": "https://a.example/1.png"}, "image", "is a URL"),
        ({"image_path": "data:image/png;base64,AA"}, "image", "is a URL"),
        ({"image_path": "a\0b"}, "source", "text that contains NUL"),
        ({"image_path": "x" * 5000}, "image", "not a usable path"),
        ({"image_path": 7}, "image", "is not a path"),
        ({"image_path": None}, "image", "no image_path and no pdf_path"),
        ({"ground_truth_path": "truth/gone.json"}, "source", "no such file"),
        ({"ground_truth_path": "../x.json"}, "source", "leaves the folder"),
        ({"ground_truth_path": None}, "source", "no ground_truth_path"),
        ({"ocr_path": "ocr/gone.json"}, "source", "OCR"),
        ({"ocr_path": "truth"}, "source", "OCR: 'truth': no such file; tried"),
        ({"ocr_path": "ocr/broken.json"}, "source", "OCR: not JSON"),
        ({"page_num": "one"}, "source", "not an integer"),
    ],
)
def test_rejects_a_document_with_an_unusable_file(
    corpus: Path, changes: dict[str, Any], filter_name: str, reason: str
) -> None:
    found = read_rejection(corpus, [row(**changes)])
    assert found.filter == filter_name
    assert reason in found.reason


def test_rejects_pages_with_and_without_ocr(corpus: Path) -> None:
    assert "some of its pages" in read_rejection(corpus, [row(1, ocr_path="ocr/1.json"), row(2)]).reason


def test_rejects_pages_with_different_ground_truths(corpus: Path) -> None:
    found = read_rejection(corpus, [row(1), row(2, ground_truth_path="truth/other.json")])
    assert "several ground truths" in found.reason


def test_rejects_unreadable_ground_truth(corpus: Path) -> None:
    write_json(corpus / "truth/RE-1.json", ground_truth(currency="¥"))
    assert read_rejection(corpus, [row()]).filter == "canonical"


def test_rejects_a_link_out_of_the_folder(corpus: Path) -> None:
    (corpus / "images/link.png").symlink_to("/etc/passwd")
    assert read_rejection(corpus, [row(image_path="images/link.png")]).filter == "image"


def test_rejects_entries_that_are_not_objects(corpus: Path) -> None:
    found = read(corpus, [1, "x", None, row()])
    assert [type(result) for result in found] == [Rejection, Rejection, Rejection, DocumentRecord]


@pytest.mark.parametrize("text", ["", "not json", "{}", "null", '"x"'])
def test_manifest_that_is_not_a_list_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(AdapterError, match=r"m\.json"):
        read_source(make_source("manifest", tmp_path / "m.json"))


def test_reports_keys_without_a_place(corpus: Path) -> None:
    write_json(corpus / "truth/RE-1.json", ground_truth(warehouse="B7"))
    assert read_record(corpus, [row(camera="x")]).unused_keys == ("camera", "ground truth warehouse")
