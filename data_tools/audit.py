"""Invoices held against the rules of EN 16931: canonical answers, ground truth, e-invoices and PDF that carry one."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simplejson

from data_tools.sources.einvoice import FoundInvoice, is_pdf, is_xml, read_einvoice, read_pdf
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.reading import parse_value, shown
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import read_bytes
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.einvoice_rules import check_einvoice

_REMEDY = "expected a canonical answer or ground truth (JSON), UBL or CII (XML), or a PDF that carries one of these two"


@dataclass(frozen=True)
class Audit:
    """What the rules say of one file.

    Attributes:
        path: the file.
        kind: what it was found to be: `UBL invoice`, `ground truth`.
        number: the invoice's number; None where it has none.
        findings: one for each rule.
    """

    path: Path
    kind: str
    number: str | None
    findings: tuple[rules.Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether a rule of level error failed."""
        return bool(rules.failures(self.findings))

    @property
    def checked(self) -> int:
        """How many rules had all their operands."""
        return sum(finding.status != "not checkable" for finding in self.findings)


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be audited.

    Attributes:
        path: the file.
        problem: what is wrong with it, and what to do.
    """

    path: Path
    problem: Problem


def audit_files(paths: Sequence[Path]) -> list[Audit | Unreadable]:
    """Hold each file against the rules that its kind allows; a file that cannot be read stops none of the others."""
    return [_audit_or_problem(path) for path in paths]


def exit_code(audits: Sequence[Audit | Unreadable]) -> int:
    """2 if a file could not be read, else 1 if a rule of level error failed, else 0."""
    if any(isinstance(each, Unreadable) for each in audits):
        return 2
    return int(any(isinstance(each, Audit) and each.failed for each in audits))


def _audit_or_problem(path: Path) -> Audit | Unreadable:
    try:
        return _audit(path, read_bytes(path))
    except AdapterError as error:
        what = "; ".join(problem.what for problem in error.problems)
        remedy = next((problem.remedy for problem in error.problems if problem.remedy), "")
        return Unreadable(path, Problem(str(path), what, remedy))
    except (ValueError, RecursionError) as error:
        return Unreadable(path, Problem(str(path), str(error)[:2000] or "nested too deeply", _REMEDY))


def _audit(path: Path, raw: bytes) -> Audit:
    """What a file is, is told by how it begins."""
    if is_pdf(raw):
        return _of_einvoice(path, read_pdf(raw))
    if is_xml(raw):
        return _of_einvoice(path, read_einvoice(raw))
    if raw.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        return _of_answer(path, parse_value(raw.removeprefix(BOM_UTF8)))
    raise ValueError("neither JSON, XML nor PDF")


def _of_einvoice(path: Path, found: FoundInvoice) -> Audit:
    return Audit(path, found.kind, found.invoice.number, check_einvoice(found.invoice))


def _of_answer(path: Path, value: Any) -> Audit:
    if not isinstance(value, dict):
        raise ValueError(f"JSON, but no object: {shown(value)}")
    truth = read_ground_truth(value)
    answer, fault = truth.answer, truth.fault
    kind = truth.kind if truth.kind == "canonical answer" else "ground truth"
    client = answer.structured_data.client_info
    number = client.invoice_number if client else None
    return Audit(path, f"{kind} (declared fault: {fault})" if fault else kind, number, rules.check(answer))


def json_text(audits: Sequence[Audit | Unreadable]) -> str:
    """The audits as one line of JSON in ASCII: names of files and what documents say can steer no terminal."""
    return simplejson.dumps([as_json(each) for each in audits], ensure_ascii=True, separators=(",", ":"))


def as_json(audit: Audit | Unreadable) -> dict[str, Any]:
    """An audit for programs; of a file that could not be read the error and what to do."""
    file = os.fsencode(audit.path).decode(errors="replace")
    if isinstance(audit, Unreadable):
        return {"file": file, "error": audit.problem.what, "hint": audit.problem.remedy}
    return {
        "file": file,
        "kind": audit.kind,
        "number": audit.number,
        "failed": audit.failed,
        "checked": audit.checked,
        "rules": [finding._asdict() for finding in audit.findings],
    }
