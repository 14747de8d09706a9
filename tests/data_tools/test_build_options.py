"""Build settings other than sources: tasks, preferences, formats, groups, filters."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, answer, correction, ground_truth, numbered, write_json, write_lines, write_page
from einvoice_examples import UBL, text_pdf, without_charge
from PIL import Image

from data_tools.build_settings import BuildSettings, RunnerSettings, settings_of
from data_tools.formats.preferences import parse_preference
from data_tools.formats.training_examples import parse_example
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents import json_text
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import (
    ActiveLearningSource,
    AnySource,
    EInvoiceSource,
    FiltersSection,
    ManifestSource,
    Project,
    TasksSection,
)

TRAIN_ONLY = BuildSettings(eval_ratio=0, test_ratio=0)


def log(folder: Path, *values: Any) -> ActiveLearningSource:
    return ActiveLearningSource(kind="active_learning", path=write_lines(folder / "log.jsonl", list(values)))


def built(folder: Path, source: AnySource, settings: BuildSettings = TRAIN_ONLY) -> DataManifest:
    return build([source], folder / "out", settings)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_text().splitlines()]


def document(folder: Path, number: int, page: str) -> dict[str, Any]:
    """Write the files of a manifest entry and return it; two entries can share a page."""
    seen = [*OCR["tokens"], f"RE-{number}", page]
    truth = write_json(folder / f"{page}.json", ground_truth(invoice_id=f"RE-{number}"))
    paths = {
        "image_path": write_page(folder / f"{page}.png", f"RE-{number}"),
        "ground_truth_path": truth,
        "ocr_path": write_json(folder / f"{page}-ocr.json", seen),
    }
    return {"page_num": 1, **{key: path.name for key, path in paths.items()}}


def manifest(folder: Path, *entries: dict[str, Any]) -> ManifestSource:
    return ManifestSource(kind="manifest", path=write_json(folder / "m.json", list(entries)))


def test_counts_tasks_and_injected_faults(tmp_path: Path) -> None:
    settings = replace(TRAIN_ONLY, tasks=TasksSection(extraction=1, validation=2), fault_share=0.5)
    found = built(tmp_path, log(tmp_path, *(numbered(correction(), number) for number in range(80))), settings)
    answers = [json.loads(row["tgt"][0]) for row in rows(tmp_path, "train")]
    by_task = Counter(
        "analysis" if len(a) == 2 else "extraction" if "structured_data" in a else "validation" for a in answers
    )
    assert found.by_task == dict(by_task)
    invalid = sum(not a["validation_summary"]["is_valid"] for a in answers if "validation_summary" in a)
    assert 0 < invalid <= sum(found.faults.values()) <= 2 * invalid


def test_test_examples_are_analyses_for_every_training_task(tmp_path: Path) -> None:
    settings = replace(TRAIN_ONLY, test_ratio=0.5, tasks=TasksSection(analysis=0, validation=1), prompt_templates=4)
    built(tmp_path, log(tmp_path, *(numbered(correction(), number) for number in range(40))), settings)
    tests = rows(tmp_path, "test")
    assert len({row["src"][0].partition("Preliminary")[0] for row in tests}) == 1
    assert all(json.loads(row["tgt"][0]).keys() == {"structured_data", "validation_summary"} for row in tests)


def test_makes_preferences_from_corrections(tmp_path: Path) -> None:
    output = answer(grand_total=1119)
    found = built(tmp_path, log(tmp_path, correction(original_output=output)), replace(TRAIN_ONLY, preference=True))
    assert found.preferences == {"by_split": {"train": 1}, "by_filter": {}}
    (line,) = (tmp_path / "out" / "dpo-train.jsonl").read_bytes().splitlines()
    preference = parse_preference(line)
    (row,) = rows(tmp_path, "train")
    assert (preference.request, preference.chosen) == (row["src"][0], row["tgt"][0])
    assert json_text.parse(preference.rejected)["structured_data"] == output["structured_data"]


@pytest.mark.parametrize(
    ("output", "filter_name", "reason"),
    [
        (answer(), "canonical", "changed no field"),
        ({"structured_data": {"colour": 1}}, "canonical", "colour"),
        ("no JSON", "canonical", "not JSON"),
        (None, None, ""),
    ],
    ids=["nothing changed", "no place in the answer", "no JSON", "not logged"],
)
def test_a_preference_needs_a_different_valid_answer(
    tmp_path: Path, output: Any, filter_name: str | None, reason: str
) -> None:
    found = built(tmp_path, log(tmp_path, correction(original_output=output)), replace(TRAIN_ONLY, preference=True))
    assert found.written == 1
    assert found.preferences == {"by_split": {}, "by_filter": {filter_name: 1} if filter_name else {}}
    assert [row["filter"] for row in rows(tmp_path, "dpo-refused")] == ([filter_name] if filter_name else [])
    assert all(reason in row["reason"] for row in rows(tmp_path, "dpo-refused"))


def test_no_preference_from_a_correction_with_wrong_amounts(tmp_path: Path) -> None:
    wrong = numbered(correction(corrected_output=answer(grand_total=1119), original_output=answer()), 2)
    found = built(tmp_path, log(tmp_path, correction(), wrong), replace(TRAIN_ONLY, preference=True))
    assert found.by_filter == {"arithmetic": 1}
    assert sum(found.preferences["by_split"].values()) + sum(found.preferences["by_filter"].values()) == 1


@pytest.mark.parametrize("data_format", ["erniekit-vl", "paddleformers"])
def test_image_paths_are_relative_to_the_data_folder(tmp_path: Path, data_format: DataFormat) -> None:
    built(tmp_path, manifest(tmp_path, document(tmp_path, 1, "a")), replace(TRAIN_ONLY, format=data_format))
    (line,) = (tmp_path / "out" / "train.jsonl").read_bytes().splitlines()
    pair = parse_example(line, data_format, tmp_path / "out")
    assert [image.resolve() for image in pair.images] == [tmp_path / "a.png"]
    assert "against the image" in pair.request


def test_image_formats_need_a_page(tmp_path: Path) -> None:
    source = log(tmp_path, correction())
    (tmp_path / "missing.png").write_bytes(write_page(tmp_path / "page.png").read_bytes())
    assert built(tmp_path, source, replace(TRAIN_ONLY, format="erniekit-vl")).written == 1
    (tmp_path / "missing.png").unlink()
    two = ManifestSource(kind="manifest", path=manifest(tmp_path, document(tmp_path, 2, "b")).path)
    found = build([source, two], tmp_path / "out", replace(TRAIN_ONLY, format="erniekit-vl"))
    assert found.by_filter == {"toolkit": 1}


def test_reads_the_text_layer_of_an_e_invoice(tmp_path: Path) -> None:
    folder = tmp_path / "invoices"
    folder.mkdir()
    (folder / "a.xml").write_bytes(without_charge(UBL))
    page = [
        "Acme GmbH",
        "Weg 1 Hof 2 Tor 3 10115 Berlin DE",
        "+49 30 1234",
        "Beta AG",
        "RE-1",
        "15.01.2025",
        "14.02.2025",
    ]
    page += ["Stuhl 2 60,00 100,00", "Buch 1 20,00 20,00", "Summe 120,00 EUR", "Rabatt 10,00", "Gesamt 128,50"]
    lines = [(50, 750 - 20 * place, 10, text) for place, text in enumerate(page)]
    (folder / "a.pdf").write_bytes(text_pdf(lines))
    found = built(tmp_path, EInvoiceSource(kind="einvoice", path=folder))
    assert (found.read, found.written) == (1, 1)
    (row,) = rows(tmp_path, "train")
    assert "Stuhl 2 60,00 100,00" in row["src"][0]
    data = json.loads(row["tgt"][0])["structured_data"]
    assert data["vendor_block"]["name"] == "Acme GmbH"
    assert data["client_info"]["invoice_number"] == "RE-1"


def test_renders_pdf_pages_for_multimodal_models(tmp_path: Path) -> None:
    folder = tmp_path / "invoices"
    folder.mkdir()
    (folder / "a.xml").write_bytes(without_charge(UBL))
    (folder / "a.pdf").write_bytes(text_pdf([(50, 700, 10, "Acme GmbH RE-1")], [(50, 700, 10, "Seite 2")]))
    settings = replace(TRAIN_ONLY, format="paddleformers", min_visible_share=0)
    built(tmp_path, EInvoiceSource(kind="einvoice", path=folder), settings)
    (row,) = rows(tmp_path, "train")
    assert len(row["images"]) == 2
    for name in row["images"]:
        with Image.open(tmp_path / "out" / name) as page:
            assert page.format == "PNG"


def test_rejects_a_pdf_with_more_pages_than_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(text_pdf([(50, 700, 10, "Acme GmbH")], [(50, 700, 10, "Seite 2")]))
    truth = write_json(tmp_path / "truth.json", ground_truth()).name
    entry = {"invoice_id": "RE-1", "pdf_path": "a.pdf", "ground_truth_path": truth, "page_num": 1}
    two = {**entry, "invoice_id": "RE-2", "ground_truth_path": write_json(tmp_path / "two.json", ground_truth()).name}
    two_pages = [two, {**two, "page_num": 2}]
    found = built(tmp_path, manifest(tmp_path, entry, *two_pages), replace(TRAIN_ONLY, min_visible_share=0))
    assert found.by_filter == {"image": 1}
    assert "a.pdf has 2 pages, and the source lists 1" in found.first_reasons["image"]


def test_scans_without_ocr_are_separate_documents(tmp_path: Path) -> None:
    entries = []
    for number in (1, 2):
        entry = document(tmp_path, number, f"page-{number}")
        entries.append({key: value for key, value in entry.items() if key != "ocr_path"})
    settings = replace(TRAIN_ONLY, format="paddleformers", filters=FiltersSection(image="off", visible="unchecked"))
    assert built(tmp_path, manifest(tmp_path, *entries), settings).documents == 2


def test_an_e_invoice_without_pdf_has_no_readable_request(tmp_path: Path) -> None:
    folder = tmp_path / "invoices"
    folder.mkdir()
    (folder / "a.xml").write_bytes(without_charge(UBL))
    found = build(
        [EInvoiceSource(kind="einvoice", path=folder), log(tmp_path, numbered(correction(), 9))],
        tmp_path / "out",
        TRAIN_ONLY,
    )
    assert found.by_filter == {"visible": 1}


def test_the_same_page_stored_twice_is_a_duplicate(tmp_path: Path) -> None:
    entries = [document(tmp_path, 1, "a"), {**document(tmp_path, 1, "b"), "invoice_id": "again"}]
    smaller = Image.open(tmp_path / "b.png").resize((180, 255))
    smaller.save(tmp_path / "b.png")
    found = built(tmp_path, manifest(tmp_path, *entries))
    assert found.by_filter == {"duplicate": 1}
    assert "has the same content as" in found.first_reasons["duplicate"]


def test_keeps_augmented_copies(tmp_path: Path) -> None:
    entries = [document(tmp_path, 1, "a"), {**document(tmp_path, 1, "b"), "is_augmented": True}]
    assert built(tmp_path, manifest(tmp_path, *entries)).written == 2


@pytest.mark.parametrize(("level", "written", "warned"), [("warn", 2, 1), ("off", 2, 0)])
def test_keeps_duplicates_if_the_filter_is_off(tmp_path: Path, level: Any, written: int, warned: int) -> None:
    settings = replace(TRAIN_ONLY, filters=FiltersSection(duplicate=level))
    found = built(tmp_path, log(tmp_path, correction("a"), correction("b")), settings)
    assert (found.written, found.warned) == (written, {"duplicate": warned} if warned else {})
    assert [row["filter"] for row in rows(tmp_path, "warned")] == ["duplicate"] * warned


def test_rejects_an_invalid_page_unless_the_filter_is_off(tmp_path: Path) -> None:
    entries = [document(tmp_path, 1, "a"), document(tmp_path, 2, "b")]
    (tmp_path / "b.png").write_bytes(b"no image")
    found = built(tmp_path, manifest(tmp_path, *entries))
    assert found.by_filter == {"image": 1}
    assert "b.png" in found.first_reasons["image"]
    off = replace(TRAIN_ONLY, filters=FiltersSection(image="off"))
    assert built(tmp_path, manifest(tmp_path, *entries), off).written == 2


def test_group_by_vendor_keeps_vendors_in_one_split(tmp_path: Path) -> None:
    source = log(tmp_path, *(numbered(correction(), number) for number in range(30)))
    by_vendor = built(tmp_path, source, replace(TRAIN_ONLY, eval_ratio=0.4, group_by="vendor"))
    assert sorted(by_vendor.by_split.values()) == [0, 0, 30]
    by_document = built(tmp_path, source, replace(TRAIN_ONLY, eval_ratio=0.4))
    assert min(by_document.by_split["train"], by_document.by_split["eval"]) > 0


def test_counts_languages_and_page_sizes(tmp_path: Path) -> None:
    found = built(tmp_path, manifest(tmp_path, document(tmp_path, 1, "a"), document(tmp_path, 2, "b")))
    assert found.by_language == {"de": 2}
    assert sum(found.page_kilopixels.values()) == 2


def test_counts_examples_with_masked_data(tmp_path: Path) -> None:
    page = {"structured_ocr": [*OCR["tokens"], "IBAN DE89 3704 0044 0532 0130 00"]}
    settings = replace(TRAIN_ONLY, filters=FiltersSection(personal="mask"))
    found = built(tmp_path, log(tmp_path, correction(ocr_context=page)), settings)
    assert found.masked == {"iban": 1}
    assert "3704" not in (tmp_path / "out" / "train.jsonl").read_text()


@pytest.mark.slow
def test_workers_do_not_change_the_output(tmp_path: Path) -> None:
    trace = "x" * 6000
    source = log(tmp_path, *(numbered(correction(trace=trace), number) for number in range(2000)))
    settings = BuildSettings(tasks=TasksSection(extraction=1, validation=1), prompt_templates=3, preference=True)
    contents = []
    for workers in (1, 3):
        build([source], tmp_path / "out", settings, runner=RunnerSettings(workers=workers))
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("sections", "share"),
    [
        ({}, 0.1),
        ({"training": {"val_split_ratio": 0.3}}, 0.3),
        ({"data": {"format": "erniekit-vl"}}, 0.0),
        ({"backend": "paddleformers"}, 0.0),
        ({"backend": "paddleformers", "lora": {"enabled": False}}, 0.1),
    ],
)
def test_eval_share_if_the_toolkit_evaluates(sections: dict[str, Any], share: float) -> None:
    assert settings_of(project(**sections)).eval_ratio == share


def test_rejects_an_eval_share_that_is_never_used() -> None:
    sections = {"data": {"format": "erniekit-vl"}, "training": {"val_split_ratio": 0.1}}
    with pytest.raises(UsageError, match=r"training.val_split_ratio: found 0.1; the toolkit does not evaluate"):
        settings_of(project(**sections))


def project(**sections: Any) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": "./m"}, "output_dir": "./o", **sections})
