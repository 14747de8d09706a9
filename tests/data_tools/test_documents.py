"""Which rows are of one document: by keys that they share, directly or through others."""

from __future__ import annotations

import io
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.stage import documents
from data_tools.stage.documents import ANSWER, CONTENT, NAME, NUMBER, REQUEST, Documents, find_documents
from data_tools.stage.rows import key_records

Keys = list[tuple[bytes, str]]


def key(kind: bytes, text: str) -> bytes:
    return kind + sha256(text.encode()).digest()[:15]


def found(*rows: Keys) -> Documents:
    stream = io.BytesIO()
    for number, keys in enumerate(rows):
        stream.write(key_records([key(kind, text) for kind, text in keys], number))
    return find_documents(stream, len(rows))


def names(*rows: Keys) -> list[str]:
    told = found(*rows)
    return [told.name(number) for number in range(len(rows))]


def test_rows_that_share_a_key_are_of_one_document_even_through_others() -> None:
    first, second, third, other = names(
        [(NAME, "a"), (REQUEST, "1")], [(NAME, "b"), (REQUEST, "2")], [(NAME, "b"), (REQUEST, "1")], [(NAME, "c")]
    )
    assert first == second == third != other


def test_a_group_is_named_by_its_steadiest_key() -> None:
    (name,) = names([(REQUEST, "1"), (NAME, "a"), (NUMBER, "7")])
    assert name == key(NUMBER, "7").hex()


def test_the_same_key_of_another_kind_tells_nothing() -> None:
    assert len(set(names([(NAME, "a")], [(REQUEST, "a")]))) == 2


def test_equal_content_points_to_the_first_row_that_has_it() -> None:
    rows: list[Keys] = [[(CONTENT, text), (NAME, str(number))] for number, text in enumerate("abab")]
    assert found(*rows).first.tolist() == [0, 1, 0, 1]


def test_a_request_that_came_before_is_told() -> None:
    rows: list[Keys] = [[(REQUEST, text), (CONTENT, str(number))] for number, text in enumerate("aba")]
    assert found(*rows).contradicts.tolist() == [False, False, True]


def test_equal_answers_are_told_together_and_make_no_document() -> None:
    rows: list[Keys] = [[(ANSWER, text), (NAME, str(number))] for number, text in enumerate("abca")]
    told = found(*rows)
    assert [group.tolist() for group in told.same_answer] == [[0, 3]]
    assert told.group[0] != told.group[3]


def test_rows_without_a_key_are_alone() -> None:
    assert len(set(found([], [(NAME, "a")], []).group.tolist())) == 3


def test_no_rows_are_no_documents() -> None:
    assert len(found().group) == 0


KINDS = st.sampled_from([NUMBER, NAME, REQUEST, CONTENT])
ROWS = st.lists(st.lists(st.tuples(KINDS, st.sampled_from("abcdef")), min_size=1, max_size=4), max_size=12)


@given(ROWS)
def test_groups_and_their_names_do_not_depend_on_the_order_of_rows(rows: list[Keys]) -> None:
    rows = [[*keys, (REQUEST, f"own {number}")] for number, keys in enumerate(rows)]
    assert names(*rows) == names(*rows[::-1])[::-1]


@given(ROWS)
def test_what_is_read_bucket_by_bucket_is_what_is_read_at_once(rows: list[Keys]) -> None:
    at_once = found(*rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_KEYS_IN_A_BUCKET", 1)
        patch.setattr(documents, "_KEYS_IN_A_READ", 2)
        in_buckets = found(*rows)
    assert in_buckets.first.tolist() == at_once.first.tolist()
    assert in_buckets.contradicts.tolist() == at_once.contradicts.tolist()
    same = [[a == b for b in at_once.group] for a in at_once.group]
    assert [[a == b for b in in_buckets.group] for a in in_buckets.group] == same
