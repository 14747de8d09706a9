"""Removal of answer values that a page does not show, field by field.

A value is searched in the spelling of the answer first; other spellings and misreadings of OCR are tried if that fails.
"""

from __future__ import annotations

from typing import Any

from data_tools.visibility.line_items import drop_unseen_items
from data_tools.visibility.page_text import PageText
from data_tools.visibility.plan import Branch, SearchPlan, ValueSearch, is_spelled, plan_of, remove_in
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.rules.context import rows_at, value_at

_NOTHING: Branch = {}


def drop_unseen(document_type: DocumentType, data: dict[str, Any], page: PageText) -> tuple[str, ...]:
    """Remove from a content, in place, every value that the page does not show.

    Empty objects, rows and lists are removed too. Values of a table are searched in the row of the page that has most
    of them. Fields that are never printed are not searched. In an invoice a due date is in two blocks: both stay or
    both are removed; names of taxes and payment methods are replaced by the words on the page.

    Args:
        document_type: the type of the document.
        data: content as JSON.
        page: text of the page in the request.

    Returns:
        The removed fields without list positions (`line_items[].total`), each once, in the order of the
        answer.
    """
    plan = plan_of(document_type)
    unseen: set[str] = set()
    skipped: set[int] = set()
    for table in plan.tables:
        rows = rows_at(data, table.path)
        if not rows:
            continue
        skipped.add(id(rows))
        if plan.is_invoice:
            unseen |= drop_unseen_items(rows, page, data.get("financial_summary", {}))
        else:
            # Imported here, because the invoice is the most frequent type and needs none of it.
            from data_tools.visibility.rows import drop_unseen_rows

            unseen |= drop_unseen_rows(rows, table, page, data)
    _drop(data, plan.branch, page, unseen, skipped)
    if not unseen:
        return ()
    _drop_twins(data, plan, unseen)
    return tuple(name for name in plan.fields if name in unseen)


def _drop_twins(data: dict[str, Any], plan: SearchPlan, unseen: set[str]) -> None:
    for first, second in plan.twins:
        if first in unseen and value_at(data, second) is not None:
            unseen.add(second)
            remove_in(data, tuple(second.split(".")))


def _drop(part: dict[str, Any], branch: Branch, page: PageText, unseen: set[str], skipped: set[int]) -> None:
    removed, text = [], page.text
    for name, value in part.items():
        search = branch.get(name)
        kind = type(value)
        if kind is dict or kind is list:
            if value and id(value) not in skipped:
                _drop_inside(value, search, page, unseen, skipped)
            if not value:
                removed.append(name)
        # The first condition decides for most texts, and is the fastest one.
        elif kind is str and f" {value} " in text and (type(search) is not ValueSearch or search.is_plain):
            continue
        elif type(search) is ValueSearch and not is_spelled(search, value, page):
            part[name] = search.find(value, page)
            if part[name] is None:
                removed.append(name)
                unseen.add(search.field.path)
    for name in removed:
        del part[name]


def _drop_inside(
    value: dict[str, Any] | list[Any],
    search: ValueSearch | Branch | None,
    page: PageText,
    unseen: set[str],
    skipped: set[int],
) -> None:
    """Remove values from an object, or from each row of a list, and then empty rows."""
    if isinstance(search, ValueSearch):
        if isinstance(value, list):
            _drop_values(value, search, page, unseen)
        return
    branch = search or _NOTHING
    if isinstance(value, dict):
        _drop(value, branch, page, unseen, skipped)
        return
    for row in value:
        if type(row) is dict:
            _drop(row, branch, page, unseen, skipped)
    if not all(value):
        value[:] = [row for row in value if row]


def _drop_values(values: list[Any], search: ValueSearch, page: PageText, unseen: set[str]) -> None:
    """Remove from a list of values those that the page does not show."""
    found = [value if is_spelled(search, value, page) else search.find(value, page) for value in values]
    kept = [value for value in found if value is not None]
    if len(kept) < len(values):
        unseen.add(search.field.path)
    values[:] = kept
