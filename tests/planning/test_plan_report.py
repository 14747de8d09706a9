"""The output of `plan`."""

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


def printed(example: Project, **options: Any) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as capture:
        print_plan(example, console, **options)
    return capture.get()


@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
def test_plans_every_kind_of_model(name: str) -> None:
    text = printed(project(name))
    for part in (
        "weights of the text model",
        "gradients",
        "optimizer",
        "activations",
        "logits",
        "total",
        "Assumed:",
    ):
        assert part in text
    assert ("vision tower (estimate)" in text) == (name in (PAGES, OCR))
    assert ("active per token" in text) == (name in (MIDDLE, LARGE, PAGES))


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-21B-A3B-PT", MIDDLE])
def test_plans_are_equal_for_both_layouts_of_weights(name: str) -> None:
    assert "21,825,436,160" in printed(project(name))


def test_lists_fitting_gpus_by_default() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}))
    assert "Does not fit a GPU of 80 GiB." in text
    assert "a plan for 1 CONTRADICTS it" in text
    assert "--gpus 8 --memory-gib 80" in text


def test_recommends_degrees_and_batch_for_given_gpus() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}), gpus=8, memory_gib=80)
    assert "does not fit GPUs of 80 GiB" in text
    assert "Recommended" in text
    assert "parallel.tensor" in text
    assert "this agrees with it" in text


def test_prints_the_assumed_gpu_memory() -> None:
    assert "GPUs of 80 GiB (assumed)" in printed(project(), gpus=2)


def test_prints_the_minimum_if_nothing_fits() -> None:
    text = printed(project(MIDDLE, lora={"enabled": False}), gpus=1, memory_gib=80)
    assert "Nothing fits: the minimum is" in text
    assert "8 such GPUs are enough" in text
    assert "allow no parallel degrees" in printed(project(PAGES), gpus=1)


@pytest.mark.parametrize("memory_gib", [16, 24])
def test_lists_trainable_models_for_small_gpus(memory_gib: float) -> None:
    text = printed(project(MIDDLE), memory_gib=memory_gib)
    assert f"Models that one GPU of {memory_gib} GiB can train" in text
    assert "does not fit" in text
    assert "not supported by it" in text


def test_prints_reliefs_with_their_keys() -> None:
    text = printed(project(MIDDLE))
    assert "Settings that save memory" in text
    assert "lora.target_modules: [q_proj, k_proj, v_proj, o_proj]" in text


def test_prints_the_epoch_of_counted_examples(tmp_path: Path) -> None:
    example = project().model_copy(update={"output_dir": tmp_path})
    assert "known after data build" in printed(example)
    example.data_dir.mkdir()
    manifest: dict[str, Any] = {"by_split": {"train": 100}, "written": 100}
    counts = {"tokens": {"up to 512": 100}, "tokens_counted": {"lines": 100, "tokens": 40_000}}
    (example.data_dir / "manifest.json").write_bytes(orjson.dumps({**manifest, **counts}))
    text = printed(example)
    assert "about 40,000" in text
    assert "10 to 100" in text
    assert "A100 reaches 35% of its 312" in text
    assert "training.max_seq_length: 512" in text
    assert printed(example, gpus=2).count("hours per epoch") == 2


def test_refuses_a_malformed_manifest(tmp_path: Path) -> None:
    example = project().model_copy(update={"output_dir": tmp_path})
    example.data_dir.mkdir()
    (example.data_dir / "manifest.json").write_bytes(b"[]")
    with pytest.raises(AdapterError, match="not a manifest of the data stage"):
        printed(example)


def test_cpu_plan_has_no_time_and_no_gpus() -> None:
    text = printed(project(training={"device": "cpu", "max_seq_length": 512}), memory_gib=8)
    assert "fits 8 GiB of memory" in text
    assert "hours" not in text
    assert "ERNIEKit's table" not in text


@pytest.mark.parametrize(
    ("options", "message"), [({"gpus": 0}, "over 0"), ({"memory_gib": 0}, "over 0"), ({"memory_gib": -1}, "over 0")]
)
def test_refuses_impossible_numbers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        printed(project(), **options)


def test_refuses_gpus_for_a_cpu_project() -> None:
    with pytest.raises(UsageError, match="trains on a cpu"):
        printed(project(training={"device": "cpu"}), gpus=8)


def test_plans_a_folder_by_its_config_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(orjson.dumps(CONFIG))
    found = model_shape(project(str(tmp_path)))
    assert (found.layers, found.hidden, found.head_dim, found.tied) == (2, 64, 16, True)
    assert "has no row" in printed(project(str(tmp_path)))


def test_plan_refuses_an_unknown_model() -> None:
    with pytest.raises(UsageError, match=r"no published model baidu/ERNIE-4\.5-8B"):
        printed(project("baidu/ERNIE-4.5-8B"))


def test_docs_show_the_printed_plan() -> None:
    docs = (ROOT / "docs/planning.md").read_text()
    overrides = ["model.model_name_or_path=baidu/ERNIE-4.5-21B-A3B-Paddle", "lora.enabled=false"]
    command = next(line for line in docs.splitlines() if all(f"--set {each}" in line for each in overrides))
    assert "--gpus 8 --memory-gib 80" in command
    console = Console(width=100, markup=False)
    with console.capture() as capture:
        print_plan(load_project(ROOT / "configs/ernie-0.3b-lora.yaml", overrides), console, gpus=8, memory_gib=80)
    assert "\n".join(line.rstrip() for line in capture.get().splitlines()) in docs
