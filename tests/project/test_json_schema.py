"""The JSON schema accepts the same files as loading, and describes every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.json_schema import _MEANINGS, SCHEMA_PATH, project_schema
from erniekit_adapter.project.loading import keys_of, load_project, read_yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SCHEMA = project_schema()
LEAST = {"model": {"model_name_or_path": "./m"}, "output_dir": "./o"}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
# Keywords for readers, without rules for values.
SPOKEN = {"title", "description", "default", "examples", "$schema"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value is valid, by the keywords that the schema uses; no validator is among our packages."""
    return all(fits(word, expected, value, schema) for word, expected in schema.items() if word not in SPOKEN)


def fits(word: str, expected: Any, value: Any, schema: dict[str, Any]) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    mapping, text, array = isinstance(value, dict), isinstance(value, str), isinstance(value, list)
    rules = {
        "type": lambda: isinstance(value, TYPES[expected]) and (expected == "boolean" or not isinstance(value, bool)),
        "const": lambda: value == expected,
        "enum": lambda: any(value == one and type(value) is type(one) for one in expected),
        "properties": lambda: (
            not mapping or all(accepts(expected[key], value[key]) for key in expected.keys() & value.keys())
        ),
        "required": lambda: not mapping or set(expected) <= value.keys(),
        "additionalProperties": lambda: expected is True or not mapping or value.keys() <= schema["properties"].keys(),
        "items": lambda: not array or all(accepts(expected, part) for part in value),
        "minItems": lambda: not array or len(value) >= expected,
        "minLength": lambda: not text or len(value) >= expected,
        "maxLength": lambda: not text or len(value) <= expected,
        "minimum": lambda: not number or value >= expected,
        "maximum": lambda: not number or value <= expected,
        "exclusiveMinimum": lambda: not number or value > expected,
        "exclusiveMaximum": lambda: not number or value < expected,
        "anyOf": lambda: any(accepts(one, value) for one in expected),
        "oneOf": lambda: sum(accepts(one, value) for one in expected) == 1,
        "if": lambda: accepts(expected, value) or accepts(schema["else"], value),
        "else": lambda: True,
    }
    return bool(rules[word]())


def keys(section: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every key below a section with its part of the schema, including keys of sources."""
    for key, part in section["properties"].items():
        yield f"{name}{key}", part
        for inner in (part, *part.get("items", {}).get("oneOf", ())):
            if "properties" in inner:
                yield from keys(inner, f"{name}{key}.")


def loads(folder: Path, project: dict[str, Any]) -> bool:
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(project))
    try:
        load_project(path)
    except UsageError:
        return False
    return True


def test_schema_file_is_up_to_date() -> None:
    text = (ROOT / SCHEMA_PATH).read_text()
    assert json.loads(text) == SCHEMA, f"write it: python -m {project_schema.__module__}"
    assert text.endswith("}\n")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_schema_accepts_shipped_projects(path: Path) -> None:
    project = read_yaml(path).data
    assert accepts(SCHEMA, project)
    assert not accepts(SCHEMA, project | {"trainig": {}})
    for name, section in project.items():
        if isinstance(section, dict):
            assert not accepts(SCHEMA, project | {name: section | {"no_such_key": 1}})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_projects_name_the_schema(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    assert (path.parent / named[1]).resolve() == ROOT / SCHEMA_PATH


def test_schema_has_the_keys_of_the_project_file() -> None:
    sources = ("data.sources.", "data.test_sources.")
    assert {name for name, _ in keys(SCHEMA) if not name.startswith(sources)} == set(keys_of())


def test_every_key_has_a_description() -> None:
    assert [name for name, part in keys(SCHEMA) if not part.get("description") or not part["title"]] == []


def test_descriptions_are_of_existing_keys() -> None:
    assert set(_MEANINGS) <= {part["title"] for _, part in keys(SCHEMA)}


def test_schema_has_no_references_or_unknown_keywords() -> None:
    text = json.dumps(SCHEMA)
    for word in ('"$ref"', '"$defs"', '"discriminator"', '"format": "path"'):
        assert word not in text


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"preset": None},
        {"lora": {"target_modules": ["q_proj", "k_proj", "v_proj"], "lora_alpha": None}},
        {"lora": {"target_modules": "all-linear", "r": 8}},
        {"training": {"learning_rate": 0.5, "quantization": None}},
        {"training": {"learning_rate": 2e-4, "quantization": "wint4/8", "num_train_epochs": 1}},
        {"data": {"filters": {"visible": False, "personal": False, "dates": "warn"}}},
        {"data": {"sources": [{"kind": "manifest", "path": "./m.json", "images_dir": None}]}},
        {"erniekit": {"extra": {"adam_beta2": 0.95}}},
        {"unknown": 1},
        {"output_dir": None},
        {"lora": None},
        {"lora": {"target_modules": "q_proj"}},
        {"lora": {"target_modules": ["query"]}},
        {"lora": {"enabled": "false"}},
        {"lora": {"r": 0}},
        {"lora": {"r": True}},
        {"training": {"quantization": "int4"}},
        {"training": {"learning_rate": 0}},
        {"data": {"filters": {"visible": True}}},
        {"data": {"filters": {"length": "error"}}},
        {"data": {"sources": [{"kind": "csv", "path": "./m.csv"}]}},
        {"data": {"sources": [{"kind": "training_examples"}]}},
        {"data": {"sources": [{"kind": "training_examples", "path": "./l.jsonl", "images_dir": "./i"}]}},
        {"export": {"formats": []}},
        {"run_name": ""},
    ],
    ids=str,
)
def test_schema_and_loading_agree(tmp_path: Path, change: dict[str, Any]) -> None:
    project = LEAST | change
    assert accepts(SCHEMA, project) == loads(tmp_path, project)


@given(
    st.sampled_from(["lora.r", "training.warmup_steps", "training.bf16", "dpo.loss_type", "evaluate.batch_size"]),
    st.none() | st.booleans() | st.integers(-2, 40_000) | st.sampled_from(["sigmoid", "all", ""]),
)
def test_schema_and_loading_agree_on_any_value(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    section, name = key.split(".")
    folder = tmp_path_factory.getbasetemp()
    project = LEAST | {section: {name: value}}
    # bf16: false alone is a rule between two keys, which the schema does not know.
    if (name, value) != ("bf16", False):
        assert accepts(SCHEMA, project) == loads(folder, project)


@pytest.mark.parametrize("missing", ["model", "output_dir"])
def test_only_presets_replace_required_keys(missing: str) -> None:
    project = {key: value for key, value in LEAST.items() if key != missing}
    assert not accepts(SCHEMA, project)
    assert not accepts(SCHEMA, project | {"preset": None})
    assert accepts(SCHEMA, project | {"preset": "./other.yaml"})


def test_jsonschema_package_agrees() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with make setup-ray")
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    for path in CONFIGS:
        assert list(validator.iter_errors(read_yaml(path).data)) == []
    assert not validator.is_valid(LEAST | {"unknown": 1})
