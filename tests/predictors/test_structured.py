"""The decision whether answers must match a schema, and its place in the keys of earlier answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.backends.environments.catalogue import requirements_file
from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.errors import UsageError
from erniekit_adapter.evaluation.stage import _made_from
from erniekit_adapter.predictors.structured import LIBRARY, StructuredAnswers, install_command, structured_answers
from erniekit_adapter.predictors.toolkit import GenerationSettings, Request
from erniekit_adapter.project.schema import EvaluateSection, Structured

SCHEMA, PYTHON = {"enum": ["税"]}, Path("/venv/bin/python")
LIMITED = StructuredAnswers('{"enum":["税"]}', "llguidance 1.9.1")


@pytest.mark.parametrize(
    ("setting", "version", "expected"),
    [
        ("off", None, StructuredAnswers()),
        ("off", "1.9.1", StructuredAnswers()),
        ("auto", "1.9.1", LIMITED),
        ("require", "1.9.1", LIMITED),
    ],
)
def test_setting_decides_with_the_environment(
    setting: Structured, version: str | None, expected: StructuredAnswers
) -> None:
    assert structured_answers(setting, SCHEMA, PYTHON, {LIBRARY: version}) == expected


def test_auto_names_the_command_that_is_missing() -> None:
    found = structured_answers("auto", SCHEMA, PYTHON, {})
    assert (found.schema, found.as_json()) == (None, {"used": False, "library": None})
    assert found.note.endswith(f"run {install_command(PYTHON)}")


def test_require_is_refused_without_the_library() -> None:
    with pytest.raises(UsageError) as error:
        structured_answers("require", SCHEMA, PYTHON, {})
    [problem] = error.value.problems
    assert (problem.location, problem.hint) == (
        "evaluate.structured",
        f"run {install_command(PYTHON)}",
    )


@pytest.mark.parametrize("name", ["erniekit", "transformers", "transformers5"])
def test_environments_have_the_same_version_of_the_library(name: str) -> None:
    _, _, requirement = install_command(PYTHON).rpartition(" ")
    assert requirement.startswith(f"{LIBRARY}==")
    assert requirement in requirements_file(name).read_text().splitlines()


def test_yaml_reads_off_as_a_boolean() -> None:
    assert EvaluateSection.model_validate({"structured": False}).structured == "off"


def made_from(model: Path, structured: StructuredAnswers) -> dict[str, object]:
    (model / "config.json").write_text("{}")
    settings = GenerationSettings(7, 2, "cpu", structured.schema)
    toolkit = Toolkit(PYTHON, "1.0.1", "a fake")
    return _made_from(model, [Request("a", "Total?")], settings, toolkit, structured)


def test_answers_without_schema_keep_their_earlier_key(tmp_path: Path) -> None:
    found = made_from(tmp_path, StructuredAnswers())
    assert found["settings"] == {"max_new_tokens": 7, "batch_size": 2, "device": "cpu"}
    assert "library" not in found


@pytest.mark.parametrize("other", [StructuredAnswers("{}", "llguidance 1"), StructuredAnswers("[]", "llguidance 2")])
def test_schema_and_library_are_part_of_the_key(tmp_path: Path, other: StructuredAnswers) -> None:
    assert made_from(tmp_path, other) != made_from(tmp_path, StructuredAnswers("{}", "llguidance 2"))
