"""The toolkits' own parsers hold what translation said they would, key by key, types included.

Asked are ERNIEKit 1.0.1, the parser of the incomplete 1.3.0, and PaddleFormers 1.2.0. Stage OCR-VL-SFT came with
ERNIEKit 1.4, of which no release is to be had: nothing here reads its settings. Runs of several processes are parsed
with a stand-in for what waits for the other processes; parsed_by_toolkit.py says how.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from generated_projects import generated_facts, generated_project
from pydantic import BaseModel

from erniekit_adapter.backends import erniekit, paddleformers
from erniekit_adapter.backends.settings import RunFacts, Settings, values
from erniekit_adapter.backends.translation import (
    facts_before_training,
    held_by_toolkit,
    problems_of_project,
    settings_of,
)
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend
from erniekit_adapter.training.settings_file import settings_text

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("parsed_by_toolkit.py")
GENERATED = 300
Held = dict[str, list[list[Any]]]
Run = Callable[..., str]


@dataclass(frozen=True)
class Toolkit:
    """A parser to ask.

    Attributes:
        environment: the folder in .venvs.
        configs: the project files whose stage it has.
        keys: at least so many keys of its runs are compared.
        never: fields that its projects cannot vary.
    """

    backend: Backend
    version: str
    environment: str
    module: str
    configs: tuple[str, ...]
    keys: int
    never: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.backend} {self.version}"


TEXT = (
    "demo-cpu",
    "ernie-0.3b-lora",
    "ernie-21b-dpo-lora",
    "ernie-21b-lora",
    "ernie-21b-lora-wint4",
    "ernie-21b-sft",
    "ernie-300b-lora-wint4",
)
TOOLKITS = (
    Toolkit(
        *("erniekit", "1.0.1", "erniekit", "erniekit.hparams.parser", TEXT, 29_000),
        frozenset({"training.freeze_vision", "data.format"}),
    ),
    Toolkit("erniekit", "1.3.0", "erniekit13", "erniekit.hparams.parser", (*TEXT, "ernie-vl-28b-lora"), 29_000),
    Toolkit(
        *("paddleformers", "1.2.0", "paddleformers", "paddleformers.cli.hparams.parser"),
        *(("paddleocr-vl-paddleformers",), 29_000),
    ),
)
of_every_toolkit = pytest.mark.parametrize("toolkit", TOOLKITS, ids=str)


@dataclass(frozen=True)
class Parsing:
    """A project's settings as so many processes would parse them: what was said, and what the toolkit holds."""

    name: str
    world_size: int
    said: dict[str, Any]
    held: Held | str

    def differences(self) -> Iterator[str]:
        if isinstance(self.held, str):
            yield f"{self.name}, {self.world_size} processes: {self.held}"
            return
        for key, value in self.said.items():
            expected = [[type(value).__name__, value]]
            # As JSON, for 1 == 1.0 == True in python.
            if json.dumps(expected) != json.dumps(self.held[key]):
                found = self.held[key] or "nothing: it has no such key"
                yield f"{self.name}, {self.world_size} processes, {key}: said {expected[0]}, found {found}"


@dataclass(frozen=True)
class Case:
    name: str
    project: Project
    facts: RunFacts

    @property
    def settings(self) -> Settings:
        return settings_of(self.project, self.facts)


def config_cases(toolkit: Toolkit) -> list[Case]:
    projects = {name: load_project(ROOT / "configs" / f"{name}.yaml") for name in toolkit.configs}
    return [Case(name, project, facts_before_training(project, toolkit.version)) for name, project in projects.items()]


def generated_cases(toolkit: Toolkit) -> list[Case]:
    projects = [generated_project(toolkit.backend, toolkit.version, seed) for seed in range(GENERATED)]
    return [
        Case(f"generated {seed}", project, generated_facts(project, toolkit.version, seed))
        for seed, project in enumerate(projects)
    ]


