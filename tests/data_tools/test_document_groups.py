"""Rows are grouped by keys that they share, directly or through other rows."""

from __future__ import annotations

import io
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.pipeline import document_groups
from data_tools.pipeline.document_groups import ANSWER, CONTENT, NAME, NUMBER, REQUEST, DocumentGroups, group_documents
from data_tools.pipeline.spool import pack_keys

Keys = list[tuple[bytes, str]]


def key(kind: bytes, text: str) -> bytes:
    return kind + sha256(text.encode()).digest()[:15]


def found(*rows: Keys) -> DocumentGroups:
    stream = io.BytesIO()
    for number, keys in enumerate(rows):
        stream.write(pack_keys([key(kind, text) for kind, text in keys], number))
    return group_documents(stream, len(rows))


def names(*rows: Keys) -> list[str]:
    groups = found(*rows)
    return [groups.name(number) for number in range(len(rows))]


def test_groups_rows_by_shared_keys_transitively() -> None:
    first, second, third, other = names(
        [(NAME, "a"), (REQUEST, "1")], [(NAME, "b"), (REQUEST, "2")], [(NAME, "b"), (REQUEST, "1")], [(NAME, "c")]
    )
    assert first == second == third != other


def test_names_a_group_by_its_most_stable_key() -> None:
    (name,) = names([(REQUEST, "1"), (NAME, "a"), (NUMBER, "7")])
    assert name == key(NUMBER, "7").hex()


def test_keys_of_different_kinds_are_different() -> None:
    assert len(set(names([(NAME, "a")], [(REQUEST, "a")]))) == 2


def test_equal_content_points_to_the_first_row() -> None:
    rows: list[Keys] = [[(CONTENT, text), (NAME, str(number))] for number, text in enumerate("abab")]
    assert found(*rows).first.tolist() == [0, 1, 0, 1]


def test_marks_requests_that_occurred_before() -> None:
    rows: list[Keys] = [[(REQUEST, text), (CONTENT, str(number))] for number, text in enumerate("aba")]
    assert found(*rows).contradicts.tolist() == [False, False, True]


def test_equal_answers_do_not_make_a_document() -> None:
    rows: list[Keys] = [[(ANSWER, text), (NAME, str(number))] for number, text in enumerate("abca")]
    groups = found(*rows)
    assert [group.tolist() for group in groups.same_answer] == [[0, 3]]
    assert groups.group[0] != groups.group[3]


def test_rows_without_a_key_are_separate_groups() -> None:
    assert len(set(found([], [(NAME, "a")], []).group.tolist())) == 3


def test_no_rows_make_no_groups() -> None:
    assert len(found().group) == 0


KINDS = st.sampled_from([NUMBER, NAME, REQUEST, CONTENT])
ROWS = st.lists(st.lists(st.tuples(KINDS, st.sampled_from("abcdef")), min_size=1, max_size=4), max_size=12)


@given(ROWS)
def test_groups_do_not_depend_on_the_order_of_rows(rows: list[Keys]) -> None:
    rows = [[*keys, (REQUEST, f"own {number}")] for number, keys in enumerate(rows)]
    assert names(*rows) == names(*rows[::-1])[::-1]


@given(ROWS)
def test_buckets_do_not_change_the_groups(rows: list[Keys]) -> None:
    at_once = found(*rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_groups, "_KEYS_IN_A_BUCKET", 1)
        patch.setattr(document_groups, "_KEYS_IN_A_READ", 2)
        in_buckets = found(*rows)
    assert in_buckets.first.tolist() == at_once.first.tolist()
    assert in_buckets.contradicts.tolist() == at_once.contradicts.tolist()
    same = [[a == b for b in at_once.group] for a in at_once.group]
    assert [[a == b for b in in_buckets.group] for a in in_buckets.group] == same
