"""Rule kind `order`: dates follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from erniekit_adapter.documents.rules.context import Check, RuleContext, cell_of, first_rows, rows_at, value_at
from erniekit_adapter.documents.verdict import Verdict, missing


def order_check(paths: Sequence[str]) -> Check:
    """Return the check that no date is before an earlier one of `paths`; missing dates are skipped.

    Columns are compared within each row: `period_start`, `movements[].date`, `period_end`.
    """
    table = next((path.partition("[]")[0] for path in paths if "[]" in path), None)

    def check(_: object, context: RuleContext) -> Verdict:
        if table is None:
            return _in_order(paths, context.content, None)
        rows = rows_at(context.content, table)
        verdicts = [_in_order(paths, context.content, row) for row in rows]
        if wrong := [f"row {n}: {detail}" for n, (status, detail) in enumerate(verdicts, start=1) if status == "fail"]:
            return "fail", first_rows(wrong)
        checked = sum(status == "pass" for status, _ in verdicts)
        return ("pass", f"{checked} rows") if checked else missing(*paths)

    return check


def _in_order(paths: Sequence[str], content: Mapping[str, Any], row: Any) -> Verdict:
    values = {path: _value(path, content, row) for path in paths}
    # ISO dates are compared as text.
    dates = [(path, str(found)) for path, found in values.items() if found is not None]
    if len(dates) < 2:
        return missing(*(path for path, found in values.items() if found is None))
    for (first, earlier), (second, later) in combinations(dates, 2):
        if later < earlier:
            return "fail", f"{second} {later} before {first} {earlier}"
    return "pass", ", ".join(f"{path} {found}" for path, found in dates)


def _value(path: str, content: Mapping[str, Any], row: Any) -> Any:
    _, is_column, name = path.partition("[]")
    return cell_of(row, name) if is_column else value_at(content, path)
