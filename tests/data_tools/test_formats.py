from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.lines.formats import (
    check_line,
    image_name,
    interchange_line,
    read_check_line,
    read_interchange_line,
    read_training_line,
    training_line,
)
from data_tools.lines.parts import relative_name
from data_tools.pairs.pairs import Pair
from erniekit_adapter.project.schema import DataFormat

FORMS: tuple[DataFormat, ...] = get_args(DataFormat)
FOLDER = Path("/data/lines")
# What a reader could stumble over: image marks, line ends of every kind, quotes, escapes, characters of two code units.
TRICKY = (
    "<image>",
    "<image><image>",
    "\n",
    "\r\n",
    "\u2028",
    "\x85",
    "\x00",
    '"',
    "\\",
    "\\n",
    "\U0001f9fe",
    "Ü",
    "{{x}}",
)
TEXT = st.lists(st.one_of(st.sampled_from(TRICKY), st.text(st.characters(codec="utf-8"))), max_size=6).map("".join)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: set(name) != {"."}
)
PLACE = st.sampled_from(["/data/lines", "/data/lines/http", "/data/lines/images", "/data", "/data/Bücher", "/", "/a b"])
IMAGES = st.lists(st.builds(lambda place, name: Path(place, name), PLACE, NAME), max_size=3).map(tuple)
PAIRS = st.builds(Pair, document_id=TEXT, group=TEXT, request=TEXT, answer_text=TEXT, images=IMAGES)
PAIR = Pair("d", "g", "Total?", '{"total":7}')


def with_images(*names: str) -> Pair:
    return Pair("d", "g", "Total?", '{"total":7}', tuple(map(Path, names)))


def said(pair: Pair, form: DataFormat) -> Pair:
    """What a toolkit's line keeps of a pair: text training does without the pages."""
    return Pair("", "", pair.request, pair.answer_text, () if form == "erniekit" else pair.images)


@pytest.mark.parametrize("form", FORMS)
@given(PAIRS)
def test_a_training_line_gives_back_its_pair(form: DataFormat, pair: Pair) -> None:
    assert read_training_line(training_line(pair, form, FOLDER), form, FOLDER) == said(pair, form)


@given(PAIRS)
def test_an_interchange_line_gives_back_its_pair(pair: Pair) -> None:
    assert read_interchange_line(interchange_line(pair, FOLDER), FOLDER) == pair


@given(PAIRS, TEXT)
def test_a_check_line_gives_back_its_pair_under_its_id(pair: Pair, line_id: str) -> None:
    with_pages, without = (read_check_line(check_line(pair, line_id, folder), FOLDER) for folder in (FOLDER, None))
    assert with_pages == Pair(line_id, "", pair.request, pair.answer_text, pair.images)
    assert without == Pair(line_id, "", pair.request, pair.answer_text)


@given(PAIRS)
def test_every_form_is_one_line(pair: Pair) -> None:
    trained = [training_line(pair, form, FOLDER) for form in FORMS]
    for line in (*trained, interchange_line(pair, FOLDER), check_line(pair, "x", FOLDER)):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1


@pytest.mark.parametrize("folder", [None, FOLDER])
def test_the_text_forms_hold_nothing_else(folder: Path | None) -> None:
    assert training_line(PAIR, "erniekit", FOLDER) == b'{"src":["Total?"],"tgt":["{\\"total\\":7}"]}\n'
    assert check_line(PAIR, "d#2", folder) == b'{"id":"d#2","src":["Total?"],"tgt":["{\\"total\\":7}"]}\n'


def test_the_text_forms_leave_out_the_pages() -> None:
    pair = with_images("/data/lines/1.png")
    assert training_line(pair, "erniekit", FOLDER) == training_line(PAIR, "erniekit", FOLDER)
    assert check_line(pair, "d") == check_line(PAIR, "d")


def test_a_check_line_names_the_pages_that_go_with_its_request() -> None:
    line = json.loads(check_line(with_images("/data/img/1.png"), "d", FOLDER))
    assert line == {"id": "d", "src": ["Total?"], "tgt": ['{"total":7}'], "images": ["../img/1.png"]}


def test_erniekits_image_form_has_all_pages_in_order_before_the_question() -> None:
    assert json.loads(training_line(with_images("/data/lines/1.png", "/data/img/ü 2.png"), "erniekit-vl", FOLDER)) == {
        "image_info": [
            {"image_url": "1.png", "matched_text_index": 0},
            {"image_url": "../img/ü 2.png", "matched_text_index": 0},
        ],
        "text_info": [{"text": "Total?", "tag": "mask"}, {"text": '{"total":7}', "tag": "no_mask"}],
    }


def test_messages_have_a_mark_for_each_image_in_front_of_the_question() -> None:
    assert json.loads(training_line(with_images("/data/lines/1.png", "/data/2.png"), "paddleformers", FOLDER)) == {
        "messages": [
            {"role": "user", "content": "<image><image>Total?"},
            {"role": "assistant", "content": '{"total":7}'},
        ],
        "images": ["1.png", "../2.png"],
    }


