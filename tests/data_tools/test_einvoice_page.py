"""docs/einvoices.md: its commands run, and its table lists the rules of the code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from einvoice_rule_table import RuleText, rule_table

from erniekit_adapter.documents.invoice.einvoice import EInvoice, VatRow
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.documents.invoice.vat_rules import CATEGORIES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "einvoices.md").read_text()
COMMANDS = [line.removeprefix("$ ") for line in PAGE.splitlines() if line.startswith("$ ")]
EVERY_CATEGORY = EInvoice(vat_breakdown=tuple(VatRow(Decimal(1), Decimal(0), code, None) for code in CATEGORIES))


def row(rules: RuleText) -> str:
    names = ", ".join(f"`{name}`" for name in rules.names) + (" (warns)" if rules.warns else "")
    return f"| {names} | {rules.compares} | {rules.ubl} | {rules.cii} |"


def test_table_has_the_text_of_every_rule() -> None:
    header = "| rule | compares | in UBL | in CII |\n| --- | --- | --- | --- |\n"
    found = re.search(re.escape(header) + r"((\|.*\n)+)", PAGE)
    assert found
    assert found[1].splitlines() == [row(rules) for rules in rule_table()]


def test_table_lists_every_rule_once() -> None:
    names = [name for rules in rule_table() for name in rules.names]
    assert sorted(names) == sorted({finding.rule for finding in check_einvoice(EVERY_CATEGORY)})


@pytest.mark.parametrize("syntax", ["UBL", "CII"])
def test_table_marks_rules_that_warn(syntax: str) -> None:
    found = check_einvoice(replace(EVERY_CATEGORY, syntax=syntax))
    exactness = {"UBL": "ubl", "CII": "cii"}[syntax]
    warning = {
        name
        for rules in rule_table()
        for name in rules.names
        if rules.warns or getattr(rules, exactness).endswith("warns")
    }
    assert warning == {finding.rule for finding in found if finding.level == "warn"}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the page, with runs/ replaced by a folder of the test."""
    words = [word.replace("./runs/", f"{folder}/").replace("runs/", f"{folder}/") for word in shlex.split(command)]
    assert words[0] == ".venv/bin/erniekit-adapter"
    return subprocess.run(
        [sys.executable, "-m", "erniekit_adapter", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_commands_run(tmp_path: Path) -> None:
    done = [run(command, tmp_path) for command in COMMANDS]
    assert [each.returncode for each in done] == [0] * 4, [each.stderr for each in done]
    assert "UBL credit note GS-7" in done[0].stdout
    assert "credit_note" in done[3].stdout


@pytest.mark.slow
def test_lists_exit_codes(tmp_path: Path) -> None:
    cases = "tests/data_tools/cases/einvoice"
    audit = f".venv/bin/erniekit-adapter data audit {cases}/05_chargeindicator_0.xml"
    codes = [run(f"{audit} {more}", tmp_path).returncode for more in ("", f"{cases}/35_dup_rate_rows.xml", "gone.xml")]
    assert codes == [0, 1, 2]
    assert [re.search(rf"^\| {code} \|", PAGE, re.MULTILINE) is not None for code in codes] == [True] * 3
