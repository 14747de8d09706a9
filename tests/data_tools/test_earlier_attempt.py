"""Regression tests for the faults of an earlier implementation."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import (
    OCR,
    answer,
    automatic_log,
    correction,
    ground_truth,
    numbered,
    write_json,
    write_lines,
    write_page,
)

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import ActiveLearningSource, AnySource, ManifestSource

TRAIN_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)


def answers(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "train.jsonl").read_text().splitlines()
    return [simplejson.loads(json.loads(line)["tgt"][0], use_decimal=True) for line in lines]


def build_manifest(folder: Path, rows: list[dict[str, Any]], settings: BuildSettings = TRAIN_ONLY) -> DataManifest:
    path = write_json(folder / "training_manifest.json", rows)
    return build([ManifestSource(kind="manifest", path=path)], folder / "out", settings)


def build_log(folder: Path, *values: Any) -> DataManifest:
    path = write_lines(folder / "log.jsonl", list(values))
    return build([ActiveLearningSource(kind="active_learning", path=path)], folder / "out", TRAIN_ONLY)


def write_document(folder: Path, name: str, truth: dict[str, Any], pages: int = 1) -> list[dict[str, Any]]:
    """Write the files of a document and return its manifest entries."""
    truth_path = write_json(folder / f"truth/{name}.json", truth)
    rows = []
    for page in range(1, pages + 1):
        seen = [*OCR["tokens"], str(truth["invoice_id"]), f"{name} page {page}"]
        ocr_path = write_json(folder / f"ocr/{name}_{page}.json", seen)
        image_path = write_page(folder / f"images/{name}_{page}.png", f"{name} {page}")
        paths = {"image_path": image_path, "ground_truth_path": truth_path, "ocr_path": ocr_path}
        named = {key: str(path.relative_to(folder)) for key, path in paths.items()}
        rows.append({"invoice_id": name, **named, "page_num": page, "is_augmented": False})
    return rows


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a synthetic corpus; return the folder with `corpus` and `out`."""
    folder = tmp_path_factory.mktemp("earlier")
    write_corpus(folder / "corpus", count=80, seed=3, fault_share=0.3, correction_share=0.3)
    sources: list[AnySource] = [
        ManifestSource(kind="manifest", path=folder / "corpus" / "training_manifest.json"),
        ActiveLearningSource(kind="active_learning", path=folder / "corpus" / "active_learning.jsonl"),
    ]
    build(sources, folder / "out", TRAIN_ONLY)
    return folder


def test_reads_both_manifests_without_empty_answers(tmp_path: Path) -> None:
    (new,) = write_document(tmp_path, "RE-1", ground_truth())
    (old,) = write_document(tmp_path, "RE-2", ground_truth(invoice_id="RE-2"))
    old = {"image": old["image_path"], "ground_truth": old["ground_truth_path"], "ocr_path": old["ocr_path"]}
    assert build_manifest(tmp_path, [new, old]).written == 2
    for found in answers(tmp_path / "out"):
        blocks = found["structured_data"]
        assert set(blocks) == {"vendor_block", "client_info", "line_items", "financial_summary", "payment_terms"}


def test_an_image_that_is_a_folder_is_missing(tmp_path: Path) -> None:
    rows = write_document(tmp_path, "RE-1", ground_truth())
    bad = [
        {**rows[0], "invoice_id": f"bad-{name}", "image_path": name, "ground_truth_path": None}
        for name in ("images", "x")
    ]
    assert build_manifest(tmp_path, [*rows, *bad]).by_filter == {"image": 2}


@pytest.mark.slow
def test_each_document_becomes_an_example_or_a_rejection(corpus: Path) -> None:
    manifest = json.loads((corpus / "out" / "manifest.json").read_text())
    counts = json.loads((corpus / "corpus" / "corpus.json").read_text())["counts"]
    assert manifest["read"] == 80 + counts["lines_to_refuse"]
    assert manifest["written"] >= counts["documents"] + counts["reviewed_correction"] - 1
    assert manifest["by_filter"]["reviewed"] == counts["automatic_log"]


def test_valid_answers_have_consistent_amounts(corpus: Path) -> None:
    verdicts = [found["validation_summary"] for found in answers(corpus / "out")]
    invalid = [verdict for verdict in verdicts if not verdict["is_valid"]]
    assert 0.1 < len(invalid) / len(verdicts) < 0.5
    assert all(verdict["issues"] and not verdict["math_verified"] for verdict in invalid)
    assert all(not verdict["issues"] for verdict in verdicts if verdict["is_valid"])


def test_answers_contain_no_confidence(corpus: Path) -> None:
    assert b"confidence" not in (corpus / "out" / "train.jsonl").read_bytes().split(b'"tgt"', 1)[1]


def test_rejects_a_total_that_is_off_by_1000(tmp_path: Path) -> None:
    flattering = {
        **answer(grand_total=1119),
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []},
    }
    found = build_log(tmp_path, correction(), numbered(correction(corrected_output=flattering), 2))
    assert found.by_filter == {"arithmetic": 1}
    assert all(part in found.first_reasons["arithmetic"] for part in ("BR-CO-15", "1119", "119"))


