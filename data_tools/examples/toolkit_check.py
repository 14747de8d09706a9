"""Find training examples that a toolkit would skip, replace with a dummy, or change without an error.

Each case was found in the code of a toolkit's data reader: ERNIEKit 1.0.1 (text and DPO), ERNIEKit 1.2 and its public
history (images), PaddleFormers 1.2.0. tests/toolkit/test_line_formats.py shows most of them with the real readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from data_tools.examples.building import TrainingExample
from data_tools.examples.preferences import Preference
from data_tools.sources.files.json_values import is_text
from erniekit_adapter.architectures.toolkits import DataFormat

# Text with the shape of a control token of ERNIE 4.5 or PaddleOCR-VL: end of turn, place of an image. Tokenizers
# convert such text to one token wherever it occurs. Vocabularies differ, so only the shape is checked.
_CONTROL_PIECE = re.compile(r"<\|[^<|>\s]{1,64}\|>|<mask:\d{1,4}>|</?(?:s|think)>|<(?:unk|pad|cls|sep)>")
# PaddleFormers replaces these marks with an image, a video or a sound.
_MEDIA_MARK = re.compile("<(?:image|video|audio)>")
# PaddleFormers' templates replace this with the number of the turn, after the user's text is inserted.
_TURN_MARK = "{{idx}}"
# SentencePiece's own mark for a space; it is decoded as a space.
_BLANK_MARK = "\u2581"
_TABLE_RULE_CHARACTERS = frozenset("|:-")


def toolkit_problem(example: TrainingExample, data_format: DataFormat) -> str | None:
    """Return why a toolkit would not read an example unchanged; None if it would.

    Not checked here: the number of tokens, and whether the images exist. SentencePiece's space mark is accepted in a
    request, because the model in service gets the same space.

    Args:
        example: request, answer and page images.
        data_format: the toolkit's format. Examples with images must suit every toolkit that reads the format.
    """
    texts = {"request": example.request, "answer": example.answer_text}
    if problem := _text_problem(texts):
        return problem
    if _BLANK_MARK in example.answer_text:
        return f"the answer contains {_BLANK_MARK} (U+2581), which the tokenizer decodes as a space"
    if data_format != "paddleformers":
        for name, text in texts.items():
            if text.strip() != text:
                return f"the {name} starts or ends with white space, which ERNIEKit removes"
    if data_format == "erniekit":
        return None
    if data_format == "erniekit-vl":
        if not example.images:
            return "has no image: ERNIEKit replaces an example without an image with a dummy"
        if _has_table(example.answer_text):
            return "the answer contains a Markdown table, which ERNIEKit rewrites"
    return _media_problem(texts, example.images)


def preference_problem(preference: Preference) -> str | None:
    """Return why DPO would not read a preference unchanged, or would learn nothing from it; None if all is well."""
    answers = {"chosen answer": preference.chosen, "rejected answer": preference.rejected}
    texts = {"request": preference.request, **answers}
    if problem := _text_problem(texts):
        return problem
    if preference.chosen.strip() == preference.rejected.strip():
        return "the chosen and the rejected answer are equal: nothing to learn"
    for name, text in answers.items():
        if _BLANK_MARK in text:
            return f"the {name} contains {_BLANK_MARK} (U+2581), which the tokenizer decodes as a space"
    return _media_problem(texts, preference.images) if preference.images else None


def _text_problem(texts: Mapping[str, str]) -> str | None:
    """Return the problem of a text in any format, or None."""
    for name, text in texts.items():
        if not text.strip():
            return f"the {name} is blank: toolkits skip such an example or learn nothing from it"
        if "<" in text and (piece := _CONTROL_PIECE.search(text)):
            return f"the {name} contains {piece[0]}, which a tokenizer can read as a control token"
        if not is_text(text):
            return f"the {name} contains a lone surrogate, which UTF-8 cannot represent"
    return None


def _media_problem(texts: Mapping[str, str], images: tuple[Path, ...]) -> str | None:
    """Return the problem of an example in a format that can have images, or None."""
    for name, text in texts.items():
        if "<" in text and (mark := _MEDIA_MARK.search(text)):
            return f"the {name} contains {mark[0]}: PaddleFormers would expect one more image, video or sound"
    if _TURN_MARK in texts["request"]:
        return f"the request contains {_TURN_MARK}, which PaddleFormers replaces with the number of the turn"
    unreadable = next((image for image in images if not is_text(str(image))), None)
    return f"the file name {unreadable.name!a} of an image is not UTF-8: JSONL cannot store it" if unreadable else None


def _has_table(answer: str) -> bool:
    """Return whether a text line between two others is the rule below a table header: `|---|:--:|`."""
    if "|" not in answer:
        return False
    rules = ("".join(line.split()) for line in answer.split("\n")[1:-1])
    return any("|" in rule and "-" in rule and _TABLE_RULE_CHARACTERS.issuperset(rule) for rule in rules)
