from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.sources.tables.cells import CellFault
from data_tools.sources.tables.values import Conventions, find_conventions, read_amount, read_cell, read_date


def read_all(name: str, cells: list[Any], **settings: Any) -> list[str]:
    """Return the cells of a column as they are read; a rejected one as the first word of the setting in its hint."""
    conventions = find_conventions({name: cells}, **settings)
    found = []
    for cell in cells:
        try:
            found.append(str(read_cell(name, cell, conventions)))
        except ValueError as error:
            found.append(f"refused: {str(error).partition('set ')[2] or error}")
    return found


COMMA_OR_POINT = "refused: decimal_mark: comma or decimal_mark: point for this source"
ORDER = "refused: data.date_order: day_first or month_first"


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["200,00", "1.234"], ["200.00", "1234"]),
        (["200.00", "1.234"], ["200.00", "1.234"]),
        (["200,00", "1,234"], ["200.00", "1.234"]),
        (["1.234,50", "5.000 €"], ["1234.50", "5000"]),
        (["1.234.567", "2,345"], ["1234567", "2.345"]),
        (["1.234"], [COMMA_OR_POINT]),
        (["200,00", "200.00", "1.234"], ["200.00", "200.00", COMMA_OR_POINT]),
        (["0,125", "1.234"], ["0.125", "1234"]),
        (["1234,567", "1.234"], ["1234.567", "1234"]),
        ([Decimal("238"), "1 234,5", "-1.234"], ["238", "1234.5", "-1234"]),
        (["12", "-", "n/a", " "], ["12", "None", "None", "None"]),
    ],
)
def test_amounts_of_a_column(cells: list[Any], read: list[str]) -> None:
    assert read_all("subtotal", cells) == read


@pytest.mark.parametrize(("mark", "read"), [("comma", "1234"), ("point", "1.234")])
def test_project_file_decides_the_decimal_mark(mark: Any, read: str) -> None:
    assert read_all("subtotal", ["1.234"], decimal_mark=mark) == [read]


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["25/03/2025", "01/02/2025"], ["2025-03-25", "2025-02-01"]),
        (["03/25/2025", "01/02/2025"], ["2025-03-25", "2025-01-02"]),
        (["01/02/2025"], [ORDER]),
        (["25/03/2025", "03/25/2025", "01/02/2025"], ["2025-03-25", "2025-03-25", ORDER]),
        (["25/03/25", "01/02/25"], ["2025-03-25", "2025-02-01"]),
        (["14.03.2025", "01/02/2025"], ["2025-03-14", ORDER]),
        (["3/14/2025 0:00", "1/2/2025 00:00:00"], ["2025-03-14", "2025-01-02"]),
        (["20250314", Decimal(20250314)], ["2025-03-14", "2025-03-14"]),
        ([date(2025, 3, 14), "2025-03-14"], ["2025-03-14", "2025-03-14"]),
        (["05/05/2025"], ["2025-05-05"]),
    ],
)
def test_dates_of_a_column(cells: list[Any], read: list[str]) -> None:
    assert read_all("invoice_date", cells) == read


def test_date_order_from_another_column() -> None:
    found = find_conventions({"invoice_date": ["01/02/2025"], "due_date": ["28/02/2025"]})
    assert read_cell("invoice_date", "01/02/2025", found) == date(2025, 2, 1)


def test_columns_with_different_orders() -> None:
    found = find_conventions({"invoice_date": ["2/28/2025"], "due_date": ["28/02/2025"]})
    assert read_cell("invoice_date", "01/02/2025", found) == date(2025, 1, 2)
    assert read_cell("due_date", "01/02/2025", found) == date(2025, 2, 1)


def test_date_order_of_the_project_without_proof() -> None:
    assert read_all("due_date", ["01/02/2025"], date_order="day_first") == ["2025-02-01"]
    assert read_all("due_date", ["1/25/2025", "01/02/2025"], date_order="day_first")[1] == "2025-01-02"


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["19", "7,5", "1"], ["0.19", "0.075", "0.01"]),
        (["0,19", "0.07"], ["0.19", "0.07"]),
        (["19%", "7 %"], ["0.19", "0.07"]),
        ([Decimal("0.19"), Decimal("19")], ["refused: 0.19 is a fraction or a percentage", "0.19"]),
    ],
)
def test_rates_of_a_column(cells: list[Any], read: list[str]) -> None:
    found = read_all("tax_rate", cells)
    assert all(one.startswith(other) for one, other in zip(found, read, strict=True)), found


def test_names_a_faulty_cell() -> None:
    with pytest.raises(ValueError, match="cell C2 has the error"):
        read_cell("subtotal", CellFault("C2", "the error #REF!"), Conventions())


@pytest.mark.parametrize(
    ("cell", "read"), [("A\n B", "A B"), (Decimal(1001), "1001"), (date(2025, 1, 2), "2025-01-02"), ("00042", "00042")]
)
def test_text_cells(cell: Any, read: str) -> None:
    assert read_cell("invoice_number", cell, Conventions()) == read


amounts = st.decimals(min_value=0, max_value=10**9, places=2, allow_nan=False, allow_infinity=False)


@given(st.lists(amounts, min_size=1), st.sampled_from([("comma", ",", "."), ("point", ".", ",")]))
def test_reads_back_any_amount(values: list[Decimal], style: tuple[Any, str, str]) -> None:
    mark, decimal, group = style
    written = [f"{value:,.2f}".replace(",", "_").replace(".", decimal).replace("_", group) for value in values]
    found = find_conventions({"grand_total": written})
    assert found.decimal_mark == mark
    assert [read_cell("grand_total", text, found) for text in written] == values
    # Without decimals, as whole amounts in the same column.
    whole = [int(value) for value in values]
    texts = [f"{value:,}".replace(",", group) for value in whole]
    assert [read_cell("grand_total", text, found) for text in texts] == whole


@given(st.lists(st.dates(date(2001, 1, 1), date(2099, 12, 31)), min_size=1), st.sampled_from(["%d/%m/%Y", "%m-%d-%Y"]))
def test_reads_back_or_rejects_any_date(values: list[date], date_format: str) -> None:
    written = [value.strftime(date_format) for value in values]
    found = find_conventions({"invoice_date": written})
    proven = any(value.day > 12 for value in values)
    for value, text in zip(values, written, strict=True):
        if proven or value.day == value.month:
            assert read_cell("invoice_date", text, found) == value
        else:
            with pytest.raises(ValueError, match="date_order"):
                read_cell("invoice_date", text, found)


@given(st.text(max_size=70))
def test_any_text_is_read_or_rejected(text: str) -> None:
    for read in (read_amount, read_date):
        for setting in (None, "comma", "point") if read is read_amount else (None, "day_first", "month_first"):
            try:
                read(text, setting)  # type: ignore[operator]
            except (ValueError, ArithmeticError):
                continue
