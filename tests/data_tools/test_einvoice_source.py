"""E-invoices as a source: the files of a folder, their pages and their groups."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from einvoice_examples import CII, UBL, pdf, text_pdf, with_attachments, without_charge
from hypothesis import given, settings
from hypothesis import strategies as st
from source_examples import make_source, read_einvoices, write_files

from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.files.xml_tree import MAX_XML_BYTES
from data_tools.sources.registry import open_source
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import failures
from erniekit_adapter.errors import AdapterError


def names(source: Path) -> list[str]:
    return [path.relative_to(source).as_posix() for path in open_source(make_source("einvoice", source)).inputs()]


def test_lists_xml_and_pdf_of_all_subfolders_sorted(tmp_path: Path) -> None:
    write_files(tmp_path, b__xml=b"", a__PDF=b"", c___d___e__XML=b"", notes__txt=b"", c___xml=b"")
    assert names(tmp_path) == ["a.PDF", "b.xml", "c/d/e.XML"]


def test_pdf_with_the_name_of_an_xml_has_its_pages(tmp_path: Path) -> None:
    write_files(tmp_path, a__xml=without_charge(UBL), a__pdf=text_pdf([]), below___a__pdf=text_pdf([]))
    assert names(tmp_path) == ["a.xml", "below/a.pdf"]
    record = read_einvoices(tmp_path)[0]
    assert isinstance(record, DocumentRecord)
    assert record.pdf == tmp_path / "a.pdf"


def test_pdf_with_an_attached_invoice_has_its_pages(tmp_path: Path) -> None:
    raw = with_attachments(text_pdf([]), invoice=without_charge(CII))
    (record,) = read_einvoices(write_files(tmp_path, a__pdf=raw))
    assert isinstance(record, DocumentRecord)
    assert (record.document_id, record.pdf) == ("a.pdf", tmp_path / "a.pdf")


def test_reads_a_single_file_with_any_name(tmp_path: Path) -> None:
    path = write_files(tmp_path, invoice__txt=without_charge(UBL), invoice__pdf=text_pdf([])) / "invoice.txt"
    (record,) = read_einvoices(path)
    assert isinstance(record, DocumentRecord)
    assert (record.source, record.line, record.document_id) == (str(path), 1, "invoice.txt")
    assert record.pdf == tmp_path / "invoice.pdf"


def test_record_has_its_location_and_can_be_pickled(tmp_path: Path) -> None:
    write_files(tmp_path, a__xml=b"", b___c__xml=without_charge(UBL))
    record = read_einvoices(tmp_path)[1]
    assert isinstance(record, DocumentRecord)
    assert (record.source, record.line, record.document_id) == (str(tmp_path), 2, "b/c.xml")
    assert (record.images, record.ocr, record.pdf, record.reviewed) == ((), None, None, True)
    assert "total VAT [BT-110]" in record.unused_keys
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own


def test_same_invoice_in_two_syntaxes_has_one_group(tmp_path: Path) -> None:
    spaced = without_charge(CII).replace(b"DE123456789", b"de 123 456 789")
    ubl, cii = read_einvoices(write_files(tmp_path, a__xml=without_charge(UBL), b__xml=spaced))
    assert isinstance(ubl, DocumentRecord)
    assert isinstance(cii, DocumentRecord)
    assert (ubl.group, ubl.answer) == ("DE123456789 RE-1", cii.answer)
    assert ubl.group == cii.group


@pytest.mark.parametrize(
    ("removed", "group"),
    [("DE123456789", "acme gmbh RE-1"), ("RE-1", "")],
)
def test_group_without_vat_or_invoice_number(tmp_path: Path, removed: str, group: str) -> None:
    (record,) = read_einvoices(write_files(tmp_path, a__xml=without_charge(UBL).replace(removed.encode(), b"")))
    assert isinstance(record, DocumentRecord)
    assert record.group == group


@pytest.mark.parametrize(
    ("content", "filter_name", "reason"),
    [
        (UBL.replace('<Amount currencyID="EUR">5.00</Amount>', "").encode(), "canonical", "charge 1 of the document"),
        (UBL.replace('currencyID="EUR">5.00', 'currencyID="USD">5.00').encode(), "canonical", "marked with USD"),
        (b"", "source", "neither XML nor PDF"),
        (b"\x89PNG", "source", "neither XML nor PDF"),
        (b"<html/>", "source", "not an e-invoice"),
        (b"<!DOCTYPE a><a/>", "source", "DOCTYPE"),
        (UBL.replace(">2<", ">two<").encode(), "source", "is not a decimal number"),
        (b"%PDF-1.7", "source", "not a readable PDF"),
        (pdf(), "source", "a PDF without attachments"),
        (pdf(a=b"<a>"), "source", "'a': line 1: not well-formed XML"),
        (b"<" * (MAX_XML_BYTES + 1), "source", "more than the limit of 16,777,216"),
    ],
)
def test_rejects_unreadable_files_with_the_reason(
    tmp_path: Path, content: bytes, filter_name: str, reason: str
) -> None:
    (rejection,) = read_einvoices(write_files(tmp_path, a__xml=content))
    assert isinstance(rejection, Rejection)
    assert (rejection.source, rejection.line, rejection.document_id) == (str(tmp_path), 1, "a.xml")
    assert rejection.filter == filter_name
    assert reason in rejection.reason


def test_rejects_links_out_of_the_folder(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", a__xml=without_charge(UBL), a__pdf=text_pdf([]))
    folder = write_files(tmp_path / "folder", b__xml=without_charge(UBL), c__xml=without_charge(UBL))
    (folder / "a.xml").symlink_to(outside / "a.xml")
    (folder / "b.pdf").symlink_to(outside / "a.pdf")
    (folder / "c.pdf").symlink_to(folder / "c.pdf")
    (folder / "d.xml").symlink_to("b.xml")
    (folder / "e").symlink_to(outside)
    results = {result.document_id: result for result in read_einvoices(folder)}
    reasons = {name: found.reason for name, found in results.items() if isinstance(found, Rejection)}
    pages = {name: found.pdf for name, found in results.items() if isinstance(found, DocumentRecord)}
    assert pages == {"b.xml": None, "c.xml": None, "d.xml": None}
    assert reasons == {
        "a.xml": f"a link that leaves the folder {folder}",
        "b.pdf": f"a link that leaves the folder {folder}",
        "c.pdf": "no such file, or a broken link",
        "e": "a link to a folder, which is not followed: name that folder as another source",
    }


def test_rejects_special_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.xml")
    (rejection,) = read_einvoices(tmp_path)
    assert isinstance(rejection, Rejection)
    assert (rejection.filter, rejection.reason) == ("source", "not a regular file")


def test_document_id_of_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "rechnung-\udcfc.xml").write_bytes(without_charge(UBL))
    (record,) = read_einvoices(tmp_path)
    assert record.document_id == "rechnung-\N{REPLACEMENT CHARACTER}.xml"


def test_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no such file or folder"):
        read_einvoices(tmp_path / "gone")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_disk_error_stops_the_run(tmp_path: Path) -> None:
    (write_files(tmp_path, a__xml=b"") / "a.xml").chmod(0)
    with pytest.raises(AdapterError, match=r"a\.xml: cannot be read"):
        read_einvoices(tmp_path)


FRAGMENTS = st.sampled_from(["", "<", "-", "0", "9" * 18, "0.0000000000000001", "USD", "381", "\0"])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([UBL, CII]), st.integers(0, 7000), st.integers(0, 30), FRAGMENTS | st.text(max_size=6))
def test_damaged_invoice_gives_a_record_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, text: str, start: int, length: int, put: str
) -> None:
    whole = without_charge(text).decode()
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    path.write_bytes((whole[:start] + put + whole[start + length :]).encode(errors="surrogatepass"))
    (result,) = read_einvoices(path)
    assert result.reason if isinstance(result, Rejection) else RULES.check(result.answer)


CASES = Path(__file__).parent / "cases" / "einvoice"


def test_reads_every_collected_case() -> None:
    found = {result.document_id: result for result in read_einvoices(CASES)}
    rejected = {name: result.reason for name, result in found.items() if isinstance(result, Rejection)}
    assert len(found) == 11
    assert list(rejected) == ["20_broken_xml.pdf"]
    assert "'factur-x.xml': line 2: not well-formed XML: mismatched tag" in rejected["20_broken_xml.pdf"]


CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "xrechnung"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_official_examples_give_valid_answers() -> None:
    results = read_einvoices(CORPUS)
    records = [result for result in results if isinstance(result, DocumentRecord)]
    assert [result for result in results if isinstance(result, Rejection)] == []
    assert [record.document_id for record in records if failures(RULES.check(record.answer))] == []
    assert [record.document_id for record in records if failures(record.findings or ())] == []
