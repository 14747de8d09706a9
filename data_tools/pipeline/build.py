"""Build training examples and a manifest from sources, completely or not at all, in bounded memory.

The first pass filters every record shard by shard, writes the results to a spool on disk, and keeps only keys. The keys
show which records belong to one document or have equal content. The second pass assigns each record to a split.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson

from data_tools.build_settings import BuildSettings, RunnerSettings
from data_tools.formats.jsonl import json_line
from data_tools.formats.training_examples import with_group, with_id
from data_tools.pipeline.assignment import Assignment, assign, reject
from data_tools.pipeline.document_groups import DocumentGroups, group_documents
from data_tools.pipeline.filtering import ShardContext
from data_tools.pipeline.manifest import (
    MANIFEST,
    PREFERENCES,
    PREFERENCES_REJECTED,
    REJECTED,
    SAMPLES,
    SAMPLES_OF_EACH,
    WARNED,
    DataManifest,
    check_inputs,
    check_output_folder,
    split_warnings,
)
from data_tools.pipeline.record_pages import PageFolders
from data_tools.pipeline.runner import run_shards
from data_tools.pipeline.shards import cut
from data_tools.pipeline.split import SPLITS, SplitName
from data_tools.pipeline.spool import RecordRow, Spool, row_json
from data_tools.pipeline.statistics import (
    BuildStatistics,
    SourceStatistics,
    check_accepted,
    count_example,
    make_manifest,
    new_statistics,
)
from data_tools.records import Rejection
from erniekit_adapter.errors import AdapterError, Problem, usage_error
from erniekit_adapter.files import write_json, writing, writing_folder
from erniekit_adapter.locks import using
from erniekit_adapter.project.schema import AnySource

OCR_CACHE = "ocr_cache"
OnRecord = Callable[[int], None]


def build(
    sources: Sequence[AnySource],
    output: Path,
    settings: BuildSettings,
    on_record: OnRecord | None = None,
    test_sources: Sequence[AnySource] = (),
    runner: RunnerSettings | None = None,
) -> DataManifest:
    """Write training, eval and test examples, rejections and a manifest to a folder, replacing an earlier build.

    Args:
        sources: sources to train on; of two equal records the first is kept.
        output: a folder that is new, empty, or contains an earlier build.
        settings: settings that decide which examples are written, and with which content.
        on_record: called from time to time with the number of records filtered so far.
        test_sources: sources used only for the test split; they are read before the others.
        runner: where shards are filtered; None for processes on this machine.

    Raises:
        UsageError: no source is given, a source is missing or inside `output`, or the folder contains something else.
        AdapterError: a source or the folder cannot be read or written, another stage uses the folder, or the filters
            accepted no record of the sources, or none of the test sources.
    """
    check_inputs(sources, [output], test_sources)
    with using("data build", writes=[output]):
        return _build(sources, output, settings, on_record, test_sources, runner)


def _build(
    sources: Sequence[AnySource],
    output: Path,
    settings: BuildSettings,
    on_record: OnRecord | None,
    test_sources: Sequence[AnySource],
    runner: RunnerSettings | None,
) -> DataManifest:
    check_output_folder(output)
    statistics = new_statistics(sources, test_sources)
    statistics.by_split.update(dict.fromkeys(SPLITS, 0))
    with writing_folder(output, alone=True) as folder, _open_spool(folder) as spool, ExitStack() as stack:
        context = ShardContext(settings, "toolkit", folder, PageFolders(folder / "pages", output.with_name(OCR_CACHE)))
        _filter_all(statistics, context, runner or RunnerSettings(), spool, on_record)
        names = [*(f"{split}.jsonl" for split in SPLITS), REJECTED, WARNED, SAMPLES]
        names += [*PREFERENCES.values(), PREFERENCES_REJECTED] if settings.preference else []
        files = {name: JsonlWriter(stack.enter_context((folder / name).open("wb"))) for name in names}
        _write_splits(spool, settings, statistics, files)
        stack.close()
        _check_accepted(statistics, folder / REJECTED, output)
        warnings = split_warnings(statistics.by_split, settings)
        figures = {name: files[name].figures() for name in sorted(files)}
        manifest = make_manifest(statistics, settings, figures, warnings)
        write_json(folder / MANIFEST, manifest.as_json())
    shutil.rmtree(rejections_folder(output), ignore_errors=True)
    return manifest


def rejections_folder(output: Path) -> Path:
    """Return the folder for the rejections of a build without accepted records; it leaves an earlier build in place."""
    return output.with_name(f"{output.name}-rejected")


def _check_accepted(statistics: BuildStatistics, rejected: Path, output: Path) -> None:
    """Require accepted records; otherwise keep the rejections.

    Raises:
        AdapterError: no record was accepted; it names the file with the rejections.
    """
    try:
        check_accepted(statistics)
    except AdapterError as error:
        kept = rejections_folder(output) / REJECTED
        kept.parent.mkdir(parents=True, exist_ok=True)
        with writing(kept) as stream, rejected.open("rb") as found:
            shutil.copyfileobj(found, stream)
        raise AdapterError([*error.problems, _kept_rejections(kept)]) from None


def _kept_rejections(path: Path) -> Problem:
    command = f"list them: erniekit-adapter data rejected {path}"
    return Problem(str(path), "contains every rejection with its reason", command)


def prepare(
    source: AnySource, output: Path, settings: BuildSettings, on_record: OnRecord | None = None
) -> DataManifest:
    """Write one source in the interchange format to the file `output`, with its rejections and manifest beside it.

    Raises:
        UsageError: the source is missing, or is the output itself.
        AdapterError: a file cannot be read or written, or the filters accepted no record.
    """
    beside = {name: output.with_name(f"{output.name}.{name}") for name in (REJECTED, MANIFEST)}
    if output.is_dir():
        raise usage_error(output, "is a folder", "name the file to write: training_examples.jsonl")
    check_inputs([source], [output, *beside.values()])
    statistics = new_statistics([source])
    folder = output.parent
    folder.mkdir(parents=True, exist_ok=True)
    nothing_left: AdapterError | None = None
    with writing(beside[REJECTED]) as rejected, _open_spool(folder) as spool:
        context = ShardContext(settings, "interchange", folder, PageFolders(folder / "pages", folder / OCR_CACHE))
        _filter_all(statistics, context, RunnerSettings(), spool, on_record)
        try:
            with writing(output) as stream:
                files = {output.name: JsonlWriter(stream), beside[REJECTED].name: JsonlWriter(rejected)}
                _write_interchange(spool, settings, statistics, files[output.name], files[beside[REJECTED].name])
                check_accepted(statistics)
        except AdapterError as error:
            # The rejections are kept nevertheless.
            nothing_left = error
    if nothing_left:
        raise AdapterError([*nothing_left.problems, _kept_rejections(beside[REJECTED])])
    manifest = make_manifest(statistics, settings, {name: file.figures() for name, file in files.items()})
    write_json(beside[MANIFEST], manifest.as_json())
    return manifest


class JsonlWriter:
    """Writes a JSONL file and counts its lines and SHA-256."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._digest, self._lines = stream, sha256(), 0

    def write(self, line: bytes) -> None:
        """Write one line, which includes its line end."""
        self._stream.write(line)
        self._digest.update(line)
        self._lines += 1

    def figures(self) -> dict[str, Any]:
        """Return the number of lines and the SHA-256 for the manifest."""
        return {"lines": self._lines, "sha256": self._digest.hexdigest()}


