from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from data_examples import automatic_log, correction, numbered, write_lines
from logged_examples import logged

from data_tools.cli import main
from data_tools.synthesize.writing import write_corpus


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
    monkeypatch.setattr(sys, "argv", ["data-tools", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_build_writes_the_project_s_data_folder_and_ends_with_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    assert run(monkeypatch, "build", "--project", project) == 0
    assert (tmp_path / "run" / "data" / "train.jsonl").is_file()
    out = capsys.readouterr().out
    assert all(word in out for word in ("read", "written", "duplicates", "reviewed", "nobody"))


def test_set_overrides_the_project_file(monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path) -> None:
    run(monkeypatch, "build", "--project", project, "--set", "training.val_split_ratio=0.0", "--set", "data.seed=7")
    settings = json.loads((tmp_path / "run" / "data" / "manifest.json").read_text())["settings"]
    assert (settings["eval_ratio"], settings["seed"]) == (0.0, 7)


def test_a_wrong_project_file_is_said_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "build", "--project", project, "--set", "data.sead=7") == 2
    err = capsys.readouterr().err
    assert "data.sead" in err
    assert "Traceback" not in err


def test_nothing_to_train_on_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, log: Path
) -> None:
    write_lines(log, [automatic_log()])
    assert run(monkeypatch, "build", "--project", project) == 1
    assert "none of 1 records passed" in capsys.readouterr().err


def test_prepare_of_a_log_writes_interchange_lines(monkeypatch: pytest.MonkeyPatch, log: Path, tmp_path: Path) -> None:
    output = tmp_path / "lines.jsonl"
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--output", output) == 0
    assert len(output.read_text().splitlines()) == 5
    assert (tmp_path / "lines.jsonl.rejected.jsonl").is_file()
    assert (tmp_path / "lines.jsonl.manifest.json").is_file()


def test_prepare_of_a_manifest_takes_its_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus, output = tmp_path / "corpus", tmp_path / "lines.jsonl"
    write_corpus(corpus, count=3, seed=1, fault_share=0.0, correction_share=0.0)
    folders = ("--images-dir", corpus / "images", "--ground-truth-dir", corpus / "ground_truth")
    assert (
        run(monkeypatch, "prepare", "--manifest", corpus / "training_manifest.json", *folders, "--output", output) == 0
    )
    assert len(output.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--manifest", "m.json", "--active-learning-file", "a.jsonl"),
        ("--active-learning-file", "a.jsonl", "--images-dir", "images"),
        ("--active-learning-file", "gone.jsonl"),
        ("--active-learning-file", "gone.jsonl", "--arithmetic", "maybe"),
        ("--active-learning-file", "gone.jsonl", "--ocr", "tesseract"),
    ],
)
def test_wrong_usage_of_prepare_exits_with_two(
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
def test_prepare_reads_pages_with_the_engine_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    log: Path,
    installed: bool,
    option: tuple[str, ...],
    engine: str,
) -> None:
    monkeypatch.setattr("data_tools.cli.find_spec", lambda name: object() if installed else None)
    output = tmp_path / "lines.jsonl"
    assert run(monkeypatch, "prepare", "--active-learning-file", log, *option, "--output", output) == 0
    assert json.loads((tmp_path / "lines.jsonl.manifest.json").read_text())["settings"]["ocr"] == engine


def test_prepare_takes_a_log_that_people_confirmed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, output = tmp_path / "log.jsonl", tmp_path / "lines.jsonl"
    line = logged("5")
    write_lines(log, [line])
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--output", output) == 1
    assert run(monkeypatch, "prepare", "--active-learning-file", log, "--reviewed", "--output", output) == 0


def test_rejected_lists_what_a_gate_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    run(monkeypatch, "build", "--project", project)
    capsys.readouterr()
    for place in (tmp_path / "run", tmp_path / "run" / "data"):
        assert run(monkeypatch, "rejected", "--output-dir", place, "--gate", "reviewed") == 0
        out = capsys.readouterr().out
        assert "log.jsonl:6  doc-x" in out
        assert "nobody confirmed" in out


def test_rejected_says_when_a_gate_refused_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    run(monkeypatch, "build", "--project", project)
    capsys.readouterr()
    assert run(monkeypatch, "rejected", "--output-dir", tmp_path / "run", "--gate", "length") == 0
    assert "nothing was refused by length" in capsys.readouterr().out


def test_a_reason_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reason = {"source": "x", "line": 1, "document_id": "\x1b]0;owned", "gate": "source", "reason": "\x1b[2J"}
    write_lines(tmp_path / "rejected.jsonl", [reason])
    assert run(monkeypatch, "rejected", "--output-dir", tmp_path) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_rejected_without_a_build_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "rejected", "--output-dir", tmp_path) == 2


def test_synthesize_writes_a_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ("--count", 2, "--seed", 3, "--fault-share", 0.5, "--correction-share", 0.5)
    assert run(monkeypatch, "synthesize", "--output", tmp_path / "corpus", *arguments) == 0
    assert (tmp_path / "corpus" / "training_manifest.json").is_file()


def test_the_command_line_starts_without_anything_heavy() -> None:
    heavy = "{'pydantic', 'numpy', 'scipy', 'sentencepiece', 'PIL', 'babel', 'data_tools.stage.pipeline'}"
    code = f"import sys, data_tools.cli; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["cli", "stage.pipeline"])
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    heavy = {"paddle", "paddleformers", "erniekit", "torch", "transformers", "scipy", "sentencepiece", "PIL", "ray"}
    heavy |= {"numpy"} if module == "cli" else set()
    code = f"import sys, data_tools.{module}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
