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
    inspect_page,
    near,
)
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.drawing import PAGE_HEIGHT_PX, PAGE_WIDTH_PX, draw_page, page_png
from data_tools.synthesize.page_layout import page_blocks

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
    return inspect_page(path)


def shifted(image: Image.Image, right_px: int, down_px: int) -> Image.Image:
    moved = Image.new("L", image.size, PAPER)
    moved.paste(image, (right_px, down_px))
    return moved


def png_of_size(width_px: int, height_px: int) -> bytes:
    """Return a PNG whose header claims this size and that has almost no data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_page_image_has_size_and_hash(tmp_path: Path) -> None:
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
def test_accepts_every_format_and_mode(tmp_path: Path, kind: str, mode: str) -> None:
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
def test_copies_of_a_page_are_near(tmp_path: Path, change: str) -> None:
    for index in range(6):
        original = seen(tmp_path, encoded(page(index)))
        assert near(original.perceptual_hash, seen(tmp_path, COPIES[change](page(index))).perceptual_hash)


@pytest.mark.slow
def test_invoices_of_one_vendor_are_rarely_near(tmp_path: Path) -> None:
    mine = [make_invoice(3, index, fault_share=0) for index in range(40)]
    first = mine[0]
    others = [replace(invoice, vendor=first.vendor, layout_type=first.layout_type) for invoice in mine[1:]]

    original = seen(tmp_path, encoded(page(0))).perceptual_hash
    found = [near(original, seen(tmp_path, page_png(page_blocks(other))).perceptual_hash) for other in others]

    assert sum(found) <= 2


def test_blank_pages_are_near_only_each_other(tmp_path: Path) -> None:
    blank, grey = (seen(tmp_path, encoded(Image.new("L", (300, 400), level))) for level in (255, 200))

    assert near(blank.perceptual_hash, grey.perceptual_hash)
    assert not near(blank.perceptual_hash, seen(tmp_path, encoded(page())).perceptual_hash)


@given(st.binary(min_size=384, max_size=384), st.binary(min_size=384, max_size=384))
def test_near_is_symmetric_and_reflexive(a: bytes, b: bytes) -> None:
    assert near(a, b) == near(b, a)
    assert near(a, a)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_follows_exif_orientation(tmp_path: Path, kind: str) -> None:
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
    "text": (b"%!PS no image", "not an image: PNG, JPEG, WebP and TIFF are accepted"),
    "a TIFF": (encoded(Image.new("L", (100, 100)), "TIFF"), "a TIFF: PNG, JPEG, WebP"),
    "a GIF": (encoded(Image.new("L", (100, 100)), "GIF"), "a GIF: PNG, JPEG, WebP"),
    "a PDF": (encoded(Image.new("L", (100, 100)), "PDF"), "a PDF: PNG, JPEG, WebP"),
    "too many pixels": (png_of_size(10_000, 8_001), "10,000 × 8,001 pixels, more than the limit of 80,000,000"),
    "a bomb": (png_of_size(100_000, 100_000), "more than 80,000,000 pixels"),
    "a patch": (encoded(Image.new("L", (MIN_SIDE_PX - 1, 100))), "27 × 100 pixels: a page needs at least 28"),
    "a strip": (encoded(Image.new("L", (5601, 28))), "5,601 × 28 pixels: more than 200 times as long as wide"),
    "16 bits": (sixteen_bits(), "has pixels of mode I;16: save it with 8 bits per channel"),
    "see-through": (see_through(), "has transparent areas"),
    "an animated PNG": (several("PNG"), "contains 2 images: save each page in a separate file"),
    "an animated WebP": (several("WEBP"), "contains 2 images"),
    "two JPEGs in one": (several("JPEG", "MPO"), "contains 2 images"),
    "endless scans": (encoded(page(), "JPEG") + b"\xff\xda" * 100, "a JPEG with more than 64 scans"),
    "fewer pixels than it says": (png_of_size(500, 500), "broken or truncated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejects_invalid_pages_with_a_reason(tmp_path: Path, case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(reason)):
        seen(tmp_path, content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9, 0.995])
def test_rejects_truncated_files(tmp_path: Path, kind: str, kept: float) -> None:
    content = encoded(page(), kind)
    with pytest.raises(ValueError, match=r"broken or truncated|not an image"):
        seen(tmp_path, content[: int(len(content) * kept)])


def test_finds_a_changed_bit_in_a_png(tmp_path: Path) -> None:
    content = bytearray(encoded(page()))
    content[len(content) // 2] ^= 1
    with pytest.raises(ValueError, match="broken or truncated"):
        seen(tmp_path, bytes(content))


@cache
def small_page(kind: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(page().resize((60, 80)), kind, exif=exif)


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255))))
def test_damaged_bytes_are_rejected(kind: str, damage: list[tuple[float, int]]) -> None:
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


def test_checks_the_size_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    with path.open("wb") as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(ValueError, match="33,554,433 bytes, more than the limit of 33,554,432"):
        inspect_page(path)


def test_does_not_open_special_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "not a regular file"), (".", "not a regular file"), ("gone.png", "no such file")):
        with pytest.raises(ValueError, match=reason):
            inspect_page(tmp_path / name)


def test_does_not_follow_a_link_out_of_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.png"
    inside.mkdir()
    outside.write_bytes(encoded(page()))
    (inside / "page.png").symlink_to(outside)

    with pytest.raises(ValueError, match="is outside"):
        inspect_page(inside / "page.png", inside)
    assert inspect_page(inside / "page.png", tmp_path).width_px == PAGE_WIDTH_PX


@pytest.mark.parametrize("size", [(4000, 1000), (100, 50)])
def test_decode_returns_a_reduced_colour_page(size: tuple[int, int]) -> None:
    found = decode(encoded(Image.new("L", size, 200), "JPEG"), 1000)

    assert (found.mode, max(found.size)) == ("RGB", min(max(size), 1000))
    assert found.width / found.height == size[0] / size[1]


def test_decode_has_the_same_limits() -> None:
    with pytest.raises(ValueError, match="more than the limit"):
        decode(b"\0" * (MAX_IMAGE_BYTES + 1), 1000)
    with pytest.raises(ValueError, match="not an image"):
        decode(b"no image", 1000)
