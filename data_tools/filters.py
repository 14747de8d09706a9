"""Filters that accept or reject a record. Each has a name, and returns the reason for a rejection or None.

`source`, `image`, `duplicate`, `held_out` and `max_samples` are applied elsewhere, because they need files or all
records; reports use the same names. A project sets the effect of a finding (`data.filters`), except for filters
without which an example would teach errors or stop the toolkit: these always reject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from data_tools.examples.building import TrainingExample
from data_tools.examples.toolkit_check import toolkit_problem
from data_tools.optional_packages import OCR_ENGINE
from data_tools.records import DocumentRecord
from data_tools.visibility import nothing_to_read
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.rules.rule import Finding, failures
from erniekit_adapter.project.schema import FiltersSection

# The chat template's tokens around request and answer, and the 8 tokens that ERNIEKit keeps free in each turn.
RESERVED_TOKENS = 32
_TEXT_ONLY: tuple[DataFormat, ...] = ("erniekit",)
MAX_REASON_CHARACTERS = 2000


@dataclass
class FilterOutcome:
    """Findings of the filters on one record.

    Attributes:
        levels: effect of a finding, by filter.
        rejection: the filter that rejects the record, with its reason.
        warnings: filters that accept the record with a warning, each with its reason.
    """

    levels: FiltersSection
    rejection: tuple[str, str] | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def level(self, filter_name: str) -> str:
        """Return the effect of a filter's finding; filters without a setting reject."""
        level = str(vars(self.levels).get(filter_name, "error"))
        return "error" if level == "unchecked" else level

    def add(self, filter_name: str, reason: str | None) -> bool:
        """Add a filter's finding, or None; return whether it rejects the record."""
        if reason is None:
            return False
        level = self.level(filter_name)
        if level == "off":
            return False
        finding = (filter_name, reason[:MAX_REASON_CHARACTERS])
        if level == "error":
            self.rejection = finding
        else:
            self.warnings.append(finding)
        return level == "error"

    def add_unchecked(self, reason: str | None) -> bool:
        """Add that a page's values cannot be looked for; return whether this rejects the record."""
        if reason is None or self.levels.visible != "unchecked":
            return self.add("visible", reason)
        self.warnings.append(("visible", f"unchecked: {reason}"[:MAX_REASON_CHARACTERS]))
        return False


def reviewed(record: DocumentRecord) -> str | None:
    """Require that a person confirmed the answer."""
    return None if record.reviewed else "this answer was not confirmed by a person"


def canonical(document_type: DocumentType, record: DocumentRecord) -> str | None:
    """Require an answer that is not empty."""
    if record.answer is None:
        return "has no answer"
    return "the answer is empty: none of its fields has a value" if document_type.is_empty(record.answer) else None


def arithmetic(record: DocumentRecord, findings: Iterable[Finding]) -> str | None:
    """Require amounts that keep the rules, unless the page is declared to break them."""
    if record.declared_fault is not None:
        return None
    failed = failures(findings)
    # If an amount itself is invalid, it is the cause of the failing sums.
    causes = [finding for finding in failed if finding.rule == "BR-DEC"]
    return "; ".join(str(finding) for finding in causes or failed) or None


def dates(findings: Iterable[Finding], document_type: DocumentType) -> str | None:
    """Require dates in order, such as a due date that is not before the invoice date."""
    about_dates = document_type.rules.about_dates
    broken = (finding for finding in failures(findings, "warn") if finding.rule in about_dates)
    return next((str(finding) for finding in broken), None)


def filter_record(
    record: DocumentRecord, findings: tuple[Finding, ...], outcome: FilterOutcome, document_type: DocumentType
) -> bool:
    """Apply the filters that need no page; return whether one rejects the record."""
    return (
        outcome.add("reviewed", reviewed(record))
        or outcome.add("canonical", canonical(document_type, record))
        or outcome.add("arithmetic", arithmetic(record, findings))
        or outcome.add("dates", dates(findings, document_type))
    )


def readable_request(record: DocumentRecord, data_format: DataFormat) -> str | None:
    """Require a request from which the answer can be read."""
    if record.request is not None or not nothing_to_read(record.ocr):
        return None
    if data_format not in _TEXT_ONLY and (record.images or record.pdf):
        return None
    if data_format in _TEXT_ONLY:
        return (
            "no OCR, so a text model has nothing to read: give each manifest entry an ocr_path, each log an "
            f"ocr_context, each e-invoice its PDF; or run {OCR_ENGINE} and set data.ocr: rapidocr "
            "(prepare: --ocr rapidocr)"
        )
    return "nothing to read: neither a page nor OCR"


def toolkit(example: TrainingExample, data_format: DataFormat) -> str | None:
    """Require an example that the toolkit reads unchanged."""
    return toolkit_problem(example, data_format)


def length(example: TrainingExample, max_seq_length: int) -> str | None:
    """Require that request and answer fit: ERNIEKit would cut or drop them with only a line in its log."""
    if example.tokens is None:
        return None
    needed = example.tokens + RESERVED_TOKENS
    if needed <= max_seq_length:
        return None
    return f"{needed} tokens (with {RESERVED_TOKENS} reserved), more than max_seq_length {max_seq_length}"


def filter_example(
    example: TrainingExample, data_format: DataFormat, max_seq_length: int, outcome: FilterOutcome
) -> bool:
    """Apply the filters that check the text to train on; return whether one rejects it."""
    return outcome.add("toolkit", toolkit(example, data_format)) or outcome.add(
        "length", length(example, max_seq_length)
    )
