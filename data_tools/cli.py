"""The verbs of data-tools: parse arguments, call one function, print a table. Nothing heavy is imported here."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from erniekit_adapter.errors import AdapterError, misuse

if TYPE_CHECKING:
    from data_tools.audit import Audit, Unreadable
    from data_tools.look.columns import Mapping
    from data_tools.stage.data_manifest import DataManifest
    from erniekit_adapter.project.schema import AnySource

# The stage runs a process on each core, whose libraries need no threads of their own; read before they are imported.
_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRESS_AFTER_S = 2.0
_PROGRESS_EVERY_S = 0.2
_SHOWN_CHARACTERS = 160
_CELL_CHARACTERS = 400

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="From documents to training lines."
)


def main() -> None:
    """Run the command line; an error is printed without a traceback and becomes the exit code."""
    for name in _THREAD_SETTINGS:
        os.environ.setdefault(name, "1")
    try:
        app()
    except AdapterError as error:
        print(_printable(str(error)), file=sys.stderr)
        sys.exit(error.exit_code)


@app.command("build")
def build_command(
    project: Annotated[Path, typer.Option(help="the project file")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, as often as needed")] = None,
) -> None:
    """Write train, eval and test lines with their manifest into the project's data folder."""
    from data_tools.build_settings import engine_of, settings_of
    from data_tools.stage.pipeline import build
    from erniekit_adapter.errors import UsageError
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.project.sources import missing_sources

    loaded = load_project(project, overrides or [])
    if missing := missing_sources(loaded):
        raise UsageError(missing)
    with _progress() as on_record:
        manifest = build(
            loaded.sources,
            loaded.data_dir,
            settings_of(loaded),
            on_record,
            loaded.data.test_sources,
            engine_of(loaded),
        )
    _print_manifest(manifest, loaded.data_dir)


@app.command("columns")
def columns_command(
    file: Annotated[Path, typer.Argument(help="a table of right values: CSV or XLSX")],
    mapped: Annotated[list[str] | None, typer.Option("--map", help="field=column, as often as needed")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a column to leave alone, as often as needed")] = None,
    sheet: Annotated[str | None, typer.Option(help="of an XLSX with several sheets")] = None,
    decimal_mark: Annotated[str | None, typer.Option(help="comma or point")] = None,
) -> None:
    """Print what a table's columns would be read as; exit code 2 if a person has to say something first."""
    from data_tools.look.columns import find_mapping, table_source

    source = table_source(file, mapped or [], ignore or [], sheet, decimal_mark)
    if _print_mapping(find_mapping(source), str(file)):
        raise typer.Exit(2)


def _print_mapping(mapping: Mapping, title: str) -> bool:
    """Print what a table would be read as; say whether a person has to say something first."""
    print(_printable(f"{title}: {mapping.kind}; {mapping.rows} rows, each {mapping.row_is}"))
    rows = [(use.column, use.field, "; ".join(use.examples), "; ".join(use.read_as)) for use in mapping.matched]
    rows += [(use.column, "not used", "; ".join(use.examples), "") for use in mapping.unmatched]
    _print_table("columns", ("column", "field", "examples", "read as"), rows)
    for note in mapping.notes:
        print(_printable(f"note: {note}"))
    if mapping.matched:
        print(_printable(f"in the project file:\n\n{mapping.yaml}\n"))
    else:
        print("no column has a usual name: name them with --map, as in --map grand_total=Betrag", file=sys.stderr)
    for question in mapping.questions:
        print(_printable(f"{question.finding}\n    → {question.remedy}"), file=sys.stderr)
    return bool(mapping.questions) or not mapping.matched


@app.command("prepare")
def prepare_command(
    output: Annotated[Path, typer.Option(help="the file of interchange lines to write")],
    active_learning_file: Annotated[Path | None, typer.Option(help="a log of corrections")] = None,
    manifest: Annotated[Path | None, typer.Option(help="a manifest of documents")] = None,
    images_dir: Annotated[Path | None, typer.Option(help="where the manifest's images lie")] = None,
    ground_truth_dir: Annotated[Path | None, typer.Option(help="where the manifest's ground truth lies")] = None,
    arithmetic: Annotated[str, typer.Option(help="error or warn: what a broken rule does to a record")] = "error",
    ocr: Annotated[
        str | None, typer.Option(help="rapidocr or none: what reads pages without OCR; rapidocr if it is installed")
    ] = None,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="people confirmed this file: output is truth")] = False,
) -> None:
    """Write one source as interchange lines, with its rejections and its manifest beside them."""
    from data_tools.build_settings import BuildSettings
    from data_tools.stage.pipeline import prepare
    from erniekit_adapter.project.schema import GatesSection

    source = _one_source(active_learning_file, manifest, images_dir, ground_truth_dir, reviewed)
    if arithmetic not in ("error", "warn"):
        raise misuse("--arithmetic", f"{arithmetic!r} is neither error nor warn")
    gates = GatesSection(arithmetic="warn" if arithmetic == "warn" else "error")
    settings = BuildSettings(gates=gates, ocr=_ocr_engine(ocr))
    with _progress() as on_record:
        found = prepare(source, output, settings, on_record)
    _print_manifest(found, output)


