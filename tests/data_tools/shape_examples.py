"""Files of public data sets and services, and how a test breaks them."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from format_examples import EXAMPLES
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text

FILES = {
    "CORD": "cord/truth.json",
    "SROIE": "sroie/key/r1.json",
    "FUNSD": "funsd/annotations/f1.json",
    "invoice2data": "invoice2data/truth.json",
    "AWS Textract AnalyzeExpense": "textract/p1.json",
    "Azure Document Intelligence": "azure/p1.json",
    "Google Document AI": "google/p1.json",
    "Mindee": "mindee/p1.json",
}


def example(name: str) -> Any:
    return json_text.parse((EXAMPLES / name).read_bytes())


def broken(value: Any, data: st.DataObject) -> Any:
    """Return a copy of a value in which a drawn part is replaced by junk."""
    value = copy.deepcopy(value)
    junk = data.draw(st.sampled_from([None, 5, "x", [], {}, [None], [{}], {"a": []}, True, Decimal("1.5"), "1,234"]))
    place: Any = value
    for _ in range(12):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = junk
            break
        place = place[key]
    return value
