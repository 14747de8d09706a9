"""One HTML file that tells what a build made of its sources: nothing to install, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any

from data_tools.look.built import (
    Sample,
    data_format,
    read_manifest,
    read_rejections,
    read_samples,
    sample_pair,
    shown_images,
    visible,
)
from data_tools.look.histogram import Histogram, histogram
from data_tools.look.thumbnails import thumbnail
from data_tools.stage.data_manifest import REJECTED, WARNED, DataManifest
from data_tools.stage.gates import RESERVED_TOKENS
from data_tools.stage.hints import hint
from data_tools.stage.split import SPLITS, SplitName
from data_tools.stage.tally import DUPLICATE, place_of
from erniekit_adapter.errors import misuse
from erniekit_adapter.files import read_bytes, write_text
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.prompts import constant_part
from erniekit_adapter.project.schema import DataFormat

_GENERATOR = "data_tools report"
# What the template writes near the start of a report.
_SIGN = f'<meta name="generator" content="{_GENERATOR}">'.encode()
_TEMPLATE = "report.html.jinja"
_MAX_SAMPLES = 24
_PAGES_OF_EACH = 2
_ROWS_OF_EACH_GATE = 20
_ROWS_OF_A_TABLE = 25
_MAX_GATES = 40
# Pictures, requests and answers together stay well below the 3 MB that a mail takes.
_PICTURE_CHARACTERS = 1_800_000
_TEXT_CHARACTERS = 5000
_CELL_CHARACTERS = 500
_OF_A_SOURCE = ("path", "kind", "role", "read", "accepted", "rejected", "duplicates", "sha256")
_VERDICT_STYLES = {"valid": "written", "invalid": "rejected", "not checkable": "duplicates"}
_MARKS: dict[SplitName, str] = {
    "train": "what it is trained to write",
    "eval": "its loss is measured, nothing is trained",
    "test": "expected, never trained on",
}


def write_report(data_dir: Path, output: Path) -> None:
    """Write the report on a build as one HTML file, whole or not at all; the same folder gives the same bytes.

    Args:
        data_dir: a folder that `build` wrote.
        output: the file; an earlier report there is replaced.

    Raises:
        UsageError: the folder is no data folder, or the output is a folder or another file than an earlier report.
        AdapterError: a file cannot be read or written.
    """
    _check_replaceable(output)
    manifest = read_manifest(data_dir)
    form = data_format(manifest)
    page = _template().render(
        generator=_GENERATOR,
        data_dir=str(data_dir),
        form=form,
        manifest=manifest,
        settings=_cut(_indented(manifest.settings), _TEXT_CHARACTERS),
        **_figures(manifest),
        samples=_samples(data_dir, form),
        rejected=_first_of_each_gate(data_dir / REJECTED, manifest.by_gate),
        warned=_first_of_each_gate(data_dir / WARNED, manifest.warned),
    )
    write_text(output, page)


def _check_replaceable(output: Path) -> None:
    if output.is_dir():
        raise misuse(output, "is a folder", "name the file to write: report.html")
    if output.exists() and (not output.is_file() or _SIGN not in read_bytes(output)[:1000]):
        raise misuse(output, "exists and is no report", "name another file")


def _template() -> Any:
    import jinja2

    def written(value: object) -> object:
        # Documents decide what stands in most texts; safe markup alone passes as it is.
        return visible(value) if type(value) is str else value

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined, finalize=written
    )
    environment.filters["number"] = lambda value: f"{value:,}" if isinstance(value, int) else str(value)
    return environment.from_string(resources.files(__package__).joinpath(_TEMPLATE).read_text())


@dataclass(frozen=True)
class _Count:
    """A count with its name, and its share in percent: of all records, or in a table of the largest count."""

    name: str
    count: int
    percent: float


@dataclass(frozen=True)
class _Table:
    """The largest counts, and how many others there are."""

    rows: tuple[_Count, ...]
    more: int


def _table(counts: Mapping[str, int], *, in_order: bool = False) -> _Table:
    items = list(counts.items())
    if not in_order:
        items.sort(key=lambda item: (-item[1], item[0]))
    kept = items[:_ROWS_OF_A_TABLE]
    largest = max((count for _, count in kept), default=0) or 1
    rows = tuple(_Count(_cut(name), count, _percent(count, largest)) for name, count in kept)
    return _Table(rows, len(items) - len(kept))


def _figures(manifest: DataManifest) -> dict[str, Any]:
    """What the template shows of the manifest's counts."""
    splits: dict[str, int] = {split: manifest.by_split.get(split, 0) for split in SPLITS}
    fates = (("written", manifest.written), ("rejected", manifest.rejected), ("duplicates", manifest.duplicates))
    return {
        "tiles": [("read", manifest.read), *fates, ("documents", manifest.documents)],
        "flow": [
            [_Count(name, count, _percent(count, manifest.read)) for name, count in bar]
            for bar in (fates, splits.items())
        ],
        "sources": [{name: source.get(name, "") for name in _OF_A_SOURCE} for source in manifest.inputs],
        "files": [(name, file.get("lines", ""), file.get("sha256", "")) for name, file in manifest.files.items()],
        "verdicts": _verdicts(manifest),
        "gates": _gates(manifest),
        "splits": _table(splits, in_order=True),
        "tasks": _table(manifest.by_task),
        "languages": _table(manifest.by_language),
        "charts": [chart for chart in (_token_chart(manifest), _page_chart(manifest)) if chart],
        "changes": _changes(manifest),
    }


