from __future__ import annotations

import io
import os
import site
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from data_tools.build_settings import BuildSettings
from data_tools.pages.images import turned
from data_tools.pages.ocr import engine_version, read_page, read_upright, reading_order
from data_tools.pipeline.build import build
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.drawing import page_png
from data_tools.synthesize.invoice import SyntheticInvoice
from data_tools.synthesize.page_layout import page_blocks, text_lines
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.documents import json_text
from erniekit_adapter.project.schema import ManifestSource

pytestmark = pytest.mark.toolkit
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _engine_is_installed() -> None:
    if find_spec("rapidocr") is None:
        pytest.fail("rapidocr is missing: run make setup-ocr", pytrace=False)


@cache
def invoice() -> SyntheticInvoice:
    return make_invoice(7, 3, fault_share=0)


@cache
def invoice_png() -> bytes:
    return page_png(page_blocks(invoice()))


@cache
def what_the_page_says() -> dict[str, Any]:
    return read_page(invoice_png(), None)


def text(page: dict[str, Any]) -> str:
    return "".join("".join(page["tokens"]).split())


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def run_python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_reads_number_and_total() -> None:
    tokens = what_the_page_says()["tokens"]

    assert any(invoice().invoice_id in token for token in tokens)
    assert any(f"{invoice().grand_total:f}" in token for token in tokens)


def test_reads_lines_in_order() -> None:
    assert text(what_the_page_says()) == "".join("".join(text_lines(invoice())).split())


@pytest.mark.parametrize("index", [5, 10])
def test_reads_no_line_upside_down(index: int) -> None:
    """Invoices with a single 9 in a column, and with a line that was once read upside down."""
    other = make_invoice(7, index, fault_share=0)

    assert text(read_page(page_png(page_blocks(other)), None)) == "".join("".join(text_lines(other)).split())


def test_tokens_have_boxes_on_the_page_and_scores() -> None:
    page = what_the_page_says()

    assert len(page["tokens"]) == len(page["bboxes"]) == len(page["scores"])
    for x0, y0, x1, y1 in page["bboxes"]:
        assert 0 <= x0 < x1 <= 1000
        assert 0 <= y0 < y1 <= 1000
    assert all(isinstance(score, Decimal) and 0 <= score <= 1 for score in page["scores"])
    assert json_text.parse(json_text.compose(page)) == page


def test_reads_a_skewed_page_in_the_same_order() -> None:
    askew = Image.open(io.BytesIO(invoice_png())).rotate(1.5, Image.Resampling.BICUBIC, fillcolor=250)

    assert text(read_page(png(askew), None)) == text(what_the_page_says())


def box(x: float, y: float, width: float = 60, height: float = 10, slope: float = 0) -> list[tuple[float, float]]:
    """Return a box whose middle is on a line through (x, y) with this slope."""
    left, right = y + (x - width / 2) * slope - height / 2, y + (x + width / 2) * slope - height / 2
    return [
        (x - width / 2, left),
        (x + width / 2, right),
        (x + width / 2, right + height),
        (x - width / 2, left + height),
    ]


@pytest.mark.parametrize(
    ("boxes", "order"),
    [
        ([], []),
        ([box(100, 50), box(100, 10), box(100, 30)], [1, 2, 0]),
        ([box(300, 11), box(200, 9), box(100, 10)], [2, 1, 0]),
        ([box(300, 22), box(100, 10), box(300, 10), box(100, 20)], [1, 2, 3, 0]),
        # Skewed: at the right end, the first row is as low as the second row at the left end.
        (
            [box(900, 10, slope=0.02), box(100, 25, slope=0.02), box(100, 10, slope=0.02), box(900, 25, slope=0.02)],
            [2, 0, 1, 3],
        ),
        # A large title beside two small lines.
        ([box(100, 20, height=40), box(300, 10), box(300, 30)], [1, 0, 2]),
    ],
    ids=["nothing", "rows", "columns", "both", "askew", "a title"],
)
def test_boxes_are_read_row_by_row(boxes: Sequence[list[tuple[float, float]]], order: list[int]) -> None:
    assert reading_order(boxes) == order


def test_boxes_of_a_strip_use_its_own_sides() -> None:
    height_px = 120
    page = Image.open(io.BytesIO(invoice_png()))

    found = read_page(png(page.crop((0, 0, page.width, height_px))), None)

    assert found["tokens"][0] == what_the_page_says()["tokens"][0]
    on_page, on_strip = what_the_page_says()["bboxes"][0], found["bboxes"][0]
    assert on_strip[0] == pytest.approx(on_page[0], abs=10)
    assert on_strip[3] == pytest.approx(on_page[3] * page.height / height_px, abs=30)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_reads_a_turned_page_upright(turn: int, tmp_path: Path) -> None:
    lying = png(turned(Image.open(io.BytesIO(invoice_png())), (360 - turn) % 360))
    assert read_upright(lying, tmp_path) == (what_the_page_says(), turn)
    # The cache contains the orientation of the page.
    assert read_upright(lying, tmp_path) == (what_the_page_says(), turn)


