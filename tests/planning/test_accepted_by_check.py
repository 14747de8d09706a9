"""`plan` recommends nothing that `check` refuses, for random projects and for the keys as printed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.models import MODELS, find_model
from erniekit_adapter.architectures.toolkits import DATA_FORMATS, RELEASES
from erniekit_adapter.backends.translation import problems_of_project
from erniekit_adapter.planning.out_of_memory import reliefs
from erniekit_adapter.planning.recommend import Recommendation, recommend
from erniekit_adapter.planning.report import model_shape
from erniekit_adapter.project.schema import Project

TARGETS = [["o_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"], ["q_proj", "v_proj"], "all-linear"]


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the content of a project file, which `check` may refuse."""
    backend = draw(st.sampled_from(["erniekit", "paddleformers"]))
    model = draw(st.sampled_from(MODELS))
    method = draw(st.sampled_from(["DPO", *family_of(model.kind).methods[backend]]))
    optional = {
        "lora": {
            "enabled": st.booleans(),
            "r": st.sampled_from([8, 16, 64]),
            "lora_alpha": st.sampled_from([4, 16, 32]),
            "lora_dropout": st.sampled_from([0.0, 0.1]),
            "rslora": st.booleans(),
            "lora_plus_scale": st.sampled_from([1.0, 4.0]),
            "target_modules": st.sampled_from(TARGETS),
        },
        "training": {
            "quantization": st.sampled_from(["wint8", "wint4/8", "nf4", "fp8"]),
            "freeze_vision": st.booleans(),
            "recompute": st.booleans(),
            "per_device_train_batch_size": st.sampled_from([1, 2, 8]),
            "gradient_accumulation_steps": st.sampled_from([1, 4, 6]),
            "max_seq_length": st.sampled_from([512, 8192]),
        },
        "parallel": {
            "tensor": st.sampled_from([1, 2]),
            "pipeline": st.sampled_from([1, 2]),
            "sharding": st.sampled_from([1, 2]),
            "sharding_stage": st.sampled_from(["stage1", "stage2", "stage3"]),
        },
        "dpo": {"max_prompt_length": st.sampled_from([64, 490])},
    }
    content: dict[str, Any] = {name: draw(st.fixed_dictionaries({}, optional=keys)) for name, keys in optional.items()}
    content["training"]["method"] = method
    if method != "DPO":
        del content["dpo"]
    return {
        **content,
        "backend": backend,
        "model": {"model_name_or_path": model.id if backend == "erniekit" else model.torch_id},
        "data": {"format": DATA_FORMATS[method][backend], "preference": method == "DPO"},
        "output_dir": "./o",
        backend: {"version": draw(st.sampled_from(sorted(RELEASES[backend])))},
    }


def loaded(content: dict[str, Any]) -> Project | None:
    try:
        return Project.model_validate(content)
    except ValueError:
        return None


def with_keys(content: dict[str, Any], dotted: dict[str, Any]) -> Project:
    """Return the project with keys written into its file."""
    content = copy.deepcopy(content)
    for key, value in dotted.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return Project.model_validate(content)


def printed_keys(text: str) -> dict[str, Any]:
    """Parse `training.a: 1, b: 2` into dotted keys."""
    first = text.partition(":")[0]
    given = yaml.safe_load("{" + text + "}")
    return {key if "." in key else f"{first.rpartition('.')[0]}.{key}": value for key, value in given.items()}


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(content=projects(), gpus=st.sampled_from([1, 2, 8]), memory_gib=st.sampled_from([24, 80]))
def test_recommends_what_check_accepts(content: dict[str, Any], gpus: int, memory_gib: int) -> None:
    project = loaded(content)
    assume(project is not None and not problems_of_project(project))
    assert project is not None
    model = find_model(project.model.model_name_or_path)
    shape = model_shape(project)
    answer = recommend(project, shape, gpus=gpus, memory_gib=memory_gib, model=model)
    if isinstance(answer, Recommendation):
        given = {**content, "parallel": {}}
        assert problems_of_project(with_keys(given, answer.settings())) == []
        removed = "sharding_stage" in content["parallel"] and "parallel.sharding_stage" not in answer.settings()
        assert any("remove parallel.sharding_stage" in remark for remark in answer.remarks) is removed
    for relief in reliefs(project, shape, longest=400, model=model):
        assert problems_of_project(with_keys(content, printed_keys(relief.keys))) == [], relief.keys
