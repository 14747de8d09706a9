"""The toolkits' own parsers hold what translation said they would, key by key, types included.

Asked are ERNIEKit 1.0.1, the parser of the incomplete 1.3.0, and PaddleFormers 1.2.0. Stage OCR-VL-SFT came with
ERNIEKit 1.4, of which no release is to be had: nothing here reads its settings. Runs of several processes are parsed
with a stand-in for what waits for the other processes; parsed_by_toolkit.py says how.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from generated_projects import generated_facts, generated_project

from erniekit_adapter.backends import erniekit, paddleformers
from erniekit_adapter.backends.keytable import accepted_keys
from erniekit_adapter.backends.settings import RunFacts, values
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
        module: the parser's.
        configs: the project files whose stage it has.
        compared: at least so many keys of projects, and so many keys of the toolkit's own, reach it as they were said.
        never: fields that its projects cannot vary.
    """

    backend: Backend
    version: str
    environment: str
    module: str
    configs: tuple[str, ...]
    compared: tuple[int, int]
    never: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.backend} {self.version}"


TEXT = (
    *("demo-cpu", "ernie-0.3b-lora", "ernie-21b-lora", "ernie-21b-lora-wint4", "ernie-21b-sft"),
    *("ernie-21b-dpo-lora", "ernie-300b-lora-wint4"),
)
ERNIEKIT, PADDLEFORMERS = "erniekit.hparams.parser", "paddleformers.cli.hparams.parser"
OF_IMAGES = frozenset({"training.freeze_vision", "data.format"})
TOOLKITS = (
    Toolkit("erniekit", "1.0.1", "erniekit", ERNIEKIT, TEXT, (32_000, 169), OF_IMAGES),
    Toolkit("erniekit", "1.3.0", "erniekit13", ERNIEKIT, (*TEXT, "ernie-vl-28b-lora"), (32_000, 260)),
    Toolkit(
        *("paddleformers", "1.2.0", "paddleformers", PADDLEFORMERS, ("paddleocr-vl-paddleformers",), (32_000, 370)),
    ),
)
# A value that is no default, by the type of a key.
VALUES: dict[str, Any] = {
    "int": 3,
    "float": 0.25,
    "str": "a, b",
    "IntervalStrategy": "epoch",
    "List[str]": ["a", "b"],
    "List[int]": [1, 2],
    "List[List[int]]": [[1, 2], [5, 9]],
}
# Keys that hold a field of the project as it is, in both toolkits.
AS_ASKED = {
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.lr_scheduler_type",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "logging_steps": "training.logging_steps",
    "save_steps": "training.save_steps",
    "save_total_limit": "training.save_total_limit",
    "eval_steps": "training.eval_steps",
    "num_train_epochs": "training.num_train_epochs",
    "max_seq_len": "training.max_seq_length",
    "per_device_train_batch_size": "training.per_device_train_batch_size",
    "seed": "training.seed",
    "device": "training.device",
    "lora": "lora.enabled",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.alpha",
    "rslora": "lora.rslora",
    "lora_plus_scale": "lora.lora_plus_scale",
    "beta": "dpo.beta",
    "loss_type": "dpo.loss_type",
    "label_smoothing": "dpo.label_smoothing",
    "pref_loss_ratio": "dpo.pref_loss_ratio",
    "sft_loss_ratio": "dpo.sft_loss_ratio",
    "simpo_gamma": "dpo.simpo_gamma",
    "run_name": "run_name",
}
PLAIN_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
# What these bring with them is not foretold: other degrees, other names.
WITH_CONSEQUENCES = {"enable_auto_parallel", "sharding_degree"}
of_every_toolkit = pytest.mark.parametrize("toolkit", TOOLKITS, ids=str)


@dataclass(frozen=True)
class Case:
    name: str
    project: Project
    facts: RunFacts

    def is_valid(self) -> bool:
        return not problems_of_project(self.project, self.facts)


@dataclass(frozen=True)
class Parsing:
    """A case's settings as so many processes would parse them: what was said, and what the toolkit holds."""

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


