"""Every key of a project file has an effect: a second value changes the input of a stage, or is refused.

The list of keys is the JSON schema's, so that a new key needs an entry here. Keys of sources have their own test,
tests/data_tools/test_every_source_key.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_tools.build_settings import BuildSettings, runner_of
from data_tools.build_settings import settings_of as build_settings_of
from erniekit_adapter.backends.settings import values
from erniekit_adapter.backends.translation import context_before_training, settings_of
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.json_schema import project_schema
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.examples import _MADE_BY

ROOT = Path(__file__).resolve().parents[2]
DENSE, MOE, VL = "baidu/ERNIE-4.5-0.3B-Paddle", "baidu/ERNIE-4.5-21B-A3B-Paddle", "baidu/ERNIE-4.5-VL-28B-A3B-Paddle"
LEAST: dict[str, Any] = {"model": {"model_name_or_path": DENSE}, "output_dir": "./o", "erniekit": {"version": "1.4"}}
DPO: dict[str, Any] = {"training": {"method": "DPO"}, "data": {"preference": True}}
PADDLEFORMERS: dict[str, Any] = {
    "backend": "paddleformers",
    "model": {"model_name_or_path": "baidu/ERNIE-4.5-0.3B-PT"},
    "erniekit": {},
}
FULL_VL: dict[str, Any] = {
    "model": {"model_name_or_path": VL},
    "lora": {"enabled": False},
    "parallel": {"tensor": 2},
    "data": {"format": "erniekit-vl"},
}

# A second value of each key, and the rest of a project in which it counts; the first value is the default, or `rest`'s.
CHANGES: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "backend": ("paddleformers", {}),
    "model.model_name_or_path": (MOE, {}),
    "lora.enabled": (False, {}),
    "lora.r": (8, {}),
    "lora.lora_alpha": (7, {}),
    "lora.target_modules": (["o_proj"], {}),
    "lora.lora_dropout": (0.1, {}),
    "lora.rslora": (True, {}),
    "lora.lora_plus_scale": (4.0, {}),
    "training.method": ("DPO", {"data": {"preference": True}}),
    "training.num_train_epochs": (1.5, {}),
    "training.max_steps": (7, {}),
    "training.max_seq_length": (512, {}),
    "training.per_device_train_batch_size": (2, {}),
    "training.per_device_eval_batch_size": (3, PADDLEFORMERS | {"lora": {"enabled": False}}),
    "training.gradient_accumulation_steps": (2, {}),
    "training.learning_rate": (1.0e-5, {}),
    "training.lr_scheduler_type": ("linear", {}),
    "training.warmup_steps": (3, {}),
    "training.warmup_ratio": (0.5, {}),
    "training.weight_decay": (0.5, {}),
    "training.max_grad_norm": (0.5, {}),
    "training.logging_steps": (3, {}),
    "training.save_steps": (3, {}),
    "training.eval_steps": (3, {}),
    "training.save_total_limit": (3, {}),
    "training.val_split_ratio": (0.3, {}),
    "training.fp16": (True, {}),
    "training.bf16": (False, {}),
    "training.quantization": ("wint8", {}),
    "training.recompute": (False, {}),
    "training.freeze_vision": (False, FULL_VL),
    "training.use_tensorboard": (True, {}),
    "training.seed": (7, {}),
    "training.device": ("cpu", {}),
    "parallel.tensor": (2, {}),
    "parallel.pipeline": (2, {}),
    "parallel.sharding": (2, {}),
    "parallel.sharding_stage": ("stage2", {"parallel": {"sharding": 2}}),
    "parallel.sequence": (True, {"parallel": {"tensor": 2}}),
    "dpo.beta": (0.5, DPO),
    "dpo.loss_type": ("hinge", DPO),
    "dpo.label_smoothing": (0.25, DPO),
    "dpo.pref_loss_ratio": (0.5, DPO),
    "dpo.sft_loss_ratio": (0.5, DPO),
    "dpo.simpo_gamma": (0.25, DPO | {"dpo": {"loss_type": "simpo"}}),
    "dpo.reference_free": (True, DPO),
    "dpo.max_prompt_length": (64, DPO),
    "dataset.path": ("lines.jsonl", {}),
    "dataset.max_samples": (3, {}),
    "run_name": ("another", {}),
    "document_type": ("receipt", {}),
    "python_rules": (["missing"], {}),
    "erniekit.use_erniekit": (False, {}),
    "erniekit.version": ("develop", {}),
    "erniekit.extra": ({"adam_beta2": 0.5}, {}),
    "paddleformers.version": ("1.0.0", PADDLEFORMERS),
    "paddleformers.extra": ({"adam_beta2": 0.5}, PADDLEFORMERS),
    "data.sources": ([{"kind": "training_examples", "path": "a.jsonl"}], {}),
    "data.test_sources": ([{"kind": "training_examples", "path": "a.jsonl"}], {}),
    "data.test_split_ratio": (0.3, {}),
    "data.group_by": ("vendor", {}),
    "data.seed": (7, {}),
    "data.filters.arithmetic": ("warn", {}),
    "data.filters.dates": ("error", {}),
    "data.filters.image": ("warn", {}),
    "data.filters.visible": ("unchecked", {}),
    "data.filters.duplicate": ("warn", {}),
    "data.filters.personal": ("mask", {}),
    "data.min_visible_share": (0.25, {}),
    "data.tasks.analysis": (2.0, {}),
    "data.tasks.extraction": (1.0, {}),
    "data.tasks.validation": (1.0, {}),
    "data.prompt_templates": (2, {}),
    "data.fault_share": (0.25, {}),
    "data.preference": (True, {}),
    "data.format": ("erniekit-vl", {}),
    "data.ocr": ("rapidocr", {}),
    "data.date_order": ("day_first", {}),
    "data.runner": ("ray", {}),
    "data.workers": (3, {}),
    "data.ray_address": ("first:6379", {"data": {"runner": "ray"}}),
}
# Keys whose effect is on files, on processes or on other stages, and the test that shows it.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "preset": ("project/test_preset.py", "test_project_overrides_its_preset"),
    "output_dir": ("training/test_train_stage.py", "test_writes_settings_log_metrics_and_manifest"),
    "parallel.gpus": ("training/test_run_gpus.py", "test_run_takes_the_gpus_of_its_project"),
    "training.max_hours": ("training/test_resumed_runs.py", "test_max_hours_ends_a_run_that_can_be_resumed"),
    "erniekit.erniekit_config_path": (
        "backends/test_raw_keys.py",
        "test_raw_key_is_passed_on_with_its_origin",
    ),
    "export.formats": ("bundle/test_export.py", "test_bundle_has_the_requested_formats"),
    "export.tensor_parallel_degree": (
        "bundle/test_export_after_tensor_parallel.py",
        "test_all_formats_have_the_order_of_a_whole_model",
    ),
    "evaluate.max_samples": (
        "data_tools/test_held_out.py",
        "test_evaluate_takes_test_examples_in_file_order",
    ),
    "evaluate.max_new_tokens": (
        "predictors/test_toolkit_predictor.py",
        "test_options_of_the_worker",
    ),
    "evaluate.batch_size": ("predictors/test_toolkit_predictor.py", "test_options_of_the_worker"),
    "evaluate.structured": ("predictors/test_structured.py", "test_setting_decides_with_the_environment"),
}


NOT_ERNIEKIT = frozenset({"erniekit.use_erniekit"})
PAGES: dict[str, Any] = {"data": {"format": "erniekit-vl"}}
# Other kinds of runs, each with the keys whose second value equals the default there.
KINDS: Mapping[str, tuple[dict[str, Any], frozenset[str]]] = {
    "every weight": ({"lora": {"enabled": False}}, frozenset()),
    "on a CPU": ({"training": {"device": "cpu"}}, frozenset({"training.bf16", "training.recompute"})),
    "DPO": (DPO, frozenset()),
    "VL-SFT": (
        PAGES
        | {
            "model": {"model_name_or_path": VL},
            "parallel": {"tensor": 2, "pipeline": 2},
            "training": {"gradient_accumulation_steps": 4},
        },
        frozenset(),
    ),
    "VL-SFT, every weight": (FULL_VL, frozenset()),
    "OCR-VL-SFT": (
        PAGES | {"model": {"model_name_or_path": "PaddlePaddle/PaddleOCR-VL"}, "lora": {"enabled": False}},
        frozenset(),
    ),
    "PaddleFormers": (PADDLEFORMERS, NOT_ERNIEKIT),
    "PaddleFormers, every weight": (PADDLEFORMERS | {"lora": {"enabled": False}}, NOT_ERNIEKIT),
    "PaddleFormers, DPO": (PADDLEFORMERS | DPO, NOT_ERNIEKIT),
    "PaddleFormers, pages": (
        PADDLEFORMERS
        | {"model": {"model_name_or_path": "PaddlePaddle/PaddleOCR-VL"}, "data": {"format": "paddleformers"}},
        NOT_ERNIEKIT,
    ),
}


def keys(section: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """Every key of the schema that holds no section; `data.sources` is one key."""
    for key, part in section["properties"].items():
        if "properties" in part:
            yield from keys(part, f"{name}{key}.")
        else:
            yield f"{name}{key}"


def with_key(rest: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The least project with the rest of one laid over it, and one key set."""
    whole: dict[str, Any] = {name: dict(part) if isinstance(part, dict) else part for name, part in LEAST.items()}
    for name, part in rest.items():
        whole[name] = {**whole.get(name, {}), **part} if isinstance(part, dict) and part else part
    if key:
        *sections, last = key.split(".")
        inner = whole
        for name in sections:
            inner[name] = inner = dict(inner.get(name, {}))
        inner[last] = value
    return whole


