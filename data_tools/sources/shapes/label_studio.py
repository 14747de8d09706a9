"""Exports of Label Studio: tasks with annotations, as JSON or as JSON-MIN.

A field is a rectangle with a label and its transcription, or a text area with the name of a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.field_names import field_named, line_item_label
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.rows import Box, Piece, rows_of
from data_tools.sources.shapes.shape import CollectedFields, Shape, is_empty, is_list_of_objects
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import FieldNames
from erniekit_adapter.documents.loading import INVOICE

NAME = "Label Studio"
_PREDICTIONS = "Label Studio predictions"
# Keys of JSON-MIN beside the results.
_ABOUT_TASK = frozenset({
    "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "completed_by",
})  # fmt: skip
_LISTS = frozenset({"line_items", "taxes", "discounts", "charges"})
_PAGE_KEYS = frozenset({"image", "images", "img", "page", "pages", "pdf"})
_PAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".pdf")


@dataclass
class _Region:
    """A labelled region of the page with its transcription."""

    labels: list[str]
    box: Box | None
    text: str | None = None


def page_names(task: dict[str, Any]) -> list[str]:
    """Return the pages that a task names, as its export writes them; empty if it names none."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    for key, value in data.items():
        names = value if isinstance(value, list) and value else [value]
        if all(isinstance(name, str) and name.strip() and (key in _PAGE_KEYS or _is_page(name)) for name in names):
            return list(names)
    return []


def task_name(task: dict[str, Any]) -> str:
    """Return the number of a task in Label Studio, as text; empty without one."""
    return str(task["id"]) if isinstance(task.get("id"), (int, str)) else ""


def _is_page(name: str) -> bool:
    return name.split("?d=")[-1].split("?")[0].split("#")[0].lower().endswith(_PAGES)


def _matches(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("data"), dict) and any(
        isinstance(value.get(name), list) for name in ("annotations", "completions", "predictions")
    ):
        return True
    return _is_minimal(value)


def _is_minimal(value: dict[str, Any]) -> bool:
    """Return whether a task is in JSON-MIN: results beside the names of its data."""
    return "annotator" in value and "annotation_id" in value and bool(page_names(value))


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    found, model = CollectedFields(), None
    if _is_minimal(value):
        regions, fields = _of_minimal(value, settings)
    else:
        result, model = _result_of(value, settings)
        regions, fields = _of_result(result, found, settings)
    cells: list[Piece] = []
    for name, text in fields:
        _put_label(name, text, None, settings, found, cells)
    for region in regions:
        if not region.labels:
            found.skip("region without a label", region.text)
        for label in region.labels:
            if is_empty(region.text):
                found.unused.append(f"label {label[:60]} (not transcribed)")
            else:
                _put_label(label, str(region.text), region.box, settings, found, cells)
    _add_lines(cells, found, settings)
    return found.ground_truth(NAME, settings, model=model)


def _result_of(task: dict[str, Any], settings: ReadSettings) -> tuple[list[dict[str, Any]], str | None]:
    """Return the results of the one annotation to use, and the model that made them.

    Raises:
        ValueError: the task has no annotation, or several and none is marked as the ground truth.
    """
    done = [
        annotation
        for annotation in task.get("annotations") or task.get("completions") or []
        if isinstance(annotation, dict) and not annotation.get("was_cancelled") and annotation.get("result")
    ]
    chosen = [annotation for annotation in done if annotation.get("ground_truth") is True] or done
    if len(chosen) > 1:
        raise ValueError(
            f"{NAME}: {len(chosen)} annotations of one task: mark the right one as ground truth in Label Studio, "
            "and export again"
        )
    if chosen:
        return _results(chosen[0]), None
    predictions = [part for part in task.get("predictions") or [] if isinstance(part, dict) and part.get("result")]
    if len(predictions) != 1:
        raise ValueError(f"{NAME}: the task has no annotation: finish it in Label Studio, and export again")
    return _results(predictions[0]), _PREDICTIONS


def _results(annotation: dict[str, Any]) -> list[dict[str, Any]]:
    results = annotation["result"]
    if not is_list_of_objects(results):
        raise ValueError(f"{NAME}: result is not a list of objects")
    found: list[dict[str, Any]] = results
    return found


def _of_result(
    results: list[dict[str, Any]], found: CollectedFields, settings: ReadSettings
) -> tuple[list[_Region], list[tuple[str, str]]]:
    """Return regions and fields of a list of results; without ids, a text belongs to the rectangle before it."""
    by_id: dict[str, _Region] = {}
    without_id: list[_Region] = []
    fields: list[tuple[str, str]] = []
    for result in results:
        value = result.get("value")
        if not isinstance(value, dict):
            continue
        kind, identifier = str(result.get("type")), result.get("id")
        text = _text(value, kind)
        if labels := _labels(value, kind):
            region = by_id.get(str(identifier)) if identifier is not None else None
            region = region or _Region([], _box(value))
            region.labels += labels
            region.text = region.text or _meta_text(result) or text
            if identifier is None:
                without_id.append(region)
            else:
                by_id[str(identifier)] = region
        elif text is None:
            found.skip(f"{kind} {result.get('from_name')}", value if kind == "choices" else None)
        elif "x" in value or (identifier is not None and str(identifier) in by_id):
            region = by_id.setdefault(str(identifier), _Region([], _box(value)))
            region.text = text
        elif without_id and without_id[-1].text is None and not _is_field(str(result.get("from_name")), settings):
            without_id[-1].text = text
        else:
            fields.append((str(result.get("from_name")), text))
    return [*by_id.values(), *without_id], fields


