"""Write one HTML file about a build, without scripts and network access."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any

from data_tools.filters import RESERVED_TOKENS
from data_tools.inspect.data_folder import (
    TracedExample,
    manifest_format,
    parse_traced_example,
    read_manifest,
    read_rejections,
    read_traced_examples,
    request_prompts,
    shown_images,
)
from data_tools.inspect.histogram import Histogram, histogram
from data_tools.inspect.thumbnails import thumbnail
from data_tools.pipeline.hints import hint
from data_tools.pipeline.manifest import REJECTED, WARNED, DataManifest
from data_tools.pipeline.split import SPLITS, SplitName
from data_tools.pipeline.statistics import DUPLICATE, location_of
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.prompt_set import PromptSet
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import read_bytes, write_text
from erniekit_adapter.terminal import printable

_GENERATOR = "data_tools report"
# The template writes this near the start of a report.
_SIGN = f'<meta name="generator" content="{_GENERATOR}">'.encode()
_TEMPLATE = "report.html.jinja"
_MAX_EXAMPLES = 24
_PAGES_OF_EACH = 2
_ROWS_OF_EACH_FILTER = 20
_ROWS_OF_A_TABLE = 25
_MAX_FILTERS = 40
# Pictures, requests and answers together stay well below the 3 MB that a mail can have.
_PICTURE_CHARACTERS = 1_800_000
_TEXT_CHARACTERS = 5000
_CELL_CHARACTERS = 500
_OF_A_SOURCE = ("path", "kind", "role", "read", "accepted", "rejected", "duplicates", "sha256")
_VERDICT_STYLES = {"valid": "written", "invalid": "rejected", "not checkable": "duplicates"}
_MARKS: dict[SplitName, str] = {
    "train": "trained",
    "eval": "only its loss is measured",
    "test": "expected, not trained",
}


def write_report(data_dir: Path, output: Path) -> None:
    """Write the report on a build as one HTML file, completely or not at all; equal folders give equal bytes.

    Args:
        data_dir: a folder that `build` wrote.
        output: the file; an earlier report is replaced.

    Raises:
        UsageError: `data_dir` is not a data folder, or `output` is a folder or a file that is not a report.
        AdapterError: a file cannot be read or written.
    """
    _check_replaceable(output)
    manifest = read_manifest(data_dir)
    data_format = manifest_format(manifest)
    page = _template().render(
        generator=_GENERATOR,
        data_dir=str(data_dir),
        format=data_format,
        document_type=_type_name(manifest),
        manifest=manifest,
        settings=_cut(_indented(manifest.settings), _TEXT_CHARACTERS),
        **_figures(manifest),
        examples=_examples(data_dir, data_format, request_prompts(manifest)),
        rejected=_first_of_each_filter(data_dir / REJECTED, manifest.by_filter),
        warned=_first_of_each_filter(data_dir / WARNED, manifest.warned),
    )
    write_text(output, page)


def _type_name(manifest: DataManifest) -> str:
    """Return the name of the document type; empty for earlier builds."""
    record = manifest.settings.get("document_type")
    return str(record.get("name", "")) if isinstance(record, dict) else ""


def _check_replaceable(output: Path) -> None:
    if output.is_dir():
        raise usage_error(output, "is a folder", "name the file to write: report.html")
    if output.exists() and (not output.is_file() or _SIGN not in read_bytes(output)[:1000]):
        raise usage_error(output, "exists and is not a report", "name another file")


def _template() -> Any:
    import jinja2

    def written(value: object) -> object:
        # Most texts come from documents, so only safe markup passes unchanged.
        return printable(value) if type(value) is str else value

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined, finalize=written
    )
    environment.filters["number"] = lambda value: f"{value:,}" if isinstance(value, int) else str(value)
    return environment.from_string(resources.files(__package__).joinpath(_TEMPLATE).read_text())


@dataclass(frozen=True)
class _Count:
    """A named count, with its percentage of all records, or of the largest count of a table."""

    name: str
    count: int
    percent: float


@dataclass(frozen=True)
class _Table:
    """The largest counts of a table, and the number of others."""

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
    """Return the manifest's counts as the template shows them."""
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
        "filters": _filters(manifest),
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


def _filters(manifest: DataManifest) -> list[dict[str, Any]]:
    levels = manifest.settings.get("filters")
    names = sorted(
        {*manifest.by_filter, *manifest.warned},
        key=lambda filter_name: (-manifest.by_filter.get(filter_name, 0), filter_name),
    )
    largest = max(manifest.by_filter.values(), default=0)
    return [
        {
            "name": filter_name,
            "rejected": manifest.by_filter.get(filter_name, 0),
            "percent": _percent(manifest.by_filter.get(filter_name, 0), largest),
            "kind": "duplicates" if filter_name == DUPLICATE else "rejected",
            "warned": manifest.warned.get(filter_name, 0),
            "level": levels.get(filter_name, "always on") if isinstance(levels, dict) else "",
            "first": _cut(manifest.first_reasons.get(filter_name, "")),
            "hint": hint(filter_name),
        }
        for filter_name in names[:_MAX_FILTERS]
    ]


