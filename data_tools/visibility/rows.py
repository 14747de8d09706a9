"""Removal of values of a declared type's tables: each value is searched in the lines of its row.

The line of a row is the one with most of its values; rows and lines have the same order if that explains as many values
as any order. Rows with a description, and a quantity or a unit price, are found as line items of invoices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_tools.visibility.column_order import has_percentage, misplaced
from data_tools.visibility.line_items import drop_unseen_roles
from data_tools.visibility.page_text import PageText
from data_tools.visibility.plan import TableSearch, ValueSearch, is_spelled, remove_in, set_in, value_in
from data_tools.visibility.row_lines import RowLines
from data_tools.visibility.row_numbers import without_place
from data_tools.visibility.row_places import row_places
from data_tools.visibility.table import ROLE_NAMES, ItemRow, ItemTable
from erniekit_adapter.documents.rules.context import number_of

# Minimum number of values by which a row is recognised, if the answer has as many.
_LEAST_VALUES = 2

Row = dict[str, Any]


def drop_unseen_rows(rows: list[Row], table: TableSearch, page: PageText, content: Mapping[str, Any]) -> set[str]:
    """Remove from the rows of a table, in place, values that the page does not show, and rows that it does not show.

    Args:
        rows: the rows.
        table: the search for the table.
        page: text of the page in the request.
        content: the whole content, whose amounts can explain a number that is found elsewhere.

    Returns:
        The paths of the removed fields.
    """
    unseen: set[str] = set()
    lines = ItemTable(page)
    is_free, is_above = len(rows) == 1 and not table.items, False
    anchors: list[int | None] = [None] * len(rows)
    items: Sequence[ItemRow | None] = [None] * len(rows)
    if table.items:
        items = _drop_items(rows, table, lines, page, content, unseen)
        anchors = [item.anchor if item else None for item in items]
        is_free = not lines.has_rows
    elif not is_free:
        places = row_places(rows, table.columns, lines)
        is_free = places is None
        anchors, is_above = places or (anchors, False)
    own = RowLines(lines, page, _leading_texts(rows, table), anchors, is_free=is_free)
    is_above = _drop_others(rows, table, own, unseen, is_above=None if table.items else is_above)
    lines_of_rows = [own.lines_of(number, is_above=is_above) for number in range(len(rows))]
    wrong = misplaced(rows, table.columns, lines_of_rows, lines)
    for row, item, own_lines, paths in zip(rows, items, lines_of_rows, wrong, strict=True):
        paths |= without_place(row, table, item, own_lines, lines)
        for search in table.columns:
            if search.field.path in paths:
                remove_in(row, search.keys)
        unseen |= paths
    rows[:] = [row for row in rows if row]
    return unseen


def _drop_items(
    rows: Sequence[Row],
    table: TableSearch,
    lines: ItemTable,
    page: PageText,
    content: Mapping[str, Any],
    unseen: set[str],
) -> list[ItemRow | None]:
    """Remove the values of line item columns; return each row of the page."""
    views = [_view(row, table) for row in rows]
    before = [set(view) for view in views]
    found = drop_unseen_roles(views, lines, page, _outside(content, rows))
    for row, view, known in zip(rows, views, before, strict=True):
        for name in known - set(view):
            search = table.items[ROLE_NAMES[name]]
            remove_in(row, search.keys)
            unseen.add(search.field.path)
        if known - {"description"} and not view.keys() - {"description"}:
            # No number is in the row of the description, so its other values belong to another row too.
            for search in table.others:
                if value_in(row, search.keys) is not None:
                    remove_in(row, search.keys)
                    unseen.add(search.field.path)
    return found


def _view(row: Row, table: TableSearch) -> Row:
    """Return a row as a line item of an invoice."""
    view: Row = {}
    for name, role in ROLE_NAMES.items():
        search = table.items.get(role)
        value = value_in(row, search.keys) if search else None
        if value is not None:
            view[name] = value if name == "description" else number_of(value)
    return {name: value for name, value in view.items() if value is not None}


def _outside(content: object, rows: object) -> list[Any]:
    """Return the values of a content outside of a table."""
    found: list[Any] = []
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if part is rows:
            continue
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif not isinstance(part, bool):
            found.append(number_of(part))
    return found


def _leading_texts(rows: Sequence[Row], table: TableSearch) -> list[str]:
    """Return the text of each row by which its lines are recognised: the description, or the first text."""
    texts = [search for search in table.columns if search.field.kind == "text"]
    lead = next((search for search in texts if search.field.role == "description"), texts[0] if texts else None)
    return [str(value_in(row, lead.keys) or "") if lead else "" for row in rows]


def _drop_others(
    rows: Sequence[Row], table: TableSearch, own: RowLines, unseen: set[str], *, is_above: bool | None
) -> bool:
    """Remove values of the columns that are no roles of line items.

    The lines between two rows belong to the upper or to the lower one; if that is not known, to the side where more
    values are found.

    Returns:
        Whether they belong to the lower one.
    """
    columns = table.others
    sides = (False, True) if is_above is None else (is_above,)
    found_of = {side: _found(rows, columns, own, is_above=side) for side in sides}
    chosen = max(sides, key=lambda side: sum(map(len, found_of[side])))
    found = found_of[chosen]
    in_head = _in_head(rows, columns, found, own.head(is_above=chosen))
    for row, values in zip(rows, found, strict=True):
        known = [search for search in columns if value_in(row, search.keys) is not None]
        evidence = [path for path, value in values.items() if value is not None]
        if not table.items and len(evidence) < min(_LEAST_VALUES, len(known)):
            _remove_all(row, table, unseen)
            continue
        for search in known:
            value = values.get(search.field.path, in_head.get(search.field.path))
            if value is None:
                remove_in(row, search.keys)
                unseen.add(search.field.path)
            else:
                set_in(row, search.keys, value)
    return chosen


def _in_head(
    rows: Sequence[Row], columns: Sequence[ValueSearch], found: Sequence[Mapping[str, Any]], head: PageText | None
) -> dict[str, Any]:
    """Return the values that all rows share and only the head of the table prints, by path: `MwSt` for all rates."""
    shared: dict[str, Any] = {}
    for search in columns if head is not None else ():
        path, values = search.field.path, [value_in(row, search.keys) for row in rows]
        is_name = search.field.kind in ("text", "code") and not any(path in values_of_row for values_of_row in found)
        if is_name and head is not None and values[0] is not None and values.count(values[0]) == len(values):
            value = search.find(values[0], head)
            if value is not None:
                shared[path] = value
    return shared


def _found(
    rows: Sequence[Row], columns: Sequence[ValueSearch], own: RowLines, *, is_above: bool
) -> list[dict[str, Any]]:
    """Return the values of each row that its lines show, by path."""
    found: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        page = own.page_of(number, is_above=is_above)
        values: dict[str, Any] = {}
        for search in columns if page is not None and row else ():
            value = value_in(row, search.keys)
            if value is not None and page is not None:
                shown = _shown(search, value, page, own, number)
                if shown is not None:
                    values[search.field.path] = shown
        found.append(values)
    return found


def _shown(search: ValueSearch, value: Any, page: PageText, own: RowLines, number: int) -> Any:
    """Return a value if the lines of its row show it, or the word for it; else None."""
    if is_spelled(search, value, page):
        return value
    if search.field.kind == "rate" and "%" in page.text and not own.is_free:
        # The other numbers of the row are amounts and quantities.
        return value if has_percentage(search, value, page.repaired) else None
    found = search.find(value, page)
    if found is None and search.field.kind == "currency":
        # A table prints its currency once, in its head or beside the total.
        return search.find(value, own.page)
    if found is None and search.field.kind == "date" and own.shows_date(value, page, number):
        return value
    return found


def _remove_all(row: Row, table: TableSearch, unseen: set[str]) -> None:
    """Remove all values of a row."""
    unseen.update(search.field.path for search in table.columns if value_in(row, search.keys) is not None)
    row.clear()