def _ocr_engine(named: str | None) -> Literal["none", "rapidocr"]:
    """The OCR engine that an option names; without one, RapidOCR if it is installed."""
    if named not in (None, "none", "rapidocr"):
        raise misuse("--ocr", f"{named!r} is neither rapidocr nor none")
    if named is None:
        named = "rapidocr" if find_spec("rapidocr") and find_spec("onnxruntime") else "none"
    return "rapidocr" if named == "rapidocr" else "none"


def _one_source(
    log: Path | None, manifest: Path | None, images: Path | None, truth: Path | None, reviewed: bool
) -> AnySource:
    from erniekit_adapter.project.schema import ActiveLearningSource, ManifestSource

    if (log is None) == (manifest is None):
        raise misuse("prepare", "expected one of --active-learning-file and --manifest")
    if manifest is not None:
        return ManifestSource(
            kind="manifest", path=manifest, images_dir=images, ground_truth_dir=truth, reviewed=reviewed
        )
    if images is not None or truth is not None or log is None:
        raise misuse("prepare", "--images-dir and --ground-truth-dir belong to --manifest")
    return ActiveLearningSource(kind="active_learning", path=log, reviewed=reviewed)


@app.command("synthesize")
def synthesize_command(
    output: Annotated[Path, typer.Option(help="the folder to write")],
    count: Annotated[int, typer.Option(help="number of invoices")],
    seed: Annotated[int, typer.Option(help="names the series: equal arguments give equal bytes")],
    fault_share: Annotated[float, typer.Option(help="share with one printed amount wrong")] = 0.1,
    correction_share: Annotated[float, typer.Option(help="share that goes to the log of corrections")] = 0.2,
) -> None:
    """Write a corpus of synthetic invoices: pages, ground truth, OCR, and a log of corrections."""
    from data_tools.synthesize.writing import write_corpus

    with _progress("invoices drawn") as on_invoice:
        summary = write_corpus(output, count, seed, fault_share, correction_share, on_invoice)
    _print_table(str(output), ("what", "count"), [(name, str(n)) for name, n in summary["counts"].items()])


@app.command("corpus")
def corpus_command(
    output: Annotated[Path, typer.Option(help="the text file to write")],
    count: Annotated[int, typer.Option(min=1, help="number of invoices")],
    seed: Annotated[int, typer.Option(help="names the series: another one than that of the documents")],
) -> None:
    """Write requests and answers of synthetic invoices as text, for a tiny model's tokenizer."""
    from data_tools.synthesize.corpus import write_corpus_text

    write_corpus_text(output, count, seed)
    print(f"{output}: {count} requests and answers")


