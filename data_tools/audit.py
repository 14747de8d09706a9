"""Invoices held against the rules of EN 16931: canonical answers, ground truth, e-invoices and PDF that carry one."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.sources.einvoice import FoundInvoice, is_pdf, is_xml, read_einvoice, read_pdf
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.reading import parse_value, shown
from erniekit_adapter.errors import AdapterError, Problem, UsageError
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


def audit_files(paths: Sequence[Path]) -> list[Audit]:
    """Hold each file against the rules that its kind allows.

    Raises:
        UsageError: files that are missing or that no reader recognises, all of them at once.
    """
    audits: list[Audit] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            audits.append(_audit(path, read_bytes(path)))
        except AdapterError as error:
            problems += error.problems
        except (ValueError, RecursionError) as error:
            problems.append(Problem(str(path), str(error)[:2000], _REMEDY))
    if problems:
        raise UsageError(problems)
    return audits


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
    answer, fault, _ = read_ground_truth(value)
    kind = "canonical answer" if "structured_data" in value else "ground truth"
    client = answer.structured_data.client_info
    number = client.invoice_number if client else None
    return Audit(path, f"{kind} (declared fault: {fault})" if fault else kind, number, rules.check(answer))


def as_json(audit: Audit) -> dict[str, Any]:
    """An audit for programs."""
    return {
        "file": str(audit.path),
        "kind": audit.kind,
        "number": audit.number,
        "failed": audit.failed,
        "checked": audit.checked,
        "rules": [finding._asdict() for finding in audit.findings],
    }
