"""Rules in Python of a team's own package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from declared_examples import PROPERTIES
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.documents.rules import python_rules
from erniekit_adapter.errors import UsageError

RULE = {"name": "OURS", "sentence": "Our own rule holds.", "python": "ours"}


def passes(content: dict[str, Any]) -> object:
    content["total"] = None
    return True


def fails(content: dict[str, Any]) -> object:
    return "fail", f"total {content['total']}\n is wrong"


def raises(content: dict[str, Any]) -> object:
    raise KeyError(f"no {content['total']}")


def returns_text(_: dict[str, Any]) -> object:
    return "yes"


def unknown(_: dict[str, Any]) -> object:
    return None


NOT_A_FUNCTION = 1


def type_with(folder: Path, monkeypatch: pytest.MonkeyPatch, function: str, *names: str) -> DocumentType:
    point = EntryPoint("ours", f"{__name__}:{function}", python_rules.GROUP)
    monkeypatch.setattr(python_rules, "entry_points", lambda group: [point])
    write_type(folder / "type", PROPERTIES, {"title": "document", "rules": [RULE]})
    return load_document_type(str(folder / "type"), names)


@pytest.mark.parametrize(
    ("function", "status", "detail"),
    [
        ("passes", "pass", ""),
        ("fails", "fail", "total 3 is wrong"),
        ("raises", "not checkable", "ours failed with KeyError: 'no 3'"),
        ("unknown", "not checkable", ""),
        ("returns_text", "not checkable", "returned 'yes', which is neither True, False, None nor a pair of texts"),
    ],
)
def test_result_of_a_function_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, status: str, detail: str
) -> None:
    found = type_with(tmp_path, monkeypatch, function, "ours")
    answer = found.read_content({"total": 3})
    (result,) = found.rules.check(answer)
    assert (result.status, result.detail) == (status, detail)
    assert found.content_of(answer) == {"total": 3}


def test_function_is_off_unless_the_project_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = type_with(tmp_path, monkeypatch, "fails")
    findings = found.rules.check(found.read_content({"total": 3}))
    assert findings[0].status == "not checkable"
    assert "add ours to python_rules" in findings[0].detail
    assert found.rules.validity(findings) is None


def test_requests_do_not_depend_on_allowed_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        type_with(tmp_path, monkeypatch, "fails").prompts == type_with(tmp_path, monkeypatch, "fails", "ours").prompts
    )


@pytest.mark.parametrize(
    ("function", "names", "reason"),
    [
        ("fails", ("theirs",), "no entry point 'theirs'"),
        ("absent", ("ours",), "AttributeError"),
        ("NOT_A_FUNCTION", ("ours",), "is not a function"),
    ],
)
def test_wrong_name_is_an_error_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, names: Any, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        type_with(tmp_path, monkeypatch, function, *names)
    assert refused.value.problems[0].location == "python_rules"


def test_refuses_the_name_of_a_function_that_no_rule_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_with(tmp_path, monkeypatch, "passes", "ours")
    write_type(tmp_path / "type", PROPERTIES, {"title": "another document"})
    with pytest.raises(UsageError, match="no rule of another document calls 'ours'"):
        load_document_type(str(tmp_path / "type"), ("ours",))


def test_invoice_has_no_rules_in_python() -> None:
    with pytest.raises(UsageError, match="python_rules"):
        load_document_type("invoice", ("ours",))
