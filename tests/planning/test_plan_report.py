"""What `plan` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project
from rich.console import Console

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.planning.report import model_shape, print_plan
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
CONFIG = {**BY_HAND, "intermediate_size": 128, "vocab_size": 512, "model_type": "ernie4_5"}


def printed(asked: Project, **options: Any) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as capture:
        print_plan(asked, console, **options)
    return capture.get()


@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
def test_every_kind_of_model_is_planned_with_its_parts_and_assumptions(name: str) -> None:
    text = printed(project(name))
    for part in (
        "weights of the text model",
        "gradients",
        "optimizer",
        "activations",
        "logits",
        "together",
        "Assumed:",
    ):
        assert part in text
    assert ("vision tower (estimate)" in text) == (name in (PAGES, OCR))
    assert ("of them see a token" in text) == (name in (MIDDLE, LARGE, PAGES))


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-21B-A3B-PT", MIDDLE])
def test_either_layout_of_weights_is_planned_alike(name: str) -> None:
    assert "21,825,436,160" in printed(project(name))


def test_without_gpus_and_memory_the_cards_that_would_do_are_named_and_the_table() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}))
    assert "Fits no GPU of 80 GiB." in text
    assert "a plan for 1 CONTRADICTS it" in text
    assert "--gpus 8 --memory-gib 80" in text


def test_for_given_gpus_degrees_and_batch_are_recommended() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}), gpus=8, memory_gib=80)
    assert "does not fit GPUs of 80 GiB" in text
    assert "Recommended" in text
    assert "parallel.tensor" in text
    assert "this agrees with it" in text


def test_memory_that_is_not_given_is_assumed_aloud() -> None:
    assert "GPUs of 80 GiB, which are assumed" in printed(project(), gpus=2)


def test_what_fits_nowhere_is_said_with_the_least_that_it_takes() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}), gpus=1, memory_gib=80)
    assert "Nothing fits: the least is" in text
    assert "GPUs of that size that would do: 8" in text
    assert "No degrees" in printed(project(PAGES), gpus=1)


@pytest.mark.parametrize("memory_gib", [16, 24])
def test_a_small_card_gets_an_honest_answer(memory_gib: float) -> None:
    text = printed(project(MIDDLE), memory_gib=memory_gib)
    assert f"What one GPU of {memory_gib} GiB can train" in text
    assert "does not fit" in text
    assert "on your own account" in text


def test_advice_for_memory_that_runs_out_names_the_keys() -> None:
    text = printed(project(MIDDLE))
    assert "When memory runs out" in text
    assert "lora.target_modules: [q_proj, k_proj, v_proj, o_proj]" in text


def test_lines_that_were_counted_give_an_epoch(tmp_path: Path) -> None:
    asked = project().model_copy(update={"output_dir": tmp_path})
    assert "known after make data" in printed(asked)
    asked.data_dir.mkdir()
    manifest: dict[str, Any] = {"by_split": {"train": 100}, "written": 100}
    counts = {"tokens": {"up to 512": 100}, "tokens_counted": {"lines": 100, "tokens": 40_000}}
    (asked.data_dir / "manifest.json").write_bytes(orjson.dumps({**manifest, **counts}))
    text = printed(asked)
    assert "about 40,000" in text
    assert "10 to 100" in text
    assert "A100 computes 312" in text
    assert "training.max_seq_length: 512" in text
    assert printed(asked, gpus=2).count("hours an epoch") == 2


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    asked = project().model_copy(update={"output_dir": tmp_path})
    asked.data_dir.mkdir()
    (asked.data_dir / "manifest.json").write_bytes(b"[]")
    with pytest.raises(AdapterError, match="is no manifest of the data stage"):
        printed(asked)


def test_on_a_cpu_no_time_is_promised_and_nothing_is_said_of_gpus() -> None:
    text = printed(project(training={"device": "cpu", "max_seq_length": 512}), memory_gib=8)
    assert "fits 8 GiB of memory" in text
    assert "hours" not in text
    assert "ERNIEKit's table" not in text


@pytest.mark.parametrize(
    ("options", "message"), [({"gpus": 0}, "over 0"), ({"memory_gib": 0}, "over 0"), ({"memory_gib": -1}, "over 0")]
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        printed(project(), **options)


def test_gpus_for_a_project_on_a_cpu_are_refused() -> None:
    with pytest.raises(UsageError, match="trains on a cpu"):
        printed(project(training={"device": "cpu"}), gpus=8)


def test_a_folder_is_planned_by_its_config_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(orjson.dumps(CONFIG))
    found = model_shape(project(str(tmp_path)))
    assert (found.layers, found.hidden, found.head_dim, found.tied) == (2, 64, 16, True)
    assert "has no row" in printed(project(str(tmp_path)))


def test_a_model_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no model baidu/ERNIE-4\.5-8B"):
        printed(project("baidu/ERNIE-4.5-8B"))


def test_the_docs_show_what_is_printed() -> None:
    docs = (ROOT / "docs/planning.md").read_text()
    overrides = ["model.model_name_or_path=baidu/ERNIE-4.5-21B-A3B-Paddle", "lora.enabled=false"]
    command = next(line for line in docs.splitlines() if all(f"--set {each}" in line for each in overrides))
    assert "--gpus 8 --memory-gib 80" in command
    console = Console(width=100, markup=False)
    with console.capture() as capture:
        print_plan(load_project(ROOT / "configs/ernie-0.3b-lora.yaml", overrides), console, gpus=8, memory_gib=80)
    assert "\n".join(line.rstrip() for line in capture.get().splitlines()) in docs
