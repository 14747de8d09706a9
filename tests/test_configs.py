"""The project files in configs/ load, translate, and explain every key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from erniekit_adapter.architectures.models import CONTEXT, MINIMUM_GPUS, MODELS, find_model, minimum_gpus
from erniekit_adapter.backends.settings import Settings, values
from erniekit_adapter.backends.translation import context_before_training, problems_of_project, settings_of
from erniekit_adapter.documents.loading import shipped_names
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep.sweep_file import load_sweep
from erniekit_adapter.training.settings_file import settings_text

FOLDER = Path(__file__).resolve().parents[1] / "configs"
CONFIGS, SWEEPS = sorted(FOLDER.glob("*.yaml")), sorted((FOLDER / "sweeps").glob("*.yaml"))
KEY = re.compile(r"\s*(?:- )?[{\w]")
every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)


def config(name: str) -> Project:
    return load_project(FOLDER / f"{name}.yaml")


def translated(project: Project) -> Settings:
    return settings_of(project, context_before_training(project))


def test_every_training_method_has_a_shipped_project() -> None:
    ways = {(load_project(path).backend, context_before_training(load_project(path)).method) for path in CONFIGS}
    assert ways >= {
        ("erniekit", "SFT"),
        ("erniekit", "DPO"),
        ("erniekit", "VL-SFT"),
        ("erniekit", "OCR-VL-SFT"),
        ("paddleformers", "VL-SFT"),
    }
    assert {path.stem for path in CONFIGS} >= {
        "demo-cpu",
        *(f"{name}-cpu" for name in shipped_names() if name != "invoice"),
        "ernie-0.3b-lora",
        "ernie-21b-lora",
        "ernie-21b-lora-wint4",
        "ernie-21b-sft",
        "ernie-21b-dpo-lora",
        "ernie-300b-lora-wint4",
        "ernie-vl-28b-lora",
        "paddleocr-vl-erniekit",
        "paddleocr-vl-paddleformers",
    }


def test_docs_list_every_shipped_project() -> None:
    linked = re.findall(
        r"\| \[[^]]+\]\(\.\./configs/([^)]+)\.yaml\) \|", (FOLDER.parent / "docs/models.md").read_text()
    )
    assert sorted(linked) == sorted(path.stem for path in CONFIGS)


@every_config
def test_shipped_projects_translate(path: Path) -> None:
    project = load_project(path)
    assert problems_of_project(project) == []
    made = translated(project)
    assert yaml.safe_load(settings_text(made)) == values(made)
    assert made["run_name"].value == project.run_name


@every_config
def test_toolkit_keys_reach_the_settings_unchanged(path: Path) -> None:
    project = load_project(path)
    made = translated(project)
    section = getattr(project, project.backend)
    for key, value in section.extra.items():
        assert made[key].value == value
        assert made[key].origin == f"{project.backend}.extra.{key}"


@every_config
def test_shipped_projects_have_their_own_output(path: Path) -> None:
    project = load_project(path)
    assert project.sources
    others = [load_project(other) for other in CONFIGS if other != path]
    assert project.output_dir not in {other.output_dir for other in others}
    assert project.run_name not in {other.run_name for other in others}


@every_config
def test_every_key_of_shipped_projects_has_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    silent = [
        f"{number}: {line}"
        for number, (above, line) in enumerate(zip(["", *lines], lines, strict=False), start=1)
        if KEY.match(line) and not heads_a_section(line) and " # " not in line and not above.lstrip().startswith("#")
    ]
    assert silent == []


def heads_a_section(line: str) -> bool:
    """Return whether a line only begins a section."""
    return bool(re.fullmatch(r"\w+:", line))


@every_config
def test_shipped_projects_state_their_purpose(path: Path) -> None:
    head = " ".join(line.removeprefix("# ") for line in path.read_text().splitlines()[1:4] if line.startswith("# "))
    assert len(head) > 50
    on_gpu = load_project(path).training.device == "gpu"
    assert on_gpu == bool(re.search(r"[Nn]ot run by us on a GPU|none on a GPU", head))


@every_config
def test_shipped_projects_use_enough_gpus(path: Path) -> None:
    project = load_project(path)
    model = find_model(project.model.model_name_or_path)
    if model is None:
        return
    quantized = "LoRA wint4/8" if project.training.quantization == "wint4/8" else "LoRA"
    method = "DPO LoRA" if project.training.method == "DPO" else quantized if project.lora.enabled else "SFT"
    row = minimum_gpus(model, method, project.training.max_seq_length)
    assert row is None or project.parallel.world_size >= row.gpus


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ernie-21b-lora", {"compute_type": "bf16", "tensor_parallel_degree": 1, "lora_rank": 32, "lora_alpha": 64}),
        ("ernie-21b-lora-wint4", {"compute_type": "wint4/8", "learning_rate": 3.0e-4, "adam_beta2": 0.95}),
        ("ernie-21b-sft", {"fine_tuning": "Full", "tensor_parallel_degree": 2, "sharding_parallel_degree": 4}),
        ("ernie-21b-dpo-lora", {"stage": "DPO", "rslora": True, "lora_plus_scale": 12.0, "learning_rate": 5.0e-7}),
        ("ernie-300b-lora-wint4", {"compute_type": "wint4/8", "tensor_parallel_degree": 4, "sequence_parallel": True}),
        (
            "ernie-vl-28b-lora",
            {"stage": "VL-SFT", "pipeline_parallel_degree": 2, "pp_need_data": True, "from_scratch": 0},
        ),
        (
            "paddleocr-vl-erniekit",
            {"stage": "OCR-VL-SFT", "fine_tuning": "Full", "learning_rate": 5.0e-6, "packing_size": 8, "batch_size": 1},
        ),
        ("paddleocr-vl-paddleformers", {"stage": "VL-SFT", "padding_free": True, "do_eval": False, "lora_rank": 8}),
    ],
)
def test_values_of_published_examples_arrive(name: str, expected: dict[str, object]) -> None:
    made = values(translated(config(name)))
    assert {key: made[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["ernie-vl-28b-lora", "paddleocr-vl-erniekit"])
def test_multimodal_projects_do_not_evaluate(name: str) -> None:
    assert config(name).eval_ratio == 0
    assert translated(config(name)).get("do_eval") is None


def test_quantized_project_inherits_from_its_preset() -> None:
    base, quantized = config("ernie-21b-lora"), config("ernie-21b-lora-wint4")
    assert (base.training.quantization, quantized.training.quantization) == (None, "wint4/8")
    assert quantized.lora == base.lora
    assert quantized.erniekit.extra == base.erniekit.extra
    assert quantized.data == base.data


def test_models_page_lists_projects_and_models() -> None:
    page = (FOLDER.parent / "docs" / "models.md").read_text()
    assert set(re.findall(r"\(\.\./configs/([^)]+\.yaml)\)", page)) == {path.name for path in CONFIGS}
    assert [model.id for model in MODELS if model.id.rpartition("ERNIE-4.5-")[2] not in page] == []


@pytest.mark.parametrize("size", sorted({row.size for row in MINIMUM_GPUS}))
def test_models_page_has_the_minimum_gpus(size: str) -> None:
    """A cell begins with the GPUs for 8K, 32K and 128K tokens; a dash is a missing row."""
    page = (FOLDER.parent / "docs" / "models.md").read_text()
    table = page.partition("## How many GPUs")[2].splitlines()
    cells = next(line for line in table if line.startswith(f"| {size} |")).split("|")[2:-1]
    for method, cell in zip(("LoRA", "LoRA wint4/8", "SFT", "DPO LoRA", "DPO"), cells, strict=True):
        rows = {row.max_seq_length: str(row.gpus) for row in MINIMUM_GPUS if (row.size, row.method) == (size, method)}
        told = ", ".join(rows.get(length, "–") for length in (8192, 32_768, CONTEXT)) if rows else "–"
        assert cell.partition(";")[0].strip() == told


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_runs_of_shipped_sweeps_translate(path: Path) -> None:
    _, runs = load_sweep(path)
    assert len(runs) > 1
    for run in runs:
        assert problems_of_project(run.project) == []


def test_shipped_sweeps_have_different_folders() -> None:
    folders = [yaml.safe_load(path.read_text())["output_dir"] for path in SWEEPS]
    assert len({*folders}) == len(folders) >= 3


@every_config
def test_shipped_projects_name_their_example(path: Path) -> None:
    head = " ".join(line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# "))
    if load_project(path).training.device == "cpu":
        return
    assert re.search(r"Follows (ERNIEKit's|PaddleFormers') examples/[\w/.-]+\.yaml", head), head
    assert re.search(r"[Dd]epart|without its", head), head


@every_config
def test_warmup_ends_within_few_documents(path: Path) -> None:
    """With 300 documents, of which a fifth is not for training."""
    project = load_project(path)
    context = replace(
        context_before_training(project), train_examples=240, eval_examples=30 if project.eval_ratio else 0
    )
    assert problems_of_project(project, context) == []
    assert project.training.warmup_steps == 0 or project.training.max_steps
