from __future__ import annotations

import json
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from built_examples import automatic_log, build_log, build_pages, change_manifest, corrections, from_vendor
from data_examples import correction
from PIL import Image

from data_tools.inspect.report import write_report
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.schema import TasksSection

VOID = {"meta", "img", "br", "line", "rect"}
SCRIPT = "<script>alert(1)</script>"
QUOTES = "\"'><img src=x onerror=alert(1)> {{ 7 * 7 }} </td></table>&amp;"


class Page(HTMLParser):
    """The elements, attributes and text of a report, as a browser parses them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(data_dir: Path) -> Page:
    write_report(data_dir, data_dir / "report.html")
    page = Page(data_dir / "report.html")
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Return the report on documents with pages, in every task and split."""
    tasks = TasksSection(analysis=1, extraction=1, validation=1)
    settings: dict[str, Any] = {"eval_ratio": 0.2, "test_ratio": 0.2, "tasks": tasks, "fault_share": 1}
    return report(build_pages(tmp_path_factory.mktemp("built"), 40, **settings))


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """Build a log with some rejected lines."""
    return build_log(tmp_path, *corrections(9), correction("again"), *[automatic_log()] * 25, b"{")


def test_the_summary_adds_up(log_dir: Path) -> None:
    page = report(log_dir)
    assert "read 36 = written 10 + rejected 26\n+ duplicates 0" in page.text
    assert "written 10 (27.8 %)" in page.text


def test_shows_verdicts_by_source_in_fixed_order(log_dir: Path) -> None:
    manifest = read_json(log_dir / "manifest.json")
    manifest["inputs"][0] |= {
        "accepted": 10, "verdicts": {"valid": 6, "invalid": 3, "not checkable": 1}, "failed_rules": {"BR-CO-15": 3},
    }  # fmt: skip
    change_manifest(log_dir, inputs=manifest["inputs"])
    text = "".join(report(log_dir).text.split())
    assert "log.jsonl6(60.0%)3(30.0%)1(10.0%)BR-CO-153" in text


def test_counts_every_split_task_and_language(page: Page) -> None:
    for name in ("train", "eval", "test", "analysis", "extraction", "validation", "de"):
        assert f"\n{name}" in page.text


def test_draws_sizes_with_the_limit(tmp_path: Path) -> None:
    data_dir = build_log(tmp_path, correction())
    change_manifest(
        data_dir,
        tokens={"up to 512": 3, "up to 1024": 1},
        tokens_counted={"lines": 4, "tokens": 1600},
        page_kilopixels={"up to 250": 2},
    )
    page = report(data_dir)
    drawings = [drawing["aria-label"] for drawing in page.all("svg")]
    assert drawings[0] == "Training examples by tokens of request and answer: 3 up to 512, 1 up to 1,024"
    assert drawings[1] == "Page images by size, in megapixels: 2 up to 0.25 MP"
    assert "limit 4,096" in page.text
    assert "1,600 tokens in 4 examples, 400 on average." in page.text


def test_lists_first_records_of_each_filter(log_dir: Path) -> None:
    page = report(log_dir)
    assert "reviewed 20 of 25" in page.text
    assert "source 1 of 1" in page.text
    assert f"{log_dir.parent / 'log.jsonl'}:36" in page.text
    assert (
        page.text.count("an automatic log: no reviewer confirmed this model output") == 21
    )  # once in the filters' table


def test_lists_warnings(tmp_path: Path) -> None:
    page = report(build_log(tmp_path, correction(corrected_output=due_before_issue())))
    assert "Accepted with a warning" in page.text
    assert "dates 1 of 1" in page.text


def due_before_issue() -> str:
    value = json.loads(correction()["corrected_output"])
    value["structured_data"]["client_info"]["due_date"] = "2025-01-01"
    return json.dumps(value)


def test_shows_examples_of_every_split_and_task(page: Page) -> None:
    for part in ("train · analysis", "train · extraction", "train · validation", "eval · ", "test · analysis"):
        assert part in page.text
    assert len(page.all("article")) == 24
    assert "answer: trained" in page.text
    assert "answer: only its loss is measured" in page.text
    assert "answer: expected, not trained" in page.text
    assert '"name": "Acme GmbH"' in page.text
    assert "Faults injected: " in page.text


