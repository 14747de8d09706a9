"""The tables of families, linear layers and releases are complete."""

from __future__ import annotations

from importlib import resources
from typing import get_args

import pytest

from erniekit_adapter.architectures.families import (
    FAMILIES,
    AdapterLayout,
    Family,
    Kind,
    kind_of_config,
    toolkit_layers,
)
from erniekit_adapter.architectures.linear_layers import (
    FUSED,
    FUSED_LAYERS,
    LINEAR_LAYERS,
    LINEAR_MODULES,
    SEPARATE,
    TargetModule,
)
from erniekit_adapter.architectures.toolkits import (
    DATA_FORMATS,
    DEVELOPMENT,
    METHODS_SINCE,
    RELEASES,
    TOOLKIT_NAMES,
    Backend,
    Method,
    release_of,
)
from erniekit_adapter.project.json_schema import project_schema


def test_every_kind_is_one_family() -> None:
    assert tuple(family.kind for family in FAMILIES) == get_args(Kind)


def test_targets_are_the_linear_layers() -> None:
    assert get_args(TargetModule) == LINEAR_MODULES
    lora = project_schema()["properties"]["lora"]["properties"]["target_modules"]
    assert [tuple(each["items"]["enum"]) for each in lora["anyOf"] if "items" in each] == [LINEAR_MODULES]


@pytest.mark.parametrize("layers", [FUSED, SEPARATE], ids=["fused", "separate"])
def test_matrices_contain_every_layer_once(layers: dict[str, tuple[object, ...]]) -> None:
    found = [part for parts in layers.values() for part in parts]
    assert sorted(found, key=str) == sorted(LINEAR_LAYERS, key=str)


def test_fused_layers_have_one_input() -> None:
    for fused in FUSED_LAYERS:
        assert len({(part.block, part.inputs) for part in FUSED[fused.name]}) == 1
        assert fused.columns.keys() == TOOLKIT_NAMES.keys()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_family_is_consistent(family: Family) -> None:
    for model_type in family.model_types:
        experts = {"moe_num_experts": 4} if family.has_experts else {}
        assert kind_of_config({"model_type": model_type, **experts}) == family.kind
    assert family.methods.keys() == TOOLKIT_NAMES.keys()
    for backend, methods in family.methods.items():
        assert set(methods) <= METHODS_SINCE[backend].keys()
        assert toolkit_layers(backend, family.kind) is (SEPARATE if backend in family.separate else FUSED)
    assert set(family.layouts.values()) <= set(get_args(AdapterLayout))
    assert family.peft_readers.keys() <= family.transformers.keys()


def test_every_method_has_a_format() -> None:
    assert tuple(DATA_FORMATS) == get_args(Method)
    assert all(formats.keys() == TOOLKIT_NAMES.keys() for formats in DATA_FORMATS.values())


@pytest.mark.parametrize("backend", get_args(Backend))
def test_every_release_has_a_key_table(backend: Backend) -> None:
    releases = [*RELEASES[backend].values(), *([DEVELOPMENT[backend]] if backend in DEVELOPMENT else [])]
    tables = resources.files("erniekit_adapter.backends").joinpath("keys")
    for release in releases:
        assert tables.joinpath(f"{backend}-{release.key_table}.json").is_file()
    assert release_of("9.9.9", backend) is None
