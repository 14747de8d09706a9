"""Preferences as lines of JSON, and back: a request with the answer to prefer and the one to avoid, for DPO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_tools.lines.parts import (
    IMAGE_MARK,
    checked_list,
    image_paths,
    json_line,
    only_text,
    read_object,
    relative_name,
    without_marks,
)


@dataclass(frozen=True)
class Preference:
    """A request with two answers.

    Attributes:
        document_id: the record's.
        group: the record's.
        request: what the model is asked, word for word.
        chosen: what it shall answer.
        rejected: what it shall not answer.
        images: the pages that go with the request; none where text alone is asked.
    """

    document_id: str
    group: str
    request: str
    chosen: str
    rejected: str
    images: tuple[Path, ...] = ()


def preference_line(preference: Preference, folder: Path) -> bytes:
    """The line in the DPO form of ERNIEKit, which PaddleFormers reads too: `src`, `tgt`, `response` and `sort`.

    `src` is one turn longer than `tgt`, each response is a list of turns, and the one with the higher `sort` is the
    chosen one. Pages go into `images`, which PaddleFormers alone reads: ERNIEKit has no DPO on images.

    Args:
        preference: the request with its answers.
        folder: of the file of lines; image paths are relative to it.

    Raises:
        ValueError: a text or a file's name holds what UTF-8 cannot.
    """
    images = [relative_name(image, folder) for image in preference.images]
    source = IMAGE_MARK * len(images) + preference.request
    responses = [[preference.chosen], [preference.rejected]]
    pages = {"images": images} if images else {}
    return json_line({"src": [source], "tgt": [], "response": responses, "sort": [1, 0], **pages})


def read_preference_line(line: bytes, folder: Path = Path()) -> Preference:
    """The preference of a line that `preference_line` wrote, without its document's name and group.

    Raises:
        ValueError: anything else.
    """
    value = read_object(line, {"src", "tgt", "response", "sort"}, {"images"})
    if value["tgt"] != [] or value["sort"] != [1, 0]:
        raise ValueError("expected tgt [] and sort [1, 0], as for one turn whose first response is the chosen one")
    images = image_paths("images", value.get("images", []), folder)
    request = without_marks("src", only_text("src", value["src"]), len(images))
    chosen, rejected = (only_text("response", turns) for turns in checked_list("response", value["response"], 2))
    return Preference("", "", request, chosen, rejected, images)
