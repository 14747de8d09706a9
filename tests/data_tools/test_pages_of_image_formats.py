"""Pages that go along as images: checked like text, upright, complete, and in a format that toolkits read."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, ground_truth, write_json, write_page
from einvoice_examples import text_pdf
from PIL import Image

from data_tools.build_settings import BuildSettings
from data_tools.pages.images import turned
from data_tools.pages.orientation import turn_by_text
from data_tools.pages.tiff import MAX_FRAMES, tiff_pages
from data_tools.stage.data_manifest import DataManifest
from data_tools.stage.pipeline import build
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.drawing import draw_page
from data_tools.synthesize.layout import page_blocks
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import GatesSection, ManifestSource

VL = BuildSettings(eval_ratio=0, test_ratio=0, form="erniekit-vl")
TEXT = replace(VL, form="erniekit")
UNCHECKED = replace(VL, gates=GatesSection(visible="unchecked"))
LINES = [(50, 750 - 20 * place, 10, text) for place, text in enumerate(OCR["tokens"])]


def entry(folder: Path, **changes: Any) -> dict[str, Any]:
    truth = write_json(folder / "truth.json", ground_truth()).name
    return {"invoice_id": "RE-1", "image_path": "page.png", "ground_truth_path": truth, "page_num": 1, **changes}


def built(folder: Path, settings: BuildSettings, *entries: dict[str, Any]) -> DataManifest:
    source = ManifestSource(kind="manifest", path=write_json(folder / "m.json", list(entries)))
    return build([source], folder / "out", settings)


def line(folder: Path) -> str:
    return (folder / "out" / "train.jsonl").read_text()


def images(folder: Path) -> list[Image.Image]:
    """The page images of the only line."""
    found = json.loads(line(folder))
    return [Image.open(folder / "out" / part["image_url"]) for part in found["image_info"]]


def picture(index: int = 0) -> Image.Image:
    return draw_page(page_blocks(make_invoice(3, index, fault_share=0)))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_page_without_text_is_rejected_with_what_to_do(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    with pytest.raises(AdapterError, match=r"(?s)visible 1.*make setup-ocr.*data\.ocr: rapidocr.*visible: unchecked"):
        built(tmp_path, VL, entry(tmp_path))


def test_an_unchecked_page_is_used_and_counted(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    found = built(tmp_path, UNCHECKED, entry(tmp_path))
    assert (found.written, found.warned) == (1, {"visible": 1})
    assert "unchecked: " in (tmp_path / "out" / "warned.jsonl").read_text()
    assert "OCR" not in line(tmp_path)


def test_unchecked_pages_with_text_are_checked(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    found = built(tmp_path, UNCHECKED, entry(tmp_path, ocr_path=ocr))
    assert (found.warned, found.left_out) == ({}, {"vendor_block.email": 1})


def test_unchecked_is_for_pages_and_not_for_text(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    with pytest.raises(AdapterError, match="nothing to read: no OCR"):
        built(tmp_path, replace(UNCHECKED, form="erniekit"), entry(tmp_path))


@pytest.mark.parametrize("form", ["erniekit", "erniekit-vl", "paddleformers"])
def test_a_pdf_beside_an_image_supplies_its_text(tmp_path: Path, form: Any) -> None:
    write_page(tmp_path / "page.png")
    (tmp_path / "page.pdf").write_bytes(text_pdf(LINES))
    found = built(tmp_path, replace(VL, form=form), entry(tmp_path, pdf_path="page.pdf"))
    assert (found.written, found.left_out) == (1, {"vendor_block.email": 1})
    assert "Preliminary OCR Data" in line(tmp_path)


def test_a_pdf_with_more_pages_than_images_names_the_missing_one(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    (tmp_path / "page.pdf").write_bytes(text_pdf(LINES, LINES))
    with pytest.raises(AdapterError, match="page 2 is missing"):
        built(tmp_path, VL, entry(tmp_path, pdf_path="page.pdf"))


def test_a_broken_pdf_beside_an_image_is_no_text(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.7 broken")
    assert built(tmp_path, UNCHECKED, entry(tmp_path, pdf_path="page.pdf")).warned == {"visible": 1}


@pytest.mark.parametrize(
    ("copies", "reason"),
    [
        ([(1, False), (2, False), (1, True)], "page 2 of 2 is missing; listed: 1"),
        ([(2, False)], "page 1 of 2 is missing; listed: 2"),
        ([(0, False), (2, False)], "page 1 of 2 is missing; listed: 0, 2"),
    ],
)
def test_an_incomplete_set_of_pages_names_the_missing_one(
    tmp_path: Path, copies: list[tuple[int, bool]], reason: str
) -> None:
    write_page(tmp_path / "page.png")
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    entries = [entry(tmp_path, ocr_path=ocr, page_num=page, is_augmented=copy) for page, copy in copies]
    whole = entry(tmp_path, ocr_path=ocr, invoice_id="RE-9", ground_truth_path="whole.json")
    write_json(tmp_path / "whole.json", ground_truth(payment_terms="30 Tage"))
    found = built(tmp_path, TEXT, *entries, whole)
    assert reason in found.first_reasons["image"]


def test_a_copy_without_page_numbers_that_lacks_a_page_is_rejected(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    pages = [entry(tmp_path, ocr_path=ocr, page_num=None) for _ in range(2)]
    found = built(tmp_path, TEXT, *pages, {**pages[0], "is_augmented": True})
    assert "1 of 2 pages" in found.first_reasons["image"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "CMYK"])
def test_a_tiff_becomes_png_pages(tmp_path: Path, mode: str) -> None:
    frames = [picture(number).convert(mode) for number in range(2)]
    (tmp_path / "page.tif").write_bytes(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    built(tmp_path, VL, entry(tmp_path, image_path="page.tif", ocr_path=ocr))
    found = images(tmp_path)
    assert [(page.format, page.size) for page in found] == [("PNG", frames[0].size)] * 2
    assert found[0].convert("L").getextrema()[0] < 60


def test_a_fax_is_not_inverted() -> None:
    fax = encoded(picture().convert("1"), "TIFF", compression="group4")
    (page,) = tiff_pages(fax)
    with Image.open(io.BytesIO(page)) as found:
        assert found.convert("L").resize((1, 1)).getpixel((0, 0)) > 200


def small_tiff(frames: int) -> bytes:
    page = Image.new("L", (30, 30), 250)
    return encoded(page, "TIFF", save_all=True, append_images=[page] * (frames - 1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (small_tiff(MAX_FRAMES + 1), "51 pages, more than the limit of 50"),
        (encoded(Image.new("I;16", (100, 100)), "TIFF"), "page 1 of 1: its pixels are of the kind I;16"),
        (encoded(Image.new("L", (20, 100)), "TIFF"), "a page has at least 28"),
        (encoded(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "more than"),
        (small_tiff(2)[:200], "broken or cut off"),
        (b"II*\0" + b"\xff" * 100, "broken or cut off"),
    ],
    ids=["pages", "16 bits", "patch", "pixels", "cut", "noise"],
)
def test_a_tiff_beyond_the_limits_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(tiff_pages(content))


def test_a_page_that_only_exif_turns_goes_along_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    page = picture()
    (tmp_path / "page.png").write_bytes(encoded(page.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif))
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    built(tmp_path, VL, entry(tmp_path, ocr_path=ocr))
    (found,) = images(tmp_path)
    assert (found.size, found.getexif().get(0x0112)) == (page.size, None)


def boxes_of_ink() -> list[list[int]]:
    """Boxes of text lines of a page in thousandths."""
    width, height = picture().size
    found = []
    for top in range(0, height - 8, 8):
        ink = picture().crop((0, top, width, top + 8)).point(lambda level: 255 if level < 128 else 0).getbbox()
        if ink:
            found.append(
                [ink[0] * 1000 // width, top * 1000 // height, ink[2] * 1000 // width, (top + 8) * 1000 // height]
            )
    return found


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_is_turned_by_the_places_of_its_text(turn: int) -> None:
    lying = turned(picture(), (360 - turn) % 360)
    assert turn_by_text(encoded(lying), boxes_of_ink()) == turn


def test_a_page_without_ink_is_not_turned() -> None:
    assert turn_by_text(encoded(Image.new("L", (300, 400), 255)), [[1, 1, 900, 100]]) == 0


def test_a_turned_page_with_a_pdf_goes_along_upright(tmp_path: Path) -> None:
    texts = text_pdf(LINES)
    from data_tools.pages.pdf import render_pages

    (upright,) = render_pages(texts)
    with Image.open(io.BytesIO(upright)) as page:
        (tmp_path / "page.png").write_bytes(encoded(page.rotate(180)))
    (tmp_path / "page.pdf").write_bytes(texts)
    built(tmp_path, VL, entry(tmp_path, pdf_path="page.pdf"))
    (found,) = images(tmp_path)
    with Image.open(io.BytesIO(upright)) as page:
        assert found.tobytes() == page.tobytes()


def test_a_page_on_its_side_by_its_ocr_is_rejected_by_name(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    tall = {"tokens": OCR["tokens"], "bboxes": [[10 * n, 0, 10 * n + 8, 300] for n in range(len(OCR["tokens"]))]}
    ocr = write_json(tmp_path / "ocr.json", tall).name
    with pytest.raises(AdapterError, match=r"page\.png: the page lies on its side"):
        built(tmp_path, VL, entry(tmp_path, ocr_path=ocr))
