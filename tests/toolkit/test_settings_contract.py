"""Values in the toolkits' own parsers, compared with the predicted ones key by key, with their types.

The parsers are those of ERNIEKit 1.0.1, of the incomplete 1.3.0, and of PaddleFormers 1.2.0. OCR-VL-SFT needs ERNIEKit
1.4, which was not published, so its settings are not parsed here. Settings of several processes are parsed with a
stand-in for the other processes; see parsed_by_toolkit.py.
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
from generated_projects import generated_context, generated_project

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.environments.catalogue import environment_python, setup_command
from erniekit_adapter.backends.erniekit import settings as erniekit
from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.paddleformers import settings as paddleformers
from erniekit_adapter.backends.settings import RunContext, values
from erniekit_adapter.backends.translation import (
    computed_settings,
    context_before_training,
    problems_of_project,
    settings_of,
)
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.settings_file import settings_text

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("parsed_by_toolkit.py")
GENERATED = 300
Parsed = dict[str, list[list[Any]]]
Run = Callable[..., str]


@dataclass(frozen=True)
class ParsedToolkit:
    """A toolkit with its parser.

    Attributes:
        environment: name of its environment.
        module: module of the parser.
        configs: project files whose training method it has.
        compared: least number of compared values, and of raw keys that are parsed.
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
    ParsedToolkit("erniekit", "1.0.1", "erniekit", ERNIEKIT, TEXT, (32_000, 169), OF_IMAGES),
    ParsedToolkit("erniekit", "1.3.0", "erniekit13", ERNIEKIT, (*TEXT, "ernie-vl-28b-lora"), (32_000, 260)),
    ParsedToolkit(
        *("paddleformers", "1.2.0", "paddleformers", PADDLEFORMERS, ("paddleocr-vl-paddleformers",), (32_000, 370)),
    ),
)
# Values other than defaults, by the type of a key.
VALUES: dict[str, Any] = {
    "int": 3,
    "float": 0.25,
    "str": "a, b",
    "IntervalStrategy": "epoch",
    "List[str]": ["a", "b"],
    "List[int]": [1, 2],
    "List[List[int]]": [[1, 2], [5, 9]],
}
# Keys that contain a project value unchanged, in both toolkits.
PASSED_ON = {
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
# Keys whose effects are not predicted: they change other degrees and names.
WITH_SIDE_EFFECTS = {"enable_auto_parallel", "sharding_degree"}
of_every_toolkit = pytest.mark.parametrize("toolkit", TOOLKITS, ids=str)


@dataclass(frozen=True)
class Case:
    name: str
    project: Project
    context: RunContext

    def is_valid(self) -> bool:
        return not problems_of_project(self.project, self.context)


@dataclass(frozen=True)
class Parsing:
    """Settings of a case in a number of processes: predicted and parsed values."""

    name: str
    world_size: int
    predicted: dict[str, Any]
    parsed: Parsed | str

    def differences(self) -> Iterator[str]:
        if isinstance(self.parsed, str):
            yield f"{self.name}, {self.world_size} processes: {self.parsed}"
            return
        for key, value in self.predicted.items():
            expected = [[type(value).__name__, value]]
            # Compared as JSON, because 1 == 1.0 == True in Python.
            if json.dumps(expected) != json.dumps(self.parsed[key]):
                found = self.parsed[key] or "no such key"
                yield f"{self.name}, {self.world_size} processes, {key}: predicted {expected[0]}, found {found}"


def config_cases(toolkit: ParsedToolkit) -> list[Case]:
    projects = {name: load_project(ROOT / "configs" / f"{name}.yaml") for name in toolkit.configs}
    return [
        Case(name, project, context_before_training(project, toolkit.version)) for name, project in projects.items()
    ]


def generated_cases(toolkit: ParsedToolkit) -> list[Case]:
    projects = [generated_project(toolkit.backend, toolkit.version, seed) for seed in range(GENERATED)]
    return [
        Case(f"generated {seed}", project, generated_context(project, toolkit.version, seed))
        for seed, project in enumerate(projects)
    ]


def raw_key_cases(toolkit: ParsedToolkit) -> list[Case]:
    """Return a project for each key of the toolkit that may be passed through, with a value of its type."""
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
            cases.append(Case(f"raw {key}", project, context_before_training(project, toolkit.version)))
    return cases


Parsings = Callable[[ParsedToolkit], list[Parsing]]


@pytest.fixture(scope="module")
def parsings(tmp_path_factory: pytest.TempPathFactory, run_python: Run) -> Parsings:
    """Parse all cases with one process of a toolkit: each for one process and for as many as it needs; the last case
    contains an unknown key."""

    @cache
    def of(toolkit: ParsedToolkit) -> list[Parsing]:
        python = environment_python(toolkit.environment)
        if not python.is_file():
            pytest.fail(f"{python} is missing: run {setup_command(toolkit.environment)}", pytrace=False)
        folder = tmp_path_factory.mktemp(toolkit.environment)
        runs: list[tuple[str, int, dict[str, Any]]] = []
        jobs: list[dict[str, Any]] = []
        for case in [*config_cases(toolkit), *generated_cases(toolkit), *raw_key_cases(toolkit)]:
            if not case.is_valid():
                continue
            settings = settings_of(case.project, case.context)
            file = folder / f"{case.name}.yaml"
            file.write_text(settings_text(settings), encoding="utf-8")
            for world_size in sorted({1, case.project.parallel.world_size}):
                predicted = computed_settings(case.project, case.context, settings, world_size)
                runs.append((case.name, world_size, predicted))
                jobs.append({"settings": str(file), "world_size": world_size, "keys": list(predicted)})
        runs.append(("unknown", 1, {"no_such_key": 1}))
        unknown = folder / "unknown.yaml"
        unknown.write_text(Path(jobs[0]["settings"]).read_text(encoding="utf-8") + "no_such_key: 1\n", encoding="utf-8")
        jobs.append({"settings": str(unknown), "world_size": 1, "keys": ["no_such_key"]})
        (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        parsed = json.loads(run_python(python, PROBE, toolkit.module, folder / "jobs.json").splitlines()[-1])
        return [Parsing(*run, each) for run, each in zip(runs, parsed, strict=True)]

    return of


@of_every_toolkit
def test_computed_settings_of_every_project(toolkit: ParsedToolkit, parsings: Parsings) -> None:
    found = [parsing for parsing in parsings(toolkit) if not parsing.name.startswith(("raw ", "unknown"))]
    differences = [difference for parsing in found for difference in parsing.differences()]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences[:40]])
    assert {parsing.name for parsing in found} >= set(toolkit.configs)
    compared = sum(len(parsing.predicted) for parsing in found)
    keys = {key for parsing in found for key in parsing.predicted}
    in_one = sum(parsing.world_size == 1 for parsing in found)
    print(f"\n{toolkit}: {compared} values of {len(keys)} keys compared, in {in_one} + {len(found) - in_one} parsings")
    assert compared >= toolkit.compared[0]


