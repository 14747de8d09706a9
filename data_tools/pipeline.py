"""The data stage: sources in, lines and a manifest out, one record at a time and whole or not at all.

Two passes keep memory bounded: the first lets every record through the gates and writes what passes to a spool, while
only hashes stay in memory; the second knows which records are of one document, and gives each its split.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import orjson

from data_tools.data_manifest import (
    MANIFEST,
    REJECTED,
    BuildSettings,
    DataManifest,
    check_inputs,
    check_output_folder,
    split_warnings,
)
from data_tools.formats import check_line, interchange_line, toolkit_line
from data_tools.gates import GateSettings, refuse_pair, refuse_record
from data_tools.pairs import Pair, identity, known_names, make_pair
from data_tools.records import Reading, Rejection
from data_tools.sources.active_learning import read_active_learning
from data_tools.sources.lines import read_line_file
from data_tools.sources.manifest import read_manifest
from data_tools.split import SPLITS, SplitName, choose_groups, split_name
from data_tools.tally import (
    DUPLICATE,
    Source,
    Tally,
    check_accepted,
    count_line,
    count_unused,
    make_manifest,
    new_tally,
    place_of,
)
from data_tools.tokens import token_counter
from erniekit_adapter.errors import misuse
from erniekit_adapter.files import write_json, writing, writing_folder
from erniekit_adapter.project.schema import ActiveLearningSource, ManifestSource

OnRecord = Callable[[int], None]


def build(
    sources: Sequence[Source],
    output: Path,
    settings: BuildSettings,
    on_record: OnRecord | None = None,
    test_sources: Sequence[Source] = (),
) -> DataManifest:
    """Write train, eval and test lines, rejections and a manifest to the folder `output`, replacing an earlier build.

    Args:
        sources: where documents come from, in the order in which the first of two equal ones is kept.
        output: a folder that is new, empty, or holds an earlier build.
        settings: shares, seed and limits.
        on_record: called with the number of records read so far, after each.
        test_sources: where documents come from that are only ever tested on; they are read before the others.

    Raises:
        UsageError: no source, a source that is missing or lies in `output`, or a folder that holds something else.
        AdapterError: a source or the folder cannot be read or written, or no record of the sources, or of the test
            sources, passed the gates.
    """
    check_inputs([source.path for source in sources], [output], [source.path for source in test_sources])
    check_output_folder(output)
    tally = new_tally(sources, test_sources)
    tally.by_split.update(dict.fromkeys(SPLITS, 0))
    with writing_folder(output) as folder:
        with ExitStack() as stack:
            rejected = stack.enter_context((folder / REJECTED).open("wb"))
            spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            streams = {name: stack.enter_context((folder / f"{name}.jsonl").open("wb")) for name in SPLITS}
            _collect(tally, settings, spool, rejected, on_record)
            _distribute(spool, settings, tally, streams, rejected)
            check_accepted(tally)
        warnings = split_warnings(tally.by_split, settings)
        manifest = make_manifest(tally, settings, sorted(folder.glob("*.jsonl")), warnings)
        write_json(folder / MANIFEST, manifest.as_json())
    return manifest


def prepare(source: Source, output: Path, settings: BuildSettings, on_record: OnRecord | None = None) -> DataManifest:
    """Write the interchange lines of one source to the file `output`, its rejections and its manifest beside it.

    Raises:
        UsageError: the source is missing or is the output itself.
        AdapterError: a file cannot be read or written, or no record passed the gates.
    """
    rejected_path, manifest_path = (output.with_name(f"{output.name}.{name}") for name in (REJECTED, MANIFEST))
    if output.is_dir():
        raise misuse(output, "is a folder", "name the file to write: lines.jsonl")
    check_inputs([source.path], [output, rejected_path, manifest_path])
    tally = new_tally([source])
    with (
        writing(rejected_path) as rejected,
        writing(output) as lines,
        tempfile.TemporaryFile(dir=output.parent) as spool,
    ):
        _collect(tally, settings, spool, rejected, on_record)
        check_accepted(tally)
        for row in _rows(spool):
            pair = replace(row.pair, group=tally.groups.name(row.group))
            lines.write(interchange_line(pair, output.parent))
            count_line(tally, "lines", pair, contradicts=row.contradicts)
    tally.documents = len(tally.groups.names())
    manifest = make_manifest(tally, settings, [output, rejected_path])
    write_json(manifest_path, manifest.as_json())
    return manifest


def read_source(source: Source) -> Iterator[Reading]:
    """The records and rejections of one source, in order."""
    if isinstance(source, ActiveLearningSource):
        return read_active_learning(source.path)
    if isinstance(source, ManifestSource):
        return read_manifest(source.path, source.images_dir, source.ground_truth_dir)
    return read_line_file(source.path)


def _collect(
    tally: Tally, settings: BuildSettings, spool: IO[bytes], rejected: IO[bytes], on_record: OnRecord | None
) -> None:
    """The first pass: gates and duplicates; what passes goes to the spool."""
    count_tokens = token_counter(settings.tokenizer) if settings.tokenizer else None
    gates = GateSettings(settings.arithmetic, settings.max_seq_length if count_tokens else None)
    read = 0
    for account in tally.accounts.values():
        for reading in read_source(account.source):
            account.read += 1
            judged = _judge(reading, gates, tally, count_tokens)
            if account.role == "test":
                _hold_out(reading, judged, tally)
            if isinstance(judged, Rejection):
                _reject(judged, tally, rejected)
            else:
                account.accepted += 1
                spool.write(_spooled(judged))
            read += 1
            if on_record:
                on_record(read)


def _judge(
    reading: Reading, gates: GateSettings, tally: Tally, count_tokens: Callable[[str], int] | None
) -> Rejection | _Row:
    """A record's row for the spool, or why it gets none."""
    if isinstance(reading, Rejection):
        return reading

    def refused(gate: str, reason: str) -> Rejection:
        return Rejection(reading.source, reading.line, reading.document_id, gate, reason[:2000])

    if refusal := refuse_record(reading, gates):
        return refused(*refusal)
    try:
        pair = make_pair(reading, count_tokens)
    except RecursionError:
        return refused("source", "nested too deeply")
    except ValueError as error:
        return refused("canonical", str(error))
    if refusal := refuse_pair(pair, gates):
        return refused(*refusal)
    keys = identity(reading, pair)
    contradicts = keys[-1] in tally.groups
    # A copy's names are names of its document: whatever else has them belongs to the same split.
    group = tally.groups.add(keys)
    if first := tally.places.get(pair.content):
        return refused(DUPLICATE, f"says the same as {first}")
    tally.places[pair.content] = place_of(reading)
    count_unused(tally, reading)
    return _Row(reading.source, reading.line, group, contradicts, pair)