def loaded(folder: Path, content: Mapping[str, Any]) -> Project:
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(dict(content)))
    return load_project(path)


def effects(project: Project) -> dict[str, Any]:
    """Return what the stages read of a project: settings of the toolkit and of the data stage, sources and runner."""
    context = replace(
        context_before_training(project), train_examples=1_000, eval_examples=100 if project.eval_ratio else 0
    )
    return {
        "toolkit": values(settings_of(project, context)),
        "version": context.version,
        "initial adapter": (context.initial_adapter_dir, sorted(project.lora.modules), project.lora.lora_dropout),
        "data": build_settings_of(project).as_json(),
        "sources": (project.sources, project.data.test_sources),
        "engine": runner_of(project),
    }


def test_every_key_has_one_entry() -> None:
    """A new key needs a second value that shows its effect, or the test that does."""
    found = set(keys(project_schema()))
    assert found - CHANGES.keys() - ELSEWHERE.keys() == set(), "no entry"
    assert (CHANGES.keys() | ELSEWHERE.keys()) - found == set(), "no such key"
    assert CHANGES.keys() & ELSEWHERE.keys() == set()


@pytest.mark.parametrize("key", CHANGES)
def test_second_value_has_an_effect_or_is_refused(tmp_path: Path, key: str) -> None:
    second, rest = CHANGES[key]
    before = effects(loaded(tmp_path, with_key(rest, "", None)))
    try:
        after = effects(loaded(tmp_path, with_key(rest, key, second)))
    except UsageError as error:
        named = [problem.location + problem.finding for problem in error.problems]
        assert any(key.rpartition(".")[2] in text for text in named), named
    else:
        assert before != after, f"{key}: {second!r} is accepted and changes nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_keys_in_other_kinds_of_runs(tmp_path: Path, kind: str) -> None:
    rest, said_already = KINDS[kind]
    project = loaded(tmp_path, with_key(rest, "", None))
    before = effects(project)
    idle = []
    for key, (second, _) in CHANGES.items():
        try:
            changed = loaded(tmp_path, with_key(rest, key, second))
            after = effects(changed)
        except UsageError:
            continue
        if changed != project and before == after and key not in said_already:
            idle.append(key)
    assert idle == []


@pytest.mark.parametrize("key", ELSEWHERE)
def test_keys_with_effects_elsewhere_have_tests(key: str) -> None:
    path, name = ELSEWHERE[key]
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE), ELSEWHERE[key]


def test_train_compares_every_data_setting() -> None:
    """A key that changes after make data has to be noticed."""
    own_rules = {"form", "max_seq_length", "tokenizer", "request_marks"}
    assert BuildSettings().as_json().keys() == _MADE_BY.keys() | own_rules
    assert {key for key, _ in _MADE_BY.values()} <= {*keys(project_schema()), "data.filters", "data.tasks"}
