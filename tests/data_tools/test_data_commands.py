from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from data_examples import automatic_log, correction, numbered, write_lines
from logged_examples import logged

from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.cli import data_main


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "log.jsonl", [*(numbered(correction(), n) for n in range(5)), automatic_log("doc-x")])


@pytest.fixture
def project(tmp_path: Path, log: Path) -> Path:
    path = tmp_path / "project.yaml"
    path.write_text(
        f"model: {{model_name_or_path: baidu/ERNIE-4.5-0.3B-PT}}\n"
        f"output_dir: {tmp_path / 'run'}\n"
        f"data: {{sources: [{{kind: active_learning, path: {log}}}]}}\n"
    )
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter data", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        data_main()
    return int(ended.value.code or 0)


def test_build_writes_the_data_folder_and_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    assert run(monkeypatch, "build", project) == 0
    assert (tmp_path / "run" / "data" / "train.jsonl").is_file()
    out = capsys.readouterr().out
    assert all(word in out for word in ("read", "written", "duplicates", "reviewed", "automatic"))


def test_set_overrides_a_key(monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path) -> None:
    run(monkeypatch, "build", project, "--set", "training.val_split_ratio=0.0", "--set", "data.seed=7")
    settings = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())["settings"]
    assert (settings["eval_ratio"], settings["seed"]) == (0.0, 7)


def test_wrong_key_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "build", project, "--set", "data.sead=7") == 2
    err = capsys.readouterr().err
    assert "data.sead" in err
    assert "Traceback" not in err


def test_build_without_accepted_records_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, log: Path
) -> None:
    write_lines(log, [automatic_log()])
    assert run(monkeypatch, "build", project) == 1
    assert "none of 1 records passed" in capsys.readouterr().err


def test_prepare_writes_an_interchange_file_of_a_log(
    monkeypatch: pytest.MonkeyPatch, log: Path, tmp_path: Path
) -> None:
    output = tmp_path / "lines.jsonl"
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--output", output) == 0
    assert len(output.read_text().splitlines()) == 5
    assert (tmp_path / "lines.jsonl.rejected.jsonl").is_file()
    assert (tmp_path / "lines.jsonl.manifest.json").is_file()


def test_prepare_takes_the_folders_of_a_manifest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus, output = tmp_path / "corpus", tmp_path / "lines.jsonl"
    write_corpus(corpus, count=3, seed=1, fault_share=0.0, correction_share=0.0)
    folders = ("--images-dir", corpus / "images", "--ground-truth-dir", corpus / "ground_truth")
    assert (
        run(monkeypatch, "prepare", "--manifest", corpus / "training_manifest.json", *folders, "--output", output) == 0
    )
    assert len(output.read_text().splitlines()) == 3


def test_prepare_takes_a_document_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "lines.jsonl"
    arguments = ("--manifest", "docs/examples/receipt/manifest.json", "--document-type", "receipt")
    assert run(monkeypatch, "prepare", *arguments, "--output", output) == 0
    answers = [json.loads(line)["conversations"][1]["content"] for line in output.read_text().splitlines()]
    assert len(answers) == 10
    assert all('"store"' in answer for answer in answers)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--manifest", "m.json", "--active-learning-file", "a.jsonl"),
        ("--active-learning-file", "a.jsonl", "--images-dir", "images"),
        ("--active-learning-file", "gone.jsonl"),
        ("--active-learning-file", "gone.jsonl", "--arithmetic", "maybe"),
        ("--active-learning-file", "gone.jsonl", "--ocr", "tesseract"),
        ("--active-learning-file", "gone.jsonl", "--document-type", "receit"),
    ],
)
def test_wrong_usage_of_prepare_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run(monkeypatch, "prepare", *arguments, "--output", tmp_path / "lines.jsonl") == 2


@pytest.mark.parametrize(
    ("installed", "option", "engine"),
    [
        (True, (), "rapidocr"),
        (False, (), "none"),
        (True, ("--ocr", "none"), "none"),
        (False, ("--ocr", "rapidocr"), "rapidocr"),
    ],
)
def test_prepare_uses_the_installed_ocr_engine(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    log: Path,
    installed: bool,
    option: tuple[str, ...],
    engine: str,
) -> None:
    monkeypatch.setattr("erniekit_adapter.cli.data.find_spec", lambda name: object() if installed else None)
    output = tmp_path / "lines.jsonl"
    assert run(monkeypatch, "prepare", "--active-learning-file", log, *option, "--output", output) == 0
    assert json.loads((tmp_path / "lines.jsonl.manifest.json").read_text())["settings"]["ocr"] == engine


def test_prepare_takes_a_reviewed_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, output = tmp_path / "log.jsonl", tmp_path / "lines.jsonl"
    line = logged("5")
    write_lines(log, [line])
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--output", output) == 1
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--reviewed", "--output", output) == 0


def test_rejected_lists_the_records_of_a_filter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    run(monkeypatch, "build", project)
    capsys.readouterr()
    for folder in (tmp_path / "run", tmp_path / "run" / "data"):
        assert run(monkeypatch, "rejected", folder, "--filter", "reviewed") == 0
        out = capsys.readouterr().out
        assert "log.jsonl:6  doc-x" in out
        assert "no reviewer confirmed" in out


def test_rejected_names_other_filters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    run(monkeypatch, "build", project)
    capsys.readouterr()
    assert run(monkeypatch, "rejected", tmp_path / "run", "--filter", "length") == 0
    assert "filter length rejected nothing" in capsys.readouterr().out


def test_reason_with_control_characters_is_printable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reason = {"source": "x", "line": 1, "document_id": "\x1b]0;owned", "filter": "source", "reason": "\x1b[2J"}
    write_lines(tmp_path / "rejected.jsonl", [reason])
    assert run(monkeypatch, "rejected", tmp_path) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_rejected_without_a_build_exits_with_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "rejected", tmp_path) == 2


def test_synthesize_writes_a_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ("--count", 2, "--seed", 3, "--fault-share", 0.5, "--correction-share", 0.5)
    assert run(monkeypatch, "synthesize", "--output", tmp_path / "corpus", *arguments) == 0
    assert (tmp_path / "corpus" / "training_manifest.json").is_file()


def test_command_line_starts_without_heavy_packages() -> None:
    heavy = "{'pydantic', 'numpy', 'scipy', 'sentencepiece', 'PIL', 'babel', 'data_tools.pipeline.build'}"
    code = f"import sys, erniekit_adapter.cli; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["erniekit_adapter.cli", "data_tools.pipeline.build"])
def test_unneeded_packages_are_not_imported(module: str) -> None:
    heavy = {"paddle", "paddleformers", "erniekit", "torch", "transformers", "scipy", "sentencepiece", "PIL", "ray"}
    heavy |= {"numpy", "rich"} if module == "erniekit_adapter.cli" else set()
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
