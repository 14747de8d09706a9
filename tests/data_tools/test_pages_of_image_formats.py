"""Page images in requests: checked like text, upright, complete, and in a format that toolkits read."""

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
from data_tools.pipeline.build import build
from data_tools.pipeline.manifest import DataManifest
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.drawing import draw_page
from data_tools.synthesize.page_layout import page_blocks
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import FiltersSection, ManifestSource

VL = BuildSettings(eval_ratio=0, test_ratio=0, format="erniekit-vl")
TEXT = replace(VL, format="erniekit")
UNCHECKED = replace(VL, filters=FiltersSection(visible="unchecked"))
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
    """Return the page images of the only training example."""
    found = json.loads(line(folder))
    return [Image.open(folder / "out" / part["image_url"]) for part in found["image_info"]]


def picture(index: int = 0) -> Image.Image:
    return draw_page(page_blocks(make_invoice(3, index, fault_share=0)))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_rejects_a_page_without_text_with_a_hint(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    with pytest.raises(
        AdapterError, match=r"(?s)visible 1.*pip install .*rapidocr.*data\.ocr: rapidocr.*visible: unchecked"
    ):
        built(tmp_path, VL, entry(tmp_path))


def test_unchecked_pages_are_used_and_counted(tmp_path: Path) -> None:
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


def test_unchecked_applies_only_to_pages(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    with pytest.raises(AdapterError, match="no OCR, so a text model has nothing to read"):
        built(tmp_path, replace(UNCHECKED, format="erniekit"), entry(tmp_path))


@pytest.mark.parametrize("data_format", ["erniekit", "erniekit-vl", "paddleformers"])
def test_a_pdf_beside_an_image_supplies_its_text(tmp_path: Path, data_format: Any) -> None:
    write_page(tmp_path / "page.png")
    (tmp_path / "page.pdf").write_bytes(text_pdf(LINES))
    found = built(tmp_path, replace(VL, format=data_format), entry(tmp_path, pdf_path="page.pdf"))
    assert (found.written, found.left_out) == (1, {"vendor_block.email": 1})
    assert "Preliminary OCR Data" in line(tmp_path)


def test_names_the_page_missing_beside_a_pdf(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    (tmp_path / "page.pdf").write_bytes(text_pdf(LINES, LINES))
    with pytest.raises(AdapterError, match="page 2 is missing"):
        built(tmp_path, VL, entry(tmp_path, pdf_path="page.pdf"))


def test_a_broken_pdf_beside_an_image_has_no_text(tmp_path: Path) -> None:
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
def test_names_the_missing_page_of_an_incomplete_set(
    tmp_path: Path, copies: list[tuple[int, bool]], reason: str
) -> None:
    write_page(tmp_path / "page.png")
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    entries = [entry(tmp_path, ocr_path=ocr, page_num=page, is_augmented=copy) for page, copy in copies]
    whole = entry(tmp_path, ocr_path=ocr, invoice_id="RE-9", ground_truth_path="whole.json")
    write_json(tmp_path / "whole.json", ground_truth(payment_terms="30 Tage"))
    found = built(tmp_path, TEXT, *entries, whole)
    assert reason in found.first_reasons["image"]


def test_rejects_an_augmented_copy_without_all_pages(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    pages = [entry(tmp_path, ocr_path=ocr, page_num=None) for _ in range(2)]
    found = built(tmp_path, TEXT, *pages, {**pages[0], "is_augmented": True})
    assert "1 of 2 pages" in found.first_reasons["image"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "CMYK"])
def test_converts_a_tiff_to_png_pages(tmp_path: Path, mode: str) -> None:
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
        (encoded(Image.new("I;16", (100, 100)), "TIFF"), "page 1 of 1: has pixels of mode I;16"),
        (encoded(Image.new("L", (20, 100)), "TIFF"), "a page needs at least 28"),
        (encoded(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "more than"),
        (small_tiff(2)[:200], "broken or truncated"),
        (b"II*\0" + b"\xff" * 100, "broken or truncated"),
    ],
    ids=["pages", "16 bits", "patch", "pixels", "cut", "noise"],
)
def test_rejects_tiffs_outside_the_limits(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(tiff_pages(content))


def test_writes_upright_copies_of_pages_with_exif_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    page = picture()
    (tmp_path / "page.png").write_bytes(encoded(page.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif))
    ocr = write_json(tmp_path / "ocr.json", OCR).name
    built(tmp_path, VL, entry(tmp_path, ocr_path=ocr))
    (found,) = images(tmp_path)
    assert (found.size, found.getexif().get(0x0112)) == (page.size, None)


def boxes_of_ink() -> list[list[int]]:
    """Return boxes of the text lines of a page in thousandths."""
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
def test_turns_a_page_by_the_places_of_its_text(turn: int) -> None:
    lying = turned(picture(), (360 - turn) % 360)
    assert turn_by_text(encoded(lying), boxes_of_ink()) == turn


def test_does_not_turn_a_blank_page() -> None:
    assert turn_by_text(encoded(Image.new("L", (300, 400), 255)), [[1, 1, 900, 100]]) == 0


def test_turns_a_page_by_the_text_of_its_pdf(tmp_path: Path) -> None:
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


def test_rejects_a_sideways_page_by_its_ocr(tmp_path: Path) -> None:
    write_page(tmp_path / "page.png")
    tall = {"tokens": OCR["tokens"], "bboxes": [[10 * n, 0, 10 * n + 8, 300] for n in range(len(OCR["tokens"]))]}
    ocr = write_json(tmp_path / "ocr.json", tall).name
    with pytest.raises(AdapterError, match=r"page\.png: the page lies on its side"):
        built(tmp_path, VL, entry(tmp_path, ocr_path=ocr))
