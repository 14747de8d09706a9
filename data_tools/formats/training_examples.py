"""Write training examples as JSONL and read them back: for training, for evaluation and for exchange.

Every example can be written, and every written line gives its example back. `examples.toolkit_check` checks whether a
toolkit would read it unchanged.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from data_tools.examples.building import TrainingExample
from data_tools.formats.jsonl import (
    IMAGE_MARK,
    checked_list,
    checked_object,
    checked_text,
    image_paths,
    json_line,
    leaves_folder,
    parse_object,
    quoted,
    relative_image_path,
    single_text,
    without_image_marks,
)
from erniekit_adapter.architectures.toolkits import DataFormat


def format_example(example: TrainingExample, data_format: DataFormat, folder: Path) -> bytes:
    """Write an example in a toolkit's training format.

    - `erniekit`: ERNIEKit's text format, one turn of `src` and `tgt`, without page images.
    - `erniekit-vl`: ERNIEKit's image format, `image_info` and `text_info`: all pages, the question, the answer.
    - `paddleformers`: `messages` and `images`, with one image mark per page before the question.

    Args:
        example: request, answer and page images.
        data_format: the toolkit's format.
        folder: the folder of the JSONL file; image paths are relative to it, as the toolkits resolve them.

    Raises:
        ValueError: a text or a file name contains characters that UTF-8 cannot represent.
    """
    if data_format == "erniekit":
        return json_line({"src": [example.request], "tgt": [example.answer_text]})
    images = [relative_image_path(image, folder) for image in example.images]
    if data_format == "erniekit-vl":
        texts = [{"text": example.request, "tag": "mask"}, {"text": example.answer_text, "tag": "no_mask"}]
        pages = [{"image_url": image, "matched_text_index": 0} for image in images]
        return json_line({"image_info": pages, "text_info": texts})
    question = {"role": "user", "content": IMAGE_MARK * len(images) + example.request}
    messages = [question, {"role": "assistant", "content": example.answer_text}]
    return json_line({"messages": messages, "images": images} if images else {"messages": messages})


def format_test_example(example: TrainingExample, line_id: str, folder: Path | None = None) -> bytes:
    """Write an example in the format of `evaluate`: request and answer with an ID.

    Args:
        example: request, answer and page images.
        line_id: an ID that is unique in the file.
        folder: the folder of the JSONL file if the request includes the pages; None for a text-only request.

    Raises:
        ValueError: a text or a file name contains characters that UTF-8 cannot represent.
    """
    images = [relative_image_path(image, folder) for image in example.images] if folder else []
    pages = {"images": images} if images else {}
    return json_line({"id": line_id, "src": [example.request], "tgt": [example.answer_text], **pages})


def with_id(line: bytes, line_id: str) -> bytes:
    """Set the ID of a line that is in the format of `evaluate` or in ERNIEKit's text format."""
    return json_line({"id": line_id, **{key: part for key, part in orjson.loads(line).items() if key != "id"}})


def format_interchange(example: TrainingExample, folder: Path) -> bytes:
    """Write an example in the interchange format; image paths inside `folder` are relative to it.

    Raises:
        ValueError: a text or a file name contains characters that UTF-8 cannot represent.
    """
    images = [interchange_image_path(image, folder) for image in example.images]
    image = {"image": images[0] if len(images) == 1 else images} if images else {}
    turns = [{"role": "human", "content": example.request}, {"role": "assistant", "content": example.answer_text}]
    return json_line({"id": example.document_id, "group": example.group, **image, "conversations": turns})


def with_group(line: bytes, group: str) -> bytes:
    """Replace the group of an interchange line: it is final only when all records have been read."""
    return json_line({**orjson.loads(line), "group": group})


def interchange_image_path(image: Path, folder: Path) -> str:
    """Return an image's path for an interchange line in `folder`: relative inside the folder, absolute outside."""
    relative = os.path.relpath(image, folder)
    return str(image.absolute()) if leaves_folder(relative) else relative


def parse_example(line: bytes, data_format: DataFormat, folder: Path) -> TrainingExample:
    """Parse a line that `format_example` wrote; document ID and group are empty, because toolkits read neither.

    Raises:
        ValueError: another set of keys, another number of turns, or an image URL.
    """
    if data_format == "erniekit":
        value = parse_object(line, {"src", "tgt"})
        return TrainingExample("", "", single_text("src", value["src"]), single_text("tgt", value["tgt"]))
    if data_format == "erniekit-vl":
        value = parse_object(line, {"image_info", "text_info"})
        names = [_page_name(page) for page in checked_list("image_info", value["image_info"])]
        request, answer = _turns("text_info", value["text_info"], "text", "tag", ("mask", "no_mask"))
        return TrainingExample("", "", request, answer, image_paths("image_info", names, folder))
    value = parse_object(line, {"messages"}, {"images"})
    images = image_paths("images", value.get("images", []), folder)
    content, answer = _turns("messages", value["messages"], "content", "role", ("user", "assistant"))
    return TrainingExample("", "", without_image_marks("messages", content, len(images)), answer, images)


def parse_test_example(line: bytes, folder: Path) -> TrainingExample:
    """Parse a line that `format_test_example` wrote; the document ID is the line's ID.

    Raises:
        ValueError: the line has any other content.
    """
    value = parse_object(line, {"id", "src", "tgt"}, {"images"})
    return TrainingExample(
        document_id=checked_text("id", value["id"]),
        group="",
        request=single_text("src", value["src"]),
        answer_text=single_text("tgt", value["tgt"]),
        images=image_paths("images", value.get("images", []), folder),
    )


def _turns(location: str, value: object, text_key: str, part_key: str, parts: tuple[str, str]) -> list[str]:
    """Return the texts of a question and its answer; each turn is an object with a text and a role."""
    turns = [checked_object(location, turn, {text_key, part_key}) for turn in checked_list(location, value, len(parts))]
    for turn, part in zip(turns, parts, strict=True):
        if turn[part_key] != part:
            raise ValueError(f"{location}: expected {part_key} {part}, found {quoted(turn[part_key])}")
    return [checked_text(location, turn[text_key]) for turn in turns]


def _page_name(page: object) -> object:
    """Return the file name of a page that precedes the question."""
    info = checked_object("image_info", page, {"image_url", "matched_text_index"})
    if info["matched_text_index"] != 0:
        raise ValueError(f"image_info: expected matched_text_index 0, found {quoted(info['matched_text_index'])}")
    return info["image_url"]
