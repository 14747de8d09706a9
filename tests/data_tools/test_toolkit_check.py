from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from data_tools.lines.preference_lines import Preference
from data_tools.lines.toolkit_check import preference_problem, toolkit_problem
from data_tools.pairs.pairs import Pair
from erniekit_adapter.project.schema import DataFormat

FORMS: tuple[DataFormat, ...] = get_args(DataFormat)
IMAGE_FORMS: tuple[DataFormat, ...] = ("erniekit-vl", "paddleformers")
PAIR = Pair("d", "g", "Total of Müller & Söhne, < 20 €?", '{"total":7}', (Path("/data/pages/seite ü 1.png"),))
PREFERENCE = Preference("d", "g", "Total?", '{"total":7}', '{"total":8}')
CONTROL_PIECES = (
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_UNUSE:12|>",
    "<|LOC_1000|>",
    "<|im_end|>",
    "<mask:1>",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<cls>",
    "<sep>",
    "<think>",
    "</think>",
)


@pytest.mark.parametrize("form", FORMS)
def test_an_ordinary_pair_is_read_whole(form: DataFormat) -> None:
    assert toolkit_problem(PAIR, form) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "a < b > c",
        "<b>bold</b>",
        "x <|> y <| z |>",
        "<|two words|>",
        "<mask>",
        "<MASK:1>",
        "< s >",
        "<0x0A>",
        "\u2581",
        "{{x}}",
    ],
)
def test_what_only_looks_like_a_mark_passes_in_a_request(form: DataFormat, text: str) -> None:
    assert toolkit_problem(replace(PAIR, request=f"Total of {text}?"), form) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000\u2028"])
def test_a_blank_text_is_skipped(form: DataFormat, blank: str) -> None:
    assert "the request is blank" in (toolkit_problem(replace(PAIR, request=blank), form) or "")
    assert "the answer is blank" in (toolkit_problem(replace(PAIR, answer_text=blank), form) or "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", CONTROL_PIECES)
def test_a_control_piece_in_a_text_becomes_a_control_token(form: DataFormat, piece: str) -> None:
    expected = f"holds {piece}, which a tokenizer can take for a control token"
    assert toolkit_problem(replace(PAIR, request=f"a{piece}b"), form) == f"the request {expected}"
    assert toolkit_problem(replace(PAIR, answer_text=f"a <{piece}b"), form) == f"the answer {expected}"


@pytest.mark.parametrize("form", FORMS)
def test_a_lone_surrogate_cannot_be_written(form: DataFormat) -> None:
    assert "lone surrogate" in (toolkit_problem(replace(PAIR, answer_text="a\ud800"), form) or "")


@pytest.mark.parametrize("form", FORMS)
def test_the_tokenizers_mark_of_a_blank_in_an_answer_is_learnt_as_a_blank(form: DataFormat) -> None:
    assert "U+2581" in (toolkit_problem(replace(PAIR, answer_text="a\u2581b"), form) or "")


@pytest.mark.parametrize("form", ["erniekit", "erniekit-vl"])
@pytest.mark.parametrize("text", [" a", "a\n", "\ta", "a\u00a0"])
def test_erniekit_takes_white_space_around_a_text_away(form: DataFormat, text: str) -> None:
    assert "the request has white space around it" in (toolkit_problem(replace(PAIR, request=text), form) or "")
    assert "the answer has white space around it" in (toolkit_problem(replace(PAIR, answer_text=text), form) or "")
    assert toolkit_problem(replace(PAIR, request=text), "paddleformers") is None


def test_erniekit_puts_a_dummy_in_place_of_an_image_line_without_images() -> None:
    assert "has no image" in (toolkit_problem(replace(PAIR, images=()), "erniekit-vl") or "")
    assert toolkit_problem(replace(PAIR, images=()), "erniekit") is None
    assert toolkit_problem(replace(PAIR, images=()), "paddleformers") is None


