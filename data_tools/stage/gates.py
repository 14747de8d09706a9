"""The checks that accept or reject a record, each with a name; a gate gives the reason for refusing, or None.

`source`, `image`, `duplicate`, `held_out` and `max_samples` are decided where files, or the whole stage, are seen, and
use the same names in the reports. What a finding does is the project's to say (`data.gates`), but for those gates
without which a line would teach falsehoods or stop the toolkit: these always reject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel

from data_tools.build_settings import BuildSettings
from data_tools.lines.toolkit_check import toolkit_problem
from data_tools.pairs.pairs import Pair
from data_tools.records import DocumentRecord
from data_tools.visibility import nothing_to_read
from erniekit_adapter.invoice import rules
from erniekit_adapter.project.schema import DataFormat, GatesSection

# The chat template's pieces around request and answer, and the 8 tokens that ERNIEKit itself keeps free in each turn.
RESERVED_TOKENS = 32
_TEXT_ONLY: tuple[DataFormat, ...] = ("erniekit",)


@dataclass
class Verdicts:
    """What the gates have said of one record so far.

    Attributes:
        levels: what a finding does.
        refused: the gate that rejects the record, with its reason.
        warned: gates that let it pass with a warning.
    """

    levels: GatesSection
    refused: tuple[str, str] | None = None
    warned: list[tuple[str, str]] = field(default_factory=list)

    def level(self, gate: str) -> str:
        """What a finding of a gate does: a gate that the project cannot set rejects."""
        level = str(vars(self.levels).get(gate, "error"))
        return "error" if level == "unchecked" else level

    def note(self, gate: str, reason: str | None) -> bool:
        """Note a gate's finding, None where it has none; say whether it rejects the record."""
        if reason is None:
            return False
        level = self.level(gate)
        if level == "off":
            return False
        if level == "error":
            self.refused = (gate, reason[:2000])
        else:
            self.warned.append((gate, reason[:2000]))
        return level == "error"

    def note_unchecked(self, reason: str | None) -> bool:
        """Note that a page's values cannot be looked for; say whether that rejects the record."""
        if reason is None or self.levels.visible != "unchecked":
            return self.note("visible", reason)
        self.warned.append(("visible", f"unchecked: {reason}"[:2000]))
        return False


def reviewed(record: DocumentRecord) -> str | None:
    """A person confirmed the answer."""
    return None if record.reviewed else "nobody confirmed this answer"


def canonical(record: DocumentRecord) -> str | None:
    """There is an answer, and it says something."""
    if record.answer is None:
        return "has no answer"
    return (
        None
        if _says_something(record.answer.structured_data)
        else "the answer is empty: none of its fields has a value"
    )


def arithmetic(record: DocumentRecord, findings: Iterable[rules.Finding]) -> str | None:
    """The amounts keep the rules, or the page is known to break them."""
    if record.declared_fault is not None:
        return None
    failures = rules.failures(findings)
    # An amount that cannot be right is the cause; that nothing adds up to it follows.
    causes = [finding for finding in failures if finding.rule == "BR-DEC"]
    return "; ".join(str(finding) for finding in causes or failures) or None


def dates(findings: Iterable[rules.Finding]) -> str | None:
    """The due date is not before the invoice date."""
    broken = (finding for finding in rules.failures(findings, "warn") if finding.rule == "DUE-DATE")
    return next((str(finding) for finding in broken), None)


def judge_record(record: DocumentRecord, findings: tuple[rules.Finding, ...], verdicts: Verdicts) -> bool:
    """Let what a source says through the gates that need no page; say whether one rejects it."""
    return (
        verdicts.note("reviewed", reviewed(record))
        or verdicts.note("canonical", canonical(record))
        or verdicts.note("arithmetic", arithmetic(record, findings))
        or verdicts.note("dates", dates(findings))
    )


def something_to_read(record: DocumentRecord, form: DataFormat) -> str | None:
    """The request shows something to read the answer from."""
    if record.request is not None or not nothing_to_read(record.ocr):
        return None
    if form not in _TEXT_ONLY and (record.images or record.pdf):
        return None
    if form in _TEXT_ONLY:
        return (
            "a text model would have nothing to read: no OCR; give each manifest entry an ocr_path, each log an "
            "ocr_context, each e-invoice its PDF, or let pages be read: pip install 'erniekit-adapter[ocr]', then set "
            "data.ocr: rapidocr (prepare: --ocr rapidocr)"
        )
    return "nothing to read: neither a page nor OCR"


def toolkit(pair: Pair, settings: BuildSettings) -> str | None:
    """The toolkit would read the line as it is."""
    return toolkit_problem(pair, settings.form)


def length(pair: Pair, settings: BuildSettings) -> str | None:
    """Request and answer fit: ERNIEKit would cut or drop them with no more than a line in its log."""
    if pair.tokens is None:
        return None
    needed = pair.tokens + RESERVED_TOKENS
    if needed <= settings.max_seq_length:
        return None
    return f"{needed} tokens (with {RESERVED_TOKENS} reserved), more than max_seq_length {settings.max_seq_length}"


def judge_pair(pair: Pair, settings: BuildSettings, verdicts: Verdicts) -> bool:
    """Let the text that would be trained on through its gates; say whether one rejects it."""
    return verdicts.note("toolkit", toolkit(pair, settings)) or verdicts.note("length", length(pair, settings))


def _says_something(part: object) -> bool:
    """Whether anything in an answer or a part of it has a value."""
    if isinstance(part, BaseModel):
        return any(_says_something(value) for value in vars(part).values())
    if isinstance(part, list):
        return any(map(_says_something, part))
    return bool(part.strip()) if isinstance(part, str) else part is not None
