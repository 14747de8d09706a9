"""Output and exit codes of the commands. No toolkit is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from erniekit_adapter.backends.environments import catalogue
from erniekit_adapter.cli import main

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
MINIMAL = "model: {{model_name_or_path: baidu/ERNIE-4.5-0.3B-Paddle}}\noutput_dir: {0}/run\n"


@pytest.fixture(autouse=True)
def without_toolkits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the toolkits that are installed on this machine."""
    for name in ("ERNIEKIT_HOME", "ERNIEKIT_PYTHON", "PADDLEFORMERS_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(catalogue, "PROJECT_ROOT", tmp_path / "repository")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project.yaml"
    path.write_text(MINIMAL.format(tmp_path))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_check_accepts_a_good_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "check", project) == 0
    assert capsys.readouterr().out == f"✓ {project}\n"


def test_check_names_an_unknown_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    with project.open("a") as stream:
        stream.write("training:\n  learning_rat: 2e-4\n")
    assert run(monkeypatch, "check", project) == 2
    out, err = capsys.readouterr()
    assert out == f"✗ {project}\n"
    assert err == f"{project}:4 training.learning_rat: unknown key\n    → did you mean training.learning_rate?\n"


def test_check_reports_the_problems_of_every_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    bad, unsupported = tmp_path / "bad.yaml", tmp_path / "unsupported.yaml"
    bad.write_text("[]")
    unsupported.write_text(MINIMAL.format(tmp_path) + "lora: {target_modules: [q_proj]}\n")
    assert run(monkeypatch, "check", project, bad, unsupported, tmp_path / "missing.yaml") == 2
    out, err = capsys.readouterr()
    assert [line[0] for line in out.splitlines()] == ["✓", "✗", "✗", "✗"]
    assert all(text in err for text in ("not a project file", "lora.target_modules", "missing.yaml: no such file"))


def test_check_reads_a_file_of_erniekit_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.yaml").write_text("adam_beta22: 0.9\n")
    arguments = ["check", project, "--set", "erniekit.erniekit_config_path=more.yaml"]
    assert run(monkeypatch, *arguments) == 2
    assert "did you mean adam_beta2?" in capsys.readouterr().err
    (tmp_path / "more.yaml").write_text("adam_beta2: 0.9\n")
    assert run(monkeypatch, *arguments) == 0


def test_check_of_shipped_projects_imports_no_toolkit() -> None:
    code = (
        "import sys\n"
        "from erniekit_adapter.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n"
        "    heavy = {'paddle', 'paddleformers', 'ernie', 'erniekit', 'torch', 'transformers'} & set(sys.modules)\n"
        "    print(ended.code or 0, sorted(heavy))\n"
    )
    command = [sys.executable, "-c", code, "check", *map(str, CONFIGS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    *checked, last = done.stdout.splitlines()
    assert checked == [f"✓ {path}" for path in CONFIGS]
    assert last == "0 []"


def test_translate_prints_yaml_with_origins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "translate", project, "--set", "training.learning_rate=1e-5") == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["learning_rate"] == 1e-5
    assert out.startswith("# ERNIEKit 1.0.1 (none is usable here), training method SFT\n")
    assert "learning_rate: 1.0e-05  # --set training.learning_rate\n" in out
    assert f"output_dir: output  # {project}:2 output_dir\n" in out
    assert "seed: 42  # default training.seed\n" in out
    assert "unified_checkpoint: true  # rule: weights in safetensors, never in pickles\n" in out


def test_translate_diff_prints_changed_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(project.read_text() + "training: {seed: 7, recompute: false}\n")
    assert run(monkeypatch, "translate", project, "--diff", other) == 0
    assert capsys.readouterr().out == (
        f"--- {project}\n+++ {other}\n"
        "- seed: 42  # training.seed\n+ seed: 7  # training.seed\n"
        "- recompute: true  # rule: on a GPU, to save memory\n+ recompute: false  # training.recompute\n"
    )
    assert run(monkeypatch, "translate", project, "--diff", project) == 0
    assert capsys.readouterr().out == ""


def test_check_names_the_line_of_an_unsupported_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    with project.open("a") as stream:
        stream.write("training:\n  device: cpu\nparallel:\n  gpus: 2\nerniekit:\n  extra:\n    lora_r: 3\n")
    assert run(monkeypatch, "check", project) == 2
    err = capsys.readouterr().err
    assert f"{project}:5 parallel: needs 2 processes" in err
    assert f"{project}:9 erniekit.extra.lora_r: ERNIEKit 1.0.1 has no such key\n    → set lora.r" in err


def test_plan_prints_parameter_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "plan", project) == 0
    out = capsys.readouterr().out
    assert "360,748,032" in out
    assert "5,160,960" in out


def test_doctor_exits_with_1_for_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "doctor", project) == 1
    out = capsys.readouterr().out
    assert "✓ Python 3." in out
    assert "✗ PATH: no erniekit on PATH" in out
    assert "✓ ERNIEKit supports all settings of the project file" in out
    assert "✗ no model in the folder baidu/ERNIE-4.5-0.3B-Paddle\n    → download it, for example: hf download" in out
    assert "run erniekit-adapter data build" in out


def test_doctor_names_missing_sources_by_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    overrides = ("dataset.path=./a.jsonl", "data.test_sources=[{kind: training_examples, path: ./b.jsonl}]")
    assert run(monkeypatch, "doctor", project, *(part for one in overrides for part in ("--set", one))) == 1
    missing = "dataset.path: a.jsonl: no such file; data.test_sources[0].path: b.jsonl: no such file"
    assert f"✗ missing sources: {missing}\n    → correct their paths" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "holds no training examples yet\n    → run erniekit-adapter data build PROJECT first"),
        (["export"], "has no finished training\n    → run erniekit-adapter train PROJECT first"),
        (["evaluate"], "→ run erniekit-adapter export PROJECT first"),
        (
            ["evaluate", "--set", "model.model_name_or_path=PaddlePaddle/PaddleOCR-VL"],
            "takes images, and evaluate supports text models only",
        ),
        (["summary"], "→ run erniekit-adapter data build PROJECT first"),
        (["translate", "--set", "training.seed=x"], "--set training.seed"),
        (["plan", "--set", "model.model_name_or_path=baidu/nothing"], "no published model baidu/nothing"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_error_names_the_missing_step(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    project: Path,
    arguments: list[str],
    message: str,
) -> None:
    verb, *more = arguments
    assert run(monkeypatch, verb, project, *more) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["check", "--nothing"], ["nothing"], ["train", "a.yaml", "--stall-minutes", "0"], ["tiny-model"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert run(monkeypatch, *arguments) == 2


def test_missing_project_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "translate", "nothing.yaml") in (1, 2)
    assert capsys.readouterr().err.startswith("nothing.yaml: no such file\n    → give the path of the project file")


def test_ctrl_c_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("erniekit_adapter.project.loading.load_project_with_places", interrupt)
    assert run(monkeypatch, "translate", project) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_module_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "erniekit_adapter", "--help"]
    environment = os.environ | {"PATH": os.defpath}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True, env=environment)
    verbs = ("check", "translate", "train", "export", "evaluate", "summary", "plan", "doctor", "tiny-model")
    assert [verb for verb in verbs if verb not in done.stdout] == []


def test_square_brackets_are_not_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(monkeypatch, "plan", project, "--set", "run_name='[/x]'") == 0
    assert "[/x]" in capsys.readouterr().out
