"""What a toolkit would do to a line without stopping: skip it, put a dummy in its place, or change what it says.

Each case was found in a reader's code: ERNIEKit 1.0.1 (text and DPO), ERNIEKit 1.2 and its public history (images),
PaddleFormers 1.2.0; tests/toolkit/test_line_formats.py shows most of them with the real readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from data_tools.lines.preference_lines import Preference
from data_tools.pairs.pairs import Pair
from data_tools.sources.reading import is_text
from erniekit_adapter.project.schema import DataFormat

# Written as the control tokens of ERNIE 4.5 and PaddleOCR-VL are: ends of turns, places of images. Tokenizers take them
# whole wherever they stand. Vocabularies differ, so the shape alone decides.
_CONTROL_PIECE = re.compile(r"<\|[^<|>\s]{1,64}\|>|<mask:\d{1,4}>|</?(?:s|think)>|<(?:unk|pad|cls|sep)>")
# What PaddleFormers puts an image, a video or a sound in place of.
_MEDIA_MARK = re.compile("<(?:image|video|audio)>")
# What its templates put the number of the turn in place of, after they put the user's text into it.
_TURN_MARK = "{{idx}}"
# SentencePiece's own mark of a blank, which comes back as one.
_BLANK_MARK = "\u2581"
_TABLE_RULE_CHARACTERS = frozenset("|:-")


def toolkit_problem(pair: Pair, form: DataFormat) -> str | None:
    """Why a toolkit would not read the pair's line as it is; None where it reads it whole.

    What the line alone does not show is not judged: how many tokens it has, whether its images are there.
    SentencePiece's mark of a blank passes in a request, where the model in service gets the same blank.

    Args:
        pair: what is asked and answered.
        form: the toolkit's format. Lines with images, in either form, have to please every toolkit that reads it.
    """
    texts = {"request": pair.request, "answer": pair.answer_text}
    if problem := _text_problem(texts):
        return problem
    if _BLANK_MARK in pair.answer_text:
        return f"the answer holds {_BLANK_MARK} (U+2581), which the tokenizer reads as a blank"
    if form != "paddleformers":
        for name, text in texts.items():
            if text.strip() != text:
                return f"the {name} has white space around it, which ERNIEKit takes away"
    if form == "erniekit":
        return None
    if form == "erniekit-vl":
        if not pair.images:
            return "has no image: ERNIEKit puts a dummy in place of a line without one"
        if _has_table(pair.answer_text):
            return "the answer holds a Markdown table, which ERNIEKit writes anew"
    return _media_problem(texts, pair.images)


def preference_problem(preference: Preference) -> str | None:
    """Why DPO would not read the preference's line as it is, or learn nothing from it; None where all is well."""
    answers = {"chosen answer": preference.chosen, "rejected answer": preference.rejected}
    texts = {"request": preference.request, **answers}
    if problem := _text_problem(texts):
        return problem
    if preference.chosen.strip() == preference.rejected.strip():
        return "the chosen and the rejected answer are the same: nothing to learn"
    for name, text in answers.items():
        if _BLANK_MARK in text:
            return f"the {name} holds {_BLANK_MARK} (U+2581), which the tokenizer reads as a blank"
    return _media_problem(texts, preference.images) if preference.images else None


def _text_problem(texts: Mapping[str, str]) -> str | None:
    """What is wrong with a text in every form."""
    for name, text in texts.items():
        if not text.strip():
            return f"the {name} is blank: a toolkit skips the line, or learns nothing from it"
        if "<" in text and (piece := _CONTROL_PIECE.search(text)):
            return f"the {name} holds {piece[0]}, which a tokenizer can take for a control token"
        if not is_text(text):
            return f"the {name} holds a lone surrogate, which is no text"
    return None


def _media_problem(texts: Mapping[str, str], images: tuple[Path, ...]) -> str | None:
    """What is wrong where images can go with a line."""
    for name, text in texts.items():
        if "<" in text and (mark := _MEDIA_MARK.search(text)):
            return f"the {name} holds {mark[0]}: PaddleFormers would look for one image, video or sound more"
    if _TURN_MARK in texts["request"]:
        return f"the request holds {_TURN_MARK}, which PaddleFormers replaces with the number of the turn"
    unreadable = next((image for image in images if not is_text(str(image))), None)
    return f"the name of the image {unreadable.name!a} is not UTF-8: a line cannot hold it" if unreadable else None


def _has_table(answer: str) -> bool:
    """Whether a line between two others rules off a table's head: `|---|:--:|`."""
    if "|" not in answer:
        return False
    rules = ("".join(line.split()) for line in answer.split("\n")[1:-1])
    return any("|" in rule and "-" in rule and _TABLE_RULE_CHARACTERS.issuperset(rule) for rule in rules)
