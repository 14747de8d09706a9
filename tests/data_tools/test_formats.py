from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from data_tools.formats import (
    check_line,
    interchange_line,
    read_interchange_line,
    read_toolkit_line,
    toolkit_line,
)
from data_tools.pairs import Pair

TEXT = st.text(st.characters(codec="utf-8"))
NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(
    lambda name: set(name) != {"."}
)
FOLDER = Path("/data/lines")
PAIRS = st.builds(
    Pair,
    document_id=TEXT,
    group=TEXT,
    request=TEXT,
    answer_text=TEXT,
    images=st.lists(NAME.map(lambda name: FOLDER / "images" / name), max_size=3).map(tuple),
)


@given(PAIRS)
def test_an_interchange_line_gives_back_its_pair(pair: Pair) -> None:
    assert read_interchange_line(interchange_line(pair, FOLDER), FOLDER) == pair


@given(PAIRS)
def test_toolkit_lines_give_back_request_and_answer(pair: Pair) -> None:
    assert read_toolkit_line(toolkit_line(pair)) == (pair.request, pair.answer_text)
    assert read_toolkit_line(check_line(pair, "x")) == (pair.request, pair.answer_text)


@given(PAIRS)
def test_every_form_is_one_line(pair: Pair) -> None:
    for line in (interchange_line(pair, FOLDER), toolkit_line(pair), check_line(pair, "x")):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1


def test_the_toolkit_s_line_holds_nothing_else() -> None:
    assert json.loads(toolkit_line(Pair("d", "g", "a", "b"))) == {"src": ["a"], "tgt": ["b"]}
    assert json.loads(check_line(Pair("d", "g", "a", "b"), "d#2")) == {"id": "d#2", "src": ["a"], "tgt": ["b"]}


def test_an_image_outside_the_folder_is_named_in_full() -> None:
    line = json.loads(interchange_line(Pair("d", "g", "a", "b", (Path("/other/x.png"),)), FOLDER))
    assert line["image"] == "/other/x.png"


def test_a_single_image_is_a_name_and_several_are_a_list() -> None:
    images = (FOLDER / "1.png", FOLDER / "2.png")
    assert json.loads(interchange_line(Pair("d", "g", "a", "b", images), FOLDER))["image"] == ["1.png", "2.png"]
    assert json.loads(interchange_line(Pair("d", "g", "a", "b", images[:1]), FOLDER))["image"] == "1.png"