def _verdicts(manifest: DataManifest) -> list[dict[str, Any]]:
    """Return the verdicts on the accepted documents of each source, with the rules that the invalid ones fail."""
    rows = []
    for source in manifest.inputs:
        counts = source.get("verdicts", {})
        failed = sorted(source.get("failed_rules", {}).items(), key=lambda item: (-item[1], item[0]))
        rows.append(
            {
                "path": source.get("path", ""),
                "parts": [
                    (style, counts.get(name, 0), _percent(counts.get(name, 0), source.get("accepted", 0)))
                    for name, style in _VERDICT_STYLES.items()
                ],
                "failed": _cut(", ".join(f"{rule} {count}" for rule, count in failed)),
            }
        )
    return rows


def _gates(manifest: DataManifest) -> list[dict[str, Any]]:
    levels = manifest.settings.get("gates")
    names = sorted({*manifest.by_gate, *manifest.warned}, key=lambda gate: (-manifest.by_gate.get(gate, 0), gate))
    largest = max(manifest.by_gate.values(), default=0)
    return [
        {
            "name": gate,
            "refused": manifest.by_gate.get(gate, 0),
            "percent": _percent(manifest.by_gate.get(gate, 0), largest),
            "kind": "duplicates" if gate == DUPLICATE else "rejected",
            "warned": manifest.warned.get(gate, 0),
            "level": levels.get(gate, "always on") if isinstance(levels, dict) else "",
            "first": _cut(manifest.first_reasons.get(gate, "")),
            "hint": hint(gate),
        }
        for gate in names[:_MAX_GATES]
    ]


def _token_chart(manifest: DataManifest) -> Histogram | None:
    lines, tokens = (manifest.tokens_counted.get(name, 0) for name in ("lines", "tokens"))
    limit = manifest.settings.get("max_seq_length")
    limit = limit if isinstance(limit, int) and limit > 0 else None
    note = f"{tokens:,} tokens in {lines:,} lines, {tokens / max(lines, 1):,.0f} in the mean."
    if lines < manifest.written:
        note += f" The other {manifest.written - lines:,} lines are surely short enough, or were not counted."
    if limit:
        note += f" The limit is max_seq_length, of which {RESERVED_TOKENS} tokens are kept for the chat template."
    return histogram("Lines by tokens of request and answer", manifest.tokens, "{:,}".format, limit, note)


def _page_chart(manifest: DataManifest) -> Histogram | None:
    def megapixels(kilopixels: int) -> str:
        return f"{kilopixels / 1000:.3g} MP"

    return histogram("Page images by size, in megapixels", manifest.page_kilopixels, megapixels)


