"""The data stage: sources in, lines and a manifest out, whole or not at all, in bounded memory.

First every record is judged by itself, shard by shard, and what comes of it goes to a spool on disk, while only keys
are kept. Then it is known which records are of one document, or say the same; a second pass over the spool gives each
its split.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson

from data_tools.build_settings import BuildSettings, EngineSettings
from data_tools.lines.formats import grouped_line, identified_line
from data_tools.lines.parts import json_line
from data_tools.records import Rejection
from data_tools.stage.data_manifest import (
    MANIFEST,
    PREFERENCES,
    PREFERENCES_REFUSED,
    REJECTED,
    SAMPLES,
    SAMPLES_OF_EACH,
    WARNED,
    DataManifest,
    check_inputs,
    check_output_folder,
    split_warnings,
)
from data_tools.stage.documents import Documents, find_documents
from data_tools.stage.duplicates import note_equal_pages
from data_tools.stage.engine import judging
from data_tools.stage.judging import Bench
from data_tools.stage.record_pages import PageFolders
from data_tools.stage.rows import Row, Spool, row_json
from data_tools.stage.shards import cut
from data_tools.stage.split import SPLITS, SplitName, choose_groups, split_name
from data_tools.stage.tally import DUPLICATE, Account, Tally, check_accepted, count_line, make_manifest, new_tally
from erniekit_adapter.errors import AdapterError, Problem, misuse
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
    engine: EngineSettings | None = None,
) -> DataManifest:
    """Write train, eval and test lines, rejections and a manifest to the folder `output`, replacing an earlier build.

    Args:
        sources: where documents come from, in the order in which the first of two equal ones is kept.
        output: a folder that is new, empty, or holds an earlier build.
        settings: what decides which lines are written, and how they read.
        on_record: called with the number of records judged so far, now and then.
        test_sources: where documents come from that are only ever tested on; they are read before the others.
        engine: where the work is done; processes on this machine where it is None.

    Raises:
        UsageError: no source, a source that is missing or lies in `output`, or a folder that holds something else.
        AdapterError: a source or the folder cannot be read or written, another stage uses the folder, or no record of
            the sources, or of the test sources, passed the gates.
    """
    check_inputs(sources, [output], test_sources)
    with using("data build", writes=[output]):
        return _build(sources, output, settings, on_record, test_sources, engine)


def _build(
    sources: Sequence[AnySource],
    output: Path,
    settings: BuildSettings,
    on_record: OnRecord | None,
    test_sources: Sequence[AnySource],
    engine: EngineSettings | None,
) -> DataManifest:
    check_output_folder(output)
    tally = new_tally(sources, test_sources)
    tally.by_split.update(dict.fromkeys(SPLITS, 0))
    with writing_folder(output, alone=True) as folder, _spool_in(folder) as spool, ExitStack() as stack:
        bench = Bench(settings, "toolkit", folder, PageFolders(folder / "pages", output.with_name(OCR_CACHE)))
        _judge_all(tally, bench, engine or EngineSettings(), spool, on_record)
        names = [*(f"{split}.jsonl" for split in SPLITS), REJECTED, WARNED, SAMPLES]
        names += [*PREFERENCES.values(), PREFERENCES_REFUSED] if settings.preference else []
        files = {name: LineFile(stack.enter_context((folder / name).open("wb"))) for name in names}
        _distribute(spool, settings, tally, files)
        stack.close()
        _check_accepted(tally, folder / REJECTED, output)
        warnings = split_warnings(tally.by_split, settings)
        manifest = make_manifest(tally, settings, {name: files[name].figures() for name in sorted(files)}, warnings)
        write_json(folder / MANIFEST, manifest.as_json())
    shutil.rmtree(refused_folder(output), ignore_errors=True)
    return manifest


def refused_folder(output: Path) -> Path:
    """Return the folder with the rejections of a build of which nothing was accepted; an earlier build stays."""
    return output.with_name(f"{output.name}-rejected")


def _check_accepted(tally: Tally, rejected: Path, output: Path) -> None:
    """Keep the rejections if nothing is left to write.

    Raises:
        AdapterError: nothing was accepted, with the place of the rejections.
    """
    try:
        check_accepted(tally)
    except AdapterError as error:
        kept = refused_folder(output) / REJECTED
        kept.parent.mkdir(parents=True, exist_ok=True)
        with writing(kept) as stream, rejected.open("rb") as found:
            shutil.copyfileobj(found, stream)
        raise AdapterError([*error.problems, _kept_rejections(kept)]) from None


def _kept_rejections(path: Path) -> Problem:
    show = f"list them: .venv/bin/python -m data_tools rejected --output-dir {path}"
    return Problem(str(path), "holds every rejection with its reason", show)


def prepare(
    source: AnySource, output: Path, settings: BuildSettings, on_record: OnRecord | None = None
) -> DataManifest:
    """Write the interchange lines of one source to the file `output`, its rejections and its manifest beside it.

    Raises:
        UsageError: the source is missing or is the output itself.
        AdapterError: a file cannot be read or written, or no record passed the gates.
    """
    beside = {name: output.with_name(f"{output.name}.{name}") for name in (REJECTED, MANIFEST)}
    if output.is_dir():
        raise misuse(output, "is a folder", "name the file to write: lines.jsonl")
    check_inputs([source], [output, *beside.values()])
    tally = new_tally([source])
    folder = output.parent
    folder.mkdir(parents=True, exist_ok=True)
    nothing_left: AdapterError | None = None
    with writing(beside[REJECTED]) as rejected, _spool_in(folder) as spool:
        bench = Bench(settings, "interchange", folder, PageFolders(folder / "pages", folder / OCR_CACHE))
        _judge_all(tally, bench, EngineSettings(), spool, on_record)
        try:
            with writing(output) as lines:
                files = {output.name: LineFile(lines), beside[REJECTED].name: LineFile(rejected)}
                _gather(spool, settings, tally, files[output.name], files[beside[REJECTED].name])
                check_accepted(tally)
        except AdapterError as error:
            # The rejections are kept all the same.
            nothing_left = error
    if nothing_left:
        raise AdapterError([*nothing_left.problems, _kept_rejections(beside[REJECTED])])
    manifest = make_manifest(tally, settings, {name: file.figures() for name, file in files.items()})
    write_json(beside[MANIFEST], manifest.as_json())
    return manifest


class LineFile:
    """A file of lines that is being written, with its number of lines and its SHA-256 so far."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._digest, self._lines = stream, sha256(), 0

    def write(self, line: bytes) -> None:
        """Write one line with its end."""
        self._stream.write(line)
        self._digest.update(line)
        self._lines += 1

    def figures(self) -> dict[str, Any]:
        """Lines and SHA-256, for the manifest."""
        return {"lines": self._lines, "sha256": self._digest.hexdigest()}


