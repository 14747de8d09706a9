"""From the records of a shard to rows: every gate that sees one record alone, and the lines of what passes.

Nothing here knows of other shards, so any process, on any machine that sees the same files, can do it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from data_tools.build_settings import BuildSettings
from data_tools.lines.formats import check_line, interchange_line, training_line
from data_tools.lines.preference_lines import preference_line
from data_tools.lines.preferences import make_preference
from data_tools.lines.toolkit_check import preference_problem
from data_tools.pages.images import PageImage
from data_tools.pairs.looking import unchecked
from data_tools.pairs.pairs import Pair, Shown, known_names, make_pair, plain_pair, show
from data_tools.pairs.personal import mask_value
from data_tools.pairs.signs import as_printed, has_negative_total
from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.reading import as_text, is_text, shown
from data_tools.stage import documents
from data_tools.stage.gates import RESERVED_TOKENS, Verdicts, judge_pair, judge_record, something_to_read
from data_tools.stage.hints import UNUSED_KEYS
from data_tools.stage.record_pages import PageFolders, look_at_pages, page_files, with_ocr, with_single_pages
from data_tools.stage.rows import KEY_BYTES, PLACE, DocumentVerdict, JudgedShard, Row, key_records, row_json
from data_tools.stage.shards import Lines, Shard, read_shard
from data_tools.stage.tokens import most_tokens, token_counter
from data_tools.visibility import page_text
from erniekit_adapter.invoice import rules
from erniekit_adapter.project.schema import EInvoiceSource

# Lines of every source whose tokens are counted; of those behind them one in so many is, chosen by what it says.
COUNTED_LINES = 1_000
COUNTED_ONE_IN = 64
_MAX_NAMED_ROWS = 4
# Measured: a tenth faster than one record at a time; more of them take memory and change little.
_READ_AHEAD = 16
_VERDICTS: dict[bool | None, DocumentVerdict] = {True: "valid", False: "invalid", None: "not checkable"}
_KIND_OF_NAME = {"vendor": documents.VENDOR, "number": documents.NUMBER, "name": documents.NAME}


@dataclass(frozen=True)
class Bench:
    """What a shard is judged with.

    Attributes:
        settings: what the stage goes by.
        form: the toolkit's lines, or those that people exchange.
        folder: where the lines will lie; image paths are relative to it.
        pages: where pages are written.
    """

    settings: BuildSettings
    form: Literal["toolkit", "interchange"]
    folder: Path
    pages: PageFolders


def judge_shard(shard: Shard, bench: Bench) -> JudgedShard:
    """Judge every record of a shard.

    Raises:
        AdapterError: a file that the source consists of cannot be read, or the tokenizer or the OCR engine is missing.
    """
    tokenizer = bench.settings.tokenizer
    count = token_counter(tokenizer) if tokenizer else None
    # Records hold no cycles; looking for some takes a twentieth of the time.
    gc.disable()
    try:
        return _judged(shard, bench, count)
    finally:
        gc.enable()


def _judged(shard: Shard, bench: Bench, count: Callable[[str], int] | None) -> JudgedShard:
    rows: list[bytes] = []
    texts: list[bytes] = []
    keys: list[bytes] = []
    places: list[int] = []
    for number, reading in enumerate(_read_ahead(shard)):
        row, lines, own_keys = _judge(_writable(reading), shard, bench, count)
        rows.append(row_json(row))
        texts += lines
        keys.append(key_records(own_keys, number))
        places.append(reading.line or 0)
    return JudgedShard(len(rows), b"".join(rows), b"".join(texts), b"".join(keys), np.array(places, PLACE).tobytes())


def _writable(reading: Reading) -> Reading:
    """The reading, or a rejection if its name or the name of one of its files is not UTF-8, which no line can hold."""
    if isinstance(reading, Rejection):
        texts = (reading.source, reading.document_id or "", reading.reason)
        if all(map(is_text, texts)):
            return reading
        source, document_id, reason = map(as_text, texts)
        return Rejection(source, reading.line, document_id or None, reading.gate, reason)
    for name in (reading.document_id, reading.group, *map(str, reading.images), str(reading.pdf or "")):
        if not is_text(name):
            what = f"{shown(as_text(name))} is not UTF-8: rename the file"
            return Rejection(as_text(reading.source), reading.line, as_text(reading.document_id), "source", what)
    return reading


def _read_ahead(shard: Shard) -> Iterator[Reading]:
    """Yield a shard's records; those of lines are read some at a time, because doing one thing at a time is faster.

    A shard of lines has a few MiB, so that some of its records fit into memory; other documents may be larger.
    """
    readings = read_shard(shard)
    if not isinstance(shard.part, Lines):
        yield from readings
        return
    while some := list(islice(readings, _READ_AHEAD)):
        yield from some


def _judge(
    reading: Reading, shard: Shard, bench: Bench, count: Callable[[str], int] | None
) -> tuple[Row | Rejection, tuple[bytes, ...], list[bytes]]:
    """A record's row with its lines and keys; or why there is none, and what a test source still names by it."""
    if isinstance(reading, DocumentRecord):
        try:
            verdict = _Judgement(reading, shard, bench, count).row()
        except RecursionError:
            verdict = Rejection(reading.source, reading.line, reading.document_id, "source", "nested too deeply")
        if not isinstance(verdict, Rejection):
            return verdict
        rejection = verdict
    else:
        rejection = reading
    # A document of the test sources is kept from training even where a gate keeps it from the test.
    return rejection, (), _name_keys(reading, bench.settings) if shard.role_is_test else []


