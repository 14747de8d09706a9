from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import simplejson
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer
from data_tools.synthesize.drawing import PAGE_HEIGHT_PX, PAGE_WIDTH_PX, draw_page, page_png
from data_tools.synthesize.invoice import SyntheticInvoice, ground_truth
from data_tools.synthesize.page_layout import (
    FIRST_PAGE_LAYOUTS,
    PAGE_LAYOUTS,
    TextRow,
    page_blocks,
    percent,
    text_lines,
)
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import failures
from erniekit_adapter.errors import UsageError

ANY_INVOICE = st.builds(
    lambda seed, index, share: make_invoice(seed, index, fault_share=share),
    st.integers(-1000, 10**6),
    st.integers(0, 10**6),
    st.sampled_from((0.0, 1.0)),
)
# Keys that describe the invoice and are not printed on it.
ABOUT = {"language", "layout_type", "invoice_type", "challenge_category", "fault"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    write_corpus(folder, count=24, seed=11, fault_share=0.3, correction_share=0.5)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log_records(corpus: Path, key: str) -> list[dict[str, Any]]:
    lines = (corpus / "active_learning.jsonl").read_text().splitlines()
    records = [simplejson.loads(line, use_decimal=True) for line in lines if line.endswith("}")]
    return [record for record in records if key in record]


def expected_totals(invoice: SyntheticInvoice) -> tuple[Decimal, Decimal, Decimal]:
    subtotal = sum((item.quantity * item.unit_price for item in invoice.items), Decimal(0))
    base = subtotal - invoice.discount_total
    unit = Decimal(1) if invoice.currency == "JPY" else Decimal("0.01")
    tax = (base * invoice.tax_rate / 100).quantize(unit, ROUND_HALF_UP)
    return subtotal, tax, base + tax


def test_same_seed_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "again", count=24, seed=11, fault_share=0.3, correction_share=0.5)
    assert contents(tmp_path / "again") == contents(corpus)


def test_another_seed_gives_another_corpus() -> None:
    assert make_invoice(1, 0, fault_share=0) != make_invoice(2, 0, fault_share=0)


def test_invoice_does_not_depend_on_the_count(corpus: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "fewer", count=8, seed=11, fault_share=0.3, correction_share=0.5)
    fewer, more = contents(tmp_path / "fewer"), contents(corpus)
    pages = [name for name in fewer if "/" in name]
    assert pages
    assert all(fewer[name] == more[name] for name in pages)


def test_new_page_layout_changes_only_the_invoices_that_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [make_invoice(11, index, fault_share=0.3) for index in range(400)]
    monkeypatch.setitem(PAGE_LAYOUTS, "compact", PAGE_LAYOUTS["ledger"])
    after = [make_invoice(11, index, fault_share=0.3) for index in range(400)]
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert all(new == replace(old, layout_type="compact") for old, new in changed)
    assert 60 <= len(changed) <= 100  # one in five


def test_new_page_layout_keeps_all_other_files_of_a_corpus(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PAGE_LAYOUTS, "compact", PAGE_LAYOUTS["receipt"])
    write_corpus(tmp_path / "more", count=24, seed=11, fault_share=0.3, correction_share=0.5)
    invoices = [make_invoice(11, index, fault_share=0.3) for index in range(24)]
    compact = {invoice.invoice_id for invoice in invoices if invoice.layout_type == "compact"}
    before, after = contents(corpus), contents(tmp_path / "more")
    changed = {Path(name).stem for name in before if "/" in name and before[name] != after[name]}
    assert before.keys() == after.keys()
    assert 0 < len(compact) < 12
    assert changed <= compact


def test_page_layouts_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(PAGE_LAYOUTS)[: len(FIRST_PAGE_LAYOUTS)] == FIRST_PAGE_LAYOUTS
    monkeypatch.setitem(PAGE_LAYOUTS, "compact", PAGE_LAYOUTS["ledger"])
    monkeypatch.setitem(PAGE_LAYOUTS, "two-columns", PAGE_LAYOUTS["letter"])
    drawn = Counter(make_invoice(5, index, fault_share=0).layout_type for index in range(1200))
    assert set(drawn) == set(PAGE_LAYOUTS)
    assert all(150 <= count <= 250 for count in drawn.values())


