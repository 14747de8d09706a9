"""Rules of declared types on single values, dates and missing values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from declared_examples import PROPERTIES, finding, problems

VAT, FAPIAO = "DE136695976", "24952000000012345678"


@pytest.mark.parametrize(
    ("rule", "content", "expected"),
    [
        ({"values": ["A", "B"], "field": "number"}, {"number": "B"}, "pass"),
        ({"values": ["A", "B"], "field": "number"}, {"number": "C"}, "fail"),
        ({"values": ["A"], "field": "number"}, {}, "not checkable"),
        ({"values": ["A"], "field": "number"}, {"number": " "}, "not checkable"),
        ({"values": [0, 0.1], "field": "total"}, {"total": "0.10"}, "pass"),
        ({"values": [0, 0.1], "field": "total"}, {"total": "0.2"}, "fail"),
        ({"values": ["A"], "field": "items[].code"}, {"items": [{"code": "A"}, {}]}, "pass"),
        ({"values": ["A"], "field": "items[].code"}, {"items": [{"code": "A"}, {"code": "B"}]}, "fail"),
        ({"pattern": "^R-[0-9]+$", "field": "number"}, {"number": "R-1"}, "pass"),
        ({"pattern": "^R-[0-9]+$", "field": "number"}, {"number": "R-"}, "fail"),
        ({"pattern": "^(a+)+$", "field": "number"}, {"number": "a" * 999 + "!"}, "fail"),
        ({"pattern": "^[0-9]$", "field": "items[].code"}, {"items": [{"code": "1"}, {"code": "x"}]}, "fail"),
        ({"checksum": "eu.vat", "field": "number"}, {"number": VAT}, "pass"),
        ({"checksum": "eu.vat", "field": "number"}, {"number": VAT[:-1] + "7"}, "fail"),
        ({"checksum": "iban", "field": "number"}, {"number": "DE89 3704 0044 0532 0130 00"}, "pass"),
        ({"checksum": "cn.uscc", "field": "number"}, {"number": "91110000600037341L"}, "pass"),
        ({"checksum": "es.nif", "field": "number"}, {"number": "54362315K"}, "pass"),
        ({"checksum": "fr.vat", "field": "number"}, {"number": "40303265045"}, "pass"),
        ({"checksum": "fapiao", "field": "number"}, {"number": FAPIAO}, "pass"),
        ({"checksum": "fapiao", "field": "number"}, {"number": "12345678"}, "pass"),
        ({"checksum": "fapiao", "field": "number"}, {"number": "044031900111 12345678"}, "pass"),
        ({"checksum": "fapiao", "field": "number"}, {"number": "1234567"}, "fail"),
        ({"checksum": "iban", "field": "number"}, {"number": "x" * 1000}, "fail"),
        ({"checksum": "iban", "field": "number"}, {"number": "DE89 **** **** 3000"}, "not checkable"),
        ({"checksum": "cn.taxpayer", "field": "number"}, {"number": "91110000600037341L"}, "pass"),
        ({"checksum": "cn.taxpayer", "field": "number"}, {"number": "310115791234567"}, "pass"),
        ({"checksum": "cn.taxpayer", "field": "number"}, {"number": "91110000600037341M"}, "fail"),
        ({"order": ["day", "due"]}, {"day": "2025-01-01", "due": "2025-01-01"}, "pass"),
        ({"order": ["day", "due"]}, {"day": "2025-01-02", "due": "2025-01-01"}, "fail"),
        ({"order": ["day", "due"]}, {"day": "2025-01-02"}, "not checkable"),
        ({"order": ["items[].from", "items[].to"]}, {"items": [{"from": "2025-01-02", "to": "2025-01-01"}]}, "fail"),
        ({"order": ["day", "items[].to"]}, {"day": "2025-01-01", "items": [{"to": "2025-01-02"}, {}]}, "pass"),
        ({"required": "number"}, {"number": "1"}, "pass"),
        ({"required": ["number", "items"]}, {"number": "1", "items": [{"code": "A"}]}, "pass"),
        ({"required": "items[].code"}, {"items": [{"code": "A"}, {"total": 1}]}, "not checkable"),
        ({"required": "number"}, {"kind": "sale"}, "not checkable"),
        ({"required": "number", "when": "kind = refund"}, {"kind": "sale"}, "pass"),
        ({"required": "number", "when": "kind = refund"}, {}, "not checkable"),
        ({"values": ["A"], "field": "number", "when": "total = 1.00"}, {"total": 1, "number": "B"}, "fail"),
        ({"values": ["A"], "field": "number", "when": "day"}, {"day": "2025-01-01", "number": "B"}, "fail"),
        ({"chinese_amount": "total_in_words", "field": "total"}, {"total": 12, "total_in_words": "壹拾贰圆整"}, "pass"),
        ({"chinese_amount": "total_in_words", "field": "total"}, {"total": 13, "total_in_words": "壹拾贰圆整"}, "fail"),
        ({"chinese_amount": "total_in_words", "field": "total"}, {"total": 13, "total_in_words": "?"}, "not checkable"),
        ({"chinese_amount": "total_in_words", "field": "total"}, {"total": 13}, "not checkable"),
    ],
)
def test_verdict_of_a_rule(tmp_path: Path, rule: dict[str, Any], content: dict[str, Any], expected: str) -> None:
    assert finding(tmp_path, rule, content).status == expected


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ({"required": "number"}, {"kind": "sale"}),
        ({"required": "items"}, {"items": []}),
        ({"required": "items[].code"}, {"items": [{"code": "A"}, {"total": 1}]}),
        ({"required": "number", "when": "kind = refund"}, {"kind": "refund"}),
    ],
)
def test_required_value_fails_in_a_complete_document(tmp_path: Path, rule: Any, content: Any) -> None:
    assert finding(tmp_path, rule, content, complete=True).status == "fail"


def test_detail_names_value_row_and_reason(tmp_path: Path) -> None:
    rows = [{"code": "A"}, {"code": "DE89370400440532013001"}]
    found = finding(tmp_path, {"checksum": "iban", "field": "items[].code", "severity": "warn"}, {"items": rows[1:]})
    assert found.detail == "row 1: items[].code 'DE89370400440532013001' has a wrong check digit (iban)"
    assert found.level == "warn"


@pytest.mark.parametrize(
    ("rule", "reason", "hint"),
    [
        ({"equation": "totl = tax"}, "names no field: totl", "did you mean total"),
        ({"equation": "number = tax"}, "number has kind identifier", "amount or quantity or rate"),
        ({"order": ["day", "total"]}, "total has kind amount", "kind date"),
        ({"order": ["day", "day"]}, "names a field twice", "remove"),
        ({"values": ["x"], "field": "total"}, "'x' is not a number", "amount"),
        ({"values": [True], "field": "number"}, "neither text nor a number", ""),
        ({"values": ["x"]}, "values needs a field", ""),
        ({"equation": "total = tax", "field": "total"}, "field is for values", ""),
        ({"values": ["x"], "field": "number", "tolerance": 1}, "tolerance is for equation", ""),
        ({"pattern": "(", "field": "number"}, "not a pattern", "regular expression"),
        ({"pattern": "(?=a)", "field": "number"}, "look-around", "without look-around"),
        ({"pattern": "a" * 501, "field": "number"}, "501 characters", "1 to 500"),
        ({"pattern": "a", "field": "total"}, "total has kind amount", "text"),
        ({"checksum": "es.nief", "field": "number"}, "no format 'es.nief'", "did you mean es.nif"),
        ({"checksum": "os.path", "field": "number"}, "no format 'os.path'", ""),
        ({"checksum": "../util", "field": "number"}, "no format", ""),
        ({"checksum": "util", "field": "number"}, "no format", ""),
        ({"checksum": "us.vat", "field": "number"}, "no format 'us.vat'", ""),
        ({"required": "nubmer"}, "names no field: nubmer", "did you mean number"),
        ({"required": "number", "when": "kind = sold"}, "'sold' is not a value of kind", "sale, refund"),
        ({"required": "number", "when": "= x"}, "found '= x'", "when: field = value"),
        ({"required": "number", "when": "items[].code"}, "is a column", "outside of lists"),
        ({"required": "number", "when": "total = x"}, "'x' is not a number", ""),
        ({"required": "number", "when": "day = 31.01.2025"}, "is not a date", "2025-01-31"),
        ({"chinese_amount": "total", "field": "total"}, "total has kind amount", "text"),
        ({"equation": "total = tax", "order": ["day", "due"]}, "found equation and order", ""),
        ({}, "found none", ""),
        ({"equation": "total = tax", "sentense": "x"}, "unknown key", "did you mean sentence"),
    ],
)
def test_refuses_a_wrong_rule(tmp_path: Path, rule: dict[str, Any], reason: str, hint: str) -> None:
    rules = [{"name": "RULE", "sentence": "It is right.", **rule}]
    found = problems(tmp_path, PROPERTIES, {"title": "document", "rules": rules})
    assert found.startswith("/type/document_type.yaml:")
    assert reason in found
    assert hint in found


def test_two_rules_with_one_name_are_refused(tmp_path: Path) -> None:
    rules = [{"name": "A", "sentence": "x", "required": "number"}] * 2
    assert "'A' is the name of another rule" in problems(tmp_path, PROPERTIES, {"title": "t", "rules": rules})
