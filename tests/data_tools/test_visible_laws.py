"""Laws of visibility: a page that is printed from an answer keeps it; the page of another answer does not."""

from __future__ import annotations

import copy
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from declared_source_examples import as_text, boxes, content_of, statement_type
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.visibility import drop_unseen, page_mismatch, page_text
from erniekit_adapter.documents.document_type import DocumentType

WORDS = ("Rewe Markt", "Stadtwerke Strom", "Miete Wohnung", "Gehalt Muster", "Versicherung", "超市购物", "工资收入")
BANKS = ("Volksbank Nord", "Sparkasse Berg", "River Bank", "中国银行")
amounts = st.integers(1, 5_000_000).map(lambda cents: Decimal(cents).scaleb(-2))
dates = st.dates(date(2019, 1, 1), date(2031, 12, 31))


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the answer of a bank statement."""
    count = draw(st.integers(1, 6))
    rows = [
        {
            "booked": draw(dates).isoformat(),
            "text": draw(st.sampled_from(WORDS)),
            "amount": draw(amounts),
            "balance": draw(amounts),
        }
        for _ in range(count)
    ]
    return {
        "bank": draw(st.sampled_from(BANKS)),
        "account": {"iban": f"DE{draw(st.integers(10**9, 10**10 - 1))}"},
        "opening_balance": draw(amounts),
        "movements": rows,
        "closing_balance": draw(amounts),
    }


def german(number: Decimal) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def chinese(number: Decimal) -> str:
    return f"￥{number:,.2f}".translate(str.maketrans("0123456789", "０１２３４５６７８９"))


def english(number: Decimal) -> str:
    return f"${number:,.2f}"


NOTATIONS = {
    "german": (german, lambda day: f"{day:%d.%m.%Y}", "Neuer Saldo"),
    "chinese": (chinese, lambda day: f"{day.year}年{day.month}月{day.day}日", "期末余额"),
    "english": (english, lambda day: f"{day:%b} {day.day}, {day.year}", "Closing balance"),
}


def printed(answer: dict[str, Any], notation: str) -> list[list[tuple[float, str]]]:
    """Return the rows of a page with an answer."""
    number, day, closing = NOTATIONS[notation]
    rows = [
        [
            (0, day(date.fromisoformat(row["booked"]))),
            (120, row["text"]),
            (300, number(row["amount"])),
            (420, number(row["balance"])),
        ]
        for row in answer["movements"]
    ]
    head = [
        [(0, answer["bank"])],
        [(0, "IBAN"), (60, answer["account"]["iban"])],
        [(0, number(answer["opening_balance"]))],
    ]
    return [*head, *rows, [(0, closing), (200, number(answer["closing_balance"]))]]


@pytest.fixture(scope="module")
def statement(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    folder: Path = tmp_path_factory.mktemp("laws")
    return statement_type(folder)


@settings(deadline=None)
@given(answer=statements(), notation=st.sampled_from(sorted(NOTATIONS)), with_boxes=st.booleans())
def test_a_printed_answer_keeps_every_value(
    statement: DocumentType, answer: dict[str, Any], notation: str, with_boxes: bool
) -> None:
    rows = printed(answer, notation)
    page = page_text(boxes(*rows) if with_boxes else as_text(*rows))
    truth = content_of(statement, answer)
    kept = copy.deepcopy(truth)
    assert drop_unseen(statement, kept, page) == ()
    assert kept == truth
    assert page_mismatch(statement, truth, kept, page, 0.5) is None


@settings(deadline=None)
@given(answer=statements(), other=statements(), notation=st.sampled_from(sorted(NOTATIONS)))
def test_another_page_never_keeps_identity(
    statement: DocumentType, answer: dict[str, Any], other: dict[str, Any], notation: str
) -> None:
    names = ("bank", "account", "closing_balance")
    page = page_text(as_text(*printed(other, notation)))
    truth = content_of(statement, answer)
    kept = copy.deepcopy(truth)
    drop_unseen(statement, kept, page)
    shown = {name for name in names if name in kept}
    printed_values = {other["opening_balance"], other["closing_balance"]}
    printed_values |= {row[name] for row in other["movements"] for name in ("amount", "balance")}
    assert ("bank" in shown) == (answer["bank"] == other["bank"])
    assert ("account" in shown) == (answer["account"] == other["account"])
    if not shown:
        assert page_mismatch(statement, truth, kept, page, 0.5) is not None
    if answer["closing_balance"] not in printed_values:
        assert "closing_balance" not in shown
