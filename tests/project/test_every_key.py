"""Every key of a project file does something: a second value changes what a stage is given, or is refused.

The list of keys is the JSON schema's, so that a new key needs an entry here. Keys of sources have a test of their own,
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

from data_tools.build_settings import BuildSettings, engine_of
from data_tools.build_settings import settings_of as build_settings_of
from erniekit_adapter.backends.settings import values
from erniekit_adapter.backends.translation import facts_before_training, settings_of
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.json_schema import project_schema
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.lines import _MADE_BY

ROOT = Path(__file__).resolve().parents[2]
DENSE, MOE, VL = "baidu/ERNIE-4.5-0.3B-Paddle", "baidu/ERNIE-4.5-21B-A3B-Paddle", "baidu/ERNIE-4.5-VL-28B-A3B-Paddle"
LEAST: dict[str, Any] = {"model": {"model_name_or_path": DENSE}, "output_dir": "./o", "erniekit": {"version": "1.4"}}
DPO: dict[str, Any] = {"training": {"stage": "DPO"}, "data": {"preference": True}}
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
    "training.stage": ("DPO", {"data": {"preference": True}}),
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
    "erniekit.use_erniekit": (False, {}),
    "erniekit.version": ("develop", {}),
    "erniekit.extra": ({"adam_beta2": 0.5}, {}),
    "paddleformers.version": ("1.0.0", PADDLEFORMERS),
    "paddleformers.extra": ({"adam_beta2": 0.5}, PADDLEFORMERS),
    "data.sources": ([{"kind": "lines", "path": "a.jsonl"}], {}),
    "data.test_sources": ([{"kind": "lines", "path": "a.jsonl"}], {}),
    "data.test_split_ratio": (0.3, {}),
    "data.group_by": ("vendor", {}),
    "data.seed": (7, {}),
    "data.gates.arithmetic": ("warn", {}),
    "data.gates.dates": ("error", {}),
    "data.gates.image": ("warn", {}),
    "data.gates.visible": ("unchecked", {}),
    "data.gates.duplicate": ("warn", {}),
    "data.gates.personal": ("mask", {}),
    "data.min_visible_share": (0.25, {}),
    "data.tasks.analysis": (2.0, {}),
    "data.tasks.extraction": (1.0, {}),
    "data.tasks.validation": (1.0, {}),
    "data.wordings": (2, {}),
    "data.fault_share": (0.25, {}),
    "data.preference": (True, {}),
    "data.format": ("erniekit-vl", {}),
    "data.ocr": ("rapidocr", {}),
    "data.date_order": ("day_first", {}),
    "data.engine": ("ray", {}),
    "data.workers": (3, {}),
    "data.ray_address": ("first:6379", {"data": {"engine": "ray"}}),
}
# Keys whose effect is on files, on processes or on other stages, and the test that shows it.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "preset": ("project/test_preset.py", "test_what_the_project_says_wins_and_what_it_leaves_out_is_the_preset_s"),
    "output_dir": ("training/test_train_stage.py", "test_a_run_leaves_settings_log_metrics_and_a_manifest"),
    "parallel.gpus": ("training/test_cards.py", "test_it_takes_as_many_as_the_project_asks"),
    "training.max_hours": ("training/test_train_stage.py", "test_a_run_ends_after_its_hours_and_continues_with_others"),
    "erniekit.erniekit_config_path": (
        "backends/test_raw_keys.py",
        "test_a_right_key_reaches_the_toolkit_with_its_place_as_its_origin",
    ),
    "export.forms": ("adapters/test_bundle.py", "test_the_bundle_holds_the_forms_that_were_asked_for"),
    "export.tensor_parallel_degree": (
        "adapters/test_tensor_parallel.py",
        "test_every_form_of_such_an_adapter_is_in_the_order_of_a_whole_model",
    ),
    "evaluate.max_samples": (
        "data_tools/test_held_out.py",
        "test_evaluate_takes_the_first_test_lines_in_the_files_order",
    ),
    "evaluate.max_new_tokens": (
        "answering/test_answering_toolkit.py",
        "test_the_worker_is_told_model_limits_and_adapter",
    ),
    "evaluate.batch_size": ("answering/test_answering_toolkit.py", "test_the_worker_is_told_model_limits_and_adapter"),
}


NOT_ERNIEKIT = frozenset({"erniekit.use_erniekit"})
PAGES: dict[str, Any] = {"data": {"format": "erniekit-vl"}}
# Other kinds of runs, each with the keys whose second value says there what holds without it.
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
    """All that a project gives to the stages: the toolkit's settings, the data stage's, its sources and its engine."""
    facts = replace(facts_before_training(project), train_lines=1_000, eval_lines=100 if project.eval_ratio else 0)
    return {
        "toolkit": values(settings_of(project, facts)),
        "version": facts.version,
        "initial adapter": (facts.initial_adapter_dir, sorted(project.lora.modules), project.lora.lora_dropout),
        "data": build_settings_of(project).as_json(),
        "sources": (project.sources, project.data.test_sources),
        "engine": engine_of(project),
    }


def test_every_key_has_one_entry() -> None:
    """A new key needs a second value that shows its effect, or the test that does."""
    found = set(keys(project_schema()))
    assert found - CHANGES.keys() - ELSEWHERE.keys() == set(), "no entry"
    assert (CHANGES.keys() | ELSEWHERE.keys()) - found == set(), "no such key"
    assert CHANGES.keys() & ELSEWHERE.keys() == set()


@pytest.mark.parametrize("key", CHANGES)
def test_a_second_value_has_an_effect_or_is_refused(tmp_path: Path, key: str) -> None:
    second, rest = CHANGES[key]
    before = effects(loaded(tmp_path, with_key(rest, "", None)))
    try:
        after = effects(loaded(tmp_path, with_key(rest, key, second)))
    except UsageError as error:
        named = [problem.where + problem.what for problem in error.problems]
        assert any(key.rpartition(".")[2] in text for text in named), named
    else:
        assert before != after, f"{key}: {second!r} is accepted and changes nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_in_other_kinds_of_runs_as_well(tmp_path: Path, kind: str) -> None:
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
def test_what_acts_elsewhere_has_its_test(key: str) -> None:
    path, name = ELSEWHERE[key]
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE), ELSEWHERE[key]


def test_train_compares_every_setting_of_the_data_stage() -> None:
    """So that a key that is changed after make data is no key without effect."""
    own_rules = {"form", "max_seq_length", "tokenizer"}
    assert vars(BuildSettings()).keys() == _MADE_BY.keys() | own_rules
    assert {key for key, _ in _MADE_BY.values()} <= {*keys(project_schema()), "data.gates", "data.tasks"}
