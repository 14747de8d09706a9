"""The estimate beside every published figure, and docs/planning.md beside the estimate."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.planning.calibration import Comparison, TableRow, counted, least_gpus, measured
from erniekit_adapter.planning.cards import card_rows, trainable_on

DOCS = (Path(__file__).resolve().parents[2] / "docs/planning.md").read_text()


@pytest.mark.parametrize("figure", counted(), ids=lambda figure: figure.what)
def test_counts_are_as_published_to_the_digits_that_are_published(figure: Comparison) -> None:
    assert figure.ratio == pytest.approx(1, abs=0.05 if figure.what.startswith("PaddleOCR") else 0.02)


@pytest.mark.parametrize("figure", measured(), ids=lambda figure: figure.what)
def test_memory_that_others_measured_is_met_within_the_stated_band(figure: Comparison) -> None:
    assert 0.5 <= figure.ratio <= 1.3


def test_on_one_gpu_with_the_settings_known_the_estimate_is_never_too_low() -> None:
    known = [figure.ratio for figure in measured() if ", 1 GPU," in figure.what]
    assert known
    assert all(1 <= ratio <= 1.3 for ratio in known)


def test_21b_on_four_gpus_lies_between_the_two_ways_it_may_have_been_sharded() -> None:
    whole, shared = (figure.ratio for figure in measured() if figure.what.startswith("21B"))
    assert shared < 1 < whole


@pytest.mark.parametrize("row", least_gpus(), ids=lambda row: row.row())
def test_every_row_of_erniekit_s_table_fits_the_gpus_it_gives(row: TableRow) -> None:
    assert row.fits


@pytest.mark.parametrize("rows", [counted, measured, least_gpus], ids=lambda rows: rows.__name__)
def test_the_docs_hold_the_same_table(rows: object) -> None:
    assert callable(rows)
    for row in rows():
        assert row.row() in DOCS


def test_the_docs_say_what_each_size_of_card_can_train() -> None:
    for row in card_rows():
        assert row in DOCS


def test_a_16_gib_card_trains_the_small_models_and_no_other() -> None:
    trained = {way.model for way in trainable_on(16) if way.max_seq_length}
    assert trained == {"baidu/ERNIE-4.5-0.3B-Paddle", "PaddlePaddle/PaddleOCR-VL"}


def test_a_24_gib_card_trains_21b_over_quantized_weights_alone() -> None:
    ways = {way.method: way.max_seq_length for way in trainable_on(24) if "21B" in way.model}
    assert ways == {"every weight": None, "LoRA": None, "LoRA, wint4/8": 2048}


def test_ernie_vl_is_trained_on_no_single_card_and_the_answer_says_why() -> None:
    ways = [way for way in trainable_on(80) if "VL-28B" in way.model]
    assert [way.max_seq_length for way in ways] == [None]
    assert "two pipeline stages" in ways[0].impossible