@contextmanager
def _spool_in(folder: Path) -> Iterator[Spool]:
    """A spool in files without a name, which are gone with the process, however it ends."""
    with ExitStack() as stack:
        rows, texts, keys = (stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(3))
        yield Spool(rows, texts, keys)


def _judge_all(tally: Tally, bench: Bench, engine: EngineSettings, spool: Spool, on_record: OnRecord | None) -> None:
    accounts = tally.accounts.values()
    order = bench.settings.date_order
    shards = (
        shard for each in accounts for shard in cut(each.source, role_is_test=each.role == "test", date_order=order)
    )
    with judging(shards, bench, engine) as judged:
        for shard, found in judged:
            spool.add(found, str(shard.source.path))
            if on_record:
                on_record(spool.read)


def _distribute(spool: Spool, settings: BuildSettings, tally: Tally, files: Mapping[str, LineFile]) -> None:
    """The second pass: every row to the split of its document, or out where it may not or need not be used."""
    documents = find_documents(spool.keys, spool.read)
    choice = _choose(spool, documents, settings, tally)
    used = bytearray(documents.groups)
    ids: Counter[str] = Counter()
    shown: Counter[tuple[str, str]] = Counter()
    for number, source, row, texts in spool.rows_with_texts():
        account = tally.accounts[source]
        account.read += 1
        found = choice.judge(number, source, row, role_is_test=account.role == "test")
        if isinstance(found, Rejection) or isinstance(row, Rejection):
            _reject(found, account, files[REJECTED])
            continue
        account.accept(row)
        used[documents.group[number]] = 1
        line, test, preference = texts
        line = _with_own_id(test or line, row, ids) if found == "test" else line
        files[f"{found}.jsonl"].write(line)
        for gate, reason in row.warned:
            files[WARNED].write(row_json(_rejection(source, row, gate, reason)))
        if shown[found, row.task] < SAMPLES_OF_EACH:
            shown[found, row.task] += 1
            files[SAMPLES].write(_sample(source, row, found, line))
        if found != "test":
            _write_preference(source, row, found, preference, tally, files)
        count_line(tally, found, row, contradicts=bool(documents.contradicts[number]))
    tally.documents = used.count(1)


def _gather(spool: Spool, settings: BuildSettings, tally: Tally, lines: LineFile, rejected: LineFile) -> None:
    """The second pass where there are no splits: every row that is no copy of another."""
    documents = find_documents(spool.keys, spool.read)
    choice = _choose(spool, documents, settings, tally)
    used = bytearray(documents.groups)
    for number, source, row, (line, _, _) in spool.rows_with_texts():
        account = tally.accounts[source]
        account.read += 1
        refused = row if isinstance(row, Rejection) else choice.copy_of_another(number, source, row)
        if refused or isinstance(row, Rejection):
            _reject(refused, account, rejected)
            continue
        account.accept(row)
        used[documents.group[number]] = 1
        lines.write(grouped_line(line, documents.name(number)))
        count_line(tally, "lines", row, contradicts=bool(documents.contradicts[number]))
    tally.documents = used.count(1)