def test_pictures_and_tables_are_labelled(page: Page) -> None:
    pictures = page.all("img")
    assert pictures
    assert all((picture["alt"] or "").startswith("page 1 of RE-") for picture in pictures)
    assert len([heading for heading in page.all("th") if heading.get("scope")]) == len(page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


def test_one_file_without_requests_and_scripts(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


@pytest.mark.parametrize("text", [SCRIPT, QUOTES])
def test_escapes_texts_of_documents(tmp_path: Path, text: str) -> None:
    plain = report(build_log(tmp_path / "plain", from_vendor("Acme GmbH")))
    page = report(build_log(tmp_path / "hostile", from_vendor(text)))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert json.dumps(text, ensure_ascii=False) in page.text


@pytest.mark.parametrize("text", [SCRIPT, QUOTES])
def test_escapes_hostile_names_filters_and_reasons(tmp_path: Path, text: str) -> None:
    data_dir = build_log(tmp_path, correction(document_id=text), {**automatic_log(text), text: text}, {text: 1})
    change_manifest(data_dir, unused_keys={text: 1}, warnings=[text], left_out={text: 1}, by_language={text: 1})
    page = report(data_dir)
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count(text) >= 5


def test_escapes_direction_marks(tmp_path: Path) -> None:
    page = report(build_log(tmp_path, from_vendor("Acme \u202e GmbH")))
    assert "Acme ‹U+202E› GmbH" in page.text
    assert "\u202e" not in page.text


def test_equal_folders_give_equal_bytes(log_dir: Path, tmp_path: Path) -> None:
    write_report(log_dir, tmp_path / "one.html")
    write_report(log_dir, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "PNG, JPEG, WebP and TIFF are accepted"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG, JPEG, WebP and TIFF are accepted"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PNG, JPEG, WebP and TIFF are accepted"),
    ],
    ids=["missing", "empty", "broken", "SVG", "PostScript"],
)
def test_a_page_that_cannot_be_shown_has_a_reason(tmp_path: Path, content: bytes | None, reason: str) -> None:
    data_dir = build_pages(tmp_path, 1)
    image = tmp_path / "images" / "RE-0.png"
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    page = report(data_dir)
    assert reason in page.text
    assert not page.all("img")


def test_does_not_decode_a_page_that_is_too_large(tmp_path: Path) -> None:
    data_dir = build_pages(tmp_path, 1)
    Image.new("1", (11_000, 11_000)).save(tmp_path / "images" / "RE-0.png")
    page = report(data_dir)
    assert not page.all("img")
    assert "11,000 × 11,000 pixels, more than the limit" in page.text


@pytest.mark.slow
def test_pictures_stay_below_the_size_of_a_mail(tmp_path: Path) -> None:
    data_dir = build_pages(tmp_path, 24, eval_ratio=0.3, test_ratio=0.3)
    for image in (tmp_path / "images").iterdir():
        Image.effect_noise((440, 640), 120).save(image)
    page = report(data_dir)
    assert "not shown: the report has reached its size limit" in page.text
    assert (data_dir / "report.html").stat().st_size < 3_000_000


def test_texts_stay_below_the_size_of_a_mail(tmp_path: Path) -> None:
    data_dir = build_log(tmp_path, from_vendor("&" * 200_000))
    page = report(data_dir)
    assert "characters more" in page.text
    assert (data_dir / "report.html").stat().st_size < 200_000


@pytest.mark.slow
def test_a_long_list_of_rejections_takes_no_memory(tmp_path: Path) -> None:
    count = 60_000
    data_dir = build_log(tmp_path, correction(), automatic_log())
    line = (data_dir / "rejected.jsonl").read_bytes()
    rare = line.replace(b'"reviewed"', b'"canonical"')
    (data_dir / "rejected.jsonl").write_bytes(line * count + rare)
    change_manifest(data_dir, by_filter={"reviewed": count, "canonical": 1})
    report(data_dir)
    tracemalloc.start()
    page = report(data_dir)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "reviewed 20 of 60,000" in page.text
    assert "canonical 1 of 1" in page.text
    assert peak_bytes < 4_000_000 < len(line) * count


def test_replaces_only_an_earlier_report(log_dir: Path, tmp_path: Path) -> None:
    report(log_dir)
    report(log_dir)
    before = (log_dir / "train.jsonl").read_bytes()
    with pytest.raises(UsageError, match="exists and is not a report"):
        write_report(log_dir, log_dir / "train.jsonl")
    with pytest.raises(UsageError, match="is a folder"):
        write_report(log_dir, tmp_path)
    assert (log_dir / "train.jsonl").read_bytes() == before


def test_a_failed_report_leaves_the_earlier_one(log_dir: Path) -> None:
    report(log_dir)
    before = (log_dir / "report.html").read_bytes()
    (log_dir / "samples.jsonl").write_bytes(b"{\n")
    with pytest.raises(AdapterError, match=r"samples\.jsonl:1"):
        write_report(log_dir, log_dir / "report.html")
    assert (log_dir / "report.html").read_bytes() == before


def test_reports_on_a_manifest_with_other_keys(log_dir: Path) -> None:
    manifest = read_json(log_dir / "manifest.json")
    settings = {"form": manifest["settings"]["form"], "max_seq_length": "long", "filters": None}
    change_manifest(log_dir, settings=settings, inputs=[{"path": 7}, {}], files={"x": {}}, tokens={"many": 1})
    assert "read 36" in report(log_dir).text