def config_cases(toolkit: Toolkit) -> list[Case]:
    projects = {name: load_project(ROOT / "configs" / f"{name}.yaml") for name in toolkit.configs}
    return [Case(name, project, facts_before_training(project, toolkit.version)) for name, project in projects.items()]


def generated_cases(toolkit: Toolkit) -> list[Case]:
    projects = [generated_project(toolkit.backend, toolkit.version, seed) for seed in range(GENERATED)]
    return [
        Case(f"generated {seed}", project, generated_facts(project, toolkit.version, seed))
        for seed, project in enumerate(projects)
    ]


def raw_key_cases(toolkit: Toolkit) -> list[Case]:
    """A project for each key of the toolkit's own that may be passed through, with a value of its type."""
    cases = []
    model = "baidu/ERNIE-4.5-0.3B-" + ("Paddle" if toolkit.backend == "erniekit" else "PT")
    for key, (kind, default) in accepted_keys(toolkit.version, "train", toolkit.backend).items():
        bare = kind.removeprefix("Optional[").removesuffix("]" if kind.startswith("Optional[") else "")
        value = not default if bare == "bool" else VALUES.get(bare)
        if value is not None:
            project = Project.model_validate(
                {
                    "backend": toolkit.backend,
                    "model": {"model_name_or_path": model},
                    "output_dir": "./runs/raw",
                    toolkit.backend: {"extra": {key: value}},
                }
            )
            cases.append(Case(f"raw {key}", project, facts_before_training(project, toolkit.version)))
    return cases


Asked = Callable[[Toolkit], list[Parsing]]


@pytest.fixture(scope="module")
def parsings(tmp_path_factory: pytest.TempPathFactory, run_python: Run) -> Asked:
    """All that a toolkit's parser is asked, by one process of it: each case in one process, and in as many as it asks
    for; the last with a key that no toolkit has."""

    @cache
    def of(toolkit: Toolkit) -> list[Parsing]:
        python = ROOT / ".venvs" / toolkit.environment / "bin" / "python"
        if not python.is_file():
            pytest.fail(f"{python.relative_to(ROOT)} is missing: run make setup-{toolkit.environment}", pytrace=False)
        folder = tmp_path_factory.mktemp(toolkit.environment)
        runs: list[tuple[str, int, dict[str, Any]]] = []
        jobs: list[dict[str, Any]] = []
        for case in [*config_cases(toolkit), *generated_cases(toolkit), *raw_key_cases(toolkit)]:
            if not case.is_valid():
                continue
            settings = settings_of(case.project, case.facts)
            file = folder / f"{case.name}.yaml"
            file.write_text(settings_text(settings), encoding="utf-8")
            for world_size in sorted({1, case.project.parallel.world_size}):
                said = held_by_toolkit(case.project, case.facts, settings, world_size)
                runs.append((case.name, world_size, said))
                jobs.append({"settings": str(file), "world_size": world_size, "keys": list(said)})
        runs.append(("unknown", 1, {"no_such_key": 1}))
        unknown = folder / "unknown.yaml"
        unknown.write_text(Path(jobs[0]["settings"]).read_text(encoding="utf-8") + "no_such_key: 1\n", encoding="utf-8")
        jobs.append({"settings": str(unknown), "world_size": 1, "keys": ["no_such_key"]})
        (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        held = json.loads(run_python(python, PROBE, toolkit.module, folder / "jobs.json").splitlines()[-1])
        return [Parsing(*run, each) for run, each in zip(runs, held, strict=True)]

    return of


@of_every_toolkit
def test_the_toolkit_holds_of_every_project_what_was_said(toolkit: Toolkit, parsings: Asked) -> None:
    found = [parsing for parsing in parsings(toolkit) if not parsing.name.startswith(("raw ", "unknown"))]
    differences = [difference for parsing in found for difference in parsing.differences()]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:40]])
    assert {parsing.name for parsing in found} >= set(toolkit.configs)
    compared = sum(len(parsing.said) for parsing in found)
    keys = {key for parsing in found for key in parsing.said}
    alone = sum(parsing.world_size == 1 for parsing in found)
    print(f"\n{toolkit}: {compared} values of {len(keys)} keys compared, in {alone} + {len(found) - alone} parsings")
    assert compared >= toolkit.compared[0]