def test_unreviewed_output_is_not_truth(tmp_path: Path) -> None:
    found = build_log(tmp_path, correction(), *(automatic_log(f"doc-{number}") for number in range(3)))
    assert (found.written, found.by_filter) == (1, {"reviewed": 3})


def test_requests_are_those_of_the_service_with_real_ocr(corpus: Path) -> None:
    rows = json.loads((corpus / "corpus" / "training_manifest.json").read_text())
    ocr = json.loads((corpus / "corpus" / rows[0]["ocr_path"]).read_text())
    first = json.loads((corpus / "out" / "train.jsonl").read_text().splitlines()[0])
    assert first["src"] == [INVOICE.prompts.analysis_request(ocr, with_image=False)]


@pytest.mark.parametrize("ocr", [None, {}, {"raw_ocr": "", "structured_ocr": None}, {"raw_ocr": None}])
def test_rejects_empty_ocr(tmp_path: Path, ocr: Any) -> None:
    with pytest.raises(AdapterError, match="visible 1"):
        build_log(tmp_path, correction(ocr_context=ocr))


def test_several_pages_make_one_example(tmp_path: Path) -> None:
    found = build_manifest(tmp_path, write_document(tmp_path, "RE-1", ground_truth(), pages=3))
    assert (found.read, found.written) == (1, 1)
    request = json.loads((tmp_path / "out" / "train.jsonl").read_text())["src"][0]
    assert all(f"RE-1 page {page}" in request for page in (1, 2, 3))


def test_augmented_copies_stay_in_the_split_of_their_original(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        truth = ground_truth(invoice_id=f"RE-{number}")
        original = write_document(tmp_path, f"RE-{number}", truth)
        copy = write_document(tmp_path, f"RE-{number}_noise", truth)
        rows += [*original, {**copy[0], "is_augmented": True}]
    build_manifest(tmp_path, rows, BuildSettings(0.3, 0.3))
    sides: dict[str, list[str]] = {}
    for name in ("train", "eval", "test"):
        for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines():
            number = json.loads(json.loads(line)["tgt"][0])["structured_data"]["client_info"]["invoice_number"]
            sides.setdefault(number, []).append(name)
    assert all(len(names) == 2 and len(set(names)) == 1 for names in sides.values())
    assert len({names[0] for names in sides.values()}) == 3


def test_rejects_float_amounts_that_do_not_add_up(tmp_path: Path) -> None:
    good = write_document(tmp_path, "RE-1", ground_truth())
    truth = ground_truth(invoice_id="RE-2", tax_total=0.1 + 0.2, grand_total=100.3, items=[])
    found = build_manifest(tmp_path, good + write_document(tmp_path, "RE-2", truth))
    assert found.by_filter == {"arithmetic": 1}
    assert "0.30000000000000004 with more than 2 decimals (EUR)" in found.first_reasons["arithmetic"]


def test_rejects_yen_with_decimals(tmp_path: Path) -> None:
    good = write_document(tmp_path, "RE-1", ground_truth())
    truth = ground_truth(invoice_id="RE-2", currency="JPY", subtotal=100.5, grand_total=119.5)
    found = build_manifest(tmp_path, good + write_document(tmp_path, "RE-2", truth))
    assert "more than 0 decimals (JPY)" in found.first_reasons["arithmetic"]


def test_amounts_keep_the_digits_of_the_page(tmp_path: Path) -> None:
    text = simplejson.dumps(answer()).replace('"subtotal": 100', '"subtotal": 100.00')
    build_log(tmp_path, correction(corrected_output=text))
    (found,) = answers(tmp_path / "out")
    assert str(found["structured_data"]["financial_summary"]["subtotal"]) == "100.00"


def test_answers_contain_only_values_of_the_page(tmp_path: Path) -> None:
    truth = ground_truth(hs_codes=["8471"], project_code="P-7", industry="steel", discount_total=0)
    found = build_manifest(tmp_path, write_document(tmp_path, "RE-1", truth))
    text = json.loads((tmp_path / "out" / "train.jsonl").read_text())["tgt"][0]
    assert not any(word in text for word in ("8471", "P-7", "steel", "unseen@", "discounts"))
    assert found.left_out == {"vendor_block.email": 1}


def test_an_empty_answer_is_not_valid(tmp_path: Path) -> None:
    found = build_log(tmp_path, correction(), correction("doc-2", corrected_output={"structured_data": {}}))
    assert found.by_filter == {"canonical": 1}


def test_checks_a_tax_rate_with_its_amount(tmp_path: Path) -> None:
    wrong = answer(taxes=[{"rate": 0.07, "amount": 19}])
    found = build_log(tmp_path, correction(), numbered(correction(corrected_output=wrong), 2))
    assert "BR-CO-17" in found.first_reasons["arithmetic"]


def test_reads_an_amount_given_as_text(tmp_path: Path) -> None:
    written = {"subtotal": "1,234.50", "tax_amount": "€ 0", "total": "1.234,50", "currency": "EUR"}
    context = {"structured_ocr": ["Acme", "EUR 1,234.50", "0.00"]}
    logged = {"document_id": "d", "extracted_data": [], "correction": written, "ocr_context": context}
    assert build_log(tmp_path, logged).written == 1
    (found,) = answers(tmp_path / "out")
    assert found["structured_data"]["financial_summary"]["grand_total"] == Decimal("1234.50")
