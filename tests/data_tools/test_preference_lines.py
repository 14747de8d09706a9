from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.examples.preferences import Preference
from data_tools.formats.preferences import format_preference, parse_preference

FOLDER = Path("/data/lines")
TEXT = st.lists(
    st.one_of(st.sampled_from(("<image>", "\n", "\u2028", '"', "\U0001f9fe")), st.text(st.characters(codec="utf-8"))),
    max_size=5,
).map("".join)
IMAGES = st.lists(st.sampled_from([FOLDER / "1.png", Path("/data/Bücher/2 3.png")]), max_size=3).map(tuple)
PREFERENCES = st.builds(
    Preference, document_id=TEXT, group=TEXT, request=TEXT, chosen=TEXT, rejected=TEXT, images=IMAGES
)
LINE = {"src": ["a"], "tgt": [], "response": [["b"], ["c"]], "sort": [1, 0]}


@given(PREFERENCES)
def test_preference_format_round_trip(preference: Preference) -> None:
    line = format_preference(preference, FOLDER)
    assert line.count(b"\n") == 1
    content = (preference.request, preference.chosen, preference.rejected, preference.images)
    assert parse_preference(line, FOLDER) == Preference("", "", *content)


def test_the_chosen_answer_has_the_higher_sort() -> None:
    line = format_preference(Preference("d", "g", "Total?", "7", "8"), FOLDER)
    assert json.loads(line) == {"src": ["Total?"], "tgt": [], "response": [["7"], ["8"]], "sort": [1, 0]}


def test_pages_precede_the_request() -> None:
    line = json.loads(format_preference(Preference("d", "g", "Total?", "7", "8", (Path("/data/1.png"),)), FOLDER))
    assert (line["src"], line["images"]) == (["<image>Total?"], ["../1.png"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sort": [0, 1]}, r"expected tgt \[\] and sort \[1, 0\]"),
        ({"tgt": ["x"]}, r"expected tgt \[\]"),
        ({"response": [["b"]]}, "response: expected a list of 2"),
        ({"response": ["b", "c"]}, "response: expected a list of 1"),
        ({"response": [["b", "x", "y"], ["c"]]}, "response: expected a list of 1"),
        ({"src": "a"}, "src: expected a list of 1"),
        ({"system": "x"}, "expected the keys"),
        ({"images": ["1.png"]}, "src: expected 1 × <image> at the start"),
    ],
)
def test_rejects_lines_of_other_formats(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_preference(orjson.dumps(LINE | change))
