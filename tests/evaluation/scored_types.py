"""Small document types for the tests of scoring: a receipt without rules, and a Chinese invoice with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType

AMOUNT = {"type": "number", "x-kind": "amount"}
TEXT = {"type": "string"}

# A value of every kind, outside of lists, in a list and in rows with an object.
PROPERTIES: dict[str, Any] = {
    "号码": {"type": "string", "x-kind": "identifier", "x-role": "number", "title": "发票号码"},
    "开票日期": {"type": "string", "format": "date"},
    "销售方": {"type": "object", "properties": {"名称": TEXT, "地址": {"type": "string", "x-kind": "address"}}},
    "种类": {"enum": ["普通", "专用"]},
    "已付": {"type": "boolean", "x-printed": True},
    "备注": {"type": "array", "items": TEXT},
    "明细": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "名称": TEXT,
                "价格": {"type": "object", "properties": {"金额": AMOUNT}},
                "税率": {"type": "number", "x-kind": "rate", "x-percent": True},
            },
        },
    },
    "附件": {"type": "array", "items": {"type": "object", "properties": {"页数": {"type": "integer"}}}},
    "大写": {"type": "string", "x-kind": "amount"},
    "合计": AMOUNT,
    "税额": AMOUNT,
    "价税合计": AMOUNT,
    "来源": {"type": "string", "x-printed": False},
}
RULES = [
    {"name": "合计", "sentence": "合计与税额之和等于价税合计。", "equation": "价税合计 = 合计 + 税额"},
    {"name": "大写", "sentence": "大写等于小写。", "severity": "warn", "equation": "大写 = 价税合计"},
]
CONTENT: dict[str, Any] = {
    "号码": "0012",
    "开票日期": "2024-01-31",
    "销售方": {"名称": "甲公司", "地址": "北京"},
    "种类": "专用",
    "已付": False,
    "备注": ["急", "急", "款"],
    "明细": [
        {"名称": "笔", "价格": {"金额": 1}, "税率": 13},
        {"名称": "纸", "价格": {"金额": 2.5}, "税率": 6},
    ],
    "附件": [{"页数": 3}],
    "大写": "4.00",
    "合计": 3.5,
    "税额": 0.5,
    "价税合计": 4,
}
VERDICT = {"校验": {"有效": True, "算术": True, "问题": []}}


def chinese_invoice(folder: Path) -> DocumentType:
    verdict = {"key": "校验", "is_valid": "有效", "math_verified": "算术", "issues": "问题"}
    definition = {"title": "增值税发票", "language": "zh", "rules": RULES, "answer": {"verdict": verdict}}
    return write_type(folder / "fapiao", PROPERTIES, definition)


def plain_receipt(folder: Path) -> DocumentType:
    """Return a type without tables, rules and verdict."""
    return write_type(folder / "plain-receipt", {"shop": TEXT, "total": AMOUNT})


def in_an_envelope(folder: Path) -> DocumentType:
    """Return a type whose content is under a key, with two tables of which the second has the line items."""
    row = {"type": "object", "properties": {"name": TEXT, "amount": AMOUNT}}
    properties = {
        "sums": {"type": "object", "properties": {"taxes": {"type": "array", "items": row}, "verdict": TEXT}},
        "positions": {"type": "array", "items": row, "x-line-items": True},
    }
    return write_type(folder / "envelope", properties, {"title": "order", "answer": {"content_key": "data"}})