def _hold_out(reading: Reading, judged: Rejection | _Row, tally: Tally) -> None:
    """Keep a document of the test sources from training, even where a gate keeps it from the test."""
    if isinstance(judged, _Row):
        tally.held_out.setdefault(judged.group, place_of(reading))
    elif names := known_names(reading):
        tally.held_out.setdefault(tally.groups.add(names), place_of(reading))


def _reject(rejection: Rejection, tally: Tally, rejected: IO[bytes]) -> None:
    tally.accounts[rejection.source].refuse(rejection)
    rejected.write(orjson.dumps(asdict(rejection), option=orjson.OPT_APPEND_NEWLINE))


@dataclass(frozen=True)
class _Row:
    """A pair in the spool, with its place in its source and in the groups.

    Attributes:
        source, line: the record's.
        group: the record's place in the groups.
        contradicts: its request came before, with another answer.
        pair: what is written.
    """

    source: str
    line: int | None
    group: int
    contradicts: bool
    pair: Pair


def _spooled(row: _Row) -> bytes:
    pair = row.pair
    place = (row.source, row.line, row.group, row.contradicts)
    images = [str(image) for image in pair.images]
    said = (pair.document_id, pair.request, pair.answer_text, images, pair.left_out, pair.tokens)
    return orjson.dumps((place, said), option=orjson.OPT_APPEND_NEWLINE)


def _rows(spool: IO[bytes]) -> Iterator[_Row]:
    spool.seek(0)
    for line in spool:
        (source, number, group, contradicts), said = orjson.loads(line)
        document_id, request, answer_text, images, left_out, tokens = said
        pair = Pair(document_id, "", request, answer_text, tuple(map(Path, images)), tuple(left_out), tokens)
        yield _Row(source, number, group, contradicts, pair)


def _distribute(
    spool: IO[bytes],
    settings: BuildSettings,
    tally: Tally,
    streams: Mapping[SplitName, IO[bytes]],
    rejected: IO[bytes],
) -> None:
    """The second pass: every pair to the split of its document, or out where it may not or need not be trained on."""
    choice = _choose(settings, tally)
    tested: set[str] = set()
    ids: Counter[str] = Counter()
    for row in _rows(spool):
        group = tally.groups.name(row.group)
        account = tally.accounts[row.source]
        if account.role == "test":
            tested.add(group)
        elif refusal := choice.refuse(group):
            account.accepted -= 1
            _reject(Rejection(row.source, row.line, row.pair.document_id, *refusal), tally, rejected)
            continue
        name = "test" if account.role == "test" else choice.split(group)
        streams[name].write(_test_line(row.pair, ids) if name == "test" else toolkit_line(row.pair))
        count_line(tally, name, row.pair, contradicts=row.contradicts)
    tally.documents = len(tested) + choice.documents


@dataclass(frozen=True)
class _Choice:
    """Which documents of the sources are trained on, and how they are split: known when every record was read.

    Attributes:
        settings: shares, seed and limit.
        held_out: the groups that the test sources name, each with where they name it.
        chosen: the groups to use where there is a limit.
        documents: how many groups there are to use.
    """

    settings: BuildSettings
    held_out: Mapping[str, str]
    chosen: frozenset[str] | None
    documents: int

    def refuse(self, group: str) -> tuple[str, str] | None:
        """The gate that refuses a group, with its reason; None where it is used."""
        if where := self.held_out.get(group):
            return "held_out", f"the document is also among the test sources, at {where}"
        if self.chosen is not None and group not in self.chosen:
            settings = self.settings
            return "max_samples", f"not among the {settings.max_samples} documents chosen with seed {settings.seed}"
        return None

    def split(self, group: str) -> SplitName:
        """The split of a group that is used."""
        settings = self.settings
        return split_name(group, seed=settings.seed, eval_ratio=settings.eval_ratio, test_ratio=settings.test_ratio)


def _choose(settings: BuildSettings, tally: Tally) -> _Choice:
    held_out: dict[str, str] = {}
    for place, where in tally.held_out.items():
        held_out.setdefault(tally.groups.name(place), where)
    free = [name for name in tally.groups.names() if name not in held_out]
    if settings.max_samples is None:
        return _Choice(settings, held_out, None, len(free))
    chosen = choose_groups(free, seed=settings.seed, count=settings.max_samples)
    return _Choice(settings, held_out, chosen, len(chosen))


def _test_line(pair: Pair, ids: Counter[str]) -> bytes:
    """The line under an id of its own: a document that comes again gets a number."""
    ids[pair.document_id] += 1
    count = ids[pair.document_id]
    return check_line(pair, pair.document_id if count == 1 else f"{pair.document_id}#{count}")
