from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from data_tools.examples.building import TrainingExample
from data_tools.examples.preferences import Preference
from data_tools.examples.toolkit_check import preference_problem, toolkit_problem
from erniekit_adapter.architectures.toolkits import DataFormat

FORMATS: tuple[DataFormat, ...] = get_args(DataFormat)
IMAGE_FORMATS: tuple[DataFormat, ...] = ("erniekit-vl", "paddleformers")
EXAMPLE = TrainingExample(
    "d", "g", "Total of Müller & Söhne, < 20 €?", '{"total":7}', (Path("/data/pages/seite ü 1.png"),)
)
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


@pytest.mark.parametrize("data_format", FORMATS)
def test_accepts_an_ordinary_example(data_format: DataFormat) -> None:
    assert toolkit_problem(EXAMPLE, data_format) is None


@pytest.mark.parametrize("data_format", FORMATS)
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
def test_accepts_similar_text_in_a_request(data_format: DataFormat, text: str) -> None:
    assert toolkit_problem(replace(EXAMPLE, request=f"Total of {text}?"), data_format) is None


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u3000\u2028"])
def test_rejects_blank_text(data_format: DataFormat, blank: str) -> None:
    assert "the request is blank" in (toolkit_problem(replace(EXAMPLE, request=blank), data_format) or "")
    assert "the answer is blank" in (toolkit_problem(replace(EXAMPLE, answer_text=blank), data_format) or "")


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("piece", CONTROL_PIECES)
def test_rejects_control_tokens(data_format: DataFormat, piece: str) -> None:
    expected = f"contains {piece}, which a tokenizer can read as a control token"
    assert toolkit_problem(replace(EXAMPLE, request=f"a{piece}b"), data_format) == f"the request {expected}"
    assert toolkit_problem(replace(EXAMPLE, answer_text=f"a <{piece}b"), data_format) == f"the answer {expected}"


@pytest.mark.parametrize("data_format", FORMATS)
def test_rejects_a_lone_surrogate(data_format: DataFormat) -> None:
    assert "lone surrogate" in (toolkit_problem(replace(EXAMPLE, answer_text="a\ud800"), data_format) or "")


@pytest.mark.parametrize("data_format", FORMATS)
def test_rejects_the_space_mark_in_an_answer(data_format: DataFormat) -> None:
    assert "U+2581" in (toolkit_problem(replace(EXAMPLE, answer_text="a\u2581b"), data_format) or "")


@pytest.mark.parametrize("data_format", ["erniekit", "erniekit-vl"])
@pytest.mark.parametrize("text", [" a", "a\n", "\ta", "a\u00a0"])
def test_erniekit_rejects_surrounding_white_space(data_format: DataFormat, text: str) -> None:
    assert "the request starts or ends with white space" in (
        toolkit_problem(replace(EXAMPLE, request=text), data_format) or ""
    )
    assert "the answer starts or ends with white space" in (
        toolkit_problem(replace(EXAMPLE, answer_text=text), data_format) or ""
    )
    assert toolkit_problem(replace(EXAMPLE, request=text), "paddleformers") is None


def test_erniekit_vl_needs_an_image() -> None:
    assert "has no image" in (toolkit_problem(replace(EXAMPLE, images=()), "erniekit-vl") or "")
    assert toolkit_problem(replace(EXAMPLE, images=()), "erniekit") is None
    assert toolkit_problem(replace(EXAMPLE, images=()), "paddleformers") is None


@pytest.mark.parametrize("data_format", IMAGE_FORMATS)
@pytest.mark.parametrize("mark", ["<image>", "<video>", "<audio>"])
def test_image_formats_reject_media_marks(data_format: DataFormat, mark: str) -> None:
    assert f"the request contains {mark}" in (toolkit_problem(replace(EXAMPLE, request=f"a{mark}"), data_format) or "")
    assert f"the answer contains {mark}" in (
        toolkit_problem(replace(EXAMPLE, answer_text=f"a{mark}"), data_format) or ""
    )
    assert toolkit_problem(replace(EXAMPLE, request=f"a{mark}"), "erniekit") is None


@pytest.mark.parametrize("data_format", IMAGE_FORMATS)
def test_paddleformers_rejects_the_turn_mark(data_format: DataFormat) -> None:
    assert "the request contains {{idx}}" in (
        toolkit_problem(replace(EXAMPLE, request="Total {{idx}}?"), data_format) or ""
    )
    assert toolkit_problem(replace(EXAMPLE, answer_text="Total {{idx}}"), data_format) is None


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
def test_erniekit_vl_rejects_markdown_tables(answer: str, rewritten: bool) -> None:
    problem = toolkit_problem(replace(EXAMPLE, answer_text=answer), "erniekit-vl")
    assert (problem == "the answer contains a Markdown table, which ERNIEKit rewrites") is rewritten
    assert toolkit_problem(replace(EXAMPLE, answer_text=answer), "paddleformers") is None


@pytest.mark.parametrize("data_format", IMAGE_FORMATS)
def test_image_formats_reject_file_names_that_are_not_utf8(data_format: DataFormat) -> None:
    example = replace(EXAMPLE, images=(Path("/data/1.png"), Path("/data/\udcfc.png")))
    assert (
        toolkit_problem(example, data_format)
        == r"the file name '\udcfc.png' of an image is not UTF-8: JSONL cannot store it"
    )
    assert toolkit_problem(example, "erniekit") is None


def test_accepts_a_long_hostile_text() -> None:
    hostile = "<|" * 200_000 + "x" + "|\n" * 200_000 + "a"
    assert toolkit_problem(replace(EXAMPLE, request=hostile, answer_text=hostile), "erniekit-vl") is None


def test_accepts_an_ordinary_preference() -> None:
    assert preference_problem(PREFERENCE) is None
    assert preference_problem(replace(PREFERENCE, images=EXAMPLE.images)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"request": " "}, "the request is blank"),
        ({"chosen": ""}, "the chosen answer is blank"),
        ({"rejected": "\n"}, "the rejected answer is blank"),
        ({"rejected": '{"total":7}'}, "are equal"),
        ({"rejected": ' {"total":7}\n'}, "are equal"),
        ({"request": "a</s>"}, "the request contains </s>"),
        ({"rejected": "a<|end_of_sentence|>"}, "the rejected answer contains <|end_of_sentence|>"),
        ({"chosen": "a\u2581"}, "the chosen answer contains \u2581"),
        ({"rejected": "\udc00"}, "the rejected answer contains a lone surrogate"),
        ({"request": "a<image>", "images": EXAMPLE.images}, "the request contains <image>"),
        ({"rejected": "a<image>", "images": EXAMPLE.images}, "the rejected answer contains <image>"),
    ],
)
def test_rejects_preferences_that_dpo_cannot_learn(change: dict[str, object], reason: str) -> None:
    assert reason in (preference_problem(replace(PREFERENCE, **change)) or "")


def test_accepts_an_image_mark_in_a_text_preference() -> None:
    assert preference_problem(replace(PREFERENCE, request="Total of <image>?")) is None