def _is_field(name: str, settings: ReadSettings) -> bool:
    """Return whether a text area has the name of a field, and so belongs to no rectangle."""
    if settings.document_type is not INVOICE:
        return bool(FieldNames(settings.document_type, settings.labels).label_field(name))
    return field_named(name) is not None


def _of_minimal(task: dict[str, Any], settings: ReadSettings) -> tuple[list[_Region], list[tuple[str, str]]]:
    """Return regions and fields of a task in JSON-MIN, which has texts in the order of its rectangles."""
    pages = page_names(task)
    regions: list[_Region] = []
    texts: list[tuple[str, list[str]]] = []
    for name, value in task.items():
        if name in _ABOUT_TASK or value in (*pages, pages):
            continue
        if is_list_of_objects(value):
            regions += [
                _Region(_labels(item, ""), _box(item), _text(item, "textarea"))
                for item in value
                if _labels(item, "") or _text(item, "textarea")
            ]
        elif isinstance(value, str) or (isinstance(value, list) and all(isinstance(text, str) for text in value)):
            texts.append((name, [value] if isinstance(value, str) else value))
        elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            texts.append((name, [str(value)]))
    fields: list[tuple[str, str]] = []
    for name, values in texts:
        if regions and len(values) == len(regions) and not _is_field(name, settings):
            for region, text in zip(regions, values, strict=True):
                region.text = region.text or text
        else:
            fields.append((name, " ".join(values)))
    return regions, fields


def _labels(value: dict[str, Any], kind: str) -> list[str]:
    names = (kind, *(name for name in value if name.endswith("labels")))
    for name in names:
        labels = value.get(name)
        if name.endswith("labels") and isinstance(labels, list) and all(isinstance(label, str) for label in labels):
            return list(labels)
    return []


def _text(value: dict[str, Any], kind: str) -> str | None:
    """Return the text of a result; None for other values."""
    if kind in ("number", "datetime") and kind in value:
        return str(value[kind])
    text = value.get("text")
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return " ".join(text).strip() or None
    return text.strip() or None if isinstance(text, str) else None


def _meta_text(result: dict[str, Any]) -> str | None:
    meta = result.get("meta")
    return _text(meta, "") if isinstance(meta, dict) else None


def _box(value: dict[str, Any]) -> Box | None:
    """Return the box of a rectangle, in hundredths of the page."""
    sides = [value.get(side) for side in ("x", "y", "width", "height")]
    if not all(isinstance(side, (int, Decimal)) and not isinstance(side, bool) for side in sides):
        return None
    left, top, width, height = (float(str(side)) for side in sides)
    return left, top, left + width, top + height


def _put_label(
    label: str, text: str, box: Box | None, settings: ReadSettings, found: CollectedFields, cells: list[Piece]
) -> None:
    """Add a labelled text as a field, or as a part of a line item."""
    if settings.document_type is not INVOICE:
        if (cell := found.put_label(label, text, f"label {label[:60]}", settings)) is not None:
            cells.append(Piece(cell.path, text, box))
    elif column := line_item_label(label, settings.labels):
        cells.append(Piece(column, text, box))
    elif (name := field_named(label, settings.labels)) == "charge":
        found.charges.append({"amount": text})
    elif name and name not in _LISTS:
        found.put(name, text, f"label {label[:60]}")
    else:
        found.skip(f"label {label[:60]}", text)


def _add_lines(cells: list[Piece], found: CollectedFields, settings: ReadSettings) -> None:
    if not cells:
        return
    declared = settings.document_type is not INVOICE
    first = _first_column(settings.document_type) if declared else "description"
    rows = rows_of(cells, first) if all(_is_line_item(cell, settings) for cell in cells) else None
    if rows is None:
        names: Iterator[str] = (f"label {piece.name} (which row is not certain)" for piece in cells)
        found.unused += list(dict.fromkeys(names))
    elif declared:
        found.put_rows(rows, "line_items")
    else:
        found.line_items += rows


def _first_column(document_type: DocumentType) -> str:
    """Return the path of the field with which a line item of a declared type begins."""
    columns = document_type.columns(document_type.line_items or "")
    described = [each for each in columns if each.role == "description"]
    return next((each.path for each in (*described, *columns) if each.kind == "text"), "")


def _is_line_item(cell: Piece, settings: ReadSettings) -> bool:
    """Return whether a cell is in the table of line items; a declared type can have several tables."""
    document_type = settings.document_type
    return document_type is INVOICE or document_type.fields[cell.name].table == document_type.line_items


LABEL_STUDIO = Shape(NAME, _matches, _read)