def valid(cases: list[Case]) -> list[Case]:
    return [case for case in cases if not problems_of_project(case.project, case.facts)]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, run_python: Run) -> Callable[..., list[Held | str]]:
    """Asks a toolkit's parser about YAML texts, each with the processes of its run and the keys to look at."""

    def asked(toolkit: Toolkit, texts: list[tuple[str, int, list[str]]]) -> list[Held | str]:
        python = ROOT / ".venvs" / toolkit.environment / "bin" / "python"
        if not python.is_file():
            pytest.fail(f"{python.relative_to(ROOT)} is missing: run make setup-{toolkit.environment}", pytrace=False)
        folder = tmp_path_factory.mktemp(toolkit.environment)
        jobs = []
        for number, (text, world_size, keys) in enumerate(texts):
            file = folder / f"{number}.yaml"
            file.write_text(text, encoding="utf-8")
            jobs.append({"settings": str(file), "world_size": world_size, "keys": keys})
        (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        printed = run_python(python, PROBE, toolkit.module, folder / "jobs.json")
        answers: list[Held | str] = json.loads(printed.splitlines()[-1])
        return answers

    return asked


@pytest.fixture(scope="module")
def parsings(ask: Callable[..., list[Held | str]]) -> Callable[[Toolkit], list[Parsing]]:
    """All parsings of a toolkit, by one process of it: each project in one process, and in as many as it asks for."""
    known: dict[Toolkit, list[Parsing]] = {}

    def of(toolkit: Toolkit) -> list[Parsing]:
        if toolkit not in known:
            runs, texts = [], []
            for case in [*config_cases(toolkit), *valid(generated_cases(toolkit))]:
                settings = case.settings
                for world_size in sorted({1, case.project.parallel.world_size}):
                    said = held_by_toolkit(case.project, case.facts, settings, world_size)
                    runs.append((case.name, world_size, said))
                    texts.append((settings_text(settings), world_size, list(said)))
            known[toolkit] = [Parsing(*run, held) for run, held in zip(runs, ask(toolkit, texts), strict=True)]
        return known[toolkit]

    return of


@of_every_toolkit
def test_the_toolkit_holds_of_every_project_file_and_generated_project_what_was_said(
    toolkit: Toolkit, parsings: Callable[[Toolkit], list[Parsing]]
) -> None:
    found = parsings(toolkit)
    differences = [difference for parsing in found for difference in parsing.differences()]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:40]])
    assert {parsing.name for parsing in found} >= set(toolkit.configs)
    compared = sum(len(parsing.said) for parsing in found)
    alone = [parsing for parsing in found if parsing.world_size == 1]
    print(
        f"\n{toolkit}: {compared} keys compared, {len({key for parsing in found for key in parsing.said})} different "
        f"ones; {len(alone)} projects in one process, {len(found) - len(alone)} in several"
    )
    assert compared >= toolkit.keys


@of_every_toolkit
def test_at_least_95_of_100_generated_projects_are_valid(toolkit: Toolkit) -> None:
    cases = generated_cases(toolkit)
    assert len(valid(cases)) >= 0.95 * len(cases)


@of_every_toolkit
def test_generated_projects_vary_every_field_that_becomes_a_setting(toolkit: Toolkit) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for case in valid(generated_cases(toolkit)):
        project = case.project
        for section in ("model", "lora", "training", "parallel", "dpo"):
            for field, value in fields_of(getattr(project, section)):
                seen[f"{section}.{field}"].add(str(value))
        seen["data.format"].add(project.data.format)
        seen["data.preference"].add(str(project.data.preference))
    assert {field for field, drawn in seen.items() if len(drawn) < 2} == toolkit.never


def fields_of(section: BaseModel) -> Iterator[tuple[str, Any]]:
    yield from ((field, getattr(section, field)) for field in type(section).model_fields)


@of_every_toolkit
def test_every_key_that_is_named_as_overwritten_is_predicted(toolkit: Toolkit) -> None:
    own = erniekit if toolkit.backend == "erniekit" else paddleformers
    case = config_cases(toolkit)[0]
    assert set(own.OVERWRITTEN) <= set(own.overwritten(values(case.settings), toolkit.version, 1))


@of_every_toolkit
def test_a_key_that_the_parser_does_not_know_would_be_noticed(
    toolkit: Toolkit, ask: Callable[..., list[Held | str]]
) -> None:
    case = config_cases(toolkit)[0]
    said = {"run_name": case.project.run_name, "no_such_key": 1}
    text = settings_text(case.settings) + "no_such_key: 1\n"
    (held,) = ask(toolkit, [(text, 1, list(said))])
    (difference,) = Parsing(case.name, 1, said, held).differences()
    assert "no_such_key" in difference