@contextmanager
def _open_spool(folder: Path) -> Iterator[Spool]:
    """Open a spool in unnamed files, which disappear with the process, however it ends."""
    with ExitStack() as stack:
        rows, texts, keys = (stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(3))
        yield Spool(rows, texts, keys)


def _filter_all(
    statistics: BuildStatistics,
    context: ShardContext,
    runner: RunnerSettings,
    spool: Spool,
    on_record: OnRecord | None,
) -> None:
    order, document_type = context.settings.date_order, context.settings.document_type
    shards = (
        shard
        for each in statistics.sources.values()
        for shard in cut(each.source, role_is_test=each.role == "test", date_order=order, document_type=document_type)
    )
    with run_shards(shards, context, runner) as filtered:
        for shard, records in filtered:
            spool.add(records, str(shard.source.path))
            if on_record:
                on_record(spool.records)


def _assign(
    spool: Spool, documents: DocumentGroups, settings: BuildSettings, statistics: BuildStatistics
) -> Assignment:
    tests = {path for path, source in statistics.sources.items() if source.role == "test"}
    return assign(spool, documents, settings, tests)


def _write_splits(
    spool: Spool, settings: BuildSettings, statistics: BuildStatistics, files: Mapping[str, JsonlWriter]
) -> None:
    """Write every record to the split of its document, or to the rejections."""
    documents = group_documents(spool.keys, spool.records)
    assignment = _assign(spool, documents, settings, statistics)
    used = bytearray(documents.groups)
    ids: Counter[str] = Counter()
    traced: Counter[tuple[str, str]] = Counter()
    for number, source, row, texts in spool.rows_with_texts():
        counts = statistics.sources[source]
        counts.read += 1
        split = assignment.split(number, source, row, role_is_test=counts.role == "test")
        if isinstance(split, Rejection) or isinstance(row, Rejection):
            _write_rejection(split, counts, files[REJECTED])
            continue
        counts.accept(row)
        used[documents.group[number]] = 1
        training, test, preference = texts
        line = _with_unique_id(test or training, row, ids) if split == "test" else training
        files[f"{split}.jsonl"].write(line)
        for filter_name, reason in row.warnings:
            files[WARNED].write(row_json(reject(source, row, filter_name, reason)))
        if traced[split, row.task] < SAMPLES_OF_EACH:
            traced[split, row.task] += 1
            files[SAMPLES].write(_traced_line(source, row, split, line))
        if split != "test":
            _write_preference(source, row, split, preference, statistics, files)
        count_example(statistics, split, row, contradicts=bool(documents.contradicts[number]))
    statistics.documents = used.count(1)


