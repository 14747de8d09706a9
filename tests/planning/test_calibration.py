"""The estimate compared with published figures, and docs/planning.md compared with the estimate."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_figures import MinimumGpusRow, PublishedFigure, counted, measured, minimum_gpus_rows, single_gpu_rows

from erniekit_adapter.architectures.models import published
from erniekit_adapter.planning.gpus import trainable_on

DOCS = (Path(__file__).resolve().parents[2] / "docs/planning.md").read_text()


@pytest.mark.parametrize("figure", counted(), ids=lambda figure: figure.name)
def test_counts_equal_the_published_figures(figure: PublishedFigure) -> None:
    assert figure.ratio == pytest.approx(1, abs=0.05 if figure.name.startswith("PaddleOCR") else 0.02)


@pytest.mark.parametrize("figure", measured(), ids=lambda figure: figure.name)
def test_measured_memory_is_within_the_stated_range(figure: PublishedFigure) -> None:
    assert 0.5 <= figure.ratio <= 1.3


def test_estimate_is_never_too_low_on_one_gpu() -> None:
    known = [figure.ratio for figure in measured() if ", 1 GPU," in figure.name]
    assert known
    assert all(1 <= ratio <= 1.3 for ratio in known)


def test_21b_on_four_gpus_is_between_two_shardings() -> None:
    whole, shared = (figure.ratio for figure in measured() if figure.name.startswith("21B"))
    assert shared < 1 < whole


@pytest.mark.parametrize("row", minimum_gpus_rows(), ids=lambda row: row.row())
def test_every_row_of_erniekits_table_fits_its_gpus(row: MinimumGpusRow) -> None:
    assert row.fits


@pytest.mark.parametrize("rows", [counted, measured, minimum_gpus_rows], ids=lambda rows: rows.__name__)
def test_docs_contain_the_tables(rows: object) -> None:
    assert callable(rows)
    for row in rows():
        assert row.row() in DOCS


def test_docs_list_the_longest_packs_per_gpu_size() -> None:
    for row in single_gpu_rows():
        assert row in DOCS


def test_16_gib_trains_only_the_small_models() -> None:
    trained = {way.model for way in trainable_on(16) if way.max_seq_length}
    assert trained >= {"baidu/ERNIE-4.5-0.3B-Paddle", "PaddlePaddle/PaddleOCR-VL"}
    assert trained == {way.model for way in trainable_on(16) if published(way.model).parameters_billion < 1}


def test_24_gib_trains_21b_only_quantized() -> None:
    ways = {way.method: way.max_seq_length for way in trainable_on(24) if "21B" in way.model}
    assert ways == {"every weight": None, "LoRA": None, "LoRA, wint4/8": 2048}


def test_ernie_vl_needs_more_than_one_gpu() -> None:
    ways = [way for way in trainable_on(80) if "VL-28B" in way.model]
    assert [way.max_seq_length for way in ways] == [None]
    assert "as a pipeline" in ways[0].impossible
