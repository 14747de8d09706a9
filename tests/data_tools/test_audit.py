"""The audit command detects the kind of each file by its content and checks every file."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import answer, ground_truth
from einvoice_examples import CII, CREDIT_NOTE, UBL, pdf

from data_tools.inspect.audit import Audit, Unreadable, audit_files
from erniekit_adapter.cli import data_main as main

ANSWER = simplejson.dumps(answer()).encode()
FILES = {
    "canonical answer": ANSWER,
    "ground truth": simplejson.dumps(ground_truth()).encode(),
    "ground truth (declared fault: grand_total)": simplejson.dumps(ground_truth(fault="grand_total")).encode(),
    "UBL invoice": b"\xef\xbb\xbf\n" + UBL.replace('<?xml version="1.0" encoding="UTF-8"?>', "").encode(),
    "UBL credit note": CREDIT_NOTE.encode(),
    "CII invoice": CII.replace("UTF-8", "UTF-16").encode("utf-16"),
    "CII invoice in a PDF": b"\n" + pdf(xml=CII.encode()),
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter data", "audit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("kind", FILES)
def test_detects_the_kind_of_a_file_by_its_content(tmp_path: Path, kind: str) -> None:
    (audit,) = audit_files([write(tmp_path / "invoice.txt", FILES[kind])])
    assert isinstance(audit, Audit)
    assert (audit.kind, audit.number, audit.failed) == (kind, "RE-1", False)


def test_prints_every_rule_with_its_amounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    changed = UBL.replace(">18.85<", ">18.95<").replace("<PriceAmount>20</PriceAmount>", "")
    assert run(monkeypatch, write(tmp_path / "a.xml", changed.encode())) == 1
    out = capsys.readouterr().out
    assert "a.xml: UBL invoice RE-1" in out
    assert "fail           BR-CO-14     VAT [BT-110] 18.95 ≠ sum of 2 × BT-117 18.85" in out
    assert "pass           BR-CO-10     lines [BT-106] 120.00 = sum of 2 × BT-131 120.00" in out
    assert "not checkable  R120         missing: line 2: quantity" in out
    assert "2 failed, 0 warned" in out


def test_exit_code_is_0_if_a_rule_only_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, write(tmp_path / "a.xml", UBL.replace("2025-02-14", "2025-01-01").encode())) == 0
    assert "warn           DUE-DATE     due 2025-01-01 before issue date 2025-01-15" in capsys.readouterr().out


def test_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = simplejson.dumps(answer(grand_total=1119)).encode()
    paths = [write(tmp_path / "a", ANSWER), write(tmp_path / "b", wrong)]
    assert run(monkeypatch, "--json", *paths) == 1
    right, broken = json.loads(capsys.readouterr().out)
    assert [right["failed"], broken["failed"]] == [False, True]
    assert (broken["file"], broken["kind"], broken["number"]) == (str(paths[1]), "canonical answer", "RE-1")
    assert {
        "rule": "BR-CO-15",
        "status": "fail",
        "level": "error",
        "detail": "grand_total 1119 ≠ subtotal - discounts + taxes 119",
    } in broken["rules"]


def test_continues_after_an_unreadable_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = [tmp_path / "gone.xml", write(tmp_path / "b", b"hello"), write(tmp_path / "c", ANSWER)]
    assert run(monkeypatch, *paths) == 2
    out, err = capsys.readouterr()
    assert "c: canonical answer RE-1" in out
    assert "gone.xml: no such file" in err
    assert "b: not JSON, XML or PDF\n    → give" in err
    assert "Traceback" not in err


def test_json_contains_the_error_of_an_unreadable_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = simplejson.dumps(answer(grand_total=1119)).encode()
    paths = [write(tmp_path / "a", b"<a>"), write(tmp_path / "b", wrong), tmp_path]
    assert run(monkeypatch, "--json", *paths) == 2
    broken, failed, folder = json.loads(capsys.readouterr().out)
    assert broken["file"] == str(paths[0])
    assert broken["error"] == "line 1: not well-formed XML: no element found"
    assert broken["hint"].startswith("give a canonical answer")
    assert failed["failed"]
    assert folder["error"] == "not a regular file"


HOSTILE = "RE\x1b[31m\x9b2J\u202e\nfake: pass"


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_prints_no_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, option: tuple[str, ...]
) -> None:
    value = answer()
    value["structured_data"]["client_info"]["invoice_number"] = HOSTILE
    value["structured_data"]["financial_summary"]["currency"] = HOSTILE
    # Control characters in an invoice number, a root's name, an encoding, and a file name.
    paths = [
        write(tmp_path / "a\x1b[31m.json", simplejson.dumps(value).encode()),
        write(tmp_path / "b.xml", UBL.replace(">2<", ">\u009b2J<").encode()),
        write(tmp_path / "c.xml", "<a\u0300 xmlns='urn:\u009b\u202e'/>".encode()),
        write(tmp_path / "d-\udcfc.xml", b"<?xml version='1.0' encoding='\x1b[31m'?><a/>"),
    ]
    run(monkeypatch, *option, *paths)
    out, err = capsys.readouterr()
    assert {character for character in out + err if not character.isprintable()} == {"\n"}
    assert "\nfake" not in out


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON, XML or PDF"),
        (b"[]", "JSON, but not an object"),
        (b'{"a": 1}', "no ground truth of an invoice"),
        (b'{"structured_data": {"x": 1}}', "has no field"),
        (b'{"currency": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON|nested too deeply"),
        (b"<html/>", "not an e-invoice"),
        (b"<!DOCTYPE html><html/>", "DOCTYPE"),
        (b"%PDF-1.7", "not a readable PDF"),
        (pdf(), "a PDF without attachments"),
    ],
)
def test_files_of_unknown_kind_are_unreadable(tmp_path: Path, content: bytes, reason: str) -> None:
    (found,) = audit_files([write(tmp_path / "file", content)])
    assert isinstance(found, Unreadable)
    assert re.search(reason, found.problem.finding)
    assert found.problem.hint


def test_requires_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 2
