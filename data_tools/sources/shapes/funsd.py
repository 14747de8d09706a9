"""Forms of FUNSD: questions linked to answers. Only questions that name a field are used."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from data_tools.sources.answers.field_names import field_named
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.boxes import ocr_of, page_box
from data_tools.sources.shapes.rows import in_reading_order
from data_tools.sources.shapes.shape import CollectedFields, Shape, is_list_of_objects
from erniekit_adapter.documents.loading import INVOICE

NAME = "FUNSD"


def _matches(value: Any) -> bool:
    form = value.get("form") if isinstance(value, dict) else None
    return is_list_of_objects(form) and all("linking" in item and "label" in item for item in form or [])


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    items = {item.get("id"): item for item in value["form"] if isinstance(item.get("id"), int)}
    answers: dict[int, list[int]] = defaultdict(list)
    for item in value["form"]:
        for question, answer in _links(item):
            if _label(items, question) == "question" and _label(items, answer) == "answer":
                answers[question] += [] if answer in answers[question] else [answer]
    found = CollectedFields()
    for question, linked in answers.items():
        label = str(items[question].get("text") or "")
        pieces = [(str(items[answer].get("text") or ""), page_box(items[answer].get("box"))) for answer in linked]
        text = " ".join(in_reading_order(pieces)).strip()
        location = f"form: {label[:60]}"
        if settings.document_type is not INVOICE:
            if found.put_label(label, text, location, settings) is not None:
                found.skip(location, text)
        elif (name := field_named(label, settings.labels)) and name not in (
            "line_items",
            "taxes",
            "discounts",
            "charges",
        ):
            _put(found, name, text, label)
        else:
            found.skip(location, text)
    return found.ground_truth(NAME, settings, ocr=_ocr(value))


def _put(found: CollectedFields, name: str, text: str, label: str) -> None:
    if name == "charge":
        found.charges.append({"amount": text})
    else:
        found.put(name, text, f"form: {label[:60]}")


def _links(item: dict[str, Any]) -> list[tuple[int, int]]:
    links = item.get("linking")
    return [
        (link[0], link[1])
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, list) and len(link) == 2 and all(isinstance(end, int) for end in link)
    ]


def _label(items: dict[Any, dict[str, Any]], identifier: int) -> Any:
    return items[identifier].get("label") if identifier in items else None


def _ocr(value: dict[str, Any]) -> Any:
    """Return all texts of the form without boxes, which are in pixels of an image of unknown size."""
    return ocr_of([(str(item.get("text") or ""), page_box(item.get("box"))) for item in value["form"]], None)


FUNSD = Shape(NAME, _matches, _read)
