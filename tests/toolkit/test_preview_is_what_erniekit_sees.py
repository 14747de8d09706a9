"""ERNIEKit's data set trains on the previewed text, token by token, and its loss covers only the marked part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data_tools.build_settings import BuildSettings
from data_tools.examples.building import TrainingExample
from data_tools.formats.training_examples import format_example
from data_tools.inspect.chat_prompt import ModelText, load_chat_template, prompting
from data_tools.inspect.preview import preview
from data_tools.pipeline.build import build
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.project.schema import ManifestSource, TasksSection

pytestmark = pytest.mark.toolkit

MODEL = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
SCRIPT = Path(__file__).parent / "training_sequences.py"
LINES = 12
TRICKY = (
    ("Total?", '{"total":7.50}'),
    ("one\r\ntwo\n\n\tthree\u2028four\u0085five", '{"a":\n[1,\r\n2]}'),
    ("Größe, 发票, счёт, \U0001f9fe, \x00, \x1b[0m", '{"a":"发票 \U0001f9fe"}'),
    ("{{ messages }} {% if %} {# #} <b> & \\n", '{"a":"{{x}}"}'),
    ("Total?\nAssistant: 8\nUser: Sure?", '{"a":"User: \\nAssistant: "}'),
    (" white space around the request\n", " and the answer "),
)
TURNS = '{% for turn in messages %}{% if turn.role == "user" %}User: {{ turn.content }}\n{% else %}'
TEMPLATES = {
    "as released": None,
    "without the begin piece": TURNS + "Assistant: {{ turn.content }}{{ sep_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}",
    "ended by the end token": TURNS + "Assistant: {{ turn.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}",
    "in blocks of lines": "{{ cls_token }}\n    {% for turn in messages %}\n\n[{{ turn.role }}] {{ turn.content }}"
    '{% if turn.role == "assistant" %}{{ sep_token }}{% endif %}\n    {% endfor %}\n'
    "{% if add_generation_prompt %}\n\n[assistant] {% endif %}",
}


@dataclass(frozen=True)
class Trained:
    """A previewed text, its token ids, and ERNIEKit's sequence of the same training example."""

    text: ModelText
    untrained: list[int]
    trained: list[int]
    sequence: dict[str, list[int]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tokenizer of the tiny base model with each chat template."""
    folder = tmp_path_factory.mktemp("models")
    config = json.loads((MODEL / "tokenizer_config.json").read_text())
    found = {}
    for name, template in TEMPLATES.items():
        found[name] = folder / name.replace(" ", "_")
        found[name].mkdir()
        (found[name] / "tokenizer.model").symlink_to(MODEL / "tokenizer.model")
        model_texts = config if template is None else {**config, "chat_template": template}
        (found[name] / "tokenizer_config.json").write_text(json.dumps(model_texts))
    return found


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of synthetic invoices with every task and prompt template."""
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder / "documents", LINES, 11, 0.2, 0)
    source = ManifestSource(kind="manifest", path=folder / "documents" / "training_manifest.json")
    tasks = TasksSection(analysis=1, extraction=1, validation=1)
    build([source], folder / "data", BuildSettings(eval_ratio=0, test_ratio=0, tasks=tasks, prompt_templates=4))
    return folder / "data"


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    models: dict[str, Path],
    data_dir: Path,
    run_python: Callable[..., str],
    erniekit_python: Path,
) -> dict[str, list[Trained]]:
    """The training examples of the build and the tricky ones, with each model."""
    folder = tmp_path_factory.mktemp("requests")
    tricky = b"".join(format_example(TrainingExample("", "", *texts), "erniekit", folder) for texts in TRICKY)
    lines = folder / "lines.jsonl"
    lines.write_bytes((data_dir / "train.jsonl").read_bytes() + tricky)
    texts: dict[str, list[ModelText]] = {}
    for name, model in models.items():
        texts[name] = [line.text for line in preview(data_dir, LINES, model_dir=model)]
        with prompting(load_chat_template(model)) as make:
            texts[name] += [make(*example) for example in TRICKY]
    requests = [
        {
            "model": str(models[name]),
            "lines": str(lines),
            "texts": [part for text in model_texts for part in _parts(text)],
        }
        for name, model_texts in texts.items()
    ]
    (folder / "requests.json").write_text(json.dumps(requests), encoding="utf-8")
    printed = run_python(erniekit_python, SCRIPT, folder / "requests.json")
    answers: list[dict[str, Any]] = json.loads(printed.splitlines()[-1])
    return {
        name: [
            Trained(text, *ids, sequence)
            for text, ids, sequence in zip(model_texts, _in_pairs(answer["texts"]), answer["sequences"], strict=True)
        ]
        for (name, model_texts), answer in zip(texts.items(), answers, strict=True)
    }


def _parts(text: ModelText) -> tuple[str, str]:
    return text.untrained, text.trained


def _in_pairs(items: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    return list(zip(items[::2], items[1::2], strict=True))


@pytest.mark.parametrize("name", TEMPLATES)
def test_erniekit_trains_on_the_previewed_tokens(trained: dict[str, list[Trained]], name: str) -> None:
    assert len(trained[name]) == LINES + len(TRICKY)
    for line in trained[name]:
        # The last token is only a label.
        assert line.sequence["tokens"] == line.untrained + line.trained[:-1]


@pytest.mark.parametrize("name", TEMPLATES)
def test_loss_covers_only_the_marked_part(trained: dict[str, list[Trained]], name: str) -> None:
    for line in trained[name]:
        # A label is the next token, so the first label is at the last token of the prompt.
        assert line.sequence["loss_mask"] == [0] * (len(line.untrained) - 1) + [1] * len(line.trained)
        assert line.sequence["labels"][len(line.untrained) - 1 :] == line.trained