@of_every_toolkit
def test_what_a_project_asks_is_what_the_toolkit_holds_whatever_the_translation_said(
    toolkit: Toolkit, parsings: Asked
) -> None:
    projects = {case.name: case.project for case in [*config_cases(toolkit), *generated_cases(toolkit)]}
    compared = Counter[str]()
    for parsing in parsings(toolkit):
        project = projects.get(parsing.name)
        if project is None or isinstance(parsing.held, str):
            continue
        for key, field in AS_ASKED.items():
            if asked := parsing.held.get(key):
                value = attrgetter(field)(project)
                if key == "eval_steps" and toolkit.backend == "paddleformers":
                    value = min(value, asked[0][1])  # no further than the run: it does not evaluate at the end itself
                assert (key, asked) == (key, [[type(value).__name__, value]]), parsing.name
                compared[key] += 1
    assert set(compared) == set(AS_ASKED)


@of_every_toolkit
def test_settings_are_of_the_type_that_the_toolkit_declares(toolkit: Toolkit) -> None:
    known = accepted_keys(toolkit.version, "train", toolkit.backend)
    for case in filter(Case.is_valid, [*config_cases(toolkit), *generated_cases(toolkit)]):
        raw = {raw.key for raw in case.facts.raw_keys}
        for key, setting in settings_of(case.project, case.facts).items():
            declared = PLAIN_TYPES.get(known[key][0].removeprefix("Optional[").removesuffix("]"))
            if declared and key not in raw:
                assert (key, type(setting.value)) == (key, declared), case.name


@of_every_toolkit
def test_a_raw_key_arrives_with_its_type_or_stops_the_parser(toolkit: Toolkit, parsings: Asked) -> None:
    found = {parsing.name: parsing for parsing in parsings(toolkit) if parsing.name.startswith("raw ")}
    parsed = {name: parsing for name, parsing in found.items() if not isinstance(parsing.held, str)}
    changed = {name: [*parsing.differences()] for name, parsing in parsed.items()}
    surprises = {name: said for name, said in changed.items() if said and name[4:] not in WITH_CONSEQUENCES}
    assert surprises == {}
    print(f"\n{toolkit}: {len(parsed)} raw keys arrive, {len(found) - len(parsed)} stop the parser with such a value")
    assert len(parsed) >= toolkit.compared[1]


@of_every_toolkit
def test_a_key_that_the_parser_does_not_know_is_noticed(toolkit: Toolkit, parsings: Asked) -> None:
    (difference,) = parsings(toolkit)[-1].differences()
    assert "no_such_key" in difference


@of_every_toolkit
def test_every_key_that_is_named_as_overwritten_is_foretold(toolkit: Toolkit) -> None:
    own = erniekit if toolkit.backend == "erniekit" else paddleformers
    case = config_cases(toolkit)[0]
    given = values(settings_of(case.project, case.facts))
    assert set(own.OVERWRITTEN) <= set(own.overwritten(given, toolkit.version, 1))


@of_every_toolkit
def test_at_least_95_of_100_generated_projects_are_valid(toolkit: Toolkit) -> None:
    assert sum(case.is_valid() for case in generated_cases(toolkit)) >= 0.95 * GENERATED


@of_every_toolkit
def test_generated_projects_vary_every_field_that_becomes_a_setting(toolkit: Toolkit) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for case in generated_cases(toolkit):
        sections = case.project.model_dump(include={"model", "lora", "training", "parallel", "dpo"})
        sections["data"] = case.project.data.model_dump(include={"format", "preference"})
        del sections["training"]["max_hours"]  # a limit of ours, no setting of a toolkit
        if case.is_valid():
            for section, fields in sections.items():
                for field, value in fields.items():
                    seen[f"{section}.{field}"].add(str(value))
    assert {field for field, drawn in seen.items() if len(drawn) < 2} == toolkit.never