def test_messages_without_images_have_no_key_for_them() -> None:
    assert list(json.loads(training_line(PAIR, "paddleformers", FOLDER))) == ["messages"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/lines/a/1.png", "a/1.png"),
        ("/data/lines/..1.png", "..1.png"),
        ("/data/1.png", "../1.png"),
        ("/1.png", "../../1.png"),
        # A toolkit would fetch it from the network.
        ("/data/lines/http/1.png", "./http/1.png"),
        ("/data/lines/https:/x/1.png", "./https:/x/1.png"),
    ],
)
def test_a_toolkits_line_names_images_relative_to_its_folder(image: str, name: str) -> None:
    assert relative_name(Path(image), FOLDER) == name


def test_the_way_out_of_a_folder_that_is_a_link_starts_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(b"page")
    (tmp_path / "disk" / "run").mkdir(parents=True)
    folder = tmp_path / "run"
    folder.symlink_to(tmp_path / "disk" / "run", target_is_directory=True)
    pair = Pair("d", "g", "a", "b", (tmp_path / "img" / "1.png",))
    line = training_line(pair, "paddleformers", folder)
    name = json.loads(line)["images"][0]
    assert not Path(name).is_absolute()
    assert (folder / name).read_bytes() == b"page"
    assert read_training_line(line, "paddleformers", folder).images == pair.images


def test_an_image_behind_links_in_a_circle_is_named_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert relative_name(tmp_path / "a" / "1.png", tmp_path / "lines").endswith("1.png")


def test_an_interchange_line_names_an_image_outside_the_folder_in_full() -> None:
    assert image_name(Path("/other/x.png"), FOLDER) == "/other/x.png"
    assert image_name(FOLDER / "..x.png", FOLDER) == "..x.png"


def test_a_single_image_is_a_name_and_several_are_a_list() -> None:
    images = (FOLDER / "1.png", FOLDER / "2.png")
    assert json.loads(interchange_line(Pair("d", "g", "a", "b", images), FOLDER))["image"] == ["1.png", "2.png"]
    assert json.loads(interchange_line(Pair("d", "g", "a", "b", images[:1]), FOLDER))["image"] == "1.png"


QUESTION, ANSWER = {"role": "user", "content": "<image>a"}, {"role": "assistant", "content": "b"}
MASK, NO_MASK = {"tag": "mask", "text": "a"}, {"tag": "no_mask", "text": "b"}
PAGE = {"image_url": "1.png", "matched_text_index": 0}


@pytest.mark.parametrize(
    ("form", "value", "message"),
    [
        ("erniekit", [], "expected an object"),
        ("erniekit", {"src": ["a"]}, "expected the keys src, tgt"),
        ("erniekit", {"src": ["a"], "tgt": ["b"], "label": [0]}, "expected the keys src, tgt"),
        ("erniekit", {"src": ["a"], "tgt": ["b"], "system": "c"}, "expected the keys src, tgt"),
        ("erniekit", {"src": "a", "tgt": ["b"]}, "src: expected a list of 1"),
        ("erniekit", {"src": ["a", "c"], "tgt": ["b"]}, "src: expected a list of 1"),
        ("erniekit", {"src": ["a"], "tgt": [{"total": 7}]}, "tgt: expected text"),
        ("erniekit-vl", {"text_info": [MASK, NO_MASK]}, "expected the keys image_info, text_info"),
        ("erniekit-vl", {"image_info": PAGE, "text_info": [MASK, NO_MASK]}, "image_info: expected a list"),
        ("erniekit-vl", {"image_info": [PAGE], "text_info": [MASK]}, "text_info: expected a list of 2"),
        ("erniekit-vl", {"image_info": [PAGE], "text_info": [MASK, MASK]}, "text_info: expected tag no_mask"),
        ("erniekit-vl", {"image_info": [PAGE], "text_info": [NO_MASK, MASK]}, "text_info: expected tag mask"),
        (
            "erniekit-vl",
            {"image_info": [PAGE | {"matched_text_index": 1}], "text_info": [MASK, NO_MASK]},
            "expected matched_text_index 0",
        ),
        ("erniekit-vl", {"image_info": [{"image_url": "1"}], "text_info": [MASK, NO_MASK]}, "image_info: expected the"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "videos": []}, "expected the keys images, messages"),
        ("paddleformers", {"messages": [ANSWER, QUESTION]}, "messages: expected role user"),
        ("paddleformers", {"messages": [QUESTION, ANSWER, QUESTION]}, "messages: expected a list of 2"),
        ("paddleformers", {"messages": [QUESTION, "b"]}, "messages: expected an object"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": ["1", "2"]}, "expected <image> 2 times in front"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": [1]}, "images: expected text"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": ["https://x/1"]}, "which a toolkit would fetch"),
    ],
)
def test_a_line_of_another_kind_is_refused(form: DataFormat, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_training_line(orjson.dumps(value), form, FOLDER)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b"[" * 2000, b"[" * 900 + b"]" * 900, b'{"src":' * 900 + b"1" + b"}" * 900]
)
def test_what_is_no_object_is_refused_however_it_is_nested(form: DataFormat, line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|the line: expected"):
        read_training_line(line, form, FOLDER)


@pytest.mark.parametrize("form", FORMS)
def test_a_text_that_utf8_cannot_hold_is_named_as_such(form: DataFormat) -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        training_line(Pair("d", "g", "\ud800", "b"), form, FOLDER)
