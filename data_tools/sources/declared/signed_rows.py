"""Rows whose amounts get the sign that the source writes beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from data_tools.sources.declared.signs import direction, is_mark, side, signed
from data_tools.sources.declared.values import is_absent
from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents.field_names import FieldNames, inner_path


def with_sign(row: Mapping[str, Any], names: FieldNames, table: str) -> Mapping[str, Any]:
    """Return a row whose signed amount has the sign of the mark or the name beside it, without these.

    A mark is not used if the type has a field with its name, or if its value means no direction.

    Raises:
        ValueError: two marks contradict each other, or a mark contradicts the sign of the amount.
    """
    amount = names.with_role("line_total", table)
    if amount is None or not amount.is_signed:
        return row
    own = {key: found for key in row if (found := names.find(key, table))}
    given = {key: value for key, value in row.items() if key not in own and not is_absent(value)}
    marks = {key: sign for key, value in given.items() if is_mark(key) and (sign := direction(value))}
    sides = {key: sign for key, value in given.items() if (sign := side(key)) and not _is_zero(value)}
    signs = {**marks, **sides}
    if len(set(signs.values())) > 1:
        raise ValueError(f"{table}: {', '.join(map(shown, signs))}: paid in or paid out?")
    stated = next((key for key, found in own.items() if found == (amount,) and not is_absent(row[key])), None)
    key = stated or next(iter(sides), None)
    if not signs or key is None:
        return row
    value = signed(row[key], next(iter(signs.values())))
    others = {name: part for name, part in row.items() if name not in signs and not (side(name) and _is_zero(part))}
    return {**others, stated or inner_path(amount): value}


def _is_zero(value: Any) -> bool:
    return not re.search(r"[1-9]", str(value))
