"""Turn the records of a shard into rows and JSONL: apply every filter that needs only one record.

A shard is filtered without knowledge of other shards, so any process on any machine with the same files can do it.
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
from data_tools.examples.building import (
    TrainingExample,
    VisibleContent,
    known_names,
    make_analysis_example,
    make_example,
    visible_content,
)
from data_tools.examples.personal import mask_value
from data_tools.examples.preferences import make_preference
from data_tools.examples.signs import as_printed, has_negative_total
from data_tools.examples.toolkit_check import preference_problem
from data_tools.examples.visible_values import unchecked
from data_tools.filters import (
    MAX_REASON_CHARACTERS,
    RESERVED_TOKENS,
    FilterOutcome,
    filter_example,
    filter_record,
    readable_request,
)
from data_tools.formats.preferences import format_preference
from data_tools.formats.training_examples import format_example, format_interchange, format_test_example
from data_tools.pages.images import PageImage
from data_tools.pipeline import document_groups
from data_tools.pipeline.hints import UNUSED_KEYS
from data_tools.pipeline.record_pages import (
    PageFolders,
    inspect_pages,
    page_files,
    with_ocr,
    with_single_pages,
)
from data_tools.pipeline.shards import Shard, read_shard
from data_tools.pipeline.spool import (
    KEY_BYTES,
    LOCATION,
    DocumentVerdict,
    FilteredShard,
    RecordRow,
    pack_keys,
    row_json,
)
from data_tools.pipeline.tokens import most_tokens, token_counter
from data_tools.records import DocumentRecord, RecordOrRejection, RejectedError, Rejection
from data_tools.sources.files.json_values import as_text, is_text, shown
from data_tools.visibility import page_text
from erniekit_adapter.documents.invoice.answer import Answer
from erniekit_adapter.documents.rules.rule import Finding, failures, unshown_reason

# Tokens are counted in the first examples of every source, and in one of 64 of the others, chosen by content.
COUNTED_EXAMPLES = 1_000
COUNTED_ONE_IN = 64
_MAX_NAMED_ROWS = 4
# Measured: a tenth faster than one record at a time; larger numbers take memory and gain little.
_READ_AHEAD = 16
_VERDICTS: dict[bool | None, DocumentVerdict] = {True: "valid", False: "invalid", None: "not checkable"}
_KIND_OF_NAME = {
    "vendor": document_groups.VENDOR,
    "number": document_groups.NUMBER,
    "name": document_groups.NAME,
}
Texts = tuple[bytes, ...]
TokenCounter = Callable[[str], int]


@dataclass(frozen=True)
class ShardContext:
    """Context shared by all shards of a build.

    Attributes:
        settings: settings of the build.
        output: `toolkit` for training, evaluation and DPO; `interchange` for exchange between people.
        folder: the folder of the JSONL files; image paths are relative to it.
        pages: folders for page images.
    """

    settings: BuildSettings
    output: Literal["toolkit", "interchange"]
    folder: Path
    pages: PageFolders


def filter_shard(shard: Shard, context: ShardContext) -> FilteredShard:
    """Filter every record of a shard.

    Raises:
        AdapterError: a file of the source cannot be read, or the tokenizer or the OCR engine is missing.
    """
    tokenizer = context.settings.tokenizer
    count = token_counter(tokenizer, context.settings.document_type.prompts.constant_part) if tokenizer else None
    # Records contain no reference cycles; searching for them takes a twentieth of the time.
    gc.disable()
    try:
        return _filter_shard(shard, context, count)
    finally:
        gc.enable()


def _filter_shard(shard: Shard, context: ShardContext, count: TokenCounter | None) -> FilteredShard:
    rows: list[bytes] = []
    texts: list[bytes] = []
    keys: list[bytes] = []
    locations: list[int] = []
    for number, record in enumerate(_read_ahead(shard)):
        row, row_texts, row_keys = _filter_one(_with_utf8_names(record), shard, context, count)
        rows.append(row_json(row))
        texts += row_texts
        keys.append(pack_keys(row_keys, number))
        locations.append(record.line or 0)
    return FilteredShard(
        records=len(rows),
        rows=b"".join(rows),
        texts=b"".join(texts),
        keys=b"".join(keys),
        locations=np.array(locations, LOCATION).tobytes(),
    )


def _with_utf8_names(record: RecordOrRejection) -> RecordOrRejection:
    """Return the record, or a rejection if a name in it is not UTF-8, because JSONL cannot store such a name."""
    if isinstance(record, Rejection):
        texts = (record.source, record.document_id or "", record.reason)
        if all(map(is_text, texts)):
            return record
        source, document_id, reason = map(as_text, texts)
        return Rejection(source, record.line, document_id or None, record.filter, reason)
    for name in (record.document_id, record.group, *map(str, record.images), str(record.pdf or "")):
        if not is_text(name):
            reason = f"{shown(as_text(name))} is not UTF-8: rename the file"
            return Rejection(as_text(record.source), record.line, as_text(record.document_id), "source", reason)
    return record


def _read_ahead(shard: Shard) -> Iterator[RecordOrRejection]:
    """Yield a shard's records; those of a JSONL file are read in small batches, which is faster.

    A shard of a JSONL file has a few MiB, so a batch of its records fits into memory; other documents may be larger.
    """
    records = read_shard(shard)
    if not shard.source.reads_ahead:
        yield from records
        return
    while batch := list(islice(records, _READ_AHEAD)):
        yield from batch


def _filter_one(
    record: RecordOrRejection, shard: Shard, context: ShardContext, count: TokenCounter | None
) -> tuple[RecordRow | Rejection, Texts, list[bytes]]:
    """Return a record's row, texts and keys; or its rejection and, in a test source, the keys of its names."""
    if isinstance(record, DocumentRecord):
        try:
            result = _RecordFilter(record, shard, context, count).result()
        except RecursionError:
            result = Rejection(record.source, record.line, record.document_id, "source", "nested too deeply")
        if not isinstance(result, Rejection):
            return result
        rejection = result
    else:
        rejection = record
    # A document of the test sources is kept from training even if a filter removes it from the test.
    return rejection, (), _name_keys(record, context.settings) if shard.role_is_test else []