@pytest.mark.parametrize("data_format", ["erniekit", "erniekit-vl"])
def test_a_build_turns_pages_for_multimodal_models(data_format: Any, tmp_path: Path) -> None:
    write_corpus(tmp_path / "documents", count=1, seed=3, fault_share=0, correction_share=0)
    path = tmp_path / "documents" / "training_manifest.json"
    rows = [{key: value for key, value in row.items() if key != "ocr_path"} for row in orjson.loads(path.read_bytes())]
    path.write_bytes(orjson.dumps(rows))
    (image,) = (tmp_path / "documents").rglob("*.png")
    upright = Image.open(io.BytesIO(image.read_bytes())).convert("L")
    image.write_bytes(png(turned(upright, 180)))

    found = build(
        [ManifestSource(kind="manifest", path=path)],
        tmp_path / "data",
        BuildSettings(0, 0, ocr="rapidocr", format=data_format),
    )

    assert (found.written, found.left_out) == (1, {})
    pages = list((tmp_path / "data" / "pages").glob("*.png"))
    assert [Image.open(page).tobytes() for page in pages] == (
        [upright.tobytes()] if data_format == "erniekit-vl" else []
    )


def test_blank_paper_gives_no_text() -> None:
    blank = png(Image.new("L", (400, 600), 250))
    assert read_page(blank, None) == {"tokens": [], "bboxes": [], "scores": []}


@pytest.mark.parametrize("content", [b"", b"no image", invoice_png()[:3000]], ids=["empty", "text", "cut off"])
def test_rejects_incomplete_images(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"empty|not an image|broken or truncated"):
        read_page(content, tmp_path)
    assert not list(tmp_path.iterdir())


def test_reads_a_page_once_with_a_cache(tmp_path: Path) -> None:
    first = read_page(invoice_png(), tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    marked = first | {"tokens": ["taken from the cache", *first["tokens"][1:]]}
    kept.write_text(json_text.compose(marked))

    assert read_page(invoice_png(), tmp_path) == marked


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04N.",
        b"[]",
        b'{"tokens": ["a"], "bboxes": [], "scores": []}',
        b'{"tokens": ["a"], "bboxes": [[0, 0, 1001, 9]], "scores": [0.50]}',
        b'{"tokens": ["a"], "bboxes": [[0, 0, 9, 9]], "scores": [NaN]}',
        b'{"tokens": ["a"], "bboxes": [[0, 0, 9, 9]], "scores": [0.50], "note": 1}',
        b"[" * 100_000,
    ],
    ids=["empty", "a pickle", "a list", "too few boxes", "off the page", "no number", "a key too many", "too deep"],
)
def test_rewrites_a_broken_cache_file(content: bytes, tmp_path: Path) -> None:
    small = png(Image.open(io.BytesIO(invoice_png())).crop((0, 0, 310, 310)))
    first = read_page(small, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_bytes(content)

    assert read_page(small, tmp_path) == first
    assert json_text.parse(kept.read_bytes()) == first


def test_the_engine_version_names_its_inputs() -> None:
    assert engine_version().startswith("rapidocr 3.10.0, onnxruntime ")


def test_downloads_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(invoice_png())
    code = (
        "import pathlib, socket; from data_tools.pages.ocr import read_page\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        f"print(len(read_page(pathlib.Path({str(tmp_path / 'page.png')!r}).read_bytes(), None)['tokens']))"
    )

    result = run_python(code)

    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) == len(what_the_page_says()["tokens"])


def test_a_missing_extra_has_a_hint(tmp_path: Path) -> None:
    """Run with all installed packages except the engine, in an interpreter without other package folders."""
    for package in Path(site.getsitepackages()[0]).iterdir():
        if not package.name.startswith("rapidocr"):
            (tmp_path / package.name).symlink_to(package)
    code = (
        "from data_tools.pages.ocr import read_page; from erniekit_adapter.errors import UsageError\n"
        "try: read_page(b'', None)\n"
        "except ValueError as error: print(error)\n"
        "from data_tools.synthesize.drawing import page_png\n"
        "try: read_page(page_png([]), None)\n"
        "except UsageError as error: print(error)"
    )

    result = run_python(code, "-S", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")

    assert result.stderr == ""
    assert "rapidocr is not installed" in result.stdout
    assert "run pip install 'onnxruntime>=1.20' 'rapidocr>=3.10,<3.11'" in result.stdout


def test_a_build_reads_pages_without_ocr_once(tmp_path: Path) -> None:
    write_corpus(tmp_path / "documents", count=2, seed=3, fault_share=0, correction_share=0)
    path = tmp_path / "documents" / "training_manifest.json"
    rows = [{key: value for key, value in row.items() if key != "ocr_path"} for row in orjson.loads(path.read_bytes())]
    path.write_bytes(orjson.dumps(rows))
    source = ManifestSource(kind="manifest", path=path)

    found = build([source], tmp_path / "run" / "data", BuildSettings(0, 0, ocr="rapidocr"))

    assert (found.read, found.written) == (2, 2)
    first = orjson.loads((tmp_path / "run" / "data" / "train.jsonl").read_bytes().splitlines()[0])
    assert '"scores"' in first["src"][0]
    assert orjson.loads(first["tgt"][0])["validation_summary"]["is_valid"]
    assert len(list((tmp_path / "run" / "ocr_cache").iterdir())) == 2
