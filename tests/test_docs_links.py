"""Links and anchors of all Markdown files: each file exists, and each #anchor is a heading of its page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("docs", "tiny_base", "configs", "benchmarks", "tests", "requirements")
PAGES = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield path and anchor of each link of a page to a file of the repository."""
    for target in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))):
        if not EXTERNAL.match(target):
            path, _, anchor = target.partition("#")
            yield unquote(path), unquote(anchor)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    found: dict[str, int] = {}
    result = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        result.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return result


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_anchors_exist(page: Path) -> None:
    wrong = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"{path}: no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{path}#{anchor}: no such heading")
    assert wrong == []


def test_pages_have_links() -> None:
    assert len(PAGES) > 20
    assert sum(1 for page in PAGES for _ in links(page)) > 50


def test_every_page_of_docs_has_a_link() -> None:
    linked = {(page.parent / path).resolve() for page in PAGES for path, _ in links(page) if path}
    assert [page.name for page in sorted((ROOT / "docs").glob("*.md")) if page not in linked] == []


def test_anchors_of_headings(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    headings = ("# Verify, sign", "## Visible, and `page_mismatch`", "## A [link](x.md)", "## Verify, sign")
    page.write_text("\n".join((*headings, "```", "# not a heading", "```")))
    assert anchors(page) == {"verify-sign", "visible-and-page_mismatch", "a-link", "verify-sign-1"}
