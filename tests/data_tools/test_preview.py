from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simplejson
from built_examples import (
    MODEL,
    automatic_log,
    build_log,
    build_pages,
    change_manifest,
    corrections,
    from_vendor,
)
from data_examples import answer, correction
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from data_tools.examples.building import TrainingExample
from data_tools.inspect.chat_prompt import ModelText
from data_tools.inspect.data_folder import read_manifest
from data_tools.inspect.preview import PreviewedExample, preview, preview_preferences
from data_tools.inspect.print_preview import print_preferences, print_preview
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.schema import TasksSection
from erniekit_adapter.terminal import printable


@pytest.fixture(scope="module")
def pages_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build twelve documents with one page each."""
    return build_pages(tmp_path_factory.mktemp("pages"), 12)


def printed(lines: Any, width: int | None = None, colour: str | None = None) -> str:
    stream = io.StringIO()
    terminal = width is not None
    console = Console(
        file=stream, width=width, force_terminal=terminal, color_system=colour, legacy_windows=False, highlight=False
    )
    print_preview(lines, console)
    return stream.getvalue()


def line_of(untrained: str, trained: str, **changes: Any) -> PreviewedExample:
    values: dict[str, Any] = {"split": "train", "number": 1, "traced": None, "example": TrainingExample("", "", "", "")}
    values |= {"text": ModelText(untrained, trained), "note": "", "pages": (), "tokens": None, "with_pages": False}
    return PreviewedExample(**(values | changes))


def test_shows_the_training_text_with_the_trained_part(pages_dir: Path) -> None:
    example = next(preview(pages_dir, 1, model_dir=MODEL))
    assert example.text.untrained == f"<|begin_of_sentence|>User: {example.example.request}\nAssistant: "
    assert example.text.trained == f"{example.example.answer_text}</s>"
    assert example.note == ""


def test_shows_the_origin_of_an_example(pages_dir: Path) -> None:
    example = next(preview(pages_dir, 1, model_dir=MODEL))
    assert example.traced is not None
    assert example.traced.location == f"{pages_dir.parent / 'manifest.json'}:1"
    assert (example.number, example.traced.task, example.traced.document_id) == (1, "analysis", "RE-0")
    assert example.tokens is not None
    assert example.pages[0].path == pages_dir.parent / "images" / "RE-0.png"
    assert example.pages[0].about.startswith("210 × 297 px, ")


def test_counts_tokens_with_the_marks_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_pages(tmp_path, 2)
    change_manifest(folder, settings={**read_manifest(folder).settings, "request_marks": {"ocr": "OCR 识别结果:"}})
    parts: list[str] = []

    def counter(_: Path, constant_part: Callable[[str], str]) -> Callable[[str], int]:
        parts.append(constant_part("请读取。\nOCR 识别结果: {}"))
        return len

    monkeypatch.setattr("data_tools.inspect.preview.token_counter", counter)
    list(preview(folder, 1, model_dir=MODEL))
    assert parts == ["请读取。\nOCR 识别结果: "]


def test_shows_examples_in_file_order(pages_dir: Path) -> None:
    examples = list(preview(pages_dir, 99, model_dir=MODEL))
    assert [example.number for example in examples] == list(range(1, 13))
    assert [example.traced is not None for example in examples] == [True] * 8 + [False] * 4
    assert "not stored: a build stores it for the first examples of each task" in printed(examples[8:])


def test_count_limits_the_examples(pages_dir: Path) -> None:
    assert len(list(preview(pages_dir, 3))) == 3


def test_shows_only_examples_of_a_task(tmp_path: Path) -> None:
    tasks = TasksSection(analysis=1, extraction=1, validation=1)
    data_dir = build_log(tmp_path, *corrections(30), tasks=tasks, fault_share=1)
    examples = list(preview(data_dir, 3, task="validation"))
    assert [example.traced and example.traced.task for example in examples] == ["validation"] * 3
    assert all("Invoice Data:" in example.text.untrained for example in examples)
    assert "\nfaults   " in printed(examples)


@pytest.mark.parametrize(
    ("data_format", "expected"),
    [
        ("erniekit", "user:\n{request}\nassistant:\n"),
        ("erniekit-vl", "user:\n[page 1]\n{request}\nassistant:\n"),
        ("paddleformers", "user:\n[page 1]\n{request}\nassistant:\n"),
    ],
)
def test_shows_plain_roles_without_a_template(tmp_path: Path, data_format: DataFormat, expected: str) -> None:
    example = next(preview(build_pages(tmp_path, 1, format=data_format), 1))
    assert example.text == ModelText(expected.format(request=example.example.request), example.example.answer_text)
    assert (
        "roles    in plain words, without the tokens that the toolkit adds: the model is not a local folder"
        in printed([example])
    )


@pytest.mark.parametrize("data_format", ["erniekit-vl", "paddleformers"])
def test_page_formats_do_not_use_the_text_template(tmp_path: Path, data_format: DataFormat) -> None:
    example = next(preview(build_pages(tmp_path, 1, format=data_format), 1, model_dir=MODEL))
    assert "the toolkit combines pages and text itself" in example.note
    assert "the model does not see it" not in printed([example])


def test_names_pages_that_the_model_does_not_see(pages_dir: Path) -> None:
    assert "RE-0.png  210 × 297 px, 1 kB; the model does not see it\n" in printed(preview(pages_dir, 1))


def test_names_a_missing_page(tmp_path: Path) -> None:
    data_dir = build_pages(tmp_path, 1)
    shutil.rmtree(tmp_path / "images")
    assert "RE-0.png  cannot be shown: " in printed(preview(data_dir, 1))


@pytest.mark.parametrize(("split", "mark"), [("eval", "measured ▌ {"), ("test", "expected ▌ {")])
def test_labels_the_answer_by_split(tmp_path: Path, split: Any, mark: str) -> None:
    data_dir = build_log(tmp_path, *corrections(30), eval_ratio=0.3, test_ratio=0.3)
    example = next(preview(data_dir, 1, split=split))
    assert example.traced is not None
    assert example.traced.split == split
    assert mark in printed([example])


def test_shows_test_examples_as_evaluate_sends_them(tmp_path: Path) -> None:
    tasks = TasksSection(analysis=0, extraction=1)
    example = next(preview(build_log(tmp_path, *corrections(20), test_ratio=0.5, tasks=tasks), 1, split="test"))
    assert "Analyse this invoice." in example.text.untrained


def test_plain_text_is_not_wrapped(pages_dir: Path) -> None:
    example = next(preview(pages_dir, 1, model_dir=MODEL))
    rows = printed([example]).splitlines()
    assert rows[-1] == f"  trained ▌ {example.text.trained}"
    assert next(row for row in rows if "│" in row).startswith("    reads │ <|begin_of_sentence|>User: Analyse")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="⏎"), max_size=60)


@given(untrained=TEXTS, trained=TEXTS, width=st.integers(15, 60))
def test_a_terminal_shows_every_character_once(untrained: str, trained: str, width: int) -> None:
    rows = printed([line_of(untrained, trained)], width).split("\n")
    for bar, text in (("│", untrained), ("▌", trained)):
        shown = [row[12:] for row in rows if row[10:12] == f"{bar} "]
        assert "".join(shown).replace("⏎", "\n") == printable(text)
        assert all(cell_len(row) <= width - 12 for row in shown)


def test_escapes_terminal_control_characters() -> None:
    shown = printed([line_of("\x1b]0;owned\x07", "\x1b[2J", note="\x1b[H")], 80)
    assert "␛]0;owned␇" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_escapes_direction_marks_and_ignores_markup(tmp_path: Path) -> None:
    data_dir = build_log(tmp_path, from_vendor("Acme [red]GmbH[/red] \u202e :smile:"))
    shown = printed(preview(data_dir, 1))
    assert '"name":"Acme [red]GmbH[/red] ‹U+202E› :smile:"' in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 发票 🧾", "Größe 发票 🧾"),
        ("a\nb\u00a0c\u3000d", "a\nb\u00a0c\u3000d"),
        ("\x00\t\r\x1b\x7f", "␀␉␍␛␡"),
        ("\x9b\u200d\u202e\u2028\ufeff", "‹U+009B›‹U+200D›‹U+202E›‹U+2028›‹U+FEFF›"),
    ],
)
def test_escapes_invisible_characters(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_marks_differences_between_preferred_answers(tmp_path: Path) -> None:
    output = simplejson.dumps(answer(grand_total=118))
    data_dir = build_log(tmp_path, correction(original_output=output), preference=True)
    preference = next(preview_preferences(data_dir, 1, model_dir=MODEL))
    assert preference.prompt.startswith("<|begin_of_sentence|>User: Analyse this invoice.")
    stream = io.StringIO()
    assert print_preferences([preference], Console(file=stream, highlight=False)) == 1
    shown = stream.getvalue()
    assert '   chosen ▌ {"structured_data"' in shown
    assert '"grand_total":⟦119⟧' in shown
    assert '"grand_total":⟦118⟧' in shown
    assert shown.replace("⟦", "").replace("⟧", "").count(preference.chosen) == 1


def test_a_build_without_preferences_names_the_key(pages_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.preference: true"):
        next(preview_preferences(pages_dir, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "eval"}, "eval.jsonl: contains no example"),
        ({"task": "extraction"}, "no example of train with the task extraction; tasks found: analysis"),
    ],
)
def test_lists_available_tasks_if_there_is_no_example(pages_dir: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(preview(pages_dir, 1, **options))


def test_rejects_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"contains no manifest\.json\n.*run erniekit-adapter data build PROJECT"):
        next(preview(tmp_path, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"later": 1}, r"another version of data build; different keys: \['later'\]"),
        ({"read": "many"}, "read: Input should be a valid integer"),
        ({"settings": {}}, "settings.form"),
    ],
)
def test_rejects_a_manifest_of_another_version(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    data_dir = build_log(tmp_path, correction(), automatic_log())
    change_manifest(data_dir, **changes)
    with pytest.raises(UsageError, match=message):
        next(preview(data_dir, 1))


@pytest.mark.parametrize("name", ["train.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("line", [b"{", b"[]", b'{"src": ["a"], "tgt": [1]}', b"\xff"])
def test_names_a_changed_line(tmp_path: Path, name: str, line: bytes) -> None:
    data_dir = build_log(tmp_path, correction())
    (data_dir / name).write_bytes(line + b"\n")
    with pytest.raises(AdapterError, match=rf"{name}:1: .*\n.*run erniekit-adapter data build PROJECT again"):
        next(preview(data_dir, 1))