class _RecordFilter:
    """Applies the filters to one record."""

    def __init__(self, record: DocumentRecord, shard: Shard, context: ShardContext, count: TokenCounter | None) -> None:
        self.record, self.shard, self.context, self.count = record, shard, context, count
        self.settings = context.settings
        self.outcome = FilterOutcome(context.settings.filters)

    def result(self) -> Rejection | tuple[RecordRow, Texts, list[bytes]]:
        """Return the record's row, texts and keys, or its rejection."""
        findings = self.findings()
        if filter_record(self.record, findings, self.outcome, self.settings.document_type):
            return self.rejection()
        pages = self.pages()
        if pages is None or self.outcome.add("visible", readable_request(self.record, self.settings.format)):
            return self.rejection()
        unread = unchecked(self.settings.document_type, self.record, is_multimodal=self.settings.is_multimodal)
        if self.outcome.add_unchecked(unread):
            return self.rejection()
        images, page_images = pages
        findings = self.with_signs_of_page(findings)
        content = self.content(findings)
        if content is None:
            return self.rejection()
        is_analysis = self.context.output == "interchange" or self.shard.role_is_test
        make = make_analysis_example if is_analysis else make_example
        example = self.counted(make(self.record, content, images, self.settings), content)
        if filter_example(example, self.settings.format, self.settings.max_seq_length, self.outcome):
            return self.rejection()
        return self.accepted(example, content, images, page_images)

    def findings(self) -> tuple[Finding, ...]:
        """Return the results of the rules on the complete document, with values that the page does not show."""
        record = self.record
        if record.findings is not None:
            return record.findings
        if record.answer is None:
            return ()
        is_wrong = record.declared_fault is not None
        return self.settings.document_type.rules.check(record.answer, complete=record.complete, as_given=is_wrong)

    def with_signs_of_page(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Give a credit note's amounts the signs of its page; return the results of the rules on it."""
        record = self.record
        if not isinstance(record.answer, Answer) or not has_negative_total(record.answer):
            return findings
        answer = as_printed(record.answer, page_text(record.ocr if record.request is None else record.request))
        if answer is record.answer:
            return findings
        self.record = replace(record, answer=answer)
        return self.findings()

    def rejection(self) -> Rejection:
        filter_name, reason = self.outcome.rejection or ("source", "rejected without a reason")
        return Rejection(self.record.source, self.record.line, self.record.document_id, filter_name, reason)

    def pages(self) -> tuple[tuple[Path, ...], tuple[PageImage, ...]] | None:
        """Return the images of the request and the inspected pages; None if the image filter rejects the record."""
        images: tuple[Path, ...] = ()
        inspected: tuple[PageImage, ...] = ()
        try:
            self.record = with_single_pages(self.record, self.context.pages)
            if self.settings.filters.image != "off":
                inspected = inspect_pages(self.record)
            self.record = with_ocr(self.record, self.settings, self.context.pages)
            images = page_files(self.record, self.settings, self.context.pages)
        except ValueError as error:
            if self.outcome.add("image", str(error)):
                return None
        return images, inspected

    def content(self, findings: tuple[Finding, ...]) -> VisibleContent | None:
        """Return the content that the request shows; None if a filter rejects the record for it."""
        try:
            content = visible_content(self.record, findings, self.settings)
        except (RejectedError, ValueError) as error:
            self.outcome.add(error.filter if isinstance(error, RejectedError) else "canonical", str(error))
            return None
        if self.outcome.add("page_mismatch", content.mismatch):
            return None
        if not content.data:
            self.outcome.add("visible", f"none of its values is on the page: {', '.join(content.left_out)}")
            return None
        if content.unseen:
            self.outcome.add("visible", f"the page does not show {', '.join(content.unseen)}")
        if self.outcome.add("verdict", self.unshown_verdict(content)):
            return None
        if self.settings.filters.personal == "warn":
            _, kinds = mask_value([content.data, content.ocr, content.request])
            self.outcome.add("personal", f"contains {', '.join(kinds)}" if kinds else None)
        return content

    def unshown_verdict(self, content: VisibleContent) -> str | None:
        """Return why the verdict on the complete document does not fit the reduced answer."""
        shown, verdict = content.shown_findings, self.settings.document_type.verdict
        reason = unshown_reason(content.findings, shown) if shown is not None and verdict else None
        if reason is None:
            return None
        named, others = content.left_out_rows[:_MAX_NAMED_ROWS], content.left_out_rows[_MAX_NAMED_ROWS:]
        more = f" and {len(others)} more" if others else ""
        not_found = f"; line items that the page does not show: {', '.join(named)}{more}" if named else ""
        left_out = f"; left out: {', '.join(content.left_out)}" if content.left_out else ""
        return f"{reason}{not_found}{left_out}"

    def counted(self, example: TrainingExample, content: VisibleContent) -> TrainingExample:
        """Count an example's tokens if it may be too long, or if it is one of those counted for the manifest."""
        if self.count is None:
            return example
        most = most_tokens(example.request) + most_tokens(example.answer_text) + RESERVED_TOKENS
        is_first = (self.record.line or 0) <= COUNTED_EXAMPLES
        if most <= self.settings.max_seq_length and not is_first and content.answer_digest[0] % COUNTED_ONE_IN:
            return example
        return replace(example, tokens=self.count(example.request) + self.count(example.answer_text))

    def accepted(
        self,
        example: TrainingExample,
        content: VisibleContent,
        images: tuple[Path, ...],
        page_images: tuple[PageImage, ...],
    ) -> tuple[RecordRow, Texts, list[bytes]]:
        """Return row, texts and keys of an example that all filters accept."""
        record, settings, folder = self.record, self.settings, self.context.folder
        test = preference = b""
        preference_rejection: tuple[str, str] | None = None
        if self.context.output == "interchange":
            # For exchange the pages are always included, whichever model the project has.
            training = format_interchange(replace(example, images=images or record.images), folder)
        else:
            training = format_example(example, settings.format, folder)
            is_analysis = example.task == "analysis" and settings.prompt_templates == 1
            analysis = example if is_analysis else None
            # A text-only analysis has the format of evaluate; only its ID is missing.
            if (self.shard.role_is_test or settings.test_ratio) and (settings.is_multimodal or not analysis):
                tested = analysis or make_analysis_example(record, content, images, settings)
                test = format_test_example(tested, "", folder if settings.is_multimodal else None)
            if settings.preference and record.model_output is not None:
                preference, preference_rejection = self.preference(analysis, content, images)
        row = RecordRow(
            line=record.line,
            document_id=record.document_id,
            training_bytes=len(training),
            test_bytes=len(test),
            preference_bytes=len(preference),
            task=example.task,
            faults=list(example.faults),
            left_out=list(example.left_out),
            tokens=example.tokens,
            language=record.language,
            unused_keys=list(record.unused_keys),
            images=[str(image) for image in record.images],
            pages=[(page.width_px, page.height_px) for page in page_images],
            page_hashes=[] if record.augmented else [page.perceptual_hash.hex() for page in page_images],
            warnings=self.outcome.warnings + self.unused_keys(),
            masked=list(content.masked),
            preference_rejection=preference_rejection,
            verdict=_VERDICTS[settings.document_type.rules.validity(content.findings)],
            failed_rules=[finding.rule for finding in failures(content.findings)],
        )
        return row, (training, test, preference), self.keys(content, page_images)

    def unused_keys(self) -> list[tuple[str, str]]:
        """Return a warning that names keys without a place in the answer; for e-invoices the docs list them."""
        keys = self.record.unused_keys
        if not keys or not self.shard.source.warns_of_unused_keys:
            return []
        reason = f"keys without a place in the answer: {', '.join(keys)}"
        return [(UNUSED_KEYS, reason[:MAX_REASON_CHARACTERS])]

    def preference(
        self, analysis: TrainingExample | None, content: VisibleContent, images: tuple[Path, ...]
    ) -> tuple[bytes, tuple[str, str] | None]:
        """Return the preference as JSONL, or the filter that rejects it with its reason."""
        settings = self.settings
        chosen = analysis or make_analysis_example(self.record, content, images, settings)
        try:
            mask = settings.filters.personal == "mask"
            preference = make_preference(
                self.record, content, chosen, images, settings.document_type, mask_personal=mask
            )
        except (ValueError, RecursionError) as error:
            return b"", ("canonical", f"the model's output: {error}"[:MAX_REASON_CHARACTERS])
        if problem := preference_problem(preference):
            return b"", ("toolkit", problem)
        longer = max((preference.chosen, preference.rejected), key=len)
        outcome = FilterOutcome(settings.filters)
        longest = self.counted(replace(chosen, answer_text=longer), content)
        filter_example(longest, settings.format, settings.max_seq_length, outcome)
        if outcome.rejection:
            return b"", outcome.rejection
        return format_preference(preference, self.context.folder), None

    def keys(self, content: VisibleContent, page_images: tuple[PageImage, ...]) -> list[bytes]:
        """Return the keys by which records of the same document, or with equal content, are found."""
        digest = content.input_digest
        if self.settings.is_multimodal:
            # The pages are part of the input; pages that were not inspected are identified by their paths.
            files = [*self.record.images, *([self.record.pdf] if self.record.pdf else [])]
            pages = [page.sha256 for page in page_images] or [str(file).encode() for file in files]
            digest = sha256(b"\0".join([digest, *pages])).digest()
        keys = [*_name_keys(self.record, self.settings), _key(document_groups.REQUEST, digest)]
        keys.append(_key(document_groups.CONTENT, sha256(digest + content.answer_digest).digest()))
        if page_images and not self.record.augmented:
            keys.append(_key(document_groups.ANSWER, content.answer_digest))
        return keys


def _name_keys(record: RecordOrRejection, settings: BuildSettings) -> list[bytes]:
    names = known_names(settings.document_type, record, with_vendor=settings.group_by == "vendor")
    return [_key(_KIND_OF_NAME[kind], sha256(name.encode()).digest()) for kind, name in names]


def _key(kind: bytes, digest: bytes) -> bytes:
    """Return a key of one kind; it is short, because a build compares very many keys."""
    return kind + digest[: KEY_BYTES - 1]