def test_invoice_numbers_never_repeat_within_a_series() -> None:
    numbers = [make_invoice(3, index, fault_share=0).invoice_id for index in range(400)]
    assert len(set(numbers)) == 400


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(-1000, 10**6), index=st.integers(0, 10**6))
def test_totals_without_fault_add_up(seed: int, index: int) -> None:
    invoice = make_invoice(seed, index, fault_share=0)
    assert (invoice.subtotal, invoice.tax_total, invoice.grand_total) == expected_totals(invoice)
    assert not failures(RULES.check(read_answer(canonical_answer(invoice))))
    assert "fault" not in ground_truth(invoice)


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(-1000, 10**6), index=st.integers(0, 10**6))
def test_faulty_invoice_has_one_wrong_amount_and_names_it(seed: int, index: int) -> None:
    right, faulty = make_invoice(seed, index, fault_share=0), make_invoice(seed, index, fault_share=1)
    fault = ground_truth(faulty)["fault"]
    assert getattr(faulty, fault) != getattr(right, fault)
    assert getattr(faulty, fault) > 0
    assert replace(faulty, fault=None, **{fault: getattr(right, fault)}) == right
    assert failures(RULES.check(read_answer(canonical_answer(faulty)), as_given=True))


@settings(deadline=None, max_examples=150)
@given(invoice=ANY_INVOICE)
def test_amounts_have_the_decimals_of_their_currency(invoice: SyntheticInvoice) -> None:
    amounts = [invoice.subtotal, invoice.tax_total, invoice.discount_total, invoice.grand_total]
    amounts += [item.unit_price for item in invoice.items]
    decimals = 0 if invoice.currency == "JPY" else 2
    assert {amount.as_tuple().exponent for amount in amounts} == {-decimals}


@settings(deadline=None, max_examples=150)
@given(invoice=ANY_INVOICE)
def test_page_prints_every_value_of_the_ground_truth(invoice: SyntheticInvoice) -> None:
    truth = simplejson.loads(simplejson.dumps(ground_truth(invoice), use_decimal=True), use_decimal=True)
    words = set(" ".join(text_lines(invoice)).replace(",", "").replace(" -", " ").split())
    for name, value in leaves({key: value for key, value in truth.items() if key not in ABOUT}):
        if name == "tax_rate":
            assert percent(value) in words
        elif name in ("discount", "discount_total") and value == 0:
            continue
        else:
            assert set(str(value).split()) <= words, name


def leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, key)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner, name)]
    return [] if value is None else [(name, value)]


@settings(deadline=None, max_examples=150)
@given(invoice=ANY_INVOICE)
def test_page_is_short_ascii_text(invoice: SyntheticInvoice) -> None:
    text = "\n".join(text_lines(invoice))
    assert text.isascii()
    assert 200 <= len(text) <= 560


def test_page_is_a_small_grey_image_with_text() -> None:
    blocks = page_blocks(make_invoice(5, 1, fault_share=0))
    png = page_png(blocks)
    page = Image.open(BytesIO(png))
    assert (page.size, page.mode) == ((PAGE_WIDTH_PX, PAGE_HEIGHT_PX), "L")
    assert len(png) <= 30_000
    assert sum(page.histogram()[:64]) > 0


def test_font_has_every_character_of_the_pages() -> None:
    def drawn(text: str) -> Image.Image:
        return draw_page([(TextRow((text,), "left"),)])

    letters = sorted(
        {
            character
            for index in range(60)
            for line in text_lines(make_invoice(5, index, fault_share=0))
            for character in line
        }
    )
    missing = drawn("\u4e00")
    assert all(ImageChops.difference(drawn(letter), missing).getbbox() for letter in letters)


@pytest.mark.parametrize("layout_type", PAGE_LAYOUTS)
def test_longest_page_stays_within_its_margins(layout_type: str) -> None:
    invoices = [make_invoice(9, index, fault_share=0) for index in range(150)]
    longest = max(invoices, key=lambda invoice: sum(map(len, text_lines(replace(invoice, layout_type=layout_type)))))
    page = draw_page(page_blocks(replace(longest, layout_type=layout_type)))
    box = ImageChops.difference(page, Image.new("L", page.size, 250)).getbbox()
    assert box is not None
    assert box[0] >= 40
    assert box[2] <= PAGE_WIDTH_PX - 40
    assert box[3] <= PAGE_HEIGHT_PX - 40