@pytest.mark.parametrize("form", IMAGE_FORMS)
@pytest.mark.parametrize("mark", ["<image>", "<video>", "<audio>"])
def test_a_mark_of_a_medium_in_a_text_asks_for_one_more(form: DataFormat, mark: str) -> None:
    assert f"the request holds {mark}" in (toolkit_problem(replace(PAIR, request=f"a{mark}"), form) or "")
    assert f"the answer holds {mark}" in (toolkit_problem(replace(PAIR, answer_text=f"a{mark}"), form) or "")
    assert toolkit_problem(replace(PAIR, request=f"a{mark}"), "erniekit") is None


@pytest.mark.parametrize("form", IMAGE_FORMS)
def test_paddleformers_puts_the_turns_number_into_a_request(form: DataFormat) -> None:
    assert "the request holds {{idx}}" in (toolkit_problem(replace(PAIR, request="Total {{idx}}?"), form) or "")
    assert toolkit_problem(replace(PAIR, answer_text="Total {{idx}}"), form) is None


@pytest.mark.parametrize(
    ("answer", "rewritten"),
    [
        ("|a|b|\n|---|---|\n|1|2|", True),
        ("Items:\n\n| a | b |\n| :-- | --: |\n| 1 | 2 |\nThat is all.", True),
        ("a|b\n-|-|\n1|2", True),
        ("|a|b|\n|1|2|", False),
        ("|---|---|", False),
        ("a - b | c", False),
        ('{"notes":"|a|\\n|---|\\n|1|"}', False),
    ],
)
def test_erniekit_writes_markdown_tables_in_answers_anew(answer: str, rewritten: bool) -> None:
    problem = toolkit_problem(replace(PAIR, answer_text=answer), "erniekit-vl")
    assert (problem == "the answer holds a Markdown table, which ERNIEKit writes anew") is rewritten
    assert toolkit_problem(replace(PAIR, answer_text=answer), "paddleformers") is None


@pytest.mark.parametrize("form", IMAGE_FORMS)
def test_a_file_name_that_is_not_utf8_cannot_be_written(form: DataFormat) -> None:
    pair = replace(PAIR, images=(Path("/data/1.png"), Path("/data/\udcfc.png")))
    assert toolkit_problem(pair, form) == r"the name of the image '\udcfc.png' is not UTF-8: a line cannot hold it"
    assert toolkit_problem(pair, "erniekit") is None


def test_a_long_hostile_text_is_judged_all_the_same() -> None:
    hostile = "<|" * 200_000 + "x" + "|\n" * 200_000 + "a"
    assert toolkit_problem(replace(PAIR, request=hostile, answer_text=hostile), "erniekit-vl") is None


def test_an_ordinary_preference_is_read_whole() -> None:
    assert preference_problem(PREFERENCE) is None
    assert preference_problem(replace(PREFERENCE, images=PAIR.images)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request": " "}, "the request is blank"),
        ({"chosen": ""}, "the chosen answer is blank"),
        ({"rejected": "\n"}, "the rejected answer is blank"),
        ({"rejected": '{"total":7}'}, "are the same"),
        ({"rejected": ' {"total":7}\n'}, "are the same"),
        ({"request": "a</s>"}, "the request holds </s>"),
        ({"rejected": "a<|end_of_sentence|>"}, "the rejected answer holds <|end_of_sentence|>"),
        ({"chosen": "a\u2581"}, "the chosen answer holds \u2581"),
        ({"rejected": "\udc00"}, "the rejected answer holds a lone surrogate"),
        ({"request": "a<image>", "images": PAIR.images}, "the request holds <image>"),
        ({"rejected": "a<image>", "images": PAIR.images}, "the rejected answer holds <image>"),
    ],
)
def test_a_preference_that_dpo_would_not_learn_from_is_refused(change: dict[str, object], reason: str) -> None:
    assert reason in (preference_problem(replace(PREFERENCE, **change)) or "")


def test_an_image_mark_is_mere_text_in_a_preference_without_pages() -> None:
    assert preference_problem(replace(PREFERENCE, request="Total of <image>?")) is None
