"""Check invoices against the rules of EN 16931: canonical answers, ground truth, e-invoices and PDF files with one."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simplejson

from data_tools.sources.einvoices.parse import FoundInvoice, is_pdf, is_xml, read_einvoice, read_pdf
from data_tools.sources.files.json_values import parse_value, shown
from data_tools.sources.ground_truth import read_ground_truth
from erniekit_adapter.documents.invoice.answer import as_invoice
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import Finding, failures
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import read_bytes

_HINT = "give a canonical answer or ground truth (JSON), UBL or CII (XML), or a PDF file with UBL or CII in it"


@dataclass(frozen=True)
class Audit:
    """Results of the rules on one file.

    Attributes:
        path: the file.
        kind: detected kind: `UBL invoice`, `ground truth`.
        number: invoice number; None if it has none.
        findings: one for each rule.
    """

    path: Path
    kind: str
    number: str | None
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Return whether a rule of level error failed."""
        return bool(failures(self.findings))

    @property
    def checked(self) -> int:
        """Return the number of rules that could be checked."""
        return sum(finding.status != "not checkable" for finding in self.findings)


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be checked.

    Attributes:
        path: the file.
        problem: the finding and a hint.
    """

    path: Path
    problem: Problem


def audit_files(paths: Sequence[Path]) -> list[Audit | Unreadable]:
    """Check each file against the rules for its kind; an unreadable file does not stop the others."""
    return [_audit_or_problem(path) for path in paths]


def exit_code(audits: Sequence[Audit | Unreadable]) -> int:
    """Return 2 if a file could not be read, 1 if a rule of level error failed, else 0."""
    if any(isinstance(each, Unreadable) for each in audits):
        return 2
    return int(any(isinstance(each, Audit) and each.failed for each in audits))


def _audit_or_problem(path: Path) -> Audit | Unreadable:
    try:
        return _audit(path, read_bytes(path))
    except AdapterError as error:
        finding = "; ".join(problem.finding for problem in error.problems)
        hint = next((problem.hint for problem in error.problems if problem.hint), "")
        return Unreadable(path, Problem(str(path), finding, hint))
    except (ValueError, RecursionError) as error:
        return Unreadable(path, Problem(str(path), str(error)[:2000] or "nested too deeply", _HINT))


def _audit(path: Path, raw: bytes) -> Audit:
    """Detect the kind of a file by its first bytes, and check it."""
    if is_pdf(raw):
        return _of_einvoice(path, read_pdf(raw))
    if is_xml(raw):
        return _of_einvoice(path, read_einvoice(raw))
    if raw.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        return _of_answer(path, parse_value(raw.removeprefix(BOM_UTF8)))
    raise ValueError("not JSON, XML or PDF")


def _of_einvoice(path: Path, found: FoundInvoice) -> Audit:
    return Audit(path, found.kind, found.invoice.number, check_einvoice(found.invoice))


def _of_answer(path: Path, value: Any) -> Audit:
    if not isinstance(value, dict):
        raise ValueError(f"JSON, but not an object: {shown(value)}")
    truth = read_ground_truth(value)
    answer, fault = as_invoice(truth.answer), truth.fault
    kind = truth.kind if truth.kind == "canonical answer" else "ground truth"
    client = answer.structured_data.client_info
    number = client.invoice_number if client else None
    return Audit(path, f"{kind} (declared fault: {fault})" if fault else kind, number, RULES.check(answer))


def json_text(audits: Sequence[Audit | Unreadable]) -> str:
    """Return the results as one line of ASCII JSON, so that texts of documents cannot control a terminal."""
    return simplejson.dumps([as_json(each) for each in audits], ensure_ascii=True, separators=(",", ":"))


def as_json(audit: Audit | Unreadable) -> dict[str, Any]:
    """Return a result as JSON; for an unreadable file, the error and a hint."""
    file = os.fsencode(audit.path).decode(errors="replace")
    if isinstance(audit, Unreadable):
        return {"file": file, "error": audit.problem.finding, "hint": audit.problem.hint}
    return {
        "file": file,
        "kind": audit.kind,
        "number": audit.number,
        "failed": audit.failed,
        "checked": audit.checked,
        "rules": [finding._asdict() for finding in audit.findings],
    }
