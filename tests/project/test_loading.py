"""Loading of a project file: all problems at once, each with its line and a hint."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from project_file_examples import LEAST, problems, written

from erniekit_adapter.architectures.linear_layers import LINEAR_MODULES
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.loading import (
    MAX_PROJECT_BYTES,
    dotted,
    keys_of,
    load_project,
    nearest_key,
    read_mapping,
)
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.sources import missing_sources

# Word for word the example in the request for this project.
EXAMPLE = """
model:
  model_name_or_path: "baidu/ERNIE-4.5-0.3B-Paddle"
lora:
  enabled: true
  r: 16
  lora_alpha: 32
  target_modules: [q_proj, v_proj, k_proj, o_proj]
  lora_dropout: 0.1
training:
  num_train_epochs: 3
  per_device_train_batch_size: 2
  per_device_eval_batch_size: 2
  gradient_accumulation_steps: 4
  learning_rate: 2.0e-4
  warmup_steps: 100
  logging_steps: 10
  save_steps: 500
  eval_steps: 500
  save_total_limit: 3
  val_split_ratio: 0.1
  fp16: true
  bf16: false
  use_tensorboard: true
dataset:
  path: ./ernie_finetune_data.jsonl
  max_samples: null
output_dir: ./finetuned_ernie
run_name: ernie-financial-finetune
erniekit:
  use_erniekit: true
  erniekit_config_path: null
