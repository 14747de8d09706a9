from __future__ import annotations

import io
import shutil
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

from data_tools.look.built import visible
from data_tools.look.chat_prompt import ModelText
from data_tools.look.preview import PreviewedLine, preview, preview_preferences
from data_tools.look.print_preview import print_preferences, print_preview
from data_tools.pairs.pairs import Pair
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.schema import DataFormat, TasksSection


@pytest.fixture(scope="module")
def pages_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of twelve documents with a page each."""
    return build_pages(tmp_path_factory.mktemp("pages"), 12)


def printed(lines: Any, width: int | None = None, colour: str | None = None) -> str:
    stream = io.StringIO()
    terminal = width is not None
    console = Console(
        file=stream, width=width, force_terminal=terminal, color_system=colour, legacy_windows=False, highlight=False
    )
    print_preview(lines, console)
    return stream.getvalue()


def line_of(untrained: str, trained: str, **changes: Any) -> PreviewedLine:
    values: dict[str, Any] = {"split": "train", "number": 1, "sample": None, "pair": Pair("", "", "", "")}
    values |= {"text": ModelText(untrained, trained), "note": "", "pages": (), "tokens": None, "with_pages": False}
    return PreviewedLine(**(values | changes))


def test_a_line_is_what_training_makes_of_it_with_the_answer_and_its_end_marked(pages_dir: Path) -> None:
    line = next(preview(pages_dir, 1, model_dir=MODEL))
    assert line.text.untrained == f"<|begin_of_sentence|>User: {line.pair.request}\nAssistant: "
    assert line.text.trained == f"{line.pair.answer_text}</s>"
    assert line.note == ""


def test_a_line_tells_what_it_was_made_of(pages_dir: Path) -> None:
    line = next(preview(pages_dir, 1, model_dir=MODEL))
    assert line.sample is not None
    assert line.sample.place == f"{pages_dir.parent / 'manifest.json'}:1"
    assert (line.number, line.sample.task, line.sample.document_id) == (1, "analysis", "RE-0")
    assert line.tokens is not None
    assert line.pages[0].path == pages_dir.parent / "images" / "RE-0.png"
    assert line.pages[0].about.startswith("210 × 297 px, ")


def test_lines_come_in_the_files_order_and_beyond_the_samples_without_their_source(pages_dir: Path) -> None:
    lines = list(preview(pages_dir, 99, model_dir=MODEL))
    assert [line.number for line in lines] == list(range(1, 13))
    assert [line.sample is not None for line in lines] == [True] * 8 + [False] * 4
    assert "not kept: the build keeps it of the first lines of each task" in printed(lines[8:])


def test_no_more_lines_are_shown_than_were_asked_for(pages_dir: Path) -> None:
    assert len(list(preview(pages_dir, 3))) == 3


def test_only_lines_of_a_task(tmp_path: Path) -> None:
    tasks = TasksSection(analysis=1, extraction=1, validation=1)
    data_dir = build_log(tmp_path, *corrections(30), tasks=tasks, fault_share=1)
    lines = list(preview(data_dir, 3, task="validation"))
    assert [line.sample and line.sample.task for line in lines] == ["validation"] * 3
    assert all("Invoice Data:" in line.text.untrained for line in lines)
    assert "\nfaults   " in printed(lines)


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        ("erniekit", "user:\n{request}\nassistant:\n"),
        ("erniekit-vl", "user:\n[page 1]\n{request}\nassistant:\n"),
        ("paddleformers", "user:\n[page 1]\n{request}\nassistant:\n"),
    ],
)
def test_every_format_is_shown_with_roles_in_plain_words_where_no_template_is_known(
    tmp_path: Path, form: DataFormat, asked: str
) -> None:
    line = next(preview(build_pages(tmp_path, 1, form=form), 1))
    assert line.text == ModelText(asked.format(request=line.pair.request), line.pair.answer_text)
    assert "roles    in plain words, without what the toolkit puts around them: the model is no" in printed([line])


@pytest.mark.parametrize("form", ["erniekit-vl", "paddleformers"])
def test_a_text_template_is_not_said_to_hold_for_lines_with_pages(tmp_path: Path, form: DataFormat) -> None:
    line = next(preview(build_pages(tmp_path, 1, form=form), 1, model_dir=MODEL))
    assert "the toolkit puts pages and text together itself" in line.note
    assert "the model does not see it" not in printed([line])


def test_pages_that_the_model_does_not_see_are_named_as_such(pages_dir: Path) -> None:
    assert "RE-0.png  210 × 297 px, 1 kB; the model does not see it\n" in printed(preview(pages_dir, 1))


def test_a_page_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    data_dir = build_pages(tmp_path, 1)
    shutil.rmtree(tmp_path / "images")
    assert "RE-0.png  cannot be shown: " in printed(preview(data_dir, 1))


@pytest.mark.parametrize(("split", "mark"), [("eval", "measured ▌ {"), ("test", "expected ▌ {")])
def test_what_becomes_of_the_answer_is_said_of_each_split(tmp_path: Path, split: Any, mark: str) -> None:
    data_dir = build_log(tmp_path, *corrections(30), eval_ratio=0.3, test_ratio=0.3)
    line = next(preview(data_dir, 1, split=split))
    assert line.sample is not None
    assert line.sample.split == split
    assert mark in printed([line])


def test_the_test_split_is_shown_as_evaluate_asks_it(tmp_path: Path) -> None:
    tasks = TasksSection(analysis=0, extraction=1)
    line = next(preview(build_log(tmp_path, *corrections(20), test_ratio=0.5, tasks=tasks), 1, split="test"))
    assert "Analyse this invoice." in line.text.untrained


def test_plain_text_is_not_wrapped_and_marks_both_parts_at_the_edge(pages_dir: Path) -> None:
    line = next(preview(pages_dir, 1, model_dir=MODEL))
    rows = printed([line]).splitlines()
    assert rows[-1] == f"  trained ▌ {line.text.trained}"
    assert next(row for row in rows if "│" in row).startswith("    reads │ <|begin_of_sentence|>User: Analyse")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="⏎"), max_size=60)


@given(untrained=TEXTS, trained=TEXTS, width=st.integers(15, 60))
def test_a_terminal_shows_every_character_once_and_in_order(untrained: str, trained: str, width: int) -> None:
    rows = printed([line_of(untrained, trained)], width).split("\n")
    for bar, text in (("│", untrained), ("▌", trained)):
        shown = [row[12:] for row in rows if row[10:12] == f"{bar} "]
        assert "".join(shown).replace("⏎", "\n") == visible(text)
        assert all(cell_len(row) <= width - 12 for row in shown)


def test_a_document_cannot_steer_the_terminal() -> None:
    shown = printed([line_of("\x1b]0;owned\x07", "\x1b[2J", note="\x1b[H")], 80)
    assert "␛]0;owned␇" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_a_document_cannot_turn_text_around_or_use_markup(tmp_path: Path) -> None:
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
def test_what_shows_nothing_is_spelt_out(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_preferences_show_both_answers_with_what_differs_marked(tmp_path: Path) -> None:
    said = simplejson.dumps(answer(grand_total=118))
    data_dir = build_log(tmp_path, correction(original_output=said), preference=True)
    line = next(preview_preferences(data_dir, 1, model_dir=MODEL))
    assert line.prompt.startswith("<|begin_of_sentence|>User: Analyse this invoice.")
    stream = io.StringIO()
    assert print_preferences([line], Console(file=stream, highlight=False)) == 1
    shown = stream.getvalue()
    assert '   chosen ▌ {"structured_data"' in shown
    assert '"grand_total":⟦119⟧' in shown
    assert '"grand_total":⟦118⟧' in shown
    assert shown.replace("⟦", "").replace("⟧", "").count(line.chosen) == 1


def test_a_build_without_preferences_says_what_to_set(pages_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.preference: true"):
        next(preview_preferences(pages_dir, 1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "eval"}, "eval.jsonl: holds no line"),
        ({"task": "extraction"}, "no extraction line of train; tasks found: analysis"),
    ],
)
def test_nothing_to_show_is_an_error_that_says_what_there_is(
    pages_dir: Path, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        list(preview(pages_dir, 1, **asked))


def test_a_folder_that_no_build_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no manifest\.json\n.*run data-tools build"):
        next(preview(tmp_path, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"later": 1}, r"not this version's manifest: \['later'\]"),
        ({"read": "many"}, "read: Input should be a valid integer"),
        ({"settings": {}}, "settings.form"),
    ],
)
def test_a_manifest_of_another_version_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    data_dir = build_log(tmp_path, correction(), automatic_log())
    change_manifest(data_dir, **changes)
    with pytest.raises(UsageError, match=message):
        next(preview(data_dir, 1))


@pytest.mark.parametrize("name", ["train.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("line", [b"{", b"[]", b'{"src": ["a"], "tgt": [1]}', b"\xff"])
def test_a_line_that_was_changed_is_named(tmp_path: Path, name: str, line: bytes) -> None:
    data_dir = build_log(tmp_path, correction())
    (data_dir / name).write_bytes(line + b"\n")
    with pytest.raises(AdapterError, match=rf"{name}:1: .*\n.*run data-tools build again"):
        next(preview(data_dir, 1))
