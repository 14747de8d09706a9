"""The verdict of a declared type with its own keys, with and without a key around the content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType

SUMMARY = {"ok": False, "sums": None, "found": ["sum"]}


def report(folder: Path, content_key: str | None) -> DocumentType:
    keys = {"key": "checked", "is_valid": "ok", "math_verified": "sums", "issues": "found"}
    answer = {"verdict": keys} | ({"content_key": content_key} if content_key else {})
    return write_type(folder / "report", {"state": {"type": "string"}}, {"title": "report", "answer": answer})


@pytest.mark.parametrize("content_key", [None, "data"])
def test_reads_a_verdict_with_its_own_keys(tmp_path: Path, content_key: str | None) -> None:
    document_type = report(tmp_path, content_key)
    answer = document_type.read(document_type.wrapped({"state": "good"}) | {"checked": SUMMARY})
    found = document_type.claimed_summary(answer)
    assert found is not None
    assert (found.is_valid, found.math_verified, found.issues) == (False, None, ["sum"])
    assert document_type.content_of(answer) == {"state": "good"}
    assert document_type.claimed_summary(document_type.read_content({"state": "good"})) is None


@pytest.mark.parametrize("content_key", [None, "data"])
@pytest.mark.parametrize(("content", "is_empty"), [({}, True), ({"state": " "}, True), ({"state": "a"}, False)])
def test_a_verdict_alone_is_an_empty_answer(
    tmp_path: Path, content_key: str | None, content: dict[str, Any], is_empty: bool
) -> None:
    document_type = report(tmp_path, content_key)
    answer = document_type.read(document_type.wrapped(content) | {"checked": SUMMARY})
    assert document_type.is_empty(answer) == is_empty
