"""Keys that would have no effect: each is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from settings_examples import (
    MOE,
    OCR_VL,
    context_of,
    dpo_project,
    image_project,
    ocr_project,
    paddleformers_project,
    project,
    refusal,
    settings,
)

from erniekit_adapter.architectures.linear_layers import FUSED
from erniekit_adapter.backends.translation import problems_of_project
from erniekit_adapter.files import write_json
from erniekit_adapter.project.schema import Project

FULL = {"enabled": False}
STEPS = {"gradient_accumulation_steps": 4}
LINES = {"format": "paddleformers"}
LORA_KEYS: dict[str, Any] = {
    "r": 8,
    "lora_alpha": 16,
    "target_modules": "all-linear",
    "lora_dropout": 0.0,
    "rslora": False,
    "lora_plus_scale": 1.0,
}


@pytest.mark.parametrize("key", LORA_KEYS)
def test_lora_key_without_lora(key: str) -> None:
    """Also if it has its default value."""
    assert f"project lora.{key}: is not used: lora.enabled is false" in refusal(
        project(lora=FULL | {key: LORA_KEYS[key]})
    )


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_sharding_stage_without_sharding(stage: str) -> None:
    given = project(MOE, parallel={"tensor": 2, "sharding_stage": stage})
    assert f"parallel.sharding_stage: found {stage}; parallel.sharding is 1" in refusal(given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (image_project(training=STEPS | {"val_split_ratio": 0.1}), "ERNIEKit fails when it evaluates in VL-SFT"),
        (ocr_project(training={"val_split_ratio": 0.1}), "ERNIEKit fails when it evaluates in OCR-VL-SFT"),
        (paddleformers_project(training={"val_split_ratio": 0.1}), "PaddleFormers evaluates LoRA"),
        (paddleformers_project(OCR_VL, data=LINES, training={"val_split_ratio": 0.1}), "PaddleFormers evaluates LoRA"),
        (
            paddleformers_project(training={"val_split_ratio": 0.1, "method": "DPO"}, data={"preference": True}),
            "PaddleFormers evaluates DPO",
        ),
    ],
)
def test_documents_for_an_impossible_evaluation(given: Project, why: str) -> None:
    found = refusal(given)
    assert f"training.val_split_ratio: found 0.1; {why}" in found
    assert "would be held out and not used" in found


@pytest.mark.parametrize("key", ["eval_steps", "per_device_eval_batch_size"])
@pytest.mark.parametrize(
    ("of", "training"),
    [
        (image_project, STEPS),
        (ocr_project, {}),
        (paddleformers_project, {}),
        (project, {"val_split_ratio": 0.0}),
    ],
)
def test_keys_of_an_impossible_evaluation(of: Any, training: dict[str, Any], key: str) -> None:
    assert f"training.{key}: is not used: " in refusal(of(training={**training, key: 1}))


@pytest.mark.parametrize(
    ("given", "location"),
    [
        (image_project(erniekit={"version": "1.4", "extra": {"do_eval": True}}), "erniekit.extra.do_eval"),
        (
            paddleformers_project(paddleformers={"extra": {"eval_steps": 5}}),
            "paddleformers.extra.eval_steps",
        ),
        (
            project(training={"val_split_ratio": 0.0}, erniekit={"extra": {"max_evaluate_steps": 5}}),
            "erniekit.extra.max_evaluate_steps",
        ),
    ],
)
def test_raw_keys_of_an_impossible_evaluation(given: Project, location: str) -> None:
    assert f"{location}: is not used: " in refusal(given)


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (project(), 0.1),
        (project(training={"val_split_ratio": 0.3}), 0.3),
        (dpo_project(), 0.1),
        (image_project(), 0.0),
        (image_project(training=STEPS | {"val_split_ratio": 0.0}), 0.0),
        (ocr_project(), 0.0),
        (paddleformers_project(), 0.0),
        (paddleformers_project(lora=FULL), 0.1),
        (paddleformers_project(OCR_VL, data=LINES, lora=FULL), 0.1),
    ],
)
def test_documents_are_held_out_only_for_an_evaluation(given: Project, share: float) -> None:
    assert given.eval_ratio == share
    assert problems_of_project(given) == []
    assert settings(given, train_examples=1000, eval_examples=100 if share else 0).get("do_eval", False) == (share > 0)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_no_evaluation_with_a_share_of_zero(share: float) -> None:
    assert settings(project(training={"val_split_ratio": share}))["do_eval"] is (share > 0)


@pytest.mark.parametrize(
    ("training", "train_examples", "text"),
    [
        ({"lr_scheduler_type": "constant", "warmup_steps": 5}, None, "set it to constant_with_warmup"),
        ({"lr_scheduler_type": "constant", "warmup_ratio": 0.1}, None, "set it to constant_with_warmup"),
        ({"max_steps": 28, "warmup_steps": 28}, None, "found 28; the run has 28 steps, so the rate never reaches"),
        ({"max_steps": 28, "warmup_steps": 100}, 10**6, "found 100; the run has 28 steps"),
        ({"num_train_epochs": 2, "warmup_steps": 20}, 10, "found 20; the run has 20 steps at most"),
    ],
)
def test_warm_up_that_cannot_work(training: dict[str, Any], train_examples: int | None, text: str) -> None:
    given = project(training=training)
    problems = problems_of_project(given, context_of(given, train_examples=train_examples))
    assert text in "\n".join(map(str, problems))


@pytest.mark.parametrize(
    ("training", "more"),
    [
        ({"lr_scheduler_type": "constant"}, {}),
        ({"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 5}, {}),
        ({"lr_scheduler_type": "linear", "warmup_ratio": 0.1}, {"train_examples": 1}),
        ({"max_steps": 28, "warmup_steps": 27}, {}),
        ({"warmup_steps": 10_000}, {}),
        ({"max_steps": 28, "warmup_steps": 28}, {"remaining_steps": 3, "initial_adapter_dir": "earlier"}),
        ({"max_steps": 1}, {}),
    ],
)
def test_warm_up_that_works(training: dict[str, Any], more: dict[str, Any]) -> None:
    given = project(training=training)
    assert problems_of_project(given, context_of(given, **more)) == []


def test_warm_up_by_ratio() -> None:
    found = settings(project(training={"warmup_ratio": 0.1}))
    assert (found["warmup_steps"], found["warmup_ratio"]) == (0, 0.1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (ocr_project(lora={"r": 8}), "lora.enabled: with LoRA, OCR-VL-SFT of ERNIEKit stops"),
        (ocr_project(lora={"r": 8}), "set backend: paddleformers"),
        (
            ocr_project(lora={"r": 8}, training={"quantization": "wint8"}),
            "lora.enabled: with LoRA, OCR-VL-SFT of ERNIEKit stops",
        ),
        (image_project(parallel={"tensor": 2}), "lora.enabled: with LoRA and no pipeline, VL-SFT stops"),
        (image_project(training=STEPS | {"freeze_vision": False}), "training.freeze_vision: is false, and with LoRA"),
    ],
)
def test_lora_that_erniekit_does_not_save(given: Project, text: str) -> None:
    assert text in refusal(given)


@pytest.mark.parametrize(
    ("dpo", "key"),
    [
        ({"label_smoothing": 0.1, "loss_type": "hinge"}, "label_smoothing"),
        ({"simpo_gamma": 1.0}, "simpo_gamma"),
        ({"beta": 0.2, "loss_type": "or"}, "beta"),
        ({"sft_loss_ratio": 0.5, "loss_type": "orpo"}, "sft_loss_ratio"),
        ({"reference_free": False, "loss_type": "simpo"}, "reference_free"),
    ],
)
def test_key_that_the_loss_of_dpo_does_not_read(dpo: dict[str, Any], key: str) -> None:
    assert f"project dpo.{key}: " in refusal(dpo_project(dpo=dpo))


def with_adapter(folder: Path, lora: dict[str, Any], **config: Any) -> Project:
    """Return a project that continues from an adapter with this lora_config.json."""
    values = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "rslora": False, **config}
    write_json(folder / "lora_config.json", values)
    return project(lora=lora, erniekit={"extra": {"lora_path": str(folder)}})


@pytest.mark.parametrize(
    ("lora", "text"),
    [
        ({"r": 8}, "lora.r: found 8; the adapter of erniekit.extra.lora_path has 16"),
        ({"r": 16, "lora_alpha": 8}, "lora.lora_alpha: found 8; the adapter of erniekit.extra.lora_path has 32"),
        ({"rslora": True}, "lora.rslora: found True; the adapter of erniekit.extra.lora_path has False"),
        (FULL, "erniekit.extra.lora_path: is not used: lora.enabled is false"),
    ],
)
def test_lora_keys_that_differ_from_the_named_adapter(tmp_path: Path, lora: dict[str, Any], text: str) -> None:
    assert text in refusal(with_adapter(tmp_path, lora))


@pytest.mark.parametrize("lora", [{}, {"r": 16, "lora_alpha": 32}, {"target_modules": "all-linear"}])
def test_lora_keys_that_agree_with_the_named_adapter(tmp_path: Path, lora: dict[str, Any]) -> None:
    patterns = [f".*{name}.*" for name in FUSED]
    assert problems_of_project(with_adapter(tmp_path, lora, target_modules=patterns)) == []


def test_named_adapter_that_cannot_be_read(tmp_path: Path) -> None:
    given = project(lora={"r": 16}, erniekit={"extra": {"lora_path": str(tmp_path / "none")}})
    assert "lora.r: found 16; the adapter of erniekit.extra.lora_path has its own value" in refusal(given)
