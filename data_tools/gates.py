"""The checks that accept or reject a record, each with a name; a gate gives the reason for refusing, or None.

`RECORD_GATES` look at what a source says, `PAIR_GATES` at the text that would be trained on. `source`, `image`,
`duplicate`, `held_out` and `max_samples` are decided where the whole stage is seen, and use the same names in the
reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from data_tools.pairs import Pair
from data_tools.records import DocumentRecord
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import Answer, as_json

# The chat template's pieces around request and answer, and the 8 tokens that ERNIEKit itself keeps free in each turn.
RESERVED_TOKENS = 32


@dataclass(frozen=True)
class GateSettings:
    """What the gates go by.

    Attributes:
        arithmetic: error rejects a record that breaks a rule of level error, warn keeps it.
        max_seq_length: tokens that request and answer may have together; None where tokens are not counted.
    """

    arithmetic: Literal["error", "warn"] = "error"
    max_seq_length: int | None = None


def reviewed(record: DocumentRecord, settings: GateSettings) -> str | None:
    """A person confirmed the answer."""
    return None if record.reviewed else "nobody confirmed this answer"


def canonical(record: DocumentRecord, settings: GateSettings) -> str | None:
    """There is an answer, and it says something."""
    if record.answer is None:
        return "has no answer"
    return None if _says_something(record.answer) else "the answer is empty: none of its fields has a value"


def arithmetic(record: DocumentRecord, settings: GateSettings) -> str | None:
    """The amounts keep the rules, or the page is known to break them."""
    if record.answer is None or settings.arithmetic == "warn" or record.declared_fault is not None:
        return None
    return "; ".join(str(finding) for finding in rules.failures(rules.check(record.answer))) or None


def visible(record: DocumentRecord, settings: GateSettings) -> str | None:
    """A text model has something to read the answer from."""
    if record.request is not None or record.ocr not in (None, "", [], {}):
        return None
    return (
        "a text model would have nothing to read: no OCR; give each manifest entry an ocr_path, each log an ocr_context"
    )


def toolkit(pair: Pair, settings: GateSettings) -> str | None:
    """ERNIEKit would not skip the line."""
    blank = [name for name, text in (("src", pair.request), ("tgt", pair.answer_text)) if not text.strip()]
    return f"ERNIEKit skips a line whose {' and '.join(blank)} is blank" if blank else None


def length(pair: Pair, settings: GateSettings) -> str | None:
    """Request and answer fit: ERNIEKit would cut or drop them with no more than a line in its log."""
    if pair.tokens is None or settings.max_seq_length is None:
        return None
    needed = pair.tokens + RESERVED_TOKENS
    if needed <= settings.max_seq_length:
        return None
    return f"{needed} tokens (with {RESERVED_TOKENS} reserved), more than max_seq_length {settings.max_seq_length}"


RecordGate = Callable[[DocumentRecord, GateSettings], "str | None"]
PairGate = Callable[[Pair, GateSettings], "str | None"]
RECORD_GATES: tuple[tuple[str, RecordGate], ...] = (
    ("reviewed", reviewed),
    ("canonical", canonical),
    ("arithmetic", arithmetic),
    ("visible", visible),
)
PAIR_GATES: tuple[tuple[str, PairGate], ...] = (("toolkit", toolkit), ("length", length))


def refuse_record(record: DocumentRecord, settings: GateSettings) -> tuple[str, str] | None:
    """The first gate that refuses a record, with its reason; None where all let it pass."""
    return next(((name, reason) for name, gate in RECORD_GATES if (reason := gate(record, settings))), None)


def refuse_pair(pair: Pair, settings: GateSettings) -> tuple[str, str] | None:
    """The first gate that refuses a pair, with its reason; None where all let it pass."""
    return next(((name, reason) for name, gate in PAIR_GATES if (reason := gate(pair, settings))), None)


def _says_something(answer: Answer) -> bool:
    left: list[object] = [as_json(answer)["structured_data"]]
    while left:
        value = left.pop()
        if isinstance(value, (dict, list)):
            left.extend(value.values() if isinstance(value, dict) else value)
        elif not isinstance(value, str) or value.strip():
            return True
    return False
