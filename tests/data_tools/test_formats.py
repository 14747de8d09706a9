from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.examples.building import TrainingExample
from data_tools.formats.jsonl import relative_image_path
from data_tools.formats.training_examples import (
    format_example,
    format_interchange,
    format_test_example,
    interchange_image_path,
    parse_example,
    parse_test_example,
)
from erniekit_adapter.architectures.toolkits import DataFormat

FORMATS: tuple[DataFormat, ...] = get_args(DataFormat)
FOLDER = Path("/data/lines")
# Difficult texts: image marks, line ends of every kind, quotes, escapes, characters of two code units.
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
EXAMPLES = st.builds(TrainingExample, document_id=TEXT, group=TEXT, request=TEXT, answer_text=TEXT, images=IMAGES)
EXAMPLE = TrainingExample("d", "g", "Total?", '{"total":7}')


def with_images(*names: str) -> TrainingExample:
    return TrainingExample("d", "g", "Total?", '{"total":7}', tuple(map(Path, names)))


def parse_interchange(line: bytes, folder: Path) -> TrainingExample:
    """Parse a line that `format_interchange` wrote for `folder`."""
    value = orjson.loads(line)
    images = value.get("image", [])
    names = images if isinstance(images, list) else [images]
    request, answer = (turn["content"] for turn in value["conversations"])
    return TrainingExample(value["id"], value["group"], request, answer, tuple(folder / name for name in names))


def content(example: TrainingExample, data_format: DataFormat) -> TrainingExample:
    """Return the example without the parts that a toolkit's format omits: text formats have no pages."""
    return TrainingExample(
        "", "", example.request, example.answer_text, () if data_format == "erniekit" else example.images
    )


@pytest.mark.parametrize("data_format", FORMATS)
@given(EXAMPLES)
def test_training_format_round_trip(data_format: DataFormat, example: TrainingExample) -> None:
    assert parse_example(format_example(example, data_format, FOLDER), data_format, FOLDER) == content(
        example, data_format
    )


@given(EXAMPLES)
def test_interchange_format_round_trip(example: TrainingExample) -> None:
    assert parse_interchange(format_interchange(example, FOLDER), FOLDER) == example


@given(EXAMPLES, TEXT)
def test_test_format_round_trip(example: TrainingExample, line_id: str) -> None:
    with_pages, without = (
        parse_test_example(format_test_example(example, line_id, folder), FOLDER) for folder in (FOLDER, None)
    )
    assert with_pages == TrainingExample(line_id, "", example.request, example.answer_text, example.images)
    assert without == TrainingExample(line_id, "", example.request, example.answer_text)


@given(EXAMPLES)
def test_every_format_writes_one_line(example: TrainingExample) -> None:
    trained = [format_example(example, data_format, FOLDER) for data_format in FORMATS]
    for line in (*trained, format_interchange(example, FOLDER), format_test_example(example, "x", FOLDER)):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1


@pytest.mark.parametrize("folder", [None, FOLDER])
def test_text_formats_have_no_other_keys(folder: Path | None) -> None:
    assert format_example(EXAMPLE, "erniekit", FOLDER) == b'{"src":["Total?"],"tgt":["{\\"total\\":7}"]}\n'
    assert format_test_example(EXAMPLE, "d#2", folder) == b'{"id":"d#2","src":["Total?"],"tgt":["{\\"total\\":7}"]}\n'


def test_text_formats_omit_pages() -> None:
    example = with_images("/data/lines/1.png")
    assert format_example(example, "erniekit", FOLDER) == format_example(EXAMPLE, "erniekit", FOLDER)
    assert format_test_example(example, "d") == format_test_example(EXAMPLE, "d")


def test_the_test_format_names_page_images() -> None:
    line = json.loads(format_test_example(with_images("/data/img/1.png"), "d", FOLDER))
    assert line == {"id": "d", "src": ["Total?"], "tgt": ['{"total":7}'], "images": ["../img/1.png"]}


