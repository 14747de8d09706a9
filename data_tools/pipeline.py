"""The data stage: sources in, lines and a manifest out, one record at a time and whole or not at all.

Two passes keep memory bounded: the first lets every record through the gates and writes what passes to a spool, while
only hashes stay in memory; the second knows which records are of one document, and gives each its split.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import orjson

from data_tools.data_manifest import (
    MANIFEST,
    REJECTED,
    BuildSettings,
    DataManifest,
    check_counts,
    check_inputs,
    check_output_folder,
    describe_files,
    describe_settings,
    made_by,
    nothing_accepted,
    split_warnings,
)
from data_tools.formats import check_line, interchange_line, toolkit_line
from data_tools.gates import GateSettings, refuse_pair, refuse_record
from data_tools.pairs import Pair, identity, make_pair
from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.active_learning import read_active_learning
from data_tools.sources.lines import read_line_file
from data_tools.sources.manifest import read_manifest
from data_tools.split import SPLITS, Groups, SplitName, choose_groups, split_name
from data_tools.tokens import histogram, token_counter
from erniekit_adapter.errors import misuse
from erniekit_adapter.files import sha256, write_json, writing, writing_folder
from erniekit_adapter.project.schema import ActiveLearningSource, LinesSource, ManifestSource

Source = ActiveLearningSource | ManifestSource | LinesSource
DUPLICATE = "duplicate"
# So many different names are listed; a source with more has names of its own for every record.
_MAX_UNUSED_KEYS = 100
OnRecord = Callable[[int], None]


@dataclass
class _Tally:
    """What the stage has seen so far; of records it keeps hashes alone."""

    read: int = 0
    conflicts: int = 0
    by_gate: Counter[str] = field(default_factory=Counter)
    by_source: dict[str, Counter[str]] = field(default_factory=dict)
    by_split: Counter[str] = field(default_factory=Counter)
    first_reasons: dict[str, str] = field(default_factory=dict)
    unused_keys: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    places: dict[bytes, str] = field(default_factory=dict)
    groups: Groups = field(default_factory=Groups)


def build(
    sources: Sequence[Source], output: Path, settings: BuildSettings, on_record: OnRecord | None = None
) -> DataManifest:
    """Write train, eval and test lines, rejections and a manifest to the folder `output`, replacing an earlier build.

    Args:
        sources: where documents come from, in the order in which the first of two equal ones is kept.
        output: a folder that is new, empty, or holds an earlier build.
        settings: shares, seed and limits.
        on_record: called with the number of records read so far, after each.

    Raises:
        UsageError: no source, a source that is missing or lies in `output`, or a folder that holds something else.
        AdapterError: a source or the folder cannot be read or written, or no record passed the gates.
    """
    check_inputs([source.path for source in sources], [output])
    check_output_folder(output)
    tally = _Tally(by_split=Counter(dict.fromkeys(SPLITS, 0)))
    with writing_folder(output) as folder:
        with ExitStack() as stack:
            rejected = stack.enter_context((folder / REJECTED).open("wb"))
            spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            streams = {name: stack.enter_context((folder / f"{name}.jsonl").open("wb")) for name in SPLITS}
            _collect(sources, settings, tally, spool, rejected, on_record)
            _distribute(spool, settings, tally, streams, rejected)
        warnings = split_warnings(tally.by_split, settings)
        manifest = _manifest(sources, settings, tally, sorted(folder.glob("*.jsonl")), warnings)
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
    tally = _Tally()
    with (
        writing(rejected_path) as rejected,
        writing(output) as lines,
        tempfile.TemporaryFile(dir=output.parent) as spool,
    ):
        _collect([source], settings, tally, spool, rejected, on_record)
        for row in _rows(spool):
            pair = replace(row.pair, group=tally.groups.name(row.group))
            lines.write(interchange_line(pair, output.parent))
            tally.by_split["lines"] += 1
    manifest = _manifest([source], settings, tally, [output, rejected_path], [])
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
    sources: Sequence[Source],
    settings: BuildSettings,
    tally: _Tally,
    spool: IO[bytes],
    rejected: IO[bytes],
    on_record: OnRecord | None,
) -> None:
    """The first pass: gates and duplicates; what passes goes to the spool."""
    count_tokens = token_counter(settings.tokenizer) if settings.tokenizer else None
    gates = GateSettings(settings.arithmetic, settings.max_seq_length if count_tokens else None)
    for source in sources:
        counts = tally.by_source.setdefault(str(source.path), Counter())
        for reading in read_source(source):
            tally.read += 1
            counts["read"] += 1
            judged = _judge(reading, gates, tally, count_tokens)
            if isinstance(judged, Rejection):
                counts["duplicates" if judged.gate == DUPLICATE else "rejected"] += 1
                _reject(judged, tally, rejected)
            else:
                counts["accepted"] += 1
                spool.write(judged)
            if on_record:
                on_record(tally.read)
    if not spool.tell():
        raise nothing_accepted(tally.read, tally.by_gate, tally.first_reasons)


def _judge(
    reading: Reading, gates: GateSettings, tally: _Tally, count_tokens: Callable[[str], int] | None
) -> Rejection | bytes:
    """A record's line for the spool, or why it gets none."""
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
    place = f"{reading.source}:{reading.line}" if reading.line else reading.source
    if first := tally.places.get(pair.content):
        return refused(DUPLICATE, f"says the same as {first}")
    tally.places[pair.content] = place
    return _spooled(_Row(reading.source, reading.line, _note(reading, pair, tally), pair))