@of_every_toolkit
def test_project_values_reach_the_toolkit(toolkit: ParsedToolkit, parsings: Parsings) -> None:
    projects = {case.name: case.project for case in [*config_cases(toolkit), *generated_cases(toolkit)]}
    compared = Counter[str]()
    for parsing in parsings(toolkit):
        project = projects.get(parsing.name)
        if project is None or isinstance(parsing.parsed, str):
            continue
        for key, field in PASSED_ON.items():
            if values_found := parsing.parsed.get(key):
                value = attrgetter(field)(project)
                if key == "eval_steps" and toolkit.backend == "paddleformers":
                    value = min(value, values_found[0][1])  # at most the length of the run
                assert (key, values_found) == (key, [[type(value).__name__, value]]), parsing.name
                compared[key] += 1
    assert set(compared) == set(PASSED_ON)


@of_every_toolkit
def test_settings_have_the_declared_types(toolkit: ParsedToolkit) -> None:
    known = accepted_keys(toolkit.version, "train", toolkit.backend)
    for case in filter(Case.is_valid, [*config_cases(toolkit), *generated_cases(toolkit)]):
        raw = {raw.key for raw in case.context.raw_keys}
        for key, setting in settings_of(case.project, case.context).items():
            declared = PLAIN_TYPES.get(known[key][0].removeprefix("Optional[").removesuffix("]"))
            if declared and key not in raw:
                assert (key, type(setting.value)) == (key, declared), case.name


@of_every_toolkit
def test_raw_key_is_parsed_or_stops_the_parser(toolkit: ParsedToolkit, parsings: Parsings) -> None:
    found = {parsing.name: parsing for parsing in parsings(toolkit) if parsing.name.startswith("raw ")}
    parsed = {name: parsing for name, parsing in found.items() if not isinstance(parsing.parsed, str)}
    changed = {name: [*parsing.differences()] for name, parsing in parsed.items()}
    differences = {name: each for name, each in changed.items() if each and name[4:] not in WITH_SIDE_EFFECTS}
    assert differences == {}
    print(f"\n{toolkit}: {len(parsed)} raw keys are parsed, {len(found) - len(parsed)} stop the parser")
    assert len(parsed) >= toolkit.compared[1]


@of_every_toolkit
def test_unknown_key_is_noticed(toolkit: ParsedToolkit, parsings: Parsings) -> None:
    (difference,) = parsings(toolkit)[-1].differences()
    assert "no_such_key" in difference


@of_every_toolkit
def test_overwritten_keys_are_predicted(toolkit: ParsedToolkit) -> None:
    own = erniekit if toolkit.backend == "erniekit" else paddleformers
    case = config_cases(toolkit)[0]
    given = values(settings_of(case.project, case.context))
    assert set(own.OVERWRITTEN) <= set(own.overwritten(given, toolkit.version, 1))


@of_every_toolkit
def test_at_least_95_of_100_generated_projects_are_valid(toolkit: ParsedToolkit) -> None:
    assert sum(case.is_valid() for case in generated_cases(toolkit)) >= 0.95 * GENERATED


@of_every_toolkit
def test_generated_projects_vary_every_setting(toolkit: ParsedToolkit) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for case in generated_cases(toolkit):
        sections = case.project.model_dump(include={"model", "lora", "training", "parallel", "dpo"})
        sections["data"] = case.project.data.model_dump(include={"format", "preference"})
        del sections["training"]["max_hours"]  # a limit of this package, not a setting
        if case.is_valid():
            for section, fields in sections.items():
                for field, value in fields.items():
                    seen[f"{section}.{field}"].add(str(value))
    assert {field for field, drawn in seen.items() if len(drawn) < 2} == toolkit.never