@app.command("rejected")
def rejected_command(
    output_dir: Annotated[Path, typer.Option(help="a data folder, a project's output_dir, or a rejected.jsonl")],
    gate: Annotated[str | None, typer.Option(help="only what this gate refused")] = None,
) -> None:
    """List what was not trained on, each with its place and the reason."""
    counts: dict[str, int] = {}
    for rejection in _rejections(output_dir):
        name = str(rejection.get("gate"))
        counts[name] = counts.get(name, 0) + 1
        if gate in (None, name):
            place = f"{rejection.get('source')}:{rejection.get('line') or ''}".rstrip(":")
            print(_printable(f"{name}  {place}  {rejection.get('document_id') or ''}"))
            print(_printable(f"    {rejection.get('reason')}"))
    if gate is not None and gate not in counts:
        print(f"nothing was refused by {gate}; the gates that refused something: {', '.join(sorted(counts)) or 'none'}")
    _print_table("refused", ("gate", "count"), [(name, str(counts[name])) for name in sorted(counts)])


def _rejections(place: Path) -> Iterator[dict[str, Any]]:
    import orjson

    from data_tools.stage.data_manifest import REJECTED
    from erniekit_adapter.files import read_lines

    choices = (place, place / REJECTED, place / "data" / REJECTED)
    path = next((choice for choice in choices if choice.is_file()), None)
    if path is None:
        raise misuse(place, f"holds no {REJECTED}", "run data-tools build first, or name its folder")
    for number, raw in read_lines(path):
        try:
            value = orjson.loads(raw or b"")
        except orjson.JSONDecodeError as error:
            raise misuse(f"{path}:{number}", f"not JSON: {error}", "name a file that data-tools wrote") from error
        if isinstance(value, dict):
            yield value


@app.command("preview")
def preview_command(
    output_dir: Annotated[Path, typer.Option(help="a data folder, or a project's output_dir")],
    count: Annotated[int, typer.Option("--n", min=1, help="so many lines")] = 5,
    split: Annotated[str, typer.Option(help="train, eval or test")] = "train",
    task: Annotated[str | None, typer.Option(help="only lines of this task")] = None,
    preference: Annotated[bool, typer.Option("--preference", help="lines for DPO: corrected and rejected")] = False,
) -> None:
    """Print what the model will see, word for word, with the part that is trained marked."""
    from data_tools.look.preview import preview, preview_preferences
    from data_tools.look.print_preview import print_preferences, print_preview
    from data_tools.stage.split import SPLITS

    chosen = next((name for name in SPLITS if name == split), None)
    if chosen is None:
        raise misuse("--split", f"{split!r} is none of {', '.join(SPLITS)}")
    if preference and task is not None:
        raise misuse("--task", "lines for DPO are all of the task analysis", "leave out one of --preference and --task")
    data_dir = _data_dir(output_dir)
    if preference:
        print_preferences(preview_preferences(data_dir, count, split=chosen, model_dir=_model_dir(data_dir)))
    else:
        print_preview(preview(data_dir, count, split=chosen, task=task, model_dir=_model_dir(data_dir)))


@app.command("report")
def report_command(
    output_dir: Annotated[Path, typer.Option(help="a data folder, or a project's output_dir")],
    output: Annotated[Path, typer.Option(help="the HTML file to write")],
) -> None:
    """Write one HTML file with pictures of samples, histograms, and what was rejected."""
    from data_tools.look.report import write_report

    write_report(_data_dir(output_dir), output)
    print(f"{output}: open it in a browser")


def _data_dir(place: Path) -> Path:
    """The data folder that a user means."""
    from data_tools.stage.data_manifest import MANIFEST

    inside = place / "data"
    return inside if (inside / MANIFEST).is_file() else place


def _model_dir(data_dir: Path) -> Path | None:
    """The folder of the model whose tokenizer measured the lines, where it is still there."""
    from data_tools.look.built import read_manifest

    tokenizer = read_manifest(data_dir).settings.get("tokenizer")
    folder = Path(tokenizer["path"]).parent if isinstance(tokenizer, dict) and "path" in tokenizer else None
    return folder if folder and folder.is_dir() else None