def _note(record: DocumentRecord, pair: Pair, tally: _Tally) -> int:
    """Count what an accepted pair tells, and give its place among the groups."""
    for key in record.unused_keys:
        known = key in tally.unused_keys or len(tally.unused_keys) < _MAX_UNUSED_KEYS
        tally.unused_keys[key if known else "others"] += 1
    tally.left_out.update(pair.left_out)
    if pair.tokens is not None:
        tally.tokens[pair.tokens] += 1
    keys = identity(record, pair)
    tally.conflicts += keys[-1] in tally.groups
    return tally.groups.add(keys)


def _reject(rejection: Rejection, tally: _Tally, rejected: IO[bytes]) -> None:
    tally.by_gate[rejection.gate] += 1
    place = f"{rejection.source}:{rejection.line}" if rejection.line else rejection.source
    tally.first_reasons.setdefault(rejection.gate, f"{place}: {rejection.reason}"[:400])
    rejected.write(orjson.dumps(asdict(rejection), option=orjson.OPT_APPEND_NEWLINE))


@dataclass(frozen=True)
class _Row:
    """A pair in the spool, with its place in its source and in the groups."""

    source: str
    line: int | None
    group: int
    pair: Pair


def _spooled(row: _Row) -> bytes:
    pair = row.pair
    images = [str(image) for image in pair.images]
    parts = [row.source, row.line, row.group, pair.document_id, pair.request, pair.answer_text, images]
    return orjson.dumps(parts, option=orjson.OPT_APPEND_NEWLINE)


def _rows(spool: IO[bytes]) -> Iterator[_Row]:
    spool.seek(0)
    for line in spool:
        source, number, group, document_id, request, answer_text, images = orjson.loads(line)
        yield _Row(source, number, group, Pair(document_id, "", request, answer_text, tuple(map(Path, images))))


def _distribute(
    spool: IO[bytes],
    settings: BuildSettings,
    tally: _Tally,
    streams: Mapping[SplitName, IO[bytes]],
    rejected: IO[bytes],
) -> None:
    """The second pass: every pair to the split of its document, or out where more were asked for than wanted."""
    chosen = None
    if settings.max_samples is not None:
        chosen = choose_groups(tally.groups.names(), seed=settings.seed, count=settings.max_samples)
    ids: Counter[str] = Counter()
    for row in _rows(spool):
        group = tally.groups.name(row.group)
        if chosen is not None and group not in chosen:
            _leave_out(row, settings, tally, rejected)
            continue
        name = split_name(group, seed=settings.seed, eval_ratio=settings.eval_ratio, test_ratio=settings.test_ratio)
        streams[name].write(_test_line(row.pair, ids) if name == "test" else toolkit_line(row.pair))
        tally.by_split[name] += 1


def _test_line(pair: Pair, ids: Counter[str]) -> bytes:
    """The line under an id of its own: a document that comes again gets a number."""
    ids[pair.document_id] += 1
    count = ids[pair.document_id]
    return check_line(pair, pair.document_id if count == 1 else f"{pair.document_id}#{count}")


def _leave_out(row: _Row, settings: BuildSettings, tally: _Tally, rejected: IO[bytes]) -> None:
    reason = f"not among the {settings.max_samples} documents chosen with seed {settings.seed}"
    _reject(Rejection(row.source, row.line, row.pair.document_id, "max_samples", reason), tally, rejected)
    counts = tally.by_source[row.source]
    counts["accepted"] -= 1
    counts["rejected"] += 1


def _manifest(
    sources: Sequence[Source], settings: BuildSettings, tally: _Tally, files: list[Path], warnings: list[str]
) -> DataManifest:
    refused, duplicates = sum(tally.by_gate.values()), tally.by_gate[DUPLICATE]
    manifest = DataManifest(
        made_by=made_by(),
        settings=describe_settings(settings),
        inputs=[_describe_source(source, tally.by_source[str(source.path)]) for source in sources],
        files=describe_files(files),
        read=tally.read,
        written=sum(tally.by_split.values()),
        rejected=refused - duplicates,
        duplicates=duplicates,
        documents=min(len(tally.groups.names()), settings.max_samples or tally.read),
        by_gate={gate: count for gate, count in sorted(tally.by_gate.items()) if count},
        first_reasons=dict(sorted(tally.first_reasons.items())),
        by_split=dict(tally.by_split),
        tokens=histogram(tally.tokens),
        unused_keys=dict(sorted(tally.unused_keys.items())),
        left_out=dict(sorted(tally.left_out.items())),
        warnings=[*warnings, *_other_warnings(settings, tally)],
    )
    check_counts(manifest)
    return manifest


def _describe_source(source: Source, counts: Counter[str]) -> dict[str, Any]:
    names = ("read", "accepted", "rejected", "duplicates")
    told = {name: counts[name] for name in names}
    return {"kind": source.kind, "path": str(source.path), "sha256": sha256(source.path), **told}


def _other_warnings(settings: BuildSettings, tally: _Tally) -> list[str]:
    found = []
    if settings.tokenizer is None:
        found.append("lengths were not checked: the model is no local folder with a tokenizer.model")
    if tally.conflicts:
        found.append(f"{tally.conflicts} requests came again with another answer: the model is taught both")
    return found