def _write_interchange(
    spool: Spool, settings: BuildSettings, statistics: BuildStatistics, output: JsonlWriter, rejected: JsonlWriter
) -> None:
    """Write every record that is not a duplicate, without splits."""
    documents = group_documents(spool.keys, spool.records)
    assignment = _assign(spool, documents, settings, statistics)
    used = bytearray(documents.groups)
    for number, source, row, (line, _, _) in spool.rows_with_texts():
        counts = statistics.sources[source]
        counts.read += 1
        rejection = row if isinstance(row, Rejection) else assignment.duplicate(number, source, row)
        if rejection or isinstance(row, Rejection):
            _write_rejection(rejection, counts, rejected)
            continue
        counts.accept(row)
        used[documents.group[number]] = 1
        output.write(with_group(line, documents.name(number)))
        count_example(statistics, "lines", row, contradicts=bool(documents.contradicts[number]))
    statistics.documents = used.count(1)


def _traced_line(source: str, row: RecordRow, split: SplitName, line: bytes) -> bytes:
    """Write an example with its origin, for preview and report."""
    task = "analysis" if split == "test" else row.task
    origin = {"split": split, "task": task, "source": source, "line": row.line, "document_id": row.document_id}
    content = {"images": row.images, "faults": row.faults, "left_out": row.left_out, "tokens": row.tokens}
    return json_line(origin | content | {"text": orjson.Fragment(line.rstrip())})


def _write_rejection(rejection: object, counts: SourceStatistics, rejected: JsonlWriter) -> None:
    if isinstance(rejection, Rejection):
        counts.reject(rejection)
        rejected.write(row_json(rejection))


def _with_unique_id(test: bytes, row: RecordRow, ids: Counter[str]) -> bytes:
    """Return a test example with a unique ID; a document that occurs again gets a number."""
    ids[row.document_id] += 1
    count = ids[row.document_id]
    return with_id(test, row.document_id if count == 1 else f"{row.document_id}#{count}")


def _write_preference(
    source: str,
    row: RecordRow,
    split: SplitName,
    preference: bytes,
    statistics: BuildStatistics,
    files: Mapping[str, JsonlWriter],
) -> None:
    if preference:
        statistics.preferences.by_split[split] += 1
        files[PREFERENCES[split]].write(preference)
    elif row.preference_rejection:
        filter_name, reason = row.preference_rejection
        statistics.preferences.by_filter[filter_name] += 1
        files[PREFERENCES_REJECTED].write(row_json(reject(source, row, filter_name, reason)))
