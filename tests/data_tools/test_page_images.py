from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from data_tools.pages.images import (
    MAX_IMAGE_BYTES,
    MIN_SIDE_PX,
    PageImage,
    decode,
    look_at,
    near,
)
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.drawing import PAGE_HEIGHT_PX, PAGE_WIDTH_PX, draw_page, page_png
from data_tools.synthesize.layout import page_blocks

ORIENTATION = 0x0112
PAPER = 250


@cache
def page(index: int = 0) -> Image.Image:
    return draw_page(page_blocks(make_invoice(3, index, fault_share=0)))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seen(folder: Path, content: bytes) -> PageImage:
    path = folder / "page"
    path.write_bytes(content)
    return look_at(path)


def shifted(image: Image.Image, right_px: int, down_px: int) -> Image.Image:
    moved = Image.new("L", image.size, PAPER)
    moved.paste(image, (right_px, down_px))
    return moved


def png_of_size(width_px: int, height_px: int) -> bytes:
    """A PNG that claims this size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_page_tells_its_size_and_the_hash_of_its_file(tmp_path: Path) -> None:
    content = page_png(page_blocks(make_invoice(3, 0, fault_share=0)))

    found = seen(tmp_path, content)

    assert (found.path, found.width_px, found.height_px) == (tmp_path / "page", PAGE_WIDTH_PX, PAGE_HEIGHT_PX)
    assert found.sha256 == sha256(content).digest()[:16]
    assert len(found.perceptual_hash) == 384


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("WEBP", mode) for mode in ("L", "RGB", "RGBA")),
    ],
)
def test_every_accepted_format_and_mode_shows_the_same_page(tmp_path: Path, kind: str, mode: str) -> None:
    clean = page().point(lambda level: 255 if level > 128 else 0)

    found = seen(tmp_path, encoded(clean.convert(mode), kind))

    assert near(found.perceptual_hash, seen(tmp_path, encoded(clean)).perceptual_hash)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "saved as a poor JPEG": lambda image: encoded(image, "JPEG", quality=60),
    "scaled down": lambda image: encoded(image.resize((527, 745), Image.Resampling.BICUBIC)),
    "scaled up": lambda image: encoded(image.resize((713, 1009), Image.Resampling.BICUBIC)),
    "scanned at 200 dpi": lambda image: encoded(image.resize((1654, 2339), Image.Resampling.BICUBIC), "JPEG"),
    "blurred": lambda image: encoded(image.filter(ImageFilter.GaussianBlur(1))),
    "shifted": lambda image: encoded(shifted(image, 2, 2)),
    "shifted far": lambda image: encoded(shifted(image, 12, -9)),
    "darker": lambda image: encoded(ImageEnhance.Brightness(image).enhance(0.8)),
    "paler": lambda image: encoded(ImageEnhance.Contrast(image).enhance(0.7)),
    "in colour": lambda image: encoded(image.convert("RGB"), "WEBP", quality=60),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_of_a_page_is_near_it(tmp_path: Path, change: str) -> None:
    for index in range(6):
        original = seen(tmp_path, encoded(page(index)))
        assert near(original.perceptual_hash, seen(tmp_path, COPIES[change](page(index))).perceptual_hash)


def test_other_invoices_of_one_vendor_and_layout_are_hardly_ever_near(tmp_path: Path) -> None:
    mine = [make_invoice(3, index, fault_share=0) for index in range(40)]
    first = mine[0]
    others = [replace(invoice, vendor=first.vendor, layout_type=first.layout_type) for invoice in mine[1:]]

    original = seen(tmp_path, encoded(page(0))).perceptual_hash
    found = [near(original, seen(tmp_path, page_png(page_blocks(other))).perceptual_hash) for other in others]

    assert sum(found) <= 2


def test_paper_without_ink_is_near_other_paper_alone(tmp_path: Path) -> None:
    blank, grey = (seen(tmp_path, encoded(Image.new("L", (300, 400), level))) for level in (255, 200))

    assert near(blank.perceptual_hash, grey.perceptual_hash)
    assert not near(blank.perceptual_hash, seen(tmp_path, encoded(page())).perceptual_hash)


@given(st.binary(min_size=384, max_size=384), st.binary(min_size=384, max_size=384))
def test_nearness_is_mutual_and_holds_for_equals(a: bytes, b: bytes) -> None:
    assert near(a, b) == near(b, a)
    assert near(a, a)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_page_that_lies_on_its_side_is_stood_up(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    lying = seen(tmp_path, encoded(page().transpose(Image.Transpose.ROTATE_90), kind, exif=exif))

    assert (lying.width_px, lying.height_px) == page().size
    assert near(lying.perceptual_hash, seen(tmp_path, encoded(page())).perceptual_hash)


def sixteen_bits() -> bytes:
    return encoded(Image.new("I;16", (100, 100)))


def see_through() -> bytes:
    return encoded(Image.new("RGBA", (100, 100), (0, 0, 0, 0)))


def several(kind: str, to: str | None = None) -> bytes:
    small = page().resize((100, 140))
    return encoded(small, to or kind, save_all=True, append_images=[small.transpose(Image.Transpose.ROTATE_180)])


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "text": (b"%!PS no image", "no image that can be read here: PNG, JPEG, WebP and TIFF are accepted"),
    "a TIFF": (encoded(Image.new("L", (100, 100)), "TIFF"), "a TIFF that can be read here: PNG, JPEG, WebP"),
    "a GIF": (encoded(Image.new("L", (100, 100)), "GIF"), "a GIF that can be read here: PNG, JPEG, WebP"),
    "a PDF": (encoded(Image.new("L", (100, 100)), "PDF"), "a PDF that can be read here: PNG, JPEG, WebP"),
    "too many pixels": (png_of_size(10_000, 8_001), "10,000 × 8,001 pixels, more than the limit of 80,000,000"),
    "a bomb": (png_of_size(100_000, 100_000), "more than 80,000,000 pixels"),
    "a patch": (encoded(Image.new("L", (MIN_SIDE_PX - 1, 100))), "27 × 100 pixels: a page has at least 28"),
    "a strip": (encoded(Image.new("L", (5601, 28))), "5,601 × 28 pixels: a strip"),
    "16 bits": (sixteen_bits(), "its pixels are of the kind I;16: save it with 8 bits a channel"),
    "see-through": (see_through(), "transparent in places"),
    "an animated PNG": (several("PNG"), "holds 2 images: give each page a file of its own"),
    "an animated WebP": (several("WEBP"), "holds 2 images"),
    "two JPEGs in one": (several("JPEG", "MPO"), "holds 2 images"),
    "endless scans": (encoded(page(), "JPEG") + b"\xff\xda" * 100, "a JPEG of more than 64 scans"),
    "fewer pixels than it says": (png_of_size(500, 500), "broken or cut off"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_page_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(reason)):
        seen(tmp_path, content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.995])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    content = encoded(page(), kind)
    with pytest.raises(ValueError, match=r"broken or cut off|no image"):
        seen(tmp_path, content[: int(len(content) * kept)])


def test_a_changed_bit_in_a_png_is_found(tmp_path: Path) -> None:
    content = bytearray(encoded(page()))
    content[len(content) // 2] ^= 1
    with pytest.raises(ValueError, match="broken or cut off"):
        seen(tmp_path, bytes(content))


@cache
def small_page(kind: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(page().resize((60, 80)), kind, exif=exif)


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255))))
def test_damaged_bytes_never_do_more_than_get_a_file_refused(kind: str, damage: list[tuple[float, int]]) -> None:
    content = bytearray(small_page(kind))
    for place, byte in damage:
        content[int(place * len(content))] = byte
    try:
        decode(bytes(content), 1000)
    except ValueError as error:
        message = str(error)
    else:
        message = "it is whole, or looks so"
    assert 0 < len(message) <= 300


def test_a_file_is_weighed_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    with path.open("wb") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(ValueError, match="33,554,433 bytes, more than the limit of 33,554,432"):
        look_at(path)


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "not a regular file"), (".", "not a regular file"), ("gone.png", "no such file")):
        with pytest.raises(ValueError, match=reason):
            look_at(tmp_path / name)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.png"
    inside.mkdir()
    outside.write_bytes(encoded(page()))
    (inside / "page.png").symlink_to(outside)

    with pytest.raises(ValueError, match="lies outside"):
        look_at(inside / "page.png", inside)
    assert look_at(inside / "page.png", tmp_path).width_px == PAGE_WIDTH_PX


@pytest.mark.parametrize("size", [(4000, 1000), (100, 50)])
def test_a_decoded_page_is_in_colour_and_no_larger_than_asked(size: tuple[int, int]) -> None:
    found = decode(encoded(Image.new("L", size, 200), "JPEG"), 1000)

    assert (found.mode, max(found.size)) == ("RGB", min(max(size), 1000))
    assert found.width / found.height == size[0] / size[1]


def test_decoding_has_the_same_limits() -> None:
    with pytest.raises(ValueError, match="more than the limit"):
        decode(b"\0" * (MAX_IMAGE_BYTES + 1), 1000)
    with pytest.raises(ValueError, match="no image"):
        decode(b"no image", 1000)
