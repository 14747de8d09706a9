"""Writing a synthetic corpus: documents with ground truth, and the log of a service with corrections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import simplejson

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import (
    automatic_log,
    flat_correction,
    ocr_tokens,
    reviewed_correction,
)
from data_tools.synthesize.drawing import page_png
from data_tools.synthesize.invoice import SyntheticInvoice, ground_truth
from data_tools.synthesize.page_layout import page_blocks
from erniekit_adapter.documents.json_text import compose
from erniekit_adapter.errors import Problem, UsageError, usage_error
from erniekit_adapter.files import fingerprint, write_json, writing_folder

TRAINING_MANIFEST = "training_manifest.json"
CORRECTIONS = "active_learning.jsonl"
SUMMARY = "corpus.json"
# Shapes of the log records, in turn; half of them are reviewed answers.
_SHAPES = (
    ("reviewed_correction", reviewed_correction),
    ("flat_correction", flat_correction),
    ("reviewed_correction", reviewed_correction),
    ("automatic_log", automatic_log),
)
_LOG_START = datetime(2025, 3, 3, 8, 0, tzinfo=timezone.utc)
_LOG_STEP = timedelta(minutes=7)


def write_corpus(
    output: Path,
    count: int,
    seed: int,
    fault_share: float,
    correction_share: float,
    on_invoice: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write `count` invoices to the folder `output`, which replaces an earlier corpus there; all files or none.

    Args:
        output: a folder that is new, empty, or contains an earlier corpus.
        count: number of invoices, at least 1.
        seed: number of the series; the same arguments give the same bytes.
        fault_share: share of invoices, 0 to 1, with one wrong amount.
        correction_share: share of invoices, 0 to 1, that are written to `active_learning.jsonl`, not to the manifest.
        on_invoice: called after each invoice with the number of invoices so far.

    Returns:
        The settings and counts, as in `corpus.json`.

    Raises:
        UsageError: an argument is out of range, or the folder contains other files.
        AdapterError: the folder cannot be written.
    """
    _check_arguments(count, fault_share, correction_share)
    output = output.resolve()
    _check_replaceable(output)
    settings = {"count": count, "seed": seed, "fault_share": fault_share, "correction_share": correction_share}
    counts: Counter[str] = Counter()
    rows, log = [], []
    with writing_folder(output) as folder:
        for name in ("images", "ground_truth", "ocr"):
            (folder / name).mkdir()
        for index in range(count):
            invoice = make_invoice(seed, index, fault_share=fault_share)
            counts["faults"] += invoice.fault is not None
            image_path = _write_image(folder, invoice)
            place = int(index * correction_share)
            if int((index + 1) * correction_share) > place:
                shape, make_record = _SHAPES[place % len(_SHAPES)]
                counts[shape] += 1
                log.append(make_record(invoice, _document_id(seed, index), image_path, _log_time(index)))
            else:
                counts["documents"] += 1
                rows.append(_write_document(folder, invoice, image_path))
            if on_invoice:
                on_invoice(index + 1)
        write_json(folder / TRAINING_MANIFEST, rows)
        if log:
            lines = [compose(record) for record in log] + _lines_to_reject(log, seed, count)
            counts["lines_to_refuse"] = len(lines) - len(log)  # the name in folders of earlier versions
            (folder / CORRECTIONS).write_text("\n".join(lines) + "\n", encoding="utf-8")
        summary = {"made_by": "data_tools.synthesize", "settings": settings, "counts": dict(sorted(counts.items()))}
        write_json(folder / SUMMARY, summary)
    return summary


def _check_arguments(count: int, fault_share: float, correction_share: float) -> None:
    problems = [
        Problem(name, f"{share} is not a share from 0 to 1", "set it to 0.1 for one invoice in ten")
        for name, share in (("fault_share", fault_share), ("correction_share", correction_share))
        if not 0 <= share <= 1
    ]
    if count < 1:
        problems.append(Problem("count", f"{count} is below 1", "set it to at least 1"))
    if problems:
        raise UsageError(problems)


def _check_replaceable(output: Path) -> None:
    """Raise if the folder contains other files than a corpus, because they would be deleted."""
    if not output.exists() or (output / SUMMARY).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise usage_error(
            output,
            f"contains other files but no {SUMMARY}, so it is not an earlier corpus",
            "name a new or empty folder",
        )


def _write_image(folder: Path, invoice: SyntheticInvoice) -> str:
    path = f"images/{invoice.invoice_id}.png"
    (folder / path).write_bytes(page_png(page_blocks(invoice)))
    return path


def _write_document(folder: Path, invoice: SyntheticInvoice, image_path: str) -> dict[str, Any]:
    """Write ground truth and OCR of one invoice, and return its manifest entry."""
    truth_path, ocr_path = f"ground_truth/{invoice.invoice_id}.json", f"ocr/{invoice.invoice_id}.json"
    truth = simplejson.dumps(ground_truth(invoice), use_decimal=True, indent=2)
    (folder / truth_path).write_text(truth + "\n", encoding="utf-8")
    (folder / ocr_path).write_text(compose(ocr_tokens(invoice)) + "\n", encoding="utf-8")
    return {
        "invoice_id": invoice.invoice_id,
        "image_path": image_path,
        "ground_truth_path": truth_path,
        "ocr_path": ocr_path,
        "page_num": 1,
        "is_augmented": False,
    }


def _lines_to_reject(log: list[dict[str, Any]], seed: int, count: int) -> list[str]:
    """Return an incomplete line, and the first two documents under another id and timestamp."""
    cut = compose(log[0])
    again = [
        compose(record | {"document_id": _document_id(seed, count + place), "timestamp": _log_time(count + place)})
        for place, record in enumerate(log[:2])
    ]
    return [cut[: len(cut) // 2], *again]


def _document_id(seed: int, index: int) -> str:
    return f"doc-{fingerprint([seed, index])[:12]}"


def _log_time(index: int) -> str:
    return (_LOG_START + index * _LOG_STEP).isoformat()
