"""Small declared document types with pages in the layouts of banks, shops and tax offices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from type_examples import write_type

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType

TEXT, DATE = {"type": "string", "x-kind": "text"}, {"type": "string", "x-kind": "date"}
ADDRESS, IDENTIFIER = {"type": "string", "x-kind": "address"}, {"type": "string", "x-kind": "identifier"}
AMOUNT, QUANTITY = {"type": "number", "x-kind": "amount"}, {"type": "number", "x-kind": "quantity"}


def with_role(part: dict[str, Any], role: str, **more: Any) -> dict[str, Any]:
    return {**part, "x-role": role, **more}


def rows(**columns: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": columns}}


def statement_type(folder: Path, **definition: Any) -> DocumentType:
    """Return a bank statement: opening balance + movements = closing balance."""
    properties = {
        "bank": with_role(TEXT, "issuer"),
        "account": {"type": "object", "properties": {"iban": with_role(IDENTIFIER, "number"), "owner": TEXT}},
        "currency": with_role({"type": "string", "x-kind": "currency"}, "currency"),
        "opened": DATE,
        "closed": DATE,
        "opening_balance": AMOUNT,
        "movements": rows(
            booked=DATE,
            text=with_role(TEXT, "description"),
            amount=with_role(AMOUNT, "line_total"),
            balance=AMOUNT,
        ),
        "closing_balance": with_role(AMOUNT, "total"),
    }
    balance = {
        "name": "BALANCE",
        "sentence": "The movements lead from the opening to the closing balance.",
        "equation": "closing_balance = opening_balance + sum(movements[].amount)",
    }
    order = {"name": "PERIOD", "sentence": "The period ends after its start.", "order": ["opened", "closed"]}
    given = {"title": "bank statement", "answer": {"verdict": True}, "rules": [balance, order]}
    return write_type(folder / "statement", properties, {**given, **definition})


def order_type(folder: Path) -> DocumentType:
    """Return a purchase order, whose keys are those of a team."""
    properties = {
        "buyer": with_role(TEXT, "issuer"),
        "order_no": with_role(IDENTIFIER, "number"),
        "positions": rows(
            article=IDENTIFIER,
            name=with_role(TEXT, "description"),
            pieces=with_role(QUANTITY, "quantity"),
            price=with_role(AMOUNT, "unit_price"),
            sum=with_role(AMOUNT, "line_total"),
            due=DATE,
        ),
        "net": with_role(AMOUNT, "total"),
    }
    return write_type(folder / "order", properties, {"title": "purchase order"})


def fapiao_type(folder: Path) -> DocumentType:
    """Return a Chinese VAT invoice with Chinese keys."""
    properties = {
        "发票号码": with_role(IDENTIFIER, "number"),
        "开票日期": DATE,
        "销售方": with_role(TEXT, "issuer"),
        "销售方识别号": IDENTIFIER,
        "项目": rows(
            名称=with_role(TEXT, "description"),
            规格型号=TEXT,
            数量=with_role(QUANTITY, "quantity"),
            单价=with_role(AMOUNT, "unit_price"),
            金额=with_role(AMOUNT, "line_total"),
            税率={"type": "number", "x-kind": "rate", "x-percent": True},
            税额=AMOUNT,
        ),
        "合计金额": AMOUNT,
        "合计税额": AMOUNT,
        "价税合计": with_role(AMOUNT, "total"),
        "价税合计大写": TEXT,
        "币种": with_role({"type": "string", "x-kind": "currency"}, "currency"),
    }
    return write_type(folder / "fapiao", properties, {"title": "增值税发票", "language": "zh"})


def receipt_type(folder: Path) -> DocumentType:
    """Return a receipt with a code list, a list of texts, and numbers that are written as text."""
    properties = {
        "shop": {
            "type": "object",
            "properties": {"name": with_role(TEXT, "issuer"), "address": ADDRESS},
        },
        "paid_by": {"enum": ["cash", "card", "voucher"]},
        "notes": {"type": "array", "items": TEXT},
        "taxes": rows(rate={"type": "string", "x-kind": "rate"}, tax={"type": "string", "x-kind": "amount"}),
        "total": with_role({"type": "string", "x-kind": "amount"}, "total"),
        "is_copy": {"type": "boolean"},
    }
    return write_type(folder / "receipt", properties, {"title": "receipt"})


STATEMENT: dict[str, Any] = {
    "bank": "Volksbank Musterstadt eG",
    "account": {"iban": "DE89 3704 0044 0532 0130 00", "owner": "Erika Beispiel"},
    "currency": "EUR",
    "opened": "2026-08-31",
    "closed": "2026-09-30",
    "opening_balance": 812.40,
    "movements": [
        {"booked": "2026-09-01", "text": "Spotify AB", "amount": -12.99},
        {"booked": "2026-09-02", "text": "REWE Markt GmbH", "amount": -23.47},
        {"booked": "2026-09-15", "text": "Café Blum GmbH Lohn September", "amount": 450.00},
        {"booked": "2026-09-30", "text": "Miete Marienplatz", "amount": -420.00},
    ],
    "closing_balance": 805.94,
}
# Amounts and days are above the text of each movement; the year is only in other lines.
STATEMENT_PAGE = """Volksbank Musterstadt eG
Kontoauszug 9/2026 Erstellt am 30.09.2026
Erika Beispiel IBAN DE89 3704 0044 0532 0130 00 EUR-Konto
Bu-Tag Wert Vorgang Soll Haben
alter Kontostand vom 31.08.2026 812,40 H
01.09. 01.09. Basislastschrift PN:931 12,99 S
Spotify AB
EREF: 1234567890
02.09. 02.09. Kartenzahlung girocard PN:801 23,47 S
REWE Markt GmbH
15.09. 15.09. Gutschrift PN:166 450,00 H
Café Blum GmbH Lohn September
30.09. 30.09. Dauerauftrag PN:900 420,00 S
Miete Marienplatz
neuer Kontostand vom 30.09.2026 805,94 H"""

ENGLISH: dict[str, Any] = {
    "bank": "Chase Valley Bank",
    "account": {"iban": "4411-2093"},
    "opening_balance": 5000,
    "movements": [
        {"booked": "2024-01-02", "text": "GROCERY STORE", "amount": -45.67, "balance": 4954.33},
        {"booked": "2024-01-05", "text": "CARD PAYMENT", "amount": -35, "balance": 4919.33},
        {"booked": "2024-01-05", "text": "CARD PAYMENT", "amount": -120, "balance": 4799.33},
        {"booked": "2024-01-08", "text": "SALARY", "amount": 2500, "balance": 7299.33},
    ],
    "closing_balance": 7299.33,
}
ENGLISH_ROWS: list[list[tuple[float, str]]] = [
    [(0, "CHASE VALLEY BANK")],
    [(0, "Account Number: 4411-2093")],
    [(0, "Opening Balance"), (200, "$5,000.00")],
    [(0, "Date"), (80, "Description"), (250, "Amount"), (330, "Balance")],
    [(0, "01/02/2024"), (80, "GROCERY STORE"), (250, "-$45.67"), (330, "$4,954.33")],
    [(0, "01/05/2024"), (80, "CARD PAYMENT"), (250, "-$35.00"), (330, "$4,919.33")],
    [(80, "CARD PAYMENT"), (250, "-$120.00"), (330, "$4,799.33")],
    [(0, "01/08/2024"), (80, "SALARY"), (250, "+$2,500.00"), (330, "$7,299.33")],
    [(0, "Closing Balance"), (200, "$7,299.33")],
]

ORDER: dict[str, Any] = {
    "buyer": "Muster Maschinenbau GmbH",
    "order_no": "BE-4711",
    "positions": [
        {"article": "88-120", "name": "Kugellager 6204", "pieces": 40, "price": 3.15, "sum": 126, "due": "2025-04-07"},
        {"article": "88-450", "name": "Wellendichtring", "pieces": 12, "price": 2.5, "sum": 30, "due": "2025-04-14"},
    ],
    "net": 156,
}
ORDER_PAGE = """Muster Maschinenbau GmbH
Bestellung BE-4711 vom 20.03.2025
Pos Bezeichnung Menge Einzelpreis Gesamtpreis
1 Kugellager 6204 40 Stk 3,15 126,00
Art.-Nr. 88-120 Liefertermin 07.04.2025
2 Wellendichtring 12 Stk 2,50 30,00
Art.-Nr. 88-450 Liefertermin 14.04.2025
Nettosumme 156,00"""

FAPIAO: dict[str, Any] = {
    "发票号码": "25952000000130340249",
    "开票日期": "2025-06-24",
    "销售方": "杭州某某食品有限公司",
    "销售方识别号": "91330106MA2CFLDG4R",
    "项目": [
        {"名称": "*水果*苹果", "规格型号": "箱", "数量": 2, "单价": 44.95, "金额": 89.91, "税率": 9, "税额": 8.09},
        {
            "名称": "*焙烤食品*饼干欢乐礼盒",
            "规格型号": "385g",
            "数量": 1,
            "单价": 35.31,
            "金额": 35.31,
            "税率": 13,
            "税额": 4.59,
        },
    ],
    "合计金额": 125.22,
    "合计税额": 12.68,
    "价税合计": 137.90,
    "价税合计大写": "壹佰叁拾柒元玖角",
    "币种": "CNY",
}
FAPIAO_ROWS: list[list[tuple[float, str]]] = [
    [(150, "电子发票（普通发票）"), (400, "发票号码：25952000000130340249")],
    [(400, "开票日期：２０２５年06月24日")],
    [(0, "销售方名称：杭州某某食品有限公司")],
    [(0, "统一社会信用代码/纳税人识别号：91330106MA2CFLDG4R")],
    [
        (16, "项目名称"),
        (122, "规格型号"),
        (200, "单位"),
        (280, "数量"),
        (343, "单价"),
        (410, "金额"),
        (460, "税率/征收率"),
        (560, "税额"),
    ],
    [
        (16, "*水果*苹果"),
        (122, "箱"),
        (200, "个"),
        (288, "2"),
        (343, "44.95"),
        (415, "89.91"),
        (469, "9%"),
        (568, "8.09"),
    ],
    [
        (16, "*焙烤食品*饼干"),
        (122, "385g"),
        (200, "袋"),
        (288, "1"),
        (343, "35.31"),
        (415, "35.31"),
        (467, "13%"),
        (568, "4.59"),
    ],
    [(16, "欢乐礼盒")],
    [(60, "合"), (105, "计"), (402, "¥125.22"), (554, "¥12.68")],
    [(50, "价税合计（大写）"), (182, "壹佰叁拾柒圆玖角整"), (409, "（小写）"), (446, "¥ 137.90")],
]

RECEIPT: dict[str, Any] = {
    "shop": {"name": "Bäckerei Korn", "address": "Hauptstr. 5, 80331 München"},
    "paid_by": "cash",
    "notes": ["Vielen Dank für Ihren Einkauf", "Umtausch nur mit Bon"],
    "taxes": [{"rate": "0.07", "tax": "0.46"}, {"rate": "0.19", "tax": "1.92"}],
    "total": "19.05",
    "is_copy": False,
}
RECEIPT_PAGE = """BÄCKEREI KORN
Hauptstr. 5
80331 München
Gesamt EUR 19,05
BAR 20,05
7% MwSt 0,46
19% MwSt 1,92
Vielen Dank für Ihren Einkauf
Umtausch nur mit Bon"""


# Each row is printed in two lines, and the line above the first one has two numbers as well.
PAYSLIP = {
    "employee": "Tim Köhler",
    "earnings": [
        {"text": "Stundenlohn", "hours": 160, "rate": "18.75", "amount": "3000.00"},
        {"text": "Überstunden", "hours": 3, "rate": "23.44", "amount": "70.32"},
    ],
    "gross": "3070.32",
}
PAYSLIP_PAGE = """Tim Köhler
00531 / Klasse 5 / seit 01.01.2013
Stundenlohn
    Std. 160   EUR 18,75   3.000,00