def test_erniekit_vl_has_all_pages_before_the_question() -> None:
    assert json.loads(format_example(with_images("/data/lines/1.png", "/data/img/ü 2.png"), "erniekit-vl", FOLDER)) == {
        "image_info": [
            {"image_url": "1.png", "matched_text_index": 0},
            {"image_url": "../img/ü 2.png", "matched_text_index": 0},
        ],
        "text_info": [{"text": "Total?", "tag": "mask"}, {"text": '{"total":7}', "tag": "no_mask"}],
    }


def test_messages_have_one_mark_per_image_before_the_question() -> None:
    assert json.loads(format_example(with_images("/data/lines/1.png", "/data/2.png"), "paddleformers", FOLDER)) == {
        "messages": [
            {"role": "user", "content": "<image><image>Total?"},
            {"role": "assistant", "content": '{"total":7}'},
        ],
        "images": ["1.png", "../2.png"],
    }


def test_messages_without_images_have_no_images_key() -> None:
    assert list(json.loads(format_example(EXAMPLE, "paddleformers", FOLDER))) == ["messages"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/lines/a/1.png", "a/1.png"),
        ("/data/lines/..1.png", "..1.png"),
        ("/data/1.png", "../1.png"),
        ("/1.png", "../../1.png"),
        # Toolkits would fetch this from the network.
        ("/data/lines/http/1.png", "./http/1.png"),
        ("/data/lines/https:/x/1.png", "./https:/x/1.png"),
    ],
)
def test_training_formats_use_relative_image_paths(image: str, name: str) -> None:
    assert relative_image_path(Path(image), FOLDER) == name


def test_relative_paths_start_at_the_real_folder(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(b"page")
    (tmp_path / "disk" / "run").mkdir(parents=True)
    folder = tmp_path / "run"
    folder.symlink_to(tmp_path / "disk" / "run", target_is_directory=True)
    example = TrainingExample("d", "g", "a", "b", (tmp_path / "img" / "1.png",))
    line = format_example(example, "paddleformers", folder)
    name = json.loads(line)["images"][0]
    assert not Path(name).is_absolute()
    assert (folder / name).read_bytes() == b"page"
    assert parse_example(line, "paddleformers", folder).images == example.images


def test_relative_path_of_an_image_below_a_link_loop(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert relative_image_path(tmp_path / "a" / "1.png", tmp_path / "lines").endswith("1.png")


def test_interchange_uses_absolute_paths_outside_the_folder() -> None:
    assert interchange_image_path(Path("/other/x.png"), FOLDER) == "/other/x.png"
    assert interchange_image_path(FOLDER / "..x.png", FOLDER) == "..x.png"


def test_interchange_writes_one_image_as_text() -> None:
    images = (FOLDER / "1.png", FOLDER / "2.png")
    assert json.loads(format_interchange(TrainingExample("d", "g", "a", "b", images), FOLDER))["image"] == [
        "1.png",
        "2.png",
    ]
    assert json.loads(format_interchange(TrainingExample("d", "g", "a", "b", images[:1]), FOLDER))["image"] == "1.png"


QUESTION, ANSWER = {"role": "user", "content": "<image>a"}, {"role": "assistant", "content": "b"}
MASK, NO_MASK = {"tag": "mask", "text": "a"}, {"tag": "no_mask", "text": "b"}
PAGE = {"image_url": "1.png", "matched_text_index": 0}


@pytest.mark.parametrize(
    ("data_format", "value", "message"),
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
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": ["1", "2"]}, "expected 2 × <image> at the start"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": [1]}, "images: expected text"),
        ("paddleformers", {"messages": [QUESTION, ANSWER], "images": ["https://x/1"]}, "toolkits would fetch it"),
    ],
)
def test_rejects_lines_of_other_formats(data_format: DataFormat, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_example(orjson.dumps(value), data_format, FOLDER)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b"[" * 2000, b"[" * 900 + b"]" * 900, b'{"src":' * 900 + b"1" + b"}" * 900]
)
def test_rejects_deeply_nested_values(data_format: DataFormat, line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|the line: expected"):
        parse_example(line, data_format, FOLDER)


@pytest.mark.parametrize("data_format", FORMATS)
def test_rejects_text_that_utf8_cannot_represent(data_format: DataFormat) -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        format_example(TrainingExample("d", "g", "\ud800", "b"), data_format, FOLDER)
