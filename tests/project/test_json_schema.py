"""The schema that editors read: it accepts what loading accepts, and says something about every key."""

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
# Words that say something to a reader and nothing about a value.
SPOKEN = {"title", "description", "default", "examples", "$schema"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits: a validator of just those words that our schema uses, for none is among our packages."""
    return all(fits(word, said, value, schema) for word, said in schema.items() if word not in SPOKEN)


def fits(word: str, said: Any, value: Any, schema: dict[str, Any]) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    mapping, text, array = isinstance(value, dict), isinstance(value, str), isinstance(value, list)
    rules = {
        "type": lambda: isinstance(value, TYPES[said]) and (said == "boolean" or not isinstance(value, bool)),
        "const": lambda: value == said,
        "enum": lambda: any(value == one and type(value) is type(one) for one in said),
        "properties": lambda: not mapping or all(accepts(said[key], value[key]) for key in said.keys() & value.keys()),
        "required": lambda: not mapping or set(said) <= value.keys(),
        "additionalProperties": lambda: said is True or not mapping or value.keys() <= schema["properties"].keys(),
        "items": lambda: not array or all(accepts(said, part) for part in value),
        "minItems": lambda: not array or len(value) >= said,
        "minLength": lambda: not text or len(value) >= said,
        "maxLength": lambda: not text or len(value) <= said,
        "minimum": lambda: not number or value >= said,
        "maximum": lambda: not number or value <= said,
        "exclusiveMinimum": lambda: not number or value > said,
        "exclusiveMaximum": lambda: not number or value < said,
        "anyOf": lambda: any(accepts(one, value) for one in said),
        "oneOf": lambda: sum(accepts(one, value) for one in said) == 1,
        "if": lambda: accepts(said, value) or accepts(schema["else"], value),
        "else": lambda: True,
    }
    return bool(rules[word]())


def keys(section: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key below a section, with its own part of the schema; those of sources too."""
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


def test_the_file_is_up_to_date() -> None:
    text = (ROOT / SCHEMA_PATH).read_text()
    assert json.loads(text) == SCHEMA, f"write it: python -m {project_schema.__module__}"
    assert text.endswith("}\n")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_schema_accepts_a_project_file_of_ours_and_no_unknown_key_in_it(path: Path) -> None:
    project = read_yaml(path).data
    assert accepts(SCHEMA, project)
    assert not accepts(SCHEMA, project | {"trainig": {}})
    for name, section in project.items():
        if isinstance(section, dict):
            assert not accepts(SCHEMA, project | {name: section | {"no_such_key": 1}})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_project_file_of_ours_names_the_schema_in_its_first_line(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    assert (path.parent / named[1]).resolve() == ROOT / SCHEMA_PATH


def test_the_schema_has_every_key_of_the_project_file_and_no_other() -> None:
    sources = ("data.sources.", "data.test_sources.")
    assert {name for name, _ in keys(SCHEMA) if not name.startswith(sources)} == set(keys_of())


def test_every_key_says_what_it_means() -> None:
    assert [name for name, part in keys(SCHEMA) if not part.get("description") or not part["title"]] == []


def test_no_meaning_is_left_of_a_key_that_is_gone() -> None:
    assert set(_MEANINGS) <= {part["title"] for _, part in keys(SCHEMA)}


def test_no_reference_is_left_and_no_word_that_editors_do_not_know() -> None:
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
        {"data": {"gates": {"visible": False, "personal": False, "dates": "warn"}}},
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
        {"data": {"gates": {"visible": True}}},
        {"data": {"gates": {"length": "error"}}},
        {"data": {"sources": [{"kind": "csv", "path": "./m.csv"}]}},
        {"data": {"sources": [{"kind": "lines"}]}},
        {"data": {"sources": [{"kind": "lines", "path": "./l.jsonl", "images_dir": "./i"}]}},
        {"export": {"forms": []}},
        {"run_name": ""},
    ],
    ids=str,
)
def test_the_schema_and_loading_are_of_one_mind(tmp_path: Path, change: dict[str, Any]) -> None:
    project = LEAST | change
    assert accepts(SCHEMA, project) == loads(tmp_path, project)


@given(
    st.sampled_from(["lora.r", "training.warmup_steps", "training.bf16", "dpo.loss_type", "evaluate.batch_size"]),
    st.none() | st.booleans() | st.integers(-2, 40_000) | st.sampled_from(["sigmoid", "all", ""]),
)
def test_they_are_of_one_mind_about_any_value(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    section, name = key.split(".")
    folder = tmp_path_factory.getbasetemp()
    project = LEAST | {section: {name: value}}
    # bf16: false alone is a rule between two keys, which the schema does not know.
    if (name, value) != ("bf16", False):
        assert accepts(SCHEMA, project) == loads(folder, project)


@pytest.mark.parametrize("missing", ["model", "output_dir"])
def test_only_a_file_with_a_preset_may_leave_out_what_is_required(missing: str) -> None:
    project = {key: value for key, value in LEAST.items() if key != missing}
    assert not accepts(SCHEMA, project)
    assert not accepts(SCHEMA, project | {"preset": None})
    assert accepts(SCHEMA, project | {"preset": "./other.yaml"})


def test_a_real_validator_agrees_where_there_is_one() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with make setup-ray")
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    for path in CONFIGS:
        assert list(validator.iter_errors(read_yaml(path).data)) == []
    assert not validator.is_valid(LEAST | {"unknown": 1})
