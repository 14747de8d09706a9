"""Amounts that are negative if they are paid out, in sources that mark their direction beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receipt_type_examples import content, truth_of
from source_examples import read_source
from table_examples import source, write_csv, write_pages

from data_tools.records import DocumentRecord
from data_tools.sources.declared.signs import signed
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.errors import AdapterError

STATEMENT = load_document_type("bank-statement")


@pytest.mark.parametrize(
    ("row", "amount"),
    [
        ({"amount": "50,00", "type": "debit"}, "-50.00"),
        ({"amount": "50,00", "type": "credit"}, "50.00"),
        ({"amount": "50,00", "S/H": "S"}, "-50.00"),
        ({"amount": "50,00", "S/H": "H"}, "50.00"),
        ({"amount": "-50,00", "S/H": "S"}, "-50.00"),
        ({"amount": 50, "creditDebitIndicator": "DBIT"}, "-50"),
        ({"amount": {"value": "50.00", "confidence": 0.9}, "Af Bij": "Af"}, "-50.00"),
        ({"debit": "50.00", "credit": None}, "-50.00"),
        ({"debit": "0.00", "credit": "50.00"}, "50.00"),
        ({"Soll": "-50.00", "Haben": ""}, "-50.00"),
        ({"Paid out": "£50.00"}, "-50.00"),
        ({"amount": "50,00 S"}, "-50.00"),
        ({"amount": "50.00CR"}, "50.00"),
        ({"amount": "50,00+"}, "50.00"),
        ({"amount": "12,-", "type": "D"}, "-12"),
        ({"amount": "50.00 SEK"}, "50.00"),
    ],
)
def test_a_mark_gives_the_amount_its_sign(row: dict[str, Any], amount: str) -> None:
    found = truth_of({"transactions": [{"text": "x", **row}]}, STATEMENT)
    assert str(STATEMENT.content_of(found.answer)["movements"][0]["amount"]) == amount
    assert found.unused_keys == ()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"amount": "-5.00", "type": "credit"}, "'-5.00' is negative, but marked as paid in"),
        ({"debit": "5.00", "credit": "6.00"}, "'debit', 'credit': paid in or paid out?"),
        ({"amount": "5.00", "S/H": "S", "type": "credit"}, "paid in or paid out?"),
    ],
)
def test_rejects_marks_that_contradict(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        truth_of({"movements": [row]}, STATEMENT)


def test_a_mark_without_a_direction_is_not_used() -> None:
    assert truth_of({"movements": [{"amount": 5, "type": "card"}]}, STATEMENT).unused_keys == ("movements[].type",)


def test_balances_may_have_a_mark() -> None:
    assert content({"opening_balance": "1.000,00 S", "closing_balance": "5,00 H"}, STATEMENT) == {
        "opening_balance": "-1000.00",
        "closing_balance": "5.00",
    }


@given(st.integers(1, 10**9), st.sampled_from([-1, 1]))
def test_a_sign_of_numbers_and_texts_is_the_same(amount: int, sign: int) -> None:
    assert signed(amount, sign) == int(signed(str(amount), sign)) == sign * amount


HEADER = ["file", "Buchungstag", "Verwendungszweck", "Betrag", "S/H"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, ["a.png", "19.10.2018", "Strom", "50,00", "S"]),
        ([*HEADER[:4], "Dr/Cr"], ["a.png", "19.10.2018", "Strom", "50,00", "Dr"]),
        ([*HEADER[:4], "Type"], ["a.png", "19.10.2018", "Strom", "50,00", "ACH_DEBIT"]),
        ([*HEADER[:3], "Soll", "Haben"], ["a.png", "19.10.2018", "Strom", "50,00", ""]),
        ([*HEADER[:3], "Paid out", "Paid in"], ["a.png", "19.10.2018", "Strom", "50,00", ""]),
    ],
)
def test_a_table_asks_about_a_column_of_directions(tmp_path: Path, header: list[str], row: list[str]) -> None:
    write_pages(tmp_path, "a.png")
    path = write_csv(tmp_path / "book.csv", [header, row])
    with pytest.raises(AdapterError, match=r"has the direction of movements\.amount"):
        read_source(source(path), document_type=STATEMENT)


def test_amounts_with_signs_need_no_direction(tmp_path: Path) -> None:
    write_pages(tmp_path, "a.png")
    rows = [["a.png", "19.10.2018", "Strom", "-50,00", "S"], ["a.png", "20.10.2018", "Lohn", "60,00", "H"]]
    found = read_source(source(write_csv(tmp_path / "book.csv", [HEADER, *rows])), document_type=STATEMENT)
    answer = next(each.answer for each in found if isinstance(each, DocumentRecord))
    assert answer is not None
    assert [str(row["amount"]) for row in STATEMENT.content_of(answer)["movements"]] == ["-50.00", "60.00"]
