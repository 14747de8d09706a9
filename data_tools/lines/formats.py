"""Pairs as lines of JSON, and back: what the toolkits train on, what evaluate asks, and what people exchange.

What a toolkit would make of a line is judged in toolkit_check.py; here every pair gets its line, and every line that
was written here gives its pair back.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from data_tools.lines.parts import (
    IMAGE_MARK,
    checked_list,
    checked_object,
    checked_text,
    goes_up,
    image_paths,
    json_line,
    only_text,
    quoted,
    read_object,
    relative_name,
    without_marks,
)
from data_tools.pairs.pairs import Pair
from erniekit_adapter.project.schema import DataFormat


def training_line(pair: Pair, form: DataFormat, folder: Path) -> bytes:
    """The line that a toolkit trains on.

    - `erniekit`: ERNIEKit's text form, one turn of `src` and `tgt`; the pages do not go with it.
    - `erniekit-vl`: ERNIEKit's image form, `image_info` and `text_info`: all pages, the question, the answer.
    - `paddleformers`: `messages` and `images`, with a mark for each page in front of the question.

    Args:
        pair: what is asked and answered.
        form: the toolkit's format.
        folder: of the file of lines; image paths are relative to it, as the toolkits resolve them.

    Raises:
        ValueError: a text or a file's name holds what UTF-8 cannot.
    """
    if form == "erniekit":
        return json_line({"src": [pair.request], "tgt": [pair.answer_text]})
    images = [relative_name(image, folder) for image in pair.images]
    if form == "erniekit-vl":
        texts = [{"text": pair.request, "tag": "mask"}, {"text": pair.answer_text, "tag": "no_mask"}]
        pages = [{"image_url": image, "matched_text_index": 0} for image in images]
        return json_line({"image_info": pages, "text_info": texts})
    question = {"role": "user", "content": IMAGE_MARK * len(images) + pair.request}
    messages = [question, {"role": "assistant", "content": pair.answer_text}]
    return json_line({"messages": messages, "images": images} if images else {"messages": messages})


def check_line(pair: Pair, line_id: str, folder: Path | None = None) -> bytes:
    """The line as evaluate reads it: request and answer under an id that no other line of the file has.

    Args:
        pair: what is asked and answered.
        line_id: the id.
        folder: of the file of lines, where the pages go with the request; None where text alone is asked.

    Raises:
        ValueError: a text or a file's name holds what UTF-8 cannot.
    """
    images = [relative_name(image, folder) for image in pair.images] if folder else []
    pages = {"images": images} if images else {}
    return json_line({"id": line_id, "src": [pair.request], "tgt": [pair.answer_text], **pages})


def identified_line(line: bytes, line_id: str) -> bytes:
    """A line of `check_line`, or one of ERNIEKit's text form, under an id that no other line has."""
    return json_line({"id": line_id, **{key: part for key, part in orjson.loads(line).items() if key != "id"}})


def interchange_line(pair: Pair, folder: Path) -> bytes:
    """The line in the interchange form, with image paths relative to its file's `folder` where they lie in it.

    Raises:
        ValueError: a text or a file's name holds what UTF-8 cannot.
    """
    images = [image_name(image, folder) for image in pair.images]
    image = {"image": images[0] if len(images) == 1 else images} if images else {}
    turns = [{"role": "human", "content": pair.request}, {"role": "assistant", "content": pair.answer_text}]
    return json_line({"id": pair.document_id, "group": pair.group, **image, "conversations": turns})


def grouped_line(line: bytes, group: str) -> bytes:
    """A line of `interchange_line` with another group, for when it is known which records are of one document."""
    return json_line({**orjson.loads(line), "group": group})


def image_name(image: Path, folder: Path) -> str:
    """The image's path as an interchange line in `folder` names it: relative inside the folder, absolute outside."""
    relative = os.path.relpath(image, folder)
    return str(image.absolute()) if goes_up(relative) else relative


def read_training_line(line: bytes, form: DataFormat, folder: Path) -> Pair:
    """The pair of a line that `training_line` wrote, without its document's name and group, which no toolkit reads.

    Raises:
        ValueError: anything else: a key more or less, another number of turns, an image on the network.
    """
    if form == "erniekit":
        value = read_object(line, {"src", "tgt"})
        return Pair("", "", only_text("src", value["src"]), only_text("tgt", value["tgt"]))
    if form == "erniekit-vl":
        value = read_object(line, {"image_info", "text_info"})
        names = [_page_name(page) for page in checked_list("image_info", value["image_info"])]
        request, answer = _turns("text_info", value["text_info"], "text", "tag", ("mask", "no_mask"))
        return Pair("", "", request, answer, image_paths("image_info", names, folder))
    value = read_object(line, {"messages"}, {"images"})
    images = image_paths("images", value.get("images", []), folder)
    content, answer = _turns("messages", value["messages"], "content", "role", ("user", "assistant"))
    return Pair("", "", without_marks("messages", content, len(images)), answer, images)


def read_check_line(line: bytes, folder: Path) -> Pair:
    """The pair of a line that `check_line` wrote, under the line's id.

    Raises:
        ValueError: anything else.
    """
    value = read_object(line, {"id", "src", "tgt"}, {"images"})
    return Pair(
        document_id=checked_text("id", value["id"]),
        group="",
        request=only_text("src", value["src"]),
        answer_text=only_text("tgt", value["tgt"]),
        images=image_paths("images", value.get("images", []), folder),
    )


def read_interchange_line(line: bytes, folder: Path) -> Pair:
    """The pair of a line that `interchange_line` wrote for `folder`."""
    value = orjson.loads(line)
    images = value.get("image", [])
    names = images if isinstance(images, list) else [images]
    request, answer = (turn["content"] for turn in value["conversations"])
    return Pair(value["id"], value["group"], request, answer, tuple(folder / name for name in names))


def _turns(where: str, value: object, text_key: str, part_key: str, parts: tuple[str, str]) -> list[str]:
    """The texts of a question and its answer, each an object of a text and of the part it plays."""
    turns = [checked_object(where, turn, {text_key, part_key}) for turn in checked_list(where, value, len(parts))]
    for turn, part in zip(turns, parts, strict=True):
        if turn[part_key] != part:
            raise ValueError(f"{where}: expected {part_key} {part}, found {quoted(turn[part_key])}")
    return [checked_text(where, turn[text_key]) for turn in turns]


def _page_name(page: object) -> object:
    """The name of a page that stands in front of the question."""
    info = checked_object("image_info", page, {"image_url", "matched_text_index"})
    if info["matched_text_index"] != 0:
        raise ValueError(f"image_info: expected matched_text_index 0, found {quoted(info['matched_text_index'])}")
    return info["image_url"]