"""


def test_loads_a_full_project(tmp_path: Path) -> None:
    project = load_project(written(tmp_path, EXAMPLE))
    assert project.model.model_name_or_path == "baidu/ERNIE-4.5-0.3B-Paddle"
    assert project.lora.modules == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert (project.training.learning_rate, project.training.num_train_epochs) == (2e-4, 3.0)
    assert (project.training.fp16, project.training.bf16) == (True, False)
    assert project.dataset.path == Path("ernie_finetune_data.jsonl")
    assert project.dataset.max_samples is None
    assert project.erniekit.erniekit_config_path is None


def test_missing_keys_get_defaults(tmp_path: Path) -> None:
    project = load_project(written(tmp_path, LEAST))
    assert (project.lora.r, project.lora.alpha, project.lora.modules) == (16, 32, set(LINEAR_MODULES))
    assert project.export.formats == ["native", "peft", "merged"]


def test_unknown_key_has_a_line_and_a_suggestion(tmp_path: Path) -> None:
    text = LEAST + "training:\n  seed: 1\n  learning_rat: 2e-4\n"
    assert problems(tmp_path, text) == (
        "project.yaml:5 training.learning_rat: unknown key → did you mean training.learning_rate?"
    )


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("training.learning_rat", "training.learning_rate"),
        ("learning_rate", "training.learning_rate"),
        ("lora.rank_stabilised", None),
        ("lora.alpha", "lora.lora_alpha"),
        ("training.num_epochs", "training.num_train_epochs"),
        ("lora.target_module", "lora.target_modules"),
        ("outputdir", "output_dir"),
        ("model.model_name", "model.model_name_or_path"),
        ("xyz", None),
    ],
)
def test_suggests_keys_of_other_sections(misspelt: str, meant: str | None) -> None:
    assert nearest_key(misspelt) == meant


def test_every_key_is_nearest_to_itself() -> None:
    assert [key for key in keys_of() if nearest_key(key) != key] == []


def test_reports_all_problems_with_their_lines(tmp_path: Path) -> None:
    text = LEAST + "training:\n  learning_rat: 2e-4\n  fp16: 'false'\n  max_steps: 0\nlora:\n  r: 16.0\n"
    lines = problems(tmp_path, text).splitlines()
    assert sorted(line.split(":")[1] for line in lines) == [
        "4 training.learning_rat",
        "5 training.fp16",
        "6 training.max_steps",
        "8 lora.r",
    ]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "fp16", "'false'"),
        ("training", "fp16", "0"),
        ("training", "seed", "true"),
        ("training", "max_steps", "3.0"),
        ("training", "max_steps", "'3'"),
        ("training", "learning_rate", "'2e-4'"),
        ("training", "learning_rate", ".nan"),
        ("training", "learning_rate", "0"),
        ("training", "learning_rate", "1.0"),
        ("training", "val_split_ratio", "1.0"),
        ("training", "device", "tpu"),
        ("training", "per_device_train_batch_size", "0"),
        ("lora", "r", "0"),
        ("lora", "lora_dropout", "1.0"),
        ("lora", "target_modules", "[qkv_proj]"),
        ("lora", "target_modules", "all"),
        ("export", "formats", "[]"),
        ("export", "formats", "[onnx]"),
        ("model", "model_name_or_path", "''"),
        ("dataset", "path", "''"),
        ("dataset", "path", "5"),
    ],
)
def test_refuses_values_of_another_type(tmp_path: Path, section: str, key: str, value: str) -> None:
    model = "" if section == "model" else "model: {model_name_or_path: ./m}"
    text = f"{model}\noutput_dir: ./o\n{section}: {{{key}: {value}}}\n"
    assert f"project.yaml:3 {section}.{key}" in problems(tmp_path, text)


def test_number_for_a_text_hints_at_quotes(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST + "erniekit: {version: 1.4}\n")
    assert "found 1.4" in found
    assert found.endswith("write it in quotes: '1.4'")


@pytest.mark.parametrize("text", ["2e-4", "2.0e-4", "2E-4", "0.0002", ".2e-3", "2.e-4"])
def test_reads_numbers_with_exponents(tmp_path: Path, text: str) -> None:
    project = load_project(written(tmp_path, f"{LEAST}training: {{learning_rate: {text}}}\n"))
    assert project.training.learning_rate == pytest.approx(2e-4)


def test_text_that_begins_like_a_number_stays_text(tmp_path: Path) -> None:
    assert load_project(written(tmp_path, f"{LEAST}run_name: 2e-4-test\n")).run_name == "2e-4-test"


def test_leaves_the_loader_of_pyyaml_unchanged() -> None:
    assert yaml.safe_load("2e-4") == "2e-4"


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("{fp16: true, bf16: true}", "both true"),
        ("{fp16: false, bf16: false}", "both false"),
        ("{device: cpu, fp16: true}", "device cpu"),
        ("{val_split_ratio: 0.9}", "leave no documents to train on"),
        ("{warmup_steps: 1, warmup_ratio: 0.1}", "warmup_steps and warmup_ratio are both over 0"),
        ("{warmup_ratio: 1.0}", "less than 1"),
    ],
)
def test_refuses_conflicting_values(tmp_path: Path, training: str, message: str) -> None:
    assert message in problems(tmp_path, f"{LEAST}training: {training}\n")


def test_duplicate_key_is_refused_with_both_lines(tmp_path: Path) -> None:
    message = problems(tmp_path, LEAST + "training:\n  seed: 1\n  seed: 2\n")
    assert message == "project.yaml:5 training.seed: duplicate key, first at project.yaml:4 → remove one of them"


def test_missing_required_key_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, "run_name: x\n").splitlines() == [
        "project.yaml model: missing → add model",
        "project.yaml output_dir: missing → add output_dir",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "- model\n", "hello\n", "5\n", "null\n"])
def test_refuses_a_file_without_sections(tmp_path: Path, text: str) -> None:
    assert "not a project file" in problems(tmp_path, text)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(LEAST + "# " + "x" * MAX_PROJECT_BYTES, "more than the limit", id="huge"),
        pytest.param(LEAST.encode() + b"run_name: \xff\n", "not UTF-8 text", id="latin-1"),
        pytest.param(LEAST + "run_name: a\0b\n", "not UTF-8 text", id="nul"),
        pytest.param(LAUGHS, "more than 10,000 values", id="billion laughs"),
        pytest.param("a: &a [*a]\n", "nested too deeply", id="alias of itself"),
        pytest.param("a: " + "[" * 1500 + "]" * 1500, "nested more than 60 levels", id="deep"),
        pytest.param("a: " + "[" * 1500, "nested more than 60 levels", id="deep and open"),
        pytest.param(LEAST + "---\n" + LEAST, "project.yaml:3: not YAML", id="two documents"),
        pytest.param(LEAST + "training:\n\tseed: 3\n", "project.yaml:4: not YAML", id="tab"),
        pytest.param(LEAST + "training: {seed: 3\n", "not YAML", id="open brace"),
        pytest.param(LEAST + "? [a, b]\n: c\n", "not YAML", id="list as key"),
        pytest.param(LEAST + "run_name: !!python/object/apply:os.getcwd []\n", "constructor", id="python object"),
    ],
)
def test_refuses_hostile_and_broken_files_quickly(tmp_path: Path, text: str | bytes, message: str) -> None:
    started = time.monotonic()
    assert message in problems(tmp_path, text)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "value", ["2025-13-45", "9" * 5000, "0x_", "!!int ''", "!!float x", "!!timestamp x"], ids=lambda value: value[:12]
)
def test_impossible_yaml_value_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    assert "project.yaml:3" in problems(tmp_path, f"{LEAST}run_name: {value}\n")


@pytest.mark.parametrize("key", ["num_train_epochs", "weight_decay", "max_grad_norm"])
def test_refuses_infinity(tmp_path: Path, key: str) -> None:
    assert f"training.{key}" in problems(tmp_path, f"{LEAST}training: {{{key}: .inf}}\n")


def test_refuses_the_home_of_an_unknown_user(tmp_path: Path) -> None:
    text = "model: {model_name_or_path: ./m}\noutput_dir: ~unknown-user-name/o\n"
    assert "project.yaml:2 output_dir" in problems(tmp_path, text)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_project(tmp_path / "nothing.yaml")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"nothing\.yaml: no such file"):
        load_project(tmp_path / "nothing.yaml")


def test_expands_home_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    project = load_project(written(tmp_path, LEAST), ["output_dir=~/runs"])
    assert project.training_dir == Path("/home/someone/runs/training")


def test_reads_a_settings_file(tmp_path: Path) -> None:
    assert read_mapping(written(tmp_path, "recompute: true\nlr: 1e-5\n")) == {"recompute": True, "lr": 1e-5}


@pytest.mark.parametrize(("text", "message"), [("- a\n", "contains no settings"), ("a: 1\na: 2\n", "duplicate key")])
def test_refuses_a_malformed_settings_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_mapping(written(tmp_path, text))


def test_writes_keys_with_dots_and_indices() -> None:
    assert dotted(("data", "sources", 0, "path")) == "data.sources[0].path"


@given(
    seed=st.integers(0, 2**31 - 1),
    rank=st.integers(1, 1024),
    rate=st.floats(1e-7, 0.5),
    name=st.text("ab: #'-", min_size=1),
)
def test_project_survives_a_yaml_round_trip(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rank: int, rate: float, name: str
) -> None:
    value = {
        "model": {"model_name_or_path": "./m"},
        "output_dir": "./o",
        "run_name": name,
        "lora": {"r": rank},
        "training": {"seed": seed, "learning_rate": rate},
    }
    folder = tmp_path_factory.getbasetemp()
    found = load_project(written(folder, yaml.safe_dump(value)))
    assert found == Project.model_validate(value)


@pytest.mark.parametrize(
    ("output_dir", "message"),
    [
        ("x" * 256, "more than the 255 bytes"),
        ("发" * 86, "more than the 255 bytes"),
        ("x/" * 1900, "longer than 3,600"),
    ],
)
def test_refuses_output_dirs_over_the_limits(tmp_path: Path, output_dir: str, message: str) -> None:
    assert message in problems(tmp_path, LEAST, f"output_dir={output_dir}")


@pytest.mark.parametrize("output_dir", ["发" * 85, "a b'c\"$d 🧾"])
def test_accepts_any_name_of_an_output_dir(tmp_path: Path, output_dir: str) -> None:
    assert load_project(written(tmp_path, LEAST), [f"output_dir={output_dir}"]).output_dir == Path(output_dir)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("projct.yaml", "no such file → did you mean project.yaml?"),
        ("other.txt", "no such file → give the path of the project file, such as configs/demo-cpu.yaml"),
        (".", "is a folder → give the project file: project.yaml"),
    ],
)
def test_wrong_project_file_gets_a_hint(tmp_path: Path, name: str, problem: str) -> None:
    written(tmp_path, LEAST)
    with pytest.raises(UsageError) as error:
        load_project(tmp_path / name)
    assert problem in str(error.value).replace(f"{tmp_path}/", "").replace("\n    →", " →")


def test_missing_source_gets_the_nearest_file_as_hint(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("[]")
    sources = f"data: {{sources: [{{kind: manifest, path: {tmp_path}/trian.json}}]}}\n"
    found = missing_sources(load_project(written(tmp_path, LEAST + sources)))
    assert [problem.hint for problem in found] == [f"did you mean {tmp_path}/train.json?"]
