from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_tools.inspect import chat_prompt
from data_tools.inspect.chat_prompt import (
    ChatTemplate,
    ModelText,
    NoPromptError,
    load_chat_template,
    model_text,
    prompting,
)

MODEL = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
PLAIN = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}{% endfor %}"


def model(folder: Path, **config: Any) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def rendered(template: str, request: str = "Total?", answer: str = "{}") -> ModelText:
    with prompting(ChatTemplate(template, {"eos_token": "</s>"})) as make:
        return make(request, answer)


def test_renders_the_released_template() -> None:
    with prompting(load_chat_template(MODEL)) as make:
        text = make("Total?", '{"total":7.50}')
    assert text == ModelText("<|begin_of_sentence|>User: Total?\nAssistant: ", '{"total":7.50}</s>')


def test_strips_request_and_answer_as_the_toolkit_does() -> None:
    with prompting(load_chat_template(MODEL)) as make:
        assert make(" Total?\n", "\t{} ") == make("Total?", "{}")


@pytest.mark.parametrize(
    ("prompt", "conversation", "expected"),
    [
        ("User: a\n", "User: a\nb</s>", ModelText("<|begin_of_sentence|>User: a\n", "b</s>")),
        ("<|begin_of_sentence|>a", "<|begin_of_sentence|>ab</s>", ModelText("<|begin_of_sentence|>a", "b</s>")),
        ("a", "ab<|end_of_sentence|>", ModelText("<|begin_of_sentence|>a", "b</s>")),
    ],
    ids=["a begin piece is put in front", "but not twice", "the end piece is replaced"],
)
def test_changes_of_the_reader(prompt: str, conversation: str, expected: ModelText) -> None:
    assert model_text(prompt, conversation, "</s>", ["<s>", "</s>"]) == expected


@pytest.mark.parametrize(
    ("prompt", "conversation", "reason"),
    [
        ("a", "ab", "ends answers without a special token"),
        ("a", "cb</s>", "different prompts with and without the answer"),
    ],
)
def test_rejects_templates_that_erniekit_uses_differently(prompt: str, conversation: str, reason: str) -> None:
    with pytest.raises(NoPromptError, match=reason):
        model_text(prompt, conversation, "</s>", ["</s>"])


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ raise_exception('no') }}", "no"),
        ("{{ messages[0].content.__class__.__mro__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ 'a' * 10 ** 11 }}", "MemoryError"),
        ("{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}", "more than"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    ],
)
def test_hostile_templates_give_a_reason(template: str, reason: str) -> None:
    with pytest.raises(NoPromptError, match=f"cannot be rendered: .*{reason}"):
        rendered(template)


def test_stops_an_endless_template_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_prompt, "_MAX_SECONDS", 2)
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}"
    with prompting(ChatTemplate(loops + "{% endfor %}{% endfor %}", {})) as make:
        for _ in range(20):
            with pytest.raises(NoPromptError, match="did not finish in 2 s"):
                make("Total?", "{}")


def test_continues_after_a_template_error() -> None:
    template = "{% if messages[0].content == 'x' %}{{ raise_exception('x') }}{% endif %}" + PLAIN
    ends = "{% if not add_generation_prompt %}</s>{% endif %}"
    with prompting(ChatTemplate(template + ends, {"eos_token": "</s>"})) as make:
        with pytest.raises(NoPromptError, match="cannot be rendered"):
            make("x", "{}")
        assert make("y", "{}").trained == "assistant: {}</s>"


def test_reads_special_tokens_as_text_and_as_objects(tmp_path: Path) -> None:
    model(tmp_path, chat_template=PLAIN, cls_token={"__type": "AddedToken", "content": "<c>"}, sep_token="<old>")
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"sep_token": "<new>"}))
    tokens = load_chat_template(tmp_path).special_tokens
    assert (tokens["cls_token"], tokens["sep_token"], tokens["eos_token"]) == ("<c>", "<new>", "</s>")


def test_reads_a_separate_template_file(tmp_path: Path) -> None:
    (model(tmp_path) / "chat_template.jinja").write_text(PLAIN)
    assert load_chat_template(tmp_path).text == PLAIN


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{}", "has no chat template"),
        (b'{"chat_template": [{"name": "default", "template": ""}]}', "has no chat template"),
        (b"{", "not JSON"),
        (b"[]", "has no chat template"),
        (b'{"chat_template": "' + b"a" * 300_000 + b'"}', "300,000 characters"),
    ],
)
def test_explains_a_missing_template(tmp_path: Path, config: bytes, reason: str) -> None:
    (tmp_path / "tokenizer_config.json").write_bytes(config)
    with pytest.raises(NoPromptError, match=reason):
        load_chat_template(tmp_path)


def test_a_model_on_the_hub_is_not_a_local_folder() -> None:
    with pytest.raises(NoPromptError, match="not a local folder"):
        load_chat_template(Path("baidu/ERNIE-4.5-0.3B-PT"))
