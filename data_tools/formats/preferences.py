"""Write preferences for DPO as JSONL and read them back."""

from __future__ import annotations

from pathlib import Path

from data_tools.examples.preferences import Preference
from data_tools.formats.jsonl import (
    IMAGE_MARK,
    checked_list,
    image_paths,
    json_line,
    parse_object,
    relative_image_path,
    single_text,
    without_image_marks,
)


def format_preference(preference: Preference, folder: Path) -> bytes:
    """Write a preference in ERNIEKit's DPO format, which PaddleFormers reads too: `src`, `tgt`, `response` and `sort`.

    `src` is one turn longer than `tgt`. Each response is a list of turns; the response with the higher `sort` is the
    chosen one. Page images go into `images`, which only PaddleFormers reads: ERNIEKit has no DPO on images.

    Args:
        preference: the request with its answers.
        folder: the folder of the JSONL file; image paths are relative to it.

    Raises:
        ValueError: a text or a file name contains characters that UTF-8 cannot represent.
    """
    images = [relative_image_path(image, folder) for image in preference.images]
    source = IMAGE_MARK * len(images) + preference.request
    responses = [[preference.chosen], [preference.rejected]]
    pages = {"images": images} if images else {}
    return json_line({"src": [source], "tgt": [], "response": responses, "sort": [1, 0], **pages})


def parse_preference(line: bytes, folder: Path = Path()) -> Preference:
    """Parse a line that `format_preference` wrote; document ID and group are empty, because the line has none.

    Raises:
        ValueError: the line has any other content.
    """
    value = parse_object(line, {"src", "tgt", "response", "sort"}, {"images"})
    if value["tgt"] != [] or value["sort"] != [1, 0]:
        raise ValueError("expected tgt [] and sort [1, 0]: one turn whose first response is the chosen one")
    images = image_paths("images", value.get("images", []), folder)
    request = without_image_marks("src", single_text("src", value["src"]), len(images))
    chosen, rejected = (single_text("response", turns) for turns in checked_list("response", value["response"], 2))
    return Preference("", "", request, chosen, rejected, images)