def test_manifest_names_existing_files_by_relative_paths(corpus: Path) -> None:
    rows = json.loads((corpus / "training_manifest.json").read_text())
    assert len(rows) == 12
    for row in rows:
        assert set(row) == {"invoice_id", "image_path", "ground_truth_path", "ocr_path", "page_num", "is_augmented"}
        paths = [Path(row[key]) for key in ("image_path", "ground_truth_path", "ocr_path")]
        assert not any(path.is_absolute() for path in paths)
        assert all((corpus / path).is_file() for path in paths)


def test_ground_truth_keeps_the_digits_of_amounts(corpus: Path) -> None:
    invoice = make_invoice(11, 0, fault_share=0.3)
    text = (corpus / f"ground_truth/{invoice.invoice_id}.json").read_text()
    assert f'"grand_total": {invoice.grand_total}' in text


def test_counts_every_invoice_once(corpus: Path) -> None:
    counts = json.loads((corpus / "corpus.json").read_text())["counts"]
    assert (
        counts["documents"]
        + sum(counts[shape] for shape in ("reviewed_correction", "flat_correction", "automatic_log"))
        == 24
    )
    lines = (corpus / "active_learning.jsonl").read_text().splitlines()
    assert len(lines) == 12 + counts["lines_to_refuse"]


def test_flat_correction_has_the_keys_of_shape_1(corpus: Path) -> None:
    record = log_records(corpus, "extracted_data")[0]
    assert set(record) == {"document_id", "source_file", "extracted_data", "correction", "timestamp"}
    assert set(record["extracted_data"][0]) == {"field_name", "value", "confidence"}
    assert set(record["correction"]) - {"discount"} == {
        *("vendor_name", "vendor_address", "client_name", "invoice_number", "invoice_date", "due_date", "currency"),
        *("subtotal", "tax_rate", "tax_amount", "grand_total", "line_items"),
    }
    assert 0 <= record["correction"]["tax_rate"] < 1
    extracted = {field["field_name"]: field["value"] for field in record["extracted_data"]}
    assert sum(extracted[name] != record["correction"][name] for name in extracted) == 1


def test_automatic_log_has_shape_2_and_accepts_a_wrong_total(corpus: Path) -> None:
    truths = {make_invoice(11, i, fault_share=0.3).invoice_id: make_invoice(11, i, fault_share=0.3) for i in range(24)}
    for record in log_records(corpus, "validation"):
        assert set(record) == {
            *("document_id", "source_file", "timestamp", "model_output", "validation"),
            *("needs_review", "difficulty_label", "error_type"),
        }
        output = record["model_output"]
        summary = output.get("structured_data", output)["financial_summary"]
        invoice = truths[Path(record["source_file"]).stem]
        calculated = invoice.subtotal - invoice.discount_total + invoice.tax_total
        assert summary["grand_total"] == calculated + 1000
        assert record["validation"]["is_valid"] is True


def test_reviewed_correction_has_shape_3_and_corrects_the_answer(corpus: Path) -> None:
    record = log_records(corpus, "completion")[0]
    assert set(record) == {
        *("document_id", "timestamp", "type", "prompt", "completion", "metadata"),
        *("original_output", "corrected_output", "ocr_context"),
    }
    assert set(record["metadata"]) == {"user_id", "image_path", "model_version", "correction_type", "difficulty"}
    assert set(record["ocr_context"]) == {"raw_ocr", "structured_ocr"}
    assert "Preliminary OCR Data" in record["prompt"]
    assert record["completion"] == record["corrected_output"] != record["original_output"]
    assert set(json.loads(record["completion"])) == {"structured_data", "validation_summary"}
    assert (corpus / record["metadata"]["image_path"]).is_file()


def test_log_ends_with_an_incomplete_line_and_duplicates(corpus: Path) -> None:
    *_, cut, again, _ = (corpus / "active_learning.jsonl").read_text().splitlines()
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(cut)
    first, repeated = log_records(corpus, "completion")[0], json.loads(again)
    different = {key for key in repeated if key in ("document_id", "timestamp") and repeated[key] != first[key]}
    assert different == {"document_id", "timestamp"}
    assert repeated["completion"] == first["completion"]


def test_rejects_a_folder_that_is_not_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an earlier corpus"):
        write_corpus(tmp_path, count=1, seed=1, fault_share=0, correction_share=0)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_names_every_argument_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)fault_share.*correction_share.*count"):
        write_corpus(tmp_path / "new", count=0, seed=1, fault_share=2, correction_share=-1)
