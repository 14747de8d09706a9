"""The train stage around its toolkit: files of a run, failures, divergence.

The toolkit is a fake, `fake_erniekit.py`; the tests in tests/toolkit run the real ERNIEKit.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from training_examples import make_project, trained

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.toolkit_sections import ErniekitSection
from erniekit_adapter.training import stage
from erniekit_adapter.training.run import TrainOptions
from erniekit_adapter.training.stage import train

pytestmark = pytest.mark.usefixtures("faked")


def test_writes_settings_log_metrics_and_manifest(folder: Path) -> None:
    manifest, output = trained(make_project(folder))
    training = folder / "run" / "training"
    assert {"settings.yaml", "train.log", "metrics.jsonl", "run.json", "manifest.json"} <= {
        f.name for f in training.iterdir()
    }
    assert json.loads((training / "manifest.json").read_text()) == manifest
    assert (manifest["steps"], manifest["first_loss"], manifest["last_loss"]) == (6, 1.875, 1.625)
    assert (manifest["last_eval_loss"], manifest["trainable_parameters"]) == (6.268, 1024)
    assert (manifest["adapter"], manifest["started"]) == ("output", "new")
    assert f"log: {training}/train.log" in output


def test_manifest_has_the_settings_of_the_toolkit(folder: Path) -> None:
    manifest, _ = trained(make_project(folder))
    assert yaml.safe_load((folder / "run" / "training" / "settings.yaml").read_text()) == manifest["settings"]


def test_failure_names_exit_code_cause_and_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "fail")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder))
    problem = error.value.problems[0]
    assert problem.finding == "exit code 3: the toolkit's environment lacks the package tensorboardX"
    assert problem.hint == f"the whole log is {folder}/run/training/train.log"
    assert "Traceback" in (folder / "run" / "training" / "train.log").read_text()
    assert not (folder / "run" / "training" / "manifest.json").exists()


def test_killed_toolkit_names_the_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "killed after 5")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder))
    problem = error.value.problems[0]
    assert problem.finding.startswith("killed by SIGKILL")
    assert problem.hint.startswith(f"the same command continues from {folder}/run/training/output/checkpoint-4; ")


def test_ctrl_c_names_the_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "slow after 5")
    console = Console(file=io.StringIO(), width=400)

    def interrupt(line: str) -> None:
        if "global_step: 4" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(stage.LogMonitor, "process", lambda self, line: interrupt(line))
    with pytest.raises(KeyboardInterrupt):
        train(make_project(folder, save_steps=2), TrainOptions(), console)
    assert isinstance(console.file, io.StringIO)
    assert "interrupted by Ctrl-C: the same command continues from" in console.file.getvalue()


def test_ends_a_silent_toolkit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "silent")
    with pytest.raises(AdapterError, match=r"printed nothing for 0\.01 minutes and was ended"):
        trained(make_project(folder), stall_minutes=0.01)


def test_run_without_weights_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "no weights")
    with pytest.raises(AdapterError, match="ended with exit code 0 but wrote no weights"):
        trained(make_project(folder))


@pytest.mark.parametrize(
    ("behaviour", "finding"),
    [
        ("nan", "the training diverged: the loss is nan from step 2 on"),
        ("guessing", "the loss is 2.398 at step 4; random guessing has 2.398"),
        ("nan weights", "the trained weights are NaN or infinite: 6 of 6 values of peft_model"),
    ],
)
def test_diverged_run_fails(folder: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, finding: str) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", behaviour)
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder, save_steps=6))
    assert finding in error.value.problems[0].finding
    assert "lower training.learning_rate (now 0.0002)" in error.value.problems[0].hint
    assert not (folder / "run" / "training" / "manifest.json").exists()


def test_allows_a_single_nan_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "nan once")
    assert trained(make_project(folder))[0]["last_loss"] == 1.5


def test_run_may_be_shorter_than_its_logging_interval(folder: Path) -> None:
    assert trained(make_project(folder, max_steps=3, logging_steps=10))[0]["adapter"] == "output"


def test_dropout_needs_an_initial_adapter(folder: Path) -> None:
    manifest, _ = trained(make_project(folder, lora={"lora_dropout": 0.1}))
    adapter = Path(manifest["settings"]["lora_path"])
    assert json.loads((adapter / "lora_config.json").read_text())["lora_dropout"] == 0.1
    assert "lora_path" not in trained(make_project(folder), restart=True)[0]["settings"]


def test_cpu_run_adds_scale_qk_coeff_to_the_model(folder: Path) -> None:
    manifest, _ = trained(make_project(folder))
    used = Path(manifest["settings"]["model_name_or_path"])
    assert used == folder / "run" / "training" / "model"
    assert json.loads((used / "config.json").read_text())["scale_qk_coeff"] == 1.0
    assert (used / "model.safetensors").resolve() == folder / "model" / "model.safetensors"
    assert "scale_qk_coeff" not in json.loads((folder / "model" / "config.json").read_text())


def test_extra_keys_of_a_file_are_part_of_the_run(folder: Path) -> None:
    more = folder / "more.yaml"
    more.write_text("adam_beta2: 0.95\n")
    project = make_project(folder).model_copy(update={"erniekit": ErniekitSection(erniekit_config_path=more)})
    assert trained(project)[0]["settings"]["adam_beta2"] == 0.95
    more.write_text("adam_beta2: 0.9\n")
    with pytest.raises(UsageError, match=r"adam_beta2 \(0\.95, now 0\.9\)"):
        trained(project)