def _sample(source: str, row: Row, split: SplitName, line: bytes) -> bytes:
    """A line with what it was made of, to be looked at."""
    task = "analysis" if split == "test" else row.task
    about = {"split": split, "task": task, "source": source, "line": row.line, "document_id": row.document_id}
    made_of = {"images": row.images, "faults": row.faults, "left_out": row.left_out, "tokens": row.tokens}
    return json_line(about | made_of | {"text": orjson.Fragment(line.rstrip())})


def _reject(found: object, account: Account, rejected: LineFile) -> None:
    if isinstance(found, Rejection):
        account.refuse(found)
        rejected.write(row_json(found))


def _with_own_id(test: bytes, row: Row, ids: Counter[str]) -> bytes:
    """The line under an id that no other has: a document that comes again gets a number."""
    ids[row.document_id] += 1
    count = ids[row.document_id]
    return identified_line(test, row.document_id if count == 1 else f"{row.document_id}#{count}")


def _write_preference(
    source: str,
    row: Row,
    split: SplitName,
    preference: bytes,
    tally: Tally,
    files: Mapping[str, LineFile],
) -> None:
    if preference:
        tally.preferences.by_split[split] += 1
        files[PREFERENCES[split]].write(preference)
    elif row.preference_refused:
        gate, reason = row.preference_refused
        tally.preferences.by_gate[gate] += 1
        files[PREFERENCES_REFUSED].write(row_json(_rejection(source, row, gate, reason)))


@dataclass(frozen=True)
class _Choice:
    """Which rows are used, and how they are split: known when every record was read.

    Attributes:
        spool: tells where a row comes from.
        documents: which rows are of one document, and which say the same.
        settings: shares, seed and limit.
        held_out: the groups that the test sources name, each with the first row that names it.
        chosen: the names of the groups to use where there is a limit.
    """

    spool: Spool
    documents: Documents
    settings: BuildSettings
    held_out: Mapping[int, int]
    chosen: frozenset[str] | None

    def judge(self, number: int, source: str, row: Row | Rejection, *, role_is_test: bool) -> SplitName | Rejection:
        """A row's split, or its rejection."""
        if isinstance(row, Rejection):
            return row
        if copy := self.copy_of_another(number, source, row):
            return copy
        if role_is_test:
            return "test"
        first = self.held_out.get(self.documents.group[number])
        if first is not None:
            where = self.spool.place(first)
            return _rejection(source, row, "held_out", f"the document is also among the test sources, at {where}")
        settings, name = self.settings, self.documents.name(number)
        if self.chosen is not None and name not in self.chosen:
            reason = f"not among the {settings.max_samples} documents chosen with seed {settings.seed}"
            return _rejection(source, row, "max_samples", reason)
        return split_name(name, seed=settings.seed, eval_ratio=settings.eval_ratio, test_ratio=settings.test_ratio)

    def copy_of_another(self, number: int, source: str, row: Row) -> Rejection | None:
        """The rejection of a row that says the same as one before it, where that is not only warned of."""
        first = self.documents.first[number]
        if first == number or self.settings.gates.duplicate == "off":
            return None
        reason = f"says the same as {self.spool.place(first)}"
        if self.settings.gates.duplicate == "warn":
            row.warned.append((DUPLICATE, reason))
            return None
        return _rejection(source, row, DUPLICATE, reason)


def _rejection(source: str, row: Row, gate: str, reason: str) -> Rejection:
    return Rejection(source, row.line, row.document_id, gate, reason)


def _choose(spool: Spool, documents: Documents, settings: BuildSettings, tally: Tally) -> _Choice:
    if settings.gates.duplicate != "off":
        note_equal_pages(documents, spool)
    held_out: dict[int, int] = {}
    tests = {source for source, account in tally.accounts.items() if account.role == "test"}
    for number in spool.numbers_of(tests):
        held_out.setdefault(documents.group[number], number)
    chosen = None
    if settings.max_samples is not None:
        chosen = choose_groups(_free(spool, documents, held_out), seed=settings.seed, count=settings.max_samples)
    return _Choice(spool, documents, settings, held_out, chosen)


def _free(spool: Spool, documents: Documents, held_out: Mapping[int, int]) -> set[str]:
    """The names of the groups that have a row and that no test source names."""
    rows = (number for number, _, row in spool.rows() if not isinstance(row, Rejection))
    return {documents.name(number) for number in rows if documents.group[number] not in held_out}