def _token_chart(manifest: DataManifest) -> Histogram | None:
    counted, tokens = (manifest.tokens_counted.get(name, 0) for name in ("lines", "tokens"))
    limit = manifest.settings.get("max_seq_length")
    limit = limit if isinstance(limit, int) and limit > 0 else None
    note = f"{tokens:,} tokens in {counted:,} examples, {tokens / max(counted, 1):,.0f} on average."
    if counted < manifest.written:
        note += f" The other {manifest.written - counted:,} examples are certainly short enough, or were not counted."
    if limit:
        note += f" The limit is max_seq_length; {RESERVED_TOKENS} tokens of it are reserved for the chat template."
    return histogram("Training examples by tokens of request and answer", manifest.tokens, "{:,}".format, limit, note)


def _page_chart(manifest: DataManifest) -> Histogram | None:
    def megapixels(kilopixels: int) -> str:
        return f"{kilopixels / 1000:.3g} MP"

    return histogram("Page images by size, in megapixels", manifest.page_kilopixels, megapixels)


def _changes(manifest: DataManifest) -> list[tuple[str, str, _Table]]:
    """Return tables of removed and changed values; tables without rows are left out."""
    preferences = manifest.preferences
    tables = (
        ("Fields removed from answers because the request does not show them", "field", manifest.left_out),
        ("Keys of the sources without a place in the answer", "key", manifest.unused_keys),
        ("Examples with masked personal data", "kind", manifest.masked),
        ("Faults injected into validation examples", "fault", manifest.faults),
        ("Preferences for DPO", "split", preferences.get("by_split", {})),
        ("Preferences rejected", "filter", preferences.get("by_filter", {})),
    )
    return [(title, unit, _table(counts)) for title, unit, counts in tables if counts]


def _examples(data_dir: Path, data_format: DataFormat, prompts: PromptSet) -> list[dict[str, Any]]:
    """Return some examples of every split and task as the template shows them."""
    left = _PICTURE_CHARACTERS
    found = []
    for traced in _alternating(read_traced_examples(data_dir)):
        example = parse_traced_example(traced, data_format, data_dir)
        images = shown_images(traced, example)
        pages = []
        for number, image in enumerate(images[:_PAGES_OF_EACH], start=1):
            page = _page(image, f"page {number} of {_cut(traced.document_id)}", left)
            left -= len(page["data_uri"])
            pages.append(page)
        constant = prompts.constant_part(example.request)
        tokens = [] if traced.tokens is None else [f"{traced.tokens:,} tokens"]
        found.append(
            {
                "document_id": _cut(traced.document_id),
                "location": _cut(traced.location),
                "about": " · ".join([traced.split, traced.task, *tokens]),
                "faults": _cut(", ".join(traced.faults)),
                "left_out": _cut(", ".join(traced.left_out)),
                "pages": pages,
                "more_pages": len(images) - len(pages),
                "constant": _cut(constant, _TEXT_CHARACTERS),
                "request": _cut(example.request[len(constant) :], _TEXT_CHARACTERS),
                "answer": _cut(_readable(example.answer_text), _TEXT_CHARACTERS),
                "mark": _MARKS[traced.split],
                "kind": "trained" if traced.split == "train" else "kept",
            }
        )
    return found


def _alternating(traced_examples: Iterable[TracedExample]) -> Iterator[TracedExample]:
    """Yield one example of every split and task, then a second of each, up to the maximum number."""
    groups: dict[tuple[int, str], list[TracedExample]] = {}
    for traced in traced_examples:
        groups.setdefault((SPLITS.index(traced.split), traced.task), []).append(traced)
    rounds = zip_longest(*(groups[key] for key in sorted(groups)))
    chosen = [traced for turn in rounds for traced in turn if traced is not None][:_MAX_EXAMPLES]
    yield from sorted(chosen, key=lambda traced: (SPLITS.index(traced.split), traced.task))


def _page(image: Path, name: str, left: int) -> dict[str, Any]:
    """Return a page's picture, or the text to show without one."""
    picture = thumbnail(image)
    uri = picture.data_uri if len(picture.data_uri) <= left else ""
    return {
        "data_uri": uri,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "alt": name,
        "caption": _cut(str(image)),
        "problem": _cut(picture.problem) or "not shown: the report has reached its size limit",
    }


def _first_of_each_filter(path: Path, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the first records of each filter, largest filter first; reading stops as soon as all are found."""
    filters = sorted(counts, key=lambda filter_name: (-counts[filter_name], filter_name))[:_MAX_FILTERS]
    rows: dict[str, list[dict[str, Any]]] = {filter_name: [] for filter_name in filters}
    missing = {filter_name for filter_name in filters if counts[filter_name] > 0}
    for rejection in read_rejections(path) if missing else ():
        kept = rows.get(rejection.filter)
        if kept is None or len(kept) == _ROWS_OF_EACH_FILTER:
            continue
        location, name = _cut(location_of(rejection)), _cut(rejection.document_id or "")
        kept.append({"location": location, "document_id": name, "reason": _cut(rejection.reason)})
        if len(kept) >= min(_ROWS_OF_EACH_FILTER, counts[rejection.filter]):
            missing.discard(rejection.filter)
            if not missing:
                break
    return [
        {"filter": filter_name, "count": counts[filter_name], "rows": rows[filter_name]}
        for filter_name in filters
        if counts[filter_name]
    ]


def _readable(answer: str) -> str:
    """Indent an answer if it is JSON; its numbers keep their digits."""
    try:
        return _indented(json_text.parse(answer))
    except (ValueError, RecursionError):
        return answer


def _indented(value: object) -> str:
    import simplejson

    return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2))


def _percent(count: int, total: int) -> float:
    return round(100 * count / total, 1) if total else 0.0


def _cut(text: str, most: int = _CELL_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]} … {len(text) - most:,} characters more"