@app.command("audit")
def audit_command(
    files: Annotated[list[Path], typer.Argument(help="answers or ground truth (JSON), UBL, CII, PDF that carry one")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Check invoices by the rules of EN 16931; exit code 1 if a rule failed, 2 if a file is unreadable."""
    from data_tools import audit

    audits = audit.audit_files(files)
    if as_json:
        print(audit.json_text(audits))
    else:
        for each in audits:
            _print_audit(each)
    if code := audit.exit_code(audits):
        raise typer.Exit(code)


def _print_audit(found: Audit | Unreadable) -> None:
    from data_tools.audit import Unreadable
    from erniekit_adapter.invoice.rules import failures

    if isinstance(found, Unreadable):
        # After what was printed before it, also where both go to one terminal.
        sys.stdout.flush()
        problem = found.problem
        print(_on_one_line(f"{problem.where}: {problem.what}"), file=sys.stderr)
        if problem.remedy:
            print(_on_one_line(f"    → {problem.remedy}"), file=sys.stderr)
        return
    print(_on_one_line(f"{found.path}: {found.kind} {found.number or 'without a number'}"))
    for finding in found.findings:
        status = "warn" if finding.status == "fail" and finding.level == "warn" else finding.status
        print(_on_one_line(f"  {status:<13}  {finding.rule:<11}  {finding.detail}"))
    failed, warned = len(failures(found.findings)), len(failures(found.findings, "warn"))
    print(f"  {found.checked} of {len(found.findings)} rules could be checked: {failed} failed, {warned} warned")


def _on_one_line(text: str) -> str:
    """The text as a single line: a number or a name with a line break in it must not look like another finding."""
    return _printable(" ".join(text.splitlines())).rstrip()


@contextmanager
def _progress(done: str = "records read") -> Iterator[Callable[[int], None] | None]:
    """A counter on the terminal for work that takes longer than two seconds; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    started = shown = time.monotonic()
    status = Console(stderr=True).status("reading …")

    def on_record(read: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started > _PROGRESS_AFTER_S and now - shown > _PROGRESS_EVERY_S:
            shown = now
            status.update(f"{read:,} {done}, {read / (now - started):,.0f}/s")
            status.start()

    try:
        yield on_record
    finally:
        status.stop()


def _printable(text: str) -> str:
    """The text without what would steer a terminal: documents decide what stands in a reason."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def _print_manifest(manifest: DataManifest, output: Path) -> None:
    rows = [
        ("read", str(manifest.read), ""),
        ("written", str(manifest.written), ", ".join(f"{name} {count}" for name, count in manifest.by_split.items())),
        ("rejected", str(manifest.rejected), ""),
        ("duplicates", str(manifest.duplicates), ""),
    ]
    verdicts, failed = _verdict_counts(manifest)
    rows += [
        (f"  {verdict}", str(count), failed if verdict == "invalid" else "") for verdict, count in verdicts.items()
    ]
    _print_table(str(output), ("", "records", ""), rows)
    for source in manifest.inputs:
        if source["by_gate"]:
            _print_rejections(source)
    for warning in manifest.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _verdict_counts(manifest: DataManifest) -> tuple[dict[str, int], str]:
    """Return the verdicts on all accepted documents, and the rules that the invalid ones fail."""
    verdicts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for source in manifest.inputs:
        verdicts.update(source["verdicts"])
        failed.update(source["failed_rules"])
    return verdicts, ", ".join(f"{rule} {count}" for rule, count in sorted(failed.items()))


def _print_rejections(source: dict[str, Any]) -> None:
    """Print why records of a source are not used, with one example and the next step for each filter."""
    from data_tools.stage.hints import hint

    rows = [
        (gate, str(count), f"{source['first_reasons'].get(gate, '')[:_SHOWN_CHARACTERS]}\n→ {hint(gate)}")
        for gate, count in sorted(source["by_gate"].items(), key=lambda item: -item[1])
    ]
    title = f"{source['path']}: {source['accepted']} of {source['read']} records used; not used:"
    _print_table(title, ("filter", "records", "first example, and what to do"), rows)


def _print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place == 1 else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell[:_CELL_CHARACTERS])) for cell in row))
    Console().print(table)