def _changes(manifest: DataManifest) -> list[tuple[str, str, _Table]]:
    """What left the answers or the sources on the way; only what there is."""
    preferences = manifest.preferences
    tables = (
        ("Fields left out of answers: the request does not show them", "field", manifest.left_out),
        ("Keys of the sources without a place in a line", "key", manifest.unused_keys),
        ("Lines with personal data masked", "kind", manifest.masked),
        ("Faults injected into data to be validated", "fault", manifest.faults),
        ("Preferences for DPO", "split", preferences.get("by_split", {})),
        ("Preferences refused", "gate", preferences.get("by_gate", {})),
    )
    return [(title, what, _table(counts)) for title, what, counts in tables if counts]


def _samples(data_dir: Path, form: DataFormat) -> list[dict[str, Any]]:
    """Some lines of every split and task, as the template shows them."""
    left = _PICTURE_CHARACTERS
    found = []
    for sample in _in_turn(read_samples(data_dir)):
        pair = sample_pair(sample, form, data_dir)
        images = shown_images(sample, pair)
        pages = []
        for number, image in enumerate(images[:_PAGES_OF_EACH], start=1):
            page = _page(image, f"page {number} of {_cut(sample.document_id)}", left)
            left -= len(page["data_uri"])
            pages.append(page)
        constant = constant_part(pair.request)
        tokens = [] if sample.tokens is None else [f"{sample.tokens:,} tokens"]
        found.append(
            {
                "document_id": _cut(sample.document_id),
                "place": _cut(sample.place),
                "about": " · ".join([sample.split, sample.task, *tokens]),
                "faults": _cut(", ".join(sample.faults)),
                "left_out": _cut(", ".join(sample.left_out)),
                "pages": pages,
                "more_pages": len(images) - len(pages),
                "constant": _cut(constant, _TEXT_CHARACTERS),
                "request": _cut(pair.request[len(constant) :], _TEXT_CHARACTERS),
                "answer": _cut(_readable(pair.answer_text), _TEXT_CHARACTERS),
                "mark": _MARKS[sample.split],
                "kind": "trained" if sample.split == "train" else "kept",
            }
        )
    return found


def _in_turn(samples: Iterable[Sample]) -> Iterator[Sample]:
    """One sample of every split and task, then a second one of each, up to the most that are shown."""
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((SPLITS.index(sample.split), sample.task), []).append(sample)
    rounds = zip_longest(*(groups[key] for key in sorted(groups)))
    chosen = [sample for turn in rounds for sample in turn if sample is not None][:_MAX_SAMPLES]
    yield from sorted(chosen, key=lambda sample: (SPLITS.index(sample.split), sample.task))


def _page(image: Path, name: str, left: int) -> dict[str, Any]:
    """A page's picture, or what stands in its place."""
    picture = thumbnail(image)
    uri = picture.data_uri if len(picture.data_uri) <= left else ""
    return {
        "data_uri": uri,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "alt": name,
        "caption": _cut(str(image)),
        "problem": _cut(picture.problem) or "not shown: the report has pictures enough",
    }


def _first_of_each_gate(path: Path, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The first records of each gate, the largest first; no more of the file is kept or read than is needed."""
    gates = sorted(counts, key=lambda gate: (-counts[gate], gate))[:_MAX_GATES]
    rows: dict[str, list[dict[str, Any]]] = {gate: [] for gate in gates}
    missing = {gate for gate in gates if counts[gate] > 0}
    for rejection in read_rejections(path) if missing else ():
        kept = rows.get(rejection.gate)
        if kept is None or len(kept) == _ROWS_OF_EACH_GATE:
            continue
        place, name = _cut(place_of(rejection)), _cut(rejection.document_id or "")
        kept.append({"place": place, "document_id": name, "reason": _cut(rejection.reason)})
        if len(kept) >= min(_ROWS_OF_EACH_GATE, counts[rejection.gate]):
            missing.discard(rejection.gate)
            if not missing:
                break
    return [{"gate": gate, "count": counts[gate], "rows": rows[gate]} for gate in gates if counts[gate]]


def _readable(answer: str) -> str:
    """An answer indented, where it is JSON; its numbers keep their digits."""
    try:
        return _indented(jsontext.parse(answer))
    except (ValueError, RecursionError):
        return answer


def _indented(value: object) -> str:
    import simplejson

    return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2))


def _percent(count: int, of: int) -> float:
    return round(100 * count / of, 1) if of else 0.0


def _cut(text: str, most: int = _CELL_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]} … {len(text) - most:,} characters more"
