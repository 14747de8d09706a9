"""PDFs are read in another process: equal results, limits, and no remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from einvoice_examples import CII, Line, pdf, text_pdf, with_attachments, without_charge
from hostile_pdf_examples import nested_forms, slow_page, swelling_attachment
from source_examples import make_source, read_source

from data_tools.pages import pdf_process
from data_tools.pages.pdf import render_pages, text_layer
from data_tools.pages.pdf_content import draw_pages, read_text, unpack_attachments
from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.einvoices.pdf_attachments import read_attachments
from erniekit_adapter.errors import AdapterError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_BYTES = 1_000_000
TOTAL: Line = (50, 700, 10, "Gesamt EUR 119.00")
NORMAL = with_attachments(
    text_pdf([TOTAL], [], [(50, 600, 10, "Ende")]), drawing=bytes(LIMIT_BYTES + 1), invoice=without_charge(CII)
)
TOO_MUCH_MEMORY = r"a PDF that takes more than \d+ MB of memory to read, or that crashes PDFium"


@pytest.fixture(autouse=True)
def _a_new_process() -> Iterator[None]:
    pdf_process.end_idle()
    yield
    pdf_process.end_idle()


def draw(raw: bytes) -> list[bytes]:
    return list(render_pages(raw))


def unpack(raw: bytes) -> list[tuple[str, bytes | None]]:
    return read_attachments(raw, LIMIT_BYTES)


def children(process: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


def reader() -> int:
    """Return the process that reads PDFs for this one."""
    others = children(os.getpid())
    text_layer(NORMAL)
    (found,) = children(os.getpid()) - others
    return found


def is_running(process: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def has_ended(process: int) -> bool:
    """Return whether a process ends within ten seconds."""
    until = time.monotonic() + 10
    while is_running(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_running(process)


@pytest.mark.parametrize(
    ("apart", "here"),
    [
        (text_layer, read_text),
        (draw, lambda raw: list(draw_pages(raw, 150))),
        (unpack, lambda raw: list(unpack_attachments(raw, LIMIT_BYTES))),
    ],
    ids=["text", "pages", "attachments"],
)
@pytest.mark.parametrize("raw", [NORMAL, text_pdf([])], ids=["normal", "empty"])
def test_results_equal_those_in_this_process(
    apart: Callable[[bytes], Any], here: Callable[[bytes], Any], raw: bytes
) -> None:
    assert apart(raw) == here(raw)


@pytest.mark.parametrize(("read", "raw"), [(text_layer, b"%PDF-1.7"), (draw, NORMAL[:300]), (unpack, b"")])
def test_a_rejected_pdf_keeps_the_process(read: Callable[[bytes], Any], raw: bytes) -> None:
    pdf_process.end_idle()  # the present process may be due for replacement
    process = reader()
    with pytest.raises(ValueError, match="not a readable PDF"):
        read(raw)
    assert is_running(process)
    assert text_layer(NORMAL) == read_text(NORMAL)


@pytest.mark.slow
def test_rejects_an_attachment_that_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = swelling_attachment(200)
    assert len(raw) < 3000
    assert unpack(raw) == [("a", None)]
    pdf_process.end_idle()
    monkeypatch.setattr(pdf_process, "MEMORY_BYTES", 256 * 1024 * 1024)
    with pytest.raises(ValueError, match=TOO_MUCH_MEMORY):
        unpack(raw)


@pytest.mark.parametrize("read", [text_layer, draw])
def test_rejects_nested_forms_that_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes], Any]
) -> None:
    monkeypatch.setattr(pdf_process, "MEMORY_BYTES", 256 * 1024 * 1024)
    assert len(nested_forms()) < 3000
    with pytest.raises(ValueError, match=TOO_MUCH_MEMORY):
        read(nested_forms())


@pytest.mark.slow
def test_rejects_a_page_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_process, "CPU_S", 1)
    assert len(draw(slow_page(times=1))) == 1
    with pytest.raises(ValueError, match="a PDF that takes more than 1 s to read"):
        draw(slow_page())


def test_ends_a_process_that_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    process = reader()
    monkeypatch.setattr(pdf_process, "WAIT_S", 0.5)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(ValueError, match="a PDF that takes more than 30 s to read"):
        text_layer(NORMAL)
    assert has_ended(process)


@pytest.mark.slow
def test_each_pdf_has_its_own_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_process, "CPU_S", 1)
    process = reader()
    used_s = 0.0
    while used_s < 2.5:
        assert len(draw(slow_page(times=20))) == 1
        used_s = sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13])) / 100
    assert is_running(process)


def test_replaces_a_process_that_has_ended() -> None:
    os.kill(reader(), signal.SIGKILL)
    assert text_layer(NORMAL) == read_text(NORMAL)


def test_a_crash_of_a_used_process_is_tried_again() -> None:
    process = reader()
    pages = render_pages(NORMAL)
    first = next(pages)
    os.kill(process, signal.SIGKILL)
    assert [first, *pages] == list(draw_pages(NORMAL, 150))


@pytest.mark.slow
def test_few_processes_read_many_pdfs() -> None:
    others = children(os.getpid())
    readers = set()
    for _ in range(1100):
        assert unpack(pdf(a=b"<a/>")) == [("a", b"<a/>")]
        readers |= children(os.getpid()) - others
    assert len(readers) == 3


@pytest.mark.slow
def test_replaces_a_process_that_has_grown() -> None:
    process = reader()
    assert unpack(swelling_attachment(250)) == [("a", None)]
    assert has_ended(process)
    assert text_layer(NORMAL) == read_text(NORMAL)


def test_another_pdf_can_be_read_between_two_pages() -> None:
    pages, others = render_pages(NORMAL), render_pages(NORMAL)
    mixed = [next(pages), next(others), next(pages), next(others)]
    assert text_layer(NORMAL) == read_text(NORMAL)
    drawn = list(draw_pages(NORMAL, 150))
    assert [*mixed, *pages, *others] == [drawn[0], drawn[0], drawn[1], drawn[1], drawn[2], drawn[2]]


def test_stopping_early_ends_the_process() -> None:
    before = children(os.getpid())
    pages = render_pages(NORMAL)
    next(pages)
    pages.close()
    assert children(os.getpid()) == before


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_read_pdfs(method: str) -> None:
    text_layer(NORMAL)
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        assert pool.submit(text_layer, NORMAL).result() == text_layer(NORMAL)
        worker = pool.submit(os.getpid).result()
        (process,) = children(worker)
    assert has_ended(process)


def test_the_working_folder_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pypdfium2.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    assert text_layer(NORMAL) == read_text(NORMAL)


def test_a_process_that_cannot_start_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AdapterError, match="no process can be started to read it: exit code 1"):
        text_layer(NORMAL)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(AdapterError, match="No such file or directory"):
        text_layer(NORMAL)


def script(tmp_path: Path, *lines: str) -> subprocess.Popen[str]:
    """Start a separate process that can import the modules of this test."""
    imports = [
        "import os",
        "from hostile_pdf_examples import *",
        "from einvoice_examples import *",
        "from data_tools.pages.pdf import *",
        "from data_tools.sources.einvoices.pdf_attachments import *",
        "PDF = text_pdf([(50, 700, 10, 'Ende')])",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    program = [sys.executable, "-c", "\n".join([*imports, *lines])]
    # A separate input that stays open: CI has none, and a script that waits for input would end at once.
    pipe = subprocess.PIPE
    return subprocess.Popen(program, cwd=tmp_path, env=environment, stdin=pipe, stdout=pipe, text=True)


@pytest.mark.slow
def test_a_bomb_takes_no_memory_of_the_parent(tmp_path: Path) -> None:
    bombs = ["swelling_attachment(1024)", "b'%PDF-'", "PDF"]
    lines = [f"try: read_attachments({bomb}, 1_000_000)\nexcept ValueError: pass" for bomb in bombs]
    end = [
        # Not getrusage, which starts with the memory of the parent process.
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024, flush=True)",
        "import data_tools.pages.pdf_process as pdf_process",
        "pdf_process.end_idle()",
        "try: os.waitpid(-1, 0)\nexcept ChildProcessError: print('no child is left')",
    ]
    with script(tmp_path, *lines, *end) as process:
        output, _ = process.communicate()
    peak_mib, children_left = output.splitlines()
    assert int(peak_mib) < 200
    assert children_left == "no child is left"


@pytest.mark.slow
@pytest.mark.parametrize("bomb", ["text_layer(nested_forms())", "read_attachments(swelling_attachment(1024), 9)"])
def test_a_bomb_ends_below_700_mb(tmp_path: Path, bomb: str) -> None:
    lines = [
        f"try: {bomb}\nexcept ValueError as error: print('MB of memory' in str(error))",
        "import resource",
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)",
    ]
    with script(tmp_path, *lines) as process:
        output, _ = process.communicate()
    is_refused, peak_bytes = output.split()
    assert is_refused == "True"
    assert 500_000_000 < int(peak_bytes) < 700_000_000


@pytest.mark.parametrize("doing", ["input()", "list(render_pages(slow_page()))"], ids=["idle", "reading"])
def test_the_process_ends_with_a_killed_parent(tmp_path: Path, doing: str) -> None:
    with script(tmp_path, "text_layer(PDF)", "print('ready', flush=True)", doing) as asking:
        assert asking.stdout
        assert asking.stdout.readline() == "ready\n"
        (process,) = children(asking.pid)
        asking.kill()
    assert has_ended(process)


def test_continues_after_a_hostile_file_of_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pdf_process, "MEMORY_BYTES", 256 * 1024 * 1024)
    (tmp_path / "a.pdf").write_bytes(swelling_attachment(200))
    (tmp_path / "b.pdf").write_bytes(NORMAL)
    hostile, normal = read_source(make_source("einvoice", tmp_path))
    assert isinstance(hostile, Rejection)
    assert (hostile.document_id, hostile.filter) == ("a.pdf", "source")
    assert isinstance(normal, DocumentRecord)