class _Judgement:
    """One record on its way through the gates."""

    def __init__(self, record: DocumentRecord, shard: Shard, bench: Bench, count: Callable[[str], int] | None) -> None:
        self.record, self.shard, self.bench, self.count = record, shard, bench, count
        self.settings = bench.settings
        self.verdicts = Verdicts(bench.settings.gates)

    def row(self) -> Rejection | tuple[Row, tuple[bytes, ...], list[bytes]]:
        """The record's row, its lines and its keys, or its rejection."""
        findings = self.findings()
        if judge_record(self.record, findings, self.verdicts):
            return self.rejected()
        pages = self.pages()
        if pages is None or self.verdicts.note("visible", something_to_read(self.record, self.settings.form)):
            return self.rejected()
        if self.verdicts.note_unchecked(unchecked(self.record, self.settings)):
            return self.rejected()
        images, page_images = pages
        findings = self.signs_of_page(findings)
        shown = self.shown(findings)
        if shown is None:
            return self.rejected()
        is_plain = self.bench.form == "interchange" or self.shard.role_is_test
        pair = (plain_pair if is_plain else make_pair)(self.record, shown, images, self.settings)
        pair = self.counted(pair, shown)
        if judge_pair(pair, self.settings, self.verdicts):
            return self.rejected()
        return self.written(pair, shown, images, page_images)

    def findings(self) -> tuple[rules.Finding, ...]:
        """Return the results of the rules on the complete document, before values that the page does not show go."""
        record = self.record
        if record.findings is not None:
            return record.findings
        if record.answer is None:
            return ()
        is_wrong = record.declared_fault is not None
        return rules.check(record.answer, complete=record.complete, as_given=is_wrong)

    def signs_of_page(self, findings: tuple[rules.Finding, ...]) -> tuple[rules.Finding, ...]:
        """Give a credit note's amounts the signs of its page; return the results of the rules on it."""
        record = self.record
        if record.answer is None or not has_negative_total(record.answer):
            return findings
        answer = as_printed(record.answer, page_text(record.ocr if record.request is None else record.request))
        if answer is record.answer:
            return findings
        self.record = replace(record, answer=answer)
        return self.findings()

    def rejected(self) -> Rejection:
        gate, reason = self.verdicts.refused or ("source", "refused without a reason")
        return Rejection(self.record.source, self.record.line, self.record.document_id, gate, reason)

    def pages(self) -> tuple[tuple[Path, ...], tuple[PageImage, ...]] | None:
        """The images that go with the request and what they look like; None where the image gate rejects them."""
        images: tuple[Path, ...] = ()
        looked_at: tuple[PageImage, ...] = ()
        try:
            self.record = with_single_pages(self.record, self.bench.pages)
            if self.settings.gates.image != "off":
                looked_at = look_at_pages(self.record)
            self.record = with_ocr(self.record, self.settings, self.bench.pages)
            images = page_files(self.record, self.settings, self.bench.pages)
        except ValueError as error:
            if self.verdicts.note("image", str(error)):
                return None
        return images, looked_at

    def shown(self, findings: tuple[rules.Finding, ...]) -> Shown | None:
        """What the request shows; None where a gate rejects the record for it."""
        try:
            shown = show(self.record, findings, self.settings)
        except ValueError as error:
            self.verdicts.note("canonical", str(error))
            return None
        if self.verdicts.note("page_mismatch", shown.mismatch):
            return None
        if not shown.data:
            self.verdicts.note("visible", f"none of its values is on the page: {', '.join(shown.left_out)}")
            return None
        if shown.unseen:
            self.verdicts.note("visible", f"the page does not show {', '.join(shown.unseen)}")
        if self.verdicts.note("verdict", self.unshown_verdict(shown)):
            return None
        if self.settings.gates.personal == "warn":
            _, found = mask_value([shown.data, shown.ocr, shown.request])
            self.verdicts.note("personal", f"holds {', '.join(found)}" if found else None)
        return shown

    def unshown_verdict(self, shown: Shown) -> str | None:
        """Return why the verdict on the complete document does not fit the answer that is left of it."""
        if shown.shown_findings is None:
            return None
        reason = rules.unshown_reason(shown.findings, shown.shown_findings)
        if reason is None:
            return None
        rows = ", ".join(shown.left_out_rows[:_MAX_NAMED_ROWS])
        more = (
            f" and {len(shown.left_out_rows) - _MAX_NAMED_ROWS} more" if shown.left_out_rows[_MAX_NAMED_ROWS:] else ""
        )
        not_found = f"; line items that the page does not show: {rows}{more}" if rows else ""
        left_out = f"; left out: {', '.join(shown.left_out)}" if shown.left_out else ""
        return f"{reason}{not_found}{left_out}"

    def counted(self, pair: Pair, shown: Shown) -> Pair:
        """The pair with its tokens where it may be too long, or is one whose tokens are counted for the manifest."""
        if self.count is None:
            return pair
        most = most_tokens(pair.request) + most_tokens(pair.answer_text) + RESERVED_TOKENS
        sampled = (self.record.line or 0) <= COUNTED_LINES or shown.said[0] % COUNTED_ONE_IN == 0
        if most <= self.settings.max_seq_length and not sampled:
            return pair
        return replace(pair, tokens=self.count(pair.request) + self.count(pair.answer_text))

    def written(
        self, pair: Pair, shown: Shown, images: tuple[Path, ...], page_images: tuple[PageImage, ...]
    ) -> tuple[Row, tuple[bytes, ...], list[bytes]]:
        """The row of a pair that has passed, with its lines and keys."""
        record, settings, folder = self.record, self.settings, self.bench.folder
        test = preference = b""
        refused: tuple[str, str] | None = None
        if self.bench.form == "interchange":
            # People exchange the pages as well, whichever model reads the lines.
            line = interchange_line(replace(pair, images=images or record.images), folder)
        else:
            line = training_line(pair, settings.form, folder)
            plain = pair if pair.task == "analysis" and settings.wordings == 1 else None
            # A text line that asks for the plain pair is one for evaluate but for its id.
            if (self.shard.role_is_test or settings.test_ratio) and (settings.sees_pages or not plain):
                asked = plain or plain_pair(record, shown, images, settings)
                test = check_line(asked, "", folder if settings.sees_pages else None)
            if settings.preference and record.model_output is not None:
                preference, refused = self.preference(plain, shown, images)
        row = Row(
            line=record.line,
            document_id=record.document_id,
            line_bytes=len(line),
            test_bytes=len(test),
            preference_bytes=len(preference),
            task=pair.task,
            faults=list(pair.faults),
            left_out=list(pair.left_out),
            tokens=pair.tokens,
            language=record.language,
            unused_keys=list(record.unused_keys),
            images=[str(image) for image in record.images],
            pages=[(page.width_px, page.height_px) for page in page_images],
            page_hashes=[] if record.augmented else [page.perceptual_hash.hex() for page in page_images],
            warned=self.verdicts.warned + self.unused_keys(),
            masked=list(shown.masked),
            preference_refused=refused,
            verdict=_VERDICTS[rules.validity(shown.findings)],
            failed_rules=[finding.rule for finding in rules.failures(shown.findings)],
        )
        return row, (line, test, preference), self.keys(shown, page_images)

    def unused_keys(self) -> list[tuple[str, str]]:
        """Return a warning that names the keys without a place; those of e-invoices are documented instead."""
        keys = self.record.unused_keys
        if not keys or isinstance(self.shard.source, EInvoiceSource):
            return []
        return [(UNUSED_KEYS, f"keys without a place in the answer: {', '.join(keys)}"[:2000])]

    def preference(
        self, plain: Pair | None, shown: Shown, images: tuple[Path, ...]
    ) -> tuple[bytes, tuple[str, str] | None]:
        """The line for DPO, or the gate that refuses it with its reason."""
        settings = self.settings
        chosen = plain or plain_pair(self.record, shown, images, settings)
        try:
            preference = make_preference(self.record, shown, chosen, images, settings)
        except (ValueError, RecursionError) as error:
            return b"", ("canonical", f"the model's output: {error}"[:2000])
        if problem := preference_problem(preference):
            return b"", ("toolkit", problem)
        longer = max((preference.chosen, preference.rejected), key=len)
        pair = self.counted(replace(chosen, answer_text=longer), shown)
        verdicts = Verdicts(settings.gates)
        if judge_pair(pair, settings, verdicts) and verdicts.refused:
            return b"", verdicts.refused
        return preference_line(preference, self.bench.folder), None

    def keys(self, shown: Shown, page_images: tuple[PageImage, ...]) -> list[bytes]:
        """What tells which records are of this document, or say the same."""
        read = shown.read
        if self.settings.sees_pages:
            # What there is to read is the pages as well; those that were not looked at are told by their names.
            files = [*self.record.images, *([self.record.pdf] if self.record.pdf else [])]
            pages = [page.sha256 for page in page_images] or [str(file).encode() for file in files]
            read = sha256(b"\0".join([read, *pages])).digest()
        own = [*_name_keys(self.record, self.settings), _key(documents.REQUEST, read)]
        own.append(_key(documents.CONTENT, sha256(read + shown.said).digest()))
        if page_images and not self.record.augmented:
            own.append(_key(documents.ANSWER, shown.said))
        return own


def _name_keys(reading: Reading, settings: BuildSettings) -> list[bytes]:
    names = known_names(reading, with_vendor=settings.group_by == "vendor")
    return [_key(_KIND_OF_NAME[kind], sha256(name.encode()).digest()) for kind, name in names]


def _key(kind: bytes, digest: bytes) -> bytes:
    """A key of one kind: short, because the stage holds very many against each other."""
    return kind + digest[: KEY_BYTES - 1]
