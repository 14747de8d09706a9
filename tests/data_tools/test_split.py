from __future__ import annotations

from collections import Counter

from data_tools.pipeline.split import choose_groups, split_name

NAMES = [f"document-{number}" for number in range(2000)]


def test_shares_match_the_ratios() -> None:
    counts = Counter(split_name(name, seed=1, eval_ratio=0.1, test_ratio=0.2) for name in NAMES)
    assert 0.16 < counts["test"] / len(NAMES) < 0.24
    assert 0.07 < counts["eval"] / len(NAMES) < 0.13


def test_without_ratios_everything_is_trained_on() -> None:
    assert {split_name(name, seed=1, eval_ratio=0, test_ratio=0) for name in NAMES} == {"train"}


def test_another_seed_gives_another_split() -> None:
    assert any(
        split_name(name, seed=1, eval_ratio=0.1, test_ratio=0.1)
        != split_name(name, seed=2, eval_ratio=0.1, test_ratio=0.1)
        for name in NAMES
    )


def test_a_choice_has_the_requested_size() -> None:
    assert len(choose_groups(NAMES, seed=1, count=7)) == 7
    assert choose_groups(NAMES[:3], seed=1, count=7) == frozenset(NAMES[:3])


def test_a_larger_choice_contains_the_smaller() -> None:
    assert choose_groups(NAMES, seed=1, count=10) < choose_groups(NAMES, seed=1, count=20)


def test_a_choice_does_not_change_the_shares() -> None:
    chosen = choose_groups(NAMES, seed=1, count=1000)
    counts = Counter(split_name(name, seed=1, eval_ratio=0, test_ratio=0.5) for name in chosen)
    assert 400 < counts["test"] < 600
