"""The registry of sources: every kind of the project file, each imported only when it is used."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from data_examples import answer, correction, ground_truth, interchange, write_json, write_lines
from source_examples import make_source, read_source

from data_tools.records import DocumentRecord
from data_tools.sources.registry import SOURCES, open_source
from data_tools.sources.source import Source
from erniekit_adapter.project.schema import SOURCE_KINDS

# Modules that other kinds of sources need.
OWN_MODULES = {kind: f"data_tools.sources.{module}" for kind, (module, _) in SOURCES.items()}


def test_every_kind_of_the_project_file_is_registered() -> None:
    assert sorted(SOURCES) == sorted(SOURCE_KINDS)


@pytest.mark.parametrize("kind", SOURCES)
def test_opens_each_kind(kind: str, tmp_path: Path) -> None:
    source = open_source(make_source(kind, tmp_path / "a.json"))
    assert isinstance(source, Source)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301


@pytest.mark.parametrize("kind", SOURCES)
def test_opening_a_source_imports_no_other_kind(kind: str) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pydantic import TypeAdapter\n"
        "from data_tools.sources.registry import open_source\n"
        "from erniekit_adapter.project.schema import SourceEntry\n"
        f"open_source(TypeAdapter(SourceEntry).validate_python({{'kind': {kind!r}, 'path': Path('a')}}))\n"
        "print(*(name for name in sys.modules if name.startswith('data_tools.sources.')))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(run.stdout.split())
    assert {name for name in OWN_MODULES.values() if name in imported} == {OWN_MODULES[kind]}
    assert ("data_tools.sources.tables.documents" in imported) == (kind == "table")
    assert ("data_tools.sources.einvoices.parse" in imported) == (kind == "einvoice")


def test_the_digest_of_a_folder_depends_on_names_and_content(tmp_path: Path) -> None:
    source = open_source(make_source("annotations", tmp_path))
    write_json(tmp_path / "a.json", ground_truth())
    first = source.digest()
    write_json(tmp_path / "a.json", answer())
    second = source.digest()
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    assert len({first, second, source.digest()}) == 3
    assert source.inputs() == [tmp_path / "b.json"]


def test_reads_each_kind_of_lines(tmp_path: Path) -> None:
    log = read_source(make_source("active_learning", write_lines(tmp_path / "log.jsonl", [correction()])))
    examples = read_source(make_source("training_examples", write_lines(tmp_path / "a.jsonl", [interchange()])))
    assert all(isinstance(found, DocumentRecord) for found in (*log, *examples))