Überstunden
    Std. 3   EUR 23,44   70,32
Summe brutto 3.070,32"""


def payslip_type(folder: Path) -> DocumentType:
    """Return a type of payslips."""
    column = {
        "text": {"type": "string", "x-role": "description"},
        "hours": {"type": "number", "x-kind": "quantity", "x-role": "quantity"},
        "rate": {"type": "number", "x-kind": "amount", "x-role": "unit_price"},
        "amount": {"type": "number", "x-kind": "amount", "x-role": "line_total"},
    }
    properties = {
        "employee": {"type": "string"},
        "earnings": {"type": "array", "items": {"type": "object", "properties": column}},
        "gross": {"type": "number", "x-kind": "amount", "x-role": "total"},
    }
    return write_type(folder / "payslip", properties)


def boxes(*lines: list[tuple[float, str]]) -> dict[str, Any]:
    """Return a page whose cells begin at the given x positions, one row below the other."""
    cells = [(text, x, 14.0 * number) for number, line in enumerate(lines) for x, text in line]
    sides = [[x, y, x + 5.0 * len(text), y + 10.0] for text, x, y in cells]
    return {"tokens": [text for text, _, _ in cells], "bboxes": sides}


def as_text(*lines: list[tuple[float, str]]) -> str:
    """Return the same page as lines of text without positions."""
    return "\n".join(" ".join(text for _, text in line) for line in lines)


def content_of(document_type: DocumentType, value: Any) -> dict[str, Any]:
    """Return the content of an example as the data stage has it."""
    exact = json_text.parse(json_text.compose(value))
    return document_type.content_of(document_type.read_content(exact))
