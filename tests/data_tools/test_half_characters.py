"""Half a surrogate pair, or a name that is not UTF-8, rejects only its own record, in every kind of source."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import simplejson
from data_examples import correction, flat_correction, ground_truth, interchange, write_json, write_lines, write_page
from einvoice_examples import CII, UBL
from table_examples import HEADER, read_all, row, write_csv, write_pages, write_xlsx

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.filtering import _with_utf8_names
from data_tools.pipeline.shards import cut, read_shard
from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.tables.xlsx import _unescaped
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import (
    ActiveLearningSource,
    AnnotationsSource,
    AnySource,
    EInvoiceSource,
    ManifestSource,
    TrainingExamplesSource,
)

HALF = "\ud83d"
BAD_NAME = os.fsdecode(b"b\xff")
FLAT = {"vendor": "Acme GmbH", "invoice_number": "RE-1", "total": "119.00", "currency": "EUR"}


def readings(source: AnySource) -> list[RecordOrRejection]:
    return [
        _with_utf8_names(each)
        for shard in cut(source, role_is_test=False, document_type=INVOICE)
        for each in read_shard(shard)
    ]


def log(folder: Path) -> AnySource:
    hostile = [correction(document_id=HALF), flat_correction(vendor_name=HALF), correction(ocr_context={HALF: "x"})]
    return ActiveLearningSource(
        kind="active_learning", path=write_lines(folder / "a.jsonl", [*hostile, correction(corrected_output=HALF)])
    )


def lines(folder: Path) -> AnySource:
    return TrainingExamplesSource(
        kind="training_examples", path=write_lines(folder / "a.jsonl", [interchange(image=f"{HALF}.png")])
    )


def manifest(folder: Path) -> AnySource:
    write_page(folder / "a.png")
    write_json(folder / "a.json", ground_truth(language=HALF))
    entries = [{"image_path": "a.png", "ground_truth_path": name} for name in ("a.json", f"{HALF}.json")]
    return ManifestSource(kind="manifest", path=write_json(folder / "m.json", entries))


def annotations(folder: Path) -> AnySource:
    write_page(folder / "scans" / "a.png")
    write_json(folder / "scans" / "a.json", FLAT | {"vendor": HALF})
    write_json(folder / "scans" / f"{BAD_NAME}.json", FLAT)
    shutil.copy(folder / "scans" / "a.png", folder / "scans" / f"{BAD_NAME}.png")
    return AnnotationsSource(kind="annotations", path=folder / "scans")


def einvoices(folder: Path) -> AnySource:
    (folder / "in").mkdir()
    for name, text, half in (("a.xml", CII, "&#xD83D;"), ("b.xml", UBL, HALF)):
        spoilt = text.replace("GmbH", f"GmbH{half}", 1)
        assert spoilt != text
        (folder / "in" / name).write_bytes(spoilt.encode(errors="surrogatepass"))
    return EInvoiceSource(kind="einvoice", path=folder / "in")


@pytest.mark.parametrize("make", [log, lines, manifest, annotations, einvoices])
def test_rejects_every_record_with_half_a_character(tmp_path: Path, make: Callable[[Path], AnySource]) -> None:
    found = readings(make(tmp_path))
    assert found
    for each in found:
        assert isinstance(each, Rejection)
        assert each.filter == "source"
        assert "UTF-8" in each.reason or "character" in each.reason
        f"{each.source}{each.document_id}{each.reason}".encode()


def csv_utf8(folder: Path, half: str) -> Path:
    path = write_csv(folder / "t.csv", [HEADER, row(vendor="Käse@@"), row(file="r2.png", vendor="Käse")])
    path.write_bytes(path.read_bytes().replace(b"@@", half.encode(errors="surrogatepass")))
    return path


def csv_utf16(folder: Path, half: str) -> Path:
    path = write_csv(folder / "t.csv", [HEADER, row(vendor="Käse@@"), row(file="r2.png", vendor="Käse")])
    text = path.read_text(encoding="utf-8").replace("@@", half)
    path.write_bytes(text.encode("utf-16", "surrogatepass"))
    return path


def xlsx(folder: Path, half: str) -> Path:
    write_xlsx(folder / "u.xlsx", [HEADER, row(vendor="Käse@@"), row(file="r2.png", vendor="Käse")])
    escaped = "".join(f"_x{ord(each):04X}_" for each in half).encode()
    with zipfile.ZipFile(folder / "u.xlsx") as old, zipfile.ZipFile(folder / "t.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"@@", escaped))
    return folder / "t.xlsx"


@pytest.mark.parametrize("write", [csv_utf8, csv_utf16, xlsx])
def test_half_a_character_in_a_table_rejects_its_row_only(tmp_path: Path, write: Callable[[Path, str], Path]) -> None:
    write_pages(tmp_path, "r1001.png", "r2.png")
    first, second, *_ = read_all(write(tmp_path, HALF))
    assert isinstance(first, Rejection)
    assert "half a character" in first.reason
    assert isinstance(second, DocumentRecord)
    assert second.answer
    assert "Käse" in second.answer.model_dump_json()


def test_reads_a_table_without_half_a_character(tmp_path: Path) -> None:
    write_pages(tmp_path, "r1001.png", "r2.png")
    for found in read_all(csv_utf8(tmp_path, "")):
        assert isinstance(found, DocumentRecord)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a_x000A_b", "a\nb"), ("_xD83D__xDE00_", "😀"), ("_x005F_x000A_", "_x000A_"), ("_x12_ x_xyz0_", "_x12_ x_xyz0_")],
)
def test_decodes_escapes_in_cells(written: str, meant: str) -> None:
    assert _unescaped(written) == meant


def test_rejects_a_source_path_that_is_not_utf_8(tmp_path: Path) -> None:
    path = write_lines(tmp_path / f"{BAD_NAME}.jsonl", [correction()])
    with pytest.raises(UsageError, match=r"b\\udcff\.jsonl: is not UTF-8\n    → rename"):
        build([ActiveLearningSource(kind="active_learning", path=path)], tmp_path / "out", BuildSettings())


def test_writes_good_records_next_to_a_bad_name(tmp_path: Path) -> None:
    source = log(tmp_path)
    source.path.write_bytes(source.path.read_bytes() + simplejson.dumps(correction()).encode())
    found = build([source], tmp_path / "out", BuildSettings())
    assert (found.read, found.written, found.rejected) == (5, 1, 4)
