"""Data folders written by `build`, for tests of preview and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import simplejson
from data_examples import (
    OCR,
    answer,
    automatic_log,
    correction,
    ground_truth,
    numbered,
    write_json,
    write_lines,
    write_page,
)

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from erniekit_adapter.files import read_json
from erniekit_adapter.project.schema import ActiveLearningSource, ManifestSource

MODEL = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
ALL_TRAINED: dict[str, Any] = {"eval_ratio": 0, "test_ratio": 0}


def build_log(folder: Path, *values: Any, **settings: Any) -> Path:
    """Build a log of corrections; without other settings all examples are in train."""
    folder.mkdir(exist_ok=True)
    source = ActiveLearningSource(kind="active_learning", path=write_lines(folder / "log.jsonl", list(values)))
    build([source], folder / "data", BuildSettings(**(ALL_TRAINED | settings)))
    return folder / "data"


def build_pages(folder: Path, count: int, **settings: Any) -> Path:
    """Build a manifest of documents with one page and its OCR each."""
    entries = []
    for number in range(count):
        name = f"RE-{number}"
        write_page(folder / "images" / f"{name}.png", name)
        write_json(folder / "truth" / f"{name}.json", ground_truth(invoice_id=name))
        write_json(folder / "ocr" / f"{name}.json", {"tokens": [*OCR["tokens"], name]})
        entries.append(
            {
                "invoice_id": name,
                "image_path": f"images/{name}.png",
                "ground_truth_path": f"truth/{name}.json",
                "ocr_path": f"ocr/{name}.json",
            }
        )
    source = ManifestSource(kind="manifest", path=write_json(folder / "manifest.json", entries))
    build([source], folder / "data", BuildSettings(**(ALL_TRAINED | settings)))
    return folder / "data"


def corrections(count: int) -> list[dict[str, Any]]:
    """Return reviewed answers of `count` documents."""
    return [numbered(correction(), number) for number in range(count)]


def from_vendor(name: str) -> dict[str, Any]:
    """Return a reviewed answer with this vendor name, which the page shows too."""
    value = answer()
    value["structured_data"]["vendor_block"]["name"] = name
    ocr = {"structured_ocr": {"tokens": [name, *OCR["tokens"]]}}
    return correction(corrected_output=simplejson.dumps(value), ocr_context=ocr)


def change_manifest(data_dir: Path, **changes: Any) -> None:
    """Change keys of a build's manifest."""
    write_json(data_dir / "manifest.json", {**read_json(data_dir / "manifest.json"), **changes})


__all__ = ["MODEL", "automatic_log", "build_log", "build_pages", "change_manifest", "corrections", "from_vendor"]
