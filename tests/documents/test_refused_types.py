"""Document types that are refused, with file, line and hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from declared_examples import AMOUNT, DATE, TEXT, problems, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.errors import UsageError


def written(folder: Path, schema: str, definition: str = "title: document\n") -> DocumentType:
    """Write the two files of a type as text, and read it."""
    (folder / "schema.json").write_text(schema)
    (folder / "document_type.yaml").write_text(definition)
    return load_document_type(f"{folder}/")


def refusal(folder: Path, schema: str, definition: str = "title: document\n") -> str:
    with pytest.raises(UsageError) as refused:
        written(folder, schema, definition)
    return str(refused.value).replace(str(folder), "")


@pytest.mark.parametrize(
    ("properties", "finding", "hint"),
    [
        ({}, "an object without properties", "properties"),
        ({"a": {"type": "text"}}, "found type 'text'", "string"),
        ({"a": {"x-kind": "amount"}}, "has no type", "use one type"),
        ({"a": {"type": ["string", "number"]}}, "found type", "use one type"),
        ({"a": 1}, "expected an object with type, found '1'", "write"),
        ({"a": TEXT | {"x-kind": "amout"}}, "found 'amout'", "amount"),
        ({"a": TEXT | {"x-kind": ["amount"]}}, "found \"['amount']\"", "amount"),
        ({"a": {"type": "number", "x-kind": "date"}}, "x-kind: date with type number", "use type string"),
        ({"a": TEXT | {"x-knd": "date"}}, "is not used here", "did you mean x-kind?"),
        ({"a": TEXT | {"if": {}}}, "is not used here", "remove it"),
        ({"a": TEXT | {"format": "e-mail"}}, "found 'e-mail'", "use one of"),
        ({"a": TEXT | {"x-role": "totl"}}, "found 'totl'", "total"),
        ({"a": TEXT | {"x-role": "total"}}, "total with x-kind: text", "x-kind: amount"),
        ({"a": TEXT | {"x-role": "description"}}, "the role of a field of rows", "move"),
        ({"a": AMOUNT | {"x-role": "total"}, "b": AMOUNT | {"x-role": "total"}}, "the role of a too", "one field"),
        ({"a": TEXT | {"x-percent": True}}, "x-kind: text is not a rate", "x-kind: rate"),
        ({"a": TEXT | {"x-signed": True}}, "x-kind: text is not an amount", "x-kind: amount"),
        ({"a": TEXT | {"x-printed": "no"}}, "found 'no'", "true or false"),
        ({"a": TEXT | {"x-aliases": "b"}}, "expected a list of names", "write"),
        ({"a": TEXT | {"x-aliases": ["b"] * 51}}, "more than 50 names", "remove"),
        ({"a": TEXT | {"x-aliases": ["Sum-1"]}, "b": TEXT | {"x-aliases": ["sum 1"]}}, "is a name of a too", "remove"),
        ({"a": TEXT | {"x-aliases": ["Due Date"]}, "due_date": DATE}, "is the name of due_date", "rename"),
        ({"due date": DATE, "Due_Date": DATE}, "differs from due date only in case", "rename"),
        ({"due date": DATE, "Düe-Date": DATE}, "differs from due date only in case, accents", "rename"),
        ({"a": TEXT | {"x-aliases": ["Währung"]}, "wahrung": TEXT}, "'Währung' is the name of wahrung", "remove"),
        ({"due-date": DATE, "due_date": DATE}, "differs from", "rename"),
        ({"_a": TEXT, "a": TEXT}, "differs from", "rename"),
        ({"a.b": TEXT}, "a name with a point", "rename"),
        ({"a\nb": TEXT}, "control character", "rename"),
        ({"%": TEXT}, "without letters and digits", "rename"),
        ({"a" * 101: TEXT}, "more than 100 characters", "rename"),
        ({"<|end_of_sentence|>": TEXT}, "control token", "rename"),
        ({"verdict": TEXT}, "verdict cannot be a key beside the verdict", "content_key"),
        ({"a": {"enum": []}}, "x-kind: code without enum", "identifier"),
        ({"a": {"enum": [1, 2]}}, "expected texts", "write"),
        ({"a": {"enum": ["b", "b"]}}, "two equal ones", "different"),
        ({"a": {"enum": ["b"], "x-kind": "date"}}, "x-kind: date with a list of values", "x-kind: code"),
        ({"a": TEXT | {"x-kind": "code"}}, "x-kind: code without enum", "identifier"),
        ({"a": TEXT | {"pattern": "(?!x)"}}, "look-around", "regular expression"),
        ({"a": TEXT | {"pattern": 1}}, "found '1'", "text"),
        ({"a": AMOUNT | {"pattern": "x"}}, "with type number", "string"),
        ({"a": TEXT | {"minimum": 1}}, "does not limit type string", "remove"),
        ({"a": TEXT | {"minLength": 3, "maxLength": 2}}, "above maxLength", "exchange"),
        ({"a": AMOUNT | {"minimum": "1"}}, "found '1'", "number"),
        ({"a": rows(b=TEXT) | {"maxItems": 0}}, "found '0'", "from 1 to 2,000"),
        ({"a": rows(b=TEXT) | {"maxItems": 10**9}}, "found '1000000000'", "from 1 to 2,000"),
        ({"a": rows(b=rows(c=TEXT))}, "a list inside the rows of a list", "one level"),
        ({"a": {"type": "array", "items": {"type": "array"}}}, "a list of lists", "list of objects"),
        ({"a": {"type": "array"}}, "a list without items", "items"),
        ({"a": {"type": "object"}}, "an object without properties", "properties"),
        ({"a": {"type": "array", "items": TEXT, "x-line-items": True}}, "rows are not objects", "remove"),
        ({"a": {"$ref": "#/$defs/b"}}, "is not in this file", "#/$defs/NAME"),
        ({"a": TEXT | {"format": "date-time"}}, "no page prints a date-time", "format: date"),
        ({"a": {"anyOf": [{"type": "integer"}, TEXT]}}, "a value of several types: integer, string", "one type"),
        ({"a": {"anyOf": [{"type": "null"}]}}, "a value of several types: null", "one type"),
        ({"a": {"anyOf": {}}}, "found '{}'", "write one type"),
        ({"a": {"anyOf": [TEXT] * 51}}, "found", "write one type"),
        ({"a": {"anyOf": [TEXT | {"enum": ["b"]}, {"type": "number"}]}}, "several types", "one type"),
        ({"a": {"allOf": []}}, "found '[]'", "without allOf"),
        ({"a": {"allOf": [TEXT, AMOUNT]}}, "found 'number' beside 'string'", "one of them"),
        ({"a": {"allOf": [TEXT | {"pattern": "b"}], "pattern": "c"}}, "found 'c' beside 'b'", "one of them"),
        ({"a": {"type": "object", "additionalProperties": {"type": "string"}}}, "without properties", "properties"),
        ({"a": {"$ref": "#"}}, "'#' contains itself", "levels"),
        ({"a": {"$ref": "other.json"}}, "is not in this file", "#/$defs/NAME"),
    ],
)
def test_refuses_a_wrong_field(tmp_path: Path, properties: dict[str, Any], finding: str, hint: str) -> None:
    found = problems(tmp_path, properties)
    assert finding in found
    assert hint in found
    assert found.startswith(("/type/schema.json", "/type/document_type.yaml"))


def nested(levels: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": nested(levels - 1)}} if levels else TEXT


def test_refuses_too_many_levels(tmp_path: Path) -> None:
    assert "nested more than 8 levels deep" in problems(tmp_path, {"a": nested(9)})


def test_refuses_too_many_fields(tmp_path: Path) -> None:
    assert "has 301 fields, more than 300" in problems(tmp_path, {f"f{number}x": TEXT for number in range(301)})


def test_problem_has_file_line_and_key(tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {\n  "total": {\n    "type": "number",\n    "x-kind": "money"}}}'
    assert refusal(tmp_path, schema).startswith("/schema.json:4 properties.total.x-kind: found 'money'")


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "x"}, "b": {"type": "string", "x-role": "y"}}}'
    found = refusal(tmp_path, schema, "titel: x\nlanguage: fr\n")
    assert found.count("→") >= 3
    assert "/document_type.yaml:1 titel: unknown key\n    → did you mean title?" in found
    assert "/document_type.yaml:2 language" in found


@pytest.mark.parametrize(
    "defs",
    [
        {"b": {"$ref": "#/$defs/b"}},
        {"b": {"$ref": "#/$defs/c"}, "c": {"$ref": "#/$defs/b"}},
        {"b": {"type": "object", "properties": {"c": {"$ref": "#/$defs/b"}}}},
    ],
)
def test_refuses_a_recursive_reference(tmp_path: Path, defs: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": defs}
    assert "contains itself" in refusal(tmp_path, json.dumps(schema))


def test_refuses_references_that_multiply(tmp_path: Path) -> None:
    defs = {
        f"d{level}": {
            "type": "object",
            "properties": {f"p{number}": {"$ref": f"#/$defs/d{level + 1}"} for number in range(20)},
        }
        for level in range(6)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, "d6": TEXT}}
    assert "more than 4,000 fields" in refusal(tmp_path, json.dumps(schema))


def test_refuses_a_long_chain_of_references(tmp_path: Path) -> None:
    defs = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(3000)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, "d3000": TEXT}}
    assert "too many references" in refusal(tmp_path, json.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "definition", "finding"),
    [
        ("{", "title: x", "/schema.json:1: not JSON"),
        ('{"type": "object",\n "type": "object", "properties": {}}', "title: x", "duplicate key"),
        ('{"properties": {"a": NaN}}', "title: x", "NaN is not a JSON number"),
        ('{"properties": {"\\ud800": {"type": "string"}}}', "title: x", "not JSON"),
        ("[" * 100_000, "title: x", "nested too deeply"),
        ("[]", "title: x", "expected a JSON object"),
        ('{"type": "array"}', "title: x", "an answer is an object"),
        ('{"properties": {"a": {"type": "string"}}}', "", "contains no definition"),
        ('{"properties": {"a": {"type": "string"}}}', "title: [", "not YAML"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\ntitle: b", "/document_type.yaml:2 title: duplicate"),
        ('{"properties": {"a": {"type": "string"}}}', 'title: "a\\tb"', "control characters"),
        ('{"properties": {"a": {"type": "string"}}}', "title: 2024", "write it in quotes: '2024'"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nrules: {}", "/document_type.yaml:2 rules"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a </s>", "control token"),
        ('{"properties": {"a": {"type": "string"}}}', "title: Document Data", ""),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nanswer: {verdict: {key: a}}", "is a field too"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nanswer: {verdict: {ky: b}}", "did you mean key?"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nanswer: {verdict: {issues: is_valid}}", "are equal"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nanswer: {content_key: a.b}", "a name with a point"),
        ('{"properties": {"a": {"type": "string"}}}', "title: a\nanswer: {content_key: verdict}", "beside the verdict"),
        ('{"properties": {"a": {"type": "boolean"}}, "required": ["a"]}', "title: a", "no page shows it"),
        ('{"properties": {"ab": {"type": "string"}}, "required": ["abc"]}', "title: a", "did you mean ab?"),
    ],
)
def test_refuses_a_wrong_file(tmp_path: Path, schema: str, definition: str, finding: str) -> None:
    if finding:
        assert finding in refusal(tmp_path, schema, definition)
    else:
        assert written(tmp_path, schema, definition).title == "Document Data"


def test_refuses_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no schema\.json"):
        load_document_type(f"{tmp_path}/")


_TEXTS = st.sampled_from(
    ["a", "total", "items", "object", "array", "string", "number", "#/$defs/a", "x.y", "", "{given}"]
)
_KEYS = st.sampled_from([
    "type", "properties", "items", "$defs", "$ref", "required", "enum", "const", "pattern", "maxItems", "minimum",
    "x-kind", "x-aliases", "x-role", "x-percent", "x-printed", "x-line-items", "a", "total",
])  # fmt: skip
_RULE_KEYS = st.sampled_from([
    "title", "language", "answer", "rules", "prompts", "verdict", "content_key", "name", "sentence", "equation",
    "order", "field", "values", "pattern", "checksum", "required", "when", "chinese_amount", "python", "key",
])  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS | st.text(max_size=5)


def _values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=25
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_values(_KEYS), _values(_RULE_KEYS), st.booleans())
def test_any_files_are_read_or_refused(tmp_path: Path, schema: Any, definition: Any, is_plausible: bool) -> None:
    if is_plausible:
        schema = {"type": "object", "properties": {"total": AMOUNT, "a": schema}}
        definition = {"title": "t", "rules": [{"name": "n", "sentence": "s", "required": "total"}, definition]}
    try:
        found = written(tmp_path, json.dumps(schema), json.dumps(definition))
    except UsageError as error:
        assert all(problem.location for problem in error.problems)  # noqa: PT017
    else:
        found.rules.check(found.read_content({}))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_refused(tmp_path: Path, schema: str, definition: str) -> None:
    (tmp_path / "schema.json").write_bytes(schema.encode("utf-8", "replace"))
    (tmp_path / "document_type.yaml").write_bytes(definition.encode("utf-8", "replace"))
    with pytest.raises(UsageError):
        load_document_type(f"{tmp_path}/")


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    write_type(tmp_path / "type", {"a": TEXT})
    assert list(write_type(tmp_path / "type", {"bc": TEXT}).fields) == ["bc"]
