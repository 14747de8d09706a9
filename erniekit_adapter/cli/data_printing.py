"""Output of the commands of the data stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erniekit_adapter.cli.printing import print_table
from erniekit_adapter.terminal import echo, one_line

if TYPE_CHECKING:
    from data_tools.inspect.audit import Audit, Unreadable
    from data_tools.inspect.columns import Mapping
    from data_tools.pipeline.manifest import DataManifest

_MAX_REASON_CHARACTERS = 160
_MAX_FIELDS = 8


def print_manifest(manifest: DataManifest, output: Path) -> None:
    """Print the counts of a build, the reasons for rejections, and its warnings."""
    from data_tools.pipeline.hints import UNUSED_KEYS, hint

    splits = ", ".join(f"{name} {count}" for name, count in manifest.by_split.items())
    verdicts, failed = _verdict_counts(manifest)
    rows = [
        ("read", str(manifest.read), ""),
        ("written", str(manifest.written), splits),
        ("rejected", str(manifest.rejected), ""),
        ("duplicates", str(manifest.duplicates), ""),
    ]
    rows += [
        (f"  {verdict}", str(count), failed if verdict == "invalid" else "") for verdict, count in verdicts.items()
    ]
    if manifest.settings.get("preference"):
        pairs = manifest.preferences["by_split"]
        found = ", ".join(f"{name} {count}" for name, count in pairs.items())
        rows.append(("preference pairs", str(sum(pairs.values())), found or "they are made from corrections in logs"))
    print_table(str(output), ("", "records", ""), rows)
    for source in manifest.inputs:
        if source["by_filter"]:
            _print_filters(source)
    if manifest.left_out:
        fields = ", ".join(f"{path} {count}" for path, count in list(manifest.left_out.items())[:_MAX_FIELDS])
        more = len(manifest.left_out) - _MAX_FIELDS
        others = f" and {more} more" if more > 0 else ""
        echo(one_line(f"left out of answers, because their pages do not show them: {fields}{others}"))
        echo(one_line(f"    → look: erniekit-adapter data preview {output.parent}; docs/visibility.md"))
    for warning in manifest.warnings:
        echo(f"warning: {warning}", stderr=True)
    if manifest.unused_keys:
        echo(f"    → keys without a place: {hint(UNUSED_KEYS)}", stderr=True)


def _verdict_counts(manifest: DataManifest) -> tuple[dict[str, int], str]:
    """Return the verdicts on all accepted documents, and the rules that the invalid ones fail."""
    verdicts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for source in manifest.inputs:
        verdicts.update(source["verdicts"])
        failed.update(source["failed_rules"])
    return verdicts, ", ".join(f"{rule} {count}" for rule, count in sorted(failed.items()))


def _print_filters(source: dict[str, Any]) -> None:
    """Print each filter that rejected records of a source, with one example and a hint."""
    from data_tools.pipeline.hints import hint

    reasons = source["first_reasons"]
    rows = [
        (name, str(count), f"{_shortened(reasons.get(name, ''))}\n→ {hint(name)}")
        for name, count in sorted(source["by_filter"].items(), key=lambda item: -item[1])
    ]
    title = f"{source['path']}: {source['accepted']} of {source['read']} records used; not used:"
    print_table(title, ("filter", "records", "first reason, and hint"), rows)


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _MAX_REASON_CHARACTERS else f"{reason[:_MAX_REASON_CHARACTERS]}…"


def print_rejections(rejections: Iterable[dict[str, Any]], only: str | None) -> None:
    """Print rejected records, all or those of one filter, and the number of each filter."""
    counts: Counter[str] = Counter()
    for rejection in rejections:
        name = str(rejection.get("filter"))
        counts[name] += 1
        if only in (None, name):
            location = f"{rejection.get('source')}:{rejection.get('line') or ''}".rstrip(":")
            echo(one_line(f"{name}  {location}  {rejection.get('document_id') or ''}"))
            echo(one_line(f"    {rejection.get('reason')}"))
    if only is not None and only not in counts:
        others = ", ".join(sorted(counts)) or "none"
        echo(f"filter {only} rejected nothing; filters that rejected a record: {others}")
    print_table("rejected", ("filter", "records"), [(name, str(counts[name])) for name in sorted(counts)])


def print_audit(found: Audit | Unreadable) -> None:
    """Print the findings of an audited file, or its problem to standard error."""
    from data_tools.inspect.audit import Unreadable
    from erniekit_adapter.documents.rules.rule import failures

    if isinstance(found, Unreadable):
        problem = found.problem
        echo(one_line(f"{problem.location}: {problem.finding}"), stderr=True)
        if problem.hint:
            echo(one_line(f"    → {problem.hint}"), stderr=True)
        return
    echo(one_line(f"{found.path}: {found.kind} {found.number or 'without a number'}"))
    for finding in found.findings:
        status = "warn" if finding.status == "fail" and finding.level == "warn" else finding.status
        echo(one_line(f"  {status:<13}  {finding.rule:<11}  {finding.detail}"))
    failed, warned = len(failures(found.findings)), len(failures(found.findings, "warn"))
    echo(f"  {found.checked} of {len(found.findings)} rules could be checked: {failed} failed, {warned} warned")


def print_mapping(mapping: Mapping, title: str) -> None:
    """Print how the columns of a table would be read; open questions go to standard error."""
    echo(one_line(f"{title}: {mapping.kind}; {mapping.rows} rows, each {mapping.row_is}"))
    rows = [(use.column, use.field, "; ".join(use.examples), "; ".join(use.read_as)) for use in mapping.matched]
    rows += [(use.column, "not used", "; ".join(use.examples), "") for use in mapping.unmatched]
    print_table("columns", ("column", "field", "examples", "read as"), rows)
    for note in mapping.notes:
        echo(f"note: {note}")
    if mapping.matched:
        echo(f"in the project file:\n\n{mapping.yaml}\n")
    else:
        echo("no column has a usual name: name them with --map, as in --map grand_total=Betrag", stderr=True)
    for question in mapping.questions:
        echo(f"{question.finding}\n    → {question.hint}", stderr=True)
