"""Commands of the data stage: `erniekit-adapter data`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erniekit_adapter.cli.arguments import (
    Arithmetic,
    DataFolder,
    DecimalMark,
    OcrEngine,
    Overrides,
    ProjectFile,
    Split,
    Task,
)
from erniekit_adapter.cli.groups import data_app
from erniekit_adapter.cli.layout import Command
from erniekit_adapter.cli.printing import counting, print_table, result_console
from erniekit_adapter.errors import UsageError, usage_error
from erniekit_adapter.terminal import echo

if TYPE_CHECKING:
    from erniekit_adapter.project.schema import AnySource


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data build project.yaml
    erniekit-adapter data build project.yaml --set data.seed=7
    """,
)
def build(file: ProjectFile, overrides: Overrides = []) -> None:
    """Build the training examples of a project.

    Writes OUTPUT_DIR/data: train.jsonl, eval.jsonl, test.jsonl, the rejected records with their reasons, and a
    manifest.
    """
    from data_tools.build_settings import runner_of, settings_of
    from data_tools.pipeline.build import build
    from erniekit_adapter.cli.data_printing import print_manifest
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.project.sources import missing_sources

    project = load_project(file, overrides)
    if missing := missing_sources(project):
        raise UsageError(missing)
    settings, runner = settings_of(project), runner_of(project)
    with counting("records read") as on_record:
        manifest = build(project.sources, project.data_dir, settings, on_record, project.data.test_sources, runner)
    print_manifest(manifest, project.data_dir)


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data preview runs/demo --n 2
    erniekit-adapter data preview runs/demo --split test
    """,
)
def preview(
    folder: DataFolder,
    count: Annotated[int, typer.Option("--n", metavar="N", min=1, help="number of training examples")] = 5,
    split: Annotated[Split, typer.Option(help="split to print")] = "train",
    task: Annotated[Task | None, typer.Option(help="only examples of this task", show_default=False)] = None,
    preference: Annotated[bool, typer.Option("--preference", help="preference pairs for DPO instead")] = False,
) -> None:
    """Print training examples as the model sees them, with the trained part marked.

    Writes nothing.
    """
    from data_tools.inspect.preview import preview, preview_preferences
    from data_tools.inspect.print_preview import print_preferences, print_preview
    from erniekit_adapter.cli.data_folders import data_dir, model_dir

    if preference and task is not None:
        raise usage_error("--task", "cannot be used with --preference", "leave out one of them")
    found = data_dir(folder)
    if preference:
        pairs = preview_preferences(found, count, split=split, model_dir=model_dir(found))
        print_preferences(pairs, result_console())
    else:
        examples = preview(found, count, split=split, task=task, model_dir=model_dir(found))
        print_preview(examples, result_console())


@data_app.command(cls=Command, epilog="erniekit-adapter data report runs/demo --output runs/report.html")
def report(
    folder: DataFolder,
    output: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to write", show_default=False)],
) -> None:
    """Write an HTML report with pages, training examples, histograms and rejections."""
    from data_tools.inspect.report import write_report
    from erniekit_adapter.cli.data_folders import data_dir

    write_report(data_dir(folder), output)
    echo(f"{output}: open it in a browser")


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data rejected runs/demo
    erniekit-adapter data rejected runs/demo --filter arithmetic
    """,
)
def rejected(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="data folder, output_dir of a project, or a rejected.jsonl", show_default=False
        ),
    ],
    filter_name: Annotated[
        str | None, typer.Option("--filter", metavar="NAME", help="only records that this filter rejected")
    ] = None,
) -> None:
    """List the records that are not trained on, each with its location and the reason.

    Writes nothing.
    """
    from erniekit_adapter.cli.data_folders import rejections
    from erniekit_adapter.cli.data_printing import print_rejections

    print_rejections(rejections(folder), filter_name)


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data audit invoice.xml
    erniekit-adapter data audit --json invoices/*.pdf
    """,
)
def audit(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="answer or ground truth (JSON), UBL, CII, PDF with one of these", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Check invoices by the rules of EN 16931.

    Writes nothing. The exit code is 1 if a rule failed, 2 if a file cannot be read.
    """
    from data_tools.inspect import audit
    from erniekit_adapter.cli.data_printing import print_audit

    audits = audit.audit_files(files)
    if as_json:
        echo(audit.json_text(audits))
    else:
        for each in audits:
            print_audit(each)
    raise typer.Exit(audit.exit_code(audits))


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data columns book.csv
    erniekit-adapter data columns book.csv --map grand_total=Betrag --ignore Kostenstelle
    """,
)
def columns(
    file: Annotated[Path, typer.Argument(metavar="TABLE", help="true values (CSV, XLSX)", show_default=False)],
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="column of a field; repeatable", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="column to leave out; repeatable", show_default=False)
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="sheet of an XLSX file with several", show_default=False)
    ] = None,
    decimal_mark: Annotated[
        DecimalMark | None, typer.Option(help="decimal mark of the amounts", show_default=False)
    ] = None,
    document_type: Annotated[
        str, typer.Option(metavar="TYPE", help="name of a document type, or its folder: ./types/order")
    ] = "invoice",
) -> None:
    """Print how the columns of a table would be read.

    Prints the `columns` section for a project file too. Writes nothing. The exit code is 2 if a question is open.
    """
    from data_tools.inspect.columns import find_mapping, table_source
    from erniekit_adapter.cli.data_printing import print_mapping
    from erniekit_adapter.documents.loading import load_document_type

    kind = load_document_type(document_type)
    found = find_mapping(table_source(file, mapped or [], ignore or [], sheet, decimal_mark, kind), kind)
    print_mapping(found, str(file))
    if found.questions or not found.matched:
        raise typer.Exit(2)


@data_app.command(
    cls=Command,
    epilog="""
    erniekit-adapter data prepare --active-learning-file log.jsonl --output examples.jsonl
    erniekit-adapter data prepare --manifest documents/training_manifest.json --output examples.jsonl
    """,
)
def prepare(
    output: Annotated[Path, typer.Option(metavar="FILE", help="interchange file to write", show_default=False)],
    active_learning_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="log of corrections", show_default=False)
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="manifest of documents", show_default=False)
    ] = None,
    images_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="images of the manifest", show_default=False)
    ] = None,
    ground_truth_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="ground truth of the manifest", show_default=False)
    ] = None,
    arithmetic: Annotated[
        Arithmetic, typer.Option(help="effect of a broken rule: reject the record, or warn")
    ] = "error",
    ocr: Annotated[
        OcrEngine | None,
        typer.Option(help="OCR engine for pages without OCR; default: rapidocr if installed", show_default=False),
    ] = None,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="people confirmed these answers")] = False,
    document_type: Annotated[
        str, typer.Option(metavar="TYPE", help="name of a document type, or its folder: ./types/order")
    ] = "invoice",
) -> None:
    """Write the training examples of one source as an interchange file.

    Writes the rejected records and a manifest beside it. Other projects read the file as a source of kind
    `training_examples`.
    """
    from data_tools.build_settings import BuildSettings
    from data_tools.pipeline.build import prepare
    from erniekit_adapter.cli.data_printing import print_manifest
    from erniekit_adapter.documents.loading import load_document_type
    from erniekit_adapter.project.schema import FiltersSection

    kind = load_document_type(document_type)
    source = _one_source(active_learning_file, manifest, images_dir, ground_truth_dir, reviewed)
    filters = FiltersSection(arithmetic=arithmetic)
    settings = BuildSettings(filters=filters, ocr=ocr or _installed_ocr(), document_type=kind)
    with counting("records read") as on_record:
        found = prepare(source, output, settings, on_record)
    print_manifest(found, output)


def _installed_ocr() -> OcrEngine:
    return "rapidocr" if find_spec("rapidocr") and find_spec("onnxruntime") else "none"


def _one_source(
    log: Path | None, manifest: Path | None, images: Path | None, truth: Path | None, reviewed: bool
) -> AnySource:
    from erniekit_adapter.project.schema import ActiveLearningSource, ManifestSource

    if (log is None) == (manifest is None):
        raise usage_error("prepare", "needs either --active-learning-file or --manifest", "give one of them")
    if manifest is not None:
        return ManifestSource(
            kind="manifest", path=manifest, images_dir=images, ground_truth_dir=truth, reviewed=reviewed
        )
    if images is not None or truth is not None or log is None:
        raise usage_error("prepare", "--images-dir and --ground-truth-dir need --manifest", "leave them out")
    return ActiveLearningSource(kind="active_learning", path=log, reviewed=reviewed)


@data_app.command(cls=Command, epilog="erniekit-adapter data synthesize --output runs/documents --count 20 --seed 1")
def synthesize(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="folder to write", show_default=False)],
    count: Annotated[int, typer.Option(metavar="N", help="number of invoices", show_default=False)],
    seed: Annotated[int, typer.Option(metavar="N", help="seed: equal arguments give equal bytes", show_default=False)],
    fault_share: Annotated[
        float, typer.Option(metavar="N", help="share of invoices with one wrong amount, 0 to 1")
    ] = 0.1,
    correction_share: Annotated[
        float, typer.Option(metavar="N", help="share of invoices for the log of corrections, 0 to 1")
    ] = 0.2,
) -> None:
    """Write synthetic invoices: pages, ground truth, OCR and a log of corrections."""
    from data_tools.synthesize.writing import write_corpus

    with counting("invoices written") as on_invoice:
        summary = write_corpus(output, count, seed, fault_share, correction_share, on_invoice)
    print_table(str(output), ("", "count"), [(name, str(number)) for name, number in summary["counts"].items()])


@data_app.command(cls=Command, epilog="erniekit-adapter data corpus --output corpus.txt --count 60 --seed 4")
def corpus(
    output: Annotated[Path, typer.Option(metavar="FILE", help="text file to write", show_default=False)],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="number of invoices", show_default=False)],
    seed: Annotated[
        int, typer.Option(metavar="N", help="seed; use another than for the documents", show_default=False)
    ],
) -> None:
    """Write requests and answers of synthetic invoices as text, for the tokenizer of a tiny model."""
    from data_tools.synthesize.corpus import write_corpus_text

    write_corpus_text(output, count, seed)
    echo(f"{output}: {count} requests and answers")
