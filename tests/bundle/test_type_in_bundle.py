"""The document type in a bundle: written by the export, checked by `verify`, and hostile ones refused."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle_examples import exported, find_no_readers, trained, write_manifest
from type_examples import write_type

from erniekit_adapter.bundle.verify import verify
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import fingerprint, read_json, sha256, write_json
from erniekit_adapter.project.schema import Project

pytestmark = pytest.mark.usefixtures("no_readers")
PROPERTIES: dict[str, Any] = {"shop": {"type": "string"}, "total": {"type": "number", "x-kind": "amount"}}
SCHEMA, DEFINITION = "document_type/schema.json", "document_type/document_type.yaml"


def trained_for(folder: Path, document_type: DocumentType) -> Project:
    """Return a project whose train stage ended with a document type."""
    project = trained(folder, formats=("peft",))
    path = project.training_dir / "manifest.json"
    write_json(path, {**read_json(path), "document_type": document_type.record})
    return project.model_copy(update={"document_type": document_type.reference})


@pytest.fixture(scope="module")
def ticket_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for documents of a small type; tests copy it."""
    folder = tmp_path_factory.mktemp("ticket")
    project = trained_for(folder, write_type(folder / "types/ticket", PROPERTIES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("erniekit_adapter.bundle.export.find_readers", find_no_readers)
        exported(project)
    return project.bundle_dir


@pytest.fixture
def bundle(tmp_path: Path, ticket_bundle: Path) -> Path:
    return shutil.copytree(ticket_bundle, tmp_path / "bundle")


def refusal(bundle: Path, **options: Any) -> str:
    with pytest.raises(AdapterError) as raised:
        verify(bundle, trust="unsigned", **options)
    assert raised.value.exit_code == 1
    return str(raised.value)


def forged(bundle: Path) -> Path:
    """Write the manifest again, with the digest of the changed type, as an attacker who forges a bundle would."""
    digest = fingerprint([sha256(bundle / name) for name in (SCHEMA, DEFINITION)])
    write_manifest(bundle, document_type={"name": "ticket", "digest": digest})
    return bundle


def test_export_writes_the_type(bundle: Path, ticket_bundle: Path) -> None:
    manifest = read_json(bundle / "manifest.json")
    assert manifest["document_type"]["name"] == "ticket"
    assert {SCHEMA, DEFINITION} <= manifest["files"].keys()
    found = verify(bundle, trust="unsigned").document_type
    assert found.record == manifest["document_type"]
    assert list(found.fields) == ["shop", "total"]
    assert found.folder == bundle / "document_type"


def test_bundle_does_not_need_the_folder_of_the_project(tmp_path: Path) -> None:
    project = trained_for(tmp_path, write_type(tmp_path / "types/ticket", PROPERTIES))
    exported(project)
    shutil.rmtree(tmp_path / "types")
    assert verify(project.bundle_dir, trust="unsigned").document_type.name == "ticket"


def test_bundle_for_invoices_has_no_folder(tmp_path: Path) -> None:
    project = trained(tmp_path, formats=("peft",))
    files = exported(project)
    assert json.loads(files["manifest.json"])["document_type"] == INVOICE.record
    assert not [name for name in files if name.startswith("document_type")]
    assert verify(project.bundle_dir, trust="unsigned").document_type is INVOICE


def test_bundle_of_an_earlier_version_is_for_invoices(tmp_path: Path) -> None:
    project = trained(tmp_path, formats=("peft",))
    exported(project)
    manifest = read_json(project.bundle_dir / "manifest.json")
    del manifest["document_type"]
    write_json(project.bundle_dir / "manifest.json", manifest)
    assert verify(project.bundle_dir, trust="unsigned").document_type is INVOICE


def test_refuses_another_type_than_the_trained_one(tmp_path: Path) -> None:
    ticket = write_type(tmp_path / "types/ticket", PROPERTIES)
    project = trained_for(tmp_path, ticket)
    with pytest.raises(UsageError, match="was made for the document type ticket, and the project's is invoice"):
        exported(project.model_copy(update={"document_type": "invoice"}))
    changed = write_type(tmp_path / "changed/ticket", {**PROPERTIES, "tax": {"type": "number"}})
    with pytest.raises(UsageError, match="another definition of the document type ticket"):
        exported(project.model_copy(update={"document_type": changed.reference}))
    assert not project.bundle_dir.exists()


def test_training_of_an_earlier_version_is_for_invoices(tmp_path: Path) -> None:
    project = trained(tmp_path, formats=("peft",))
    ticket = write_type(tmp_path / "types/ticket", PROPERTIES)
    with pytest.raises(UsageError, match="was made for the document type invoice"):
        exported(project.model_copy(update={"document_type": ticket.reference}))


def with_schema(schema: dict[str, Any]) -> Callable[[Path], None]:
    """Return a function that replaces the schema."""
    return lambda bundle: write_json(bundle / SCHEMA, schema)


def with_definition(text: str) -> Callable[[Path], object]:
    """Return a function that replaces the definition."""
    return lambda bundle: (bundle / DEFINITION).write_text(text)


def with_pattern(pattern: str) -> Callable[[Path], None]:
    """Return a function that adds a pattern to the schema."""
    return with_schema({"type": "object", "properties": {"shop": {"type": "string", "pattern": pattern}}})


NESTED: dict[str, Any] = {"type": "string"}
for _ in range(60):
    NESTED = {"type": "object", "properties": {"a": NESTED}}

ALIASES = "title: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{earlier}'] * 9)}]\n" for earlier, name in pairwise("abcdefgh")
)

HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "recursive schema": (
        with_schema(
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/a"}},
                "$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}},
            }
        ),
        "contains itself",
    ),
    "reference to a file": (
        with_schema({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}),
        "is not in this file",
    ),
    "deep schema": (with_schema(NESTED), "nested more than"),
    "many fields": (
        with_schema({"type": "object", "properties": {f"a{n}": {"type": "string"} for n in range(2000)}}),
        "more than 300",
    ),
    "large file": (with_definition(f"title: {'a' * 300_000}"), "more than the limit of 262,144"),
    "empty schema": (with_schema({}), "schema.json"),
    "no YAML": (with_definition("title: ["), "not YAML"),
    "no UTF-8": (lambda bundle: (bundle / DEFINITION).write_bytes(b"title: \xff"), "is not UTF-8"),
    "control character": (with_definition('title: "a\x1b[2J"'), "control character"),
    "Python object": (with_definition("title: !!python/object/apply:os.system ['true']"), "not YAML"),
    "aliases of aliases": (with_definition(ALIASES), "more than 20,000 values"),
    "repeated key": (with_definition("title: a\ntitle: b"), "duplicate key"),
    "unknown key": (with_definition("title: a\nimport: os"), "import"),
    "large number": (with_definition(f"title: {'9' * 5000}"), "document_type.yaml"),
    "deep YAML": (with_definition("title: [" + "[],[" * 60_000), "nested more than 60 levels"),
    "deep block": (with_definition("title:\n" + "- " * 60_000 + "a"), "nested more than 60 levels"),
    "long YAML": (with_definition("title:\n" + "- a\n" * 60_000), "more than 20,000 values"),
    "Python rule": (
        with_definition("title: a\nrules: [{name: r, sentence: s, python: antigravity}]"),
        "the Python rule 'antigravity' is off",
    ),
    "reference to a group": (with_pattern(r"(a*)\1\1b"), "not a pattern"),
    "no regular expression": (with_pattern("(a"), "not a pattern"),
    "pattern of a rule": (
        with_definition("title: a\nrules: [{name: r, sentence: s, field: shop, pattern: '(a)\\1'}]"),
        "not a pattern",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_a_hostile_type(name: str, bundle: Path) -> None:
    change, expected = HOSTILE[name]
    change(bundle)
    started = time.monotonic()
    assert expected in refusal(forged(bundle))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"name": "ticket", "digest": "0" * 64}, "its digest differs"),
        ({"name": "invoice", "digest": ""}, "is the invoice, but the bundle has document_type/"),
        (None, "expected name and digest"),
        ({"name": "ticket"}, "expected name and digest"),
        ({"name": "../x", "digest": "0" * 64}, "document_type.name"),
        ({"name": "\x1b[2J", "digest": "0" * 64}, "document_type.name"),
        ({"name": "ticket", "digest": ""}, "document_type.digest"),
        ({"name": "ticket", "digest": 5}, "document_type.digest"),
    ],
)
def test_refuses_a_wrong_entry_of_the_manifest(entry: Any, expected: str, bundle: Path) -> None:
    write_manifest(bundle, document_type=entry)
    assert expected in refusal(bundle)


@pytest.mark.parametrize("name", [SCHEMA, DEFINITION])
def test_refuses_a_type_without_one_of_its_files(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    write_manifest(bundle)
    assert f"lacks {name}, which defines the document type" in refusal(bundle)


@pytest.mark.parametrize("name", ["document_type/rules.py", "document_type/more/schema.json", "document_type/a.yaml"])
def test_refuses_other_files_beside_the_type(name: str, bundle: Path) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("import os")
    assert "document_type/" in refusal(forged(bundle))


def test_reports_a_changed_file_of_the_type(bundle: Path) -> None:
    (bundle / SCHEMA).write_text((bundle / SCHEMA).read_text().replace("shop", "sh0p"))
    assert "was changed: its SHA-256 is not the manifest's" in refusal(bundle)


def test_named_python_rule_is_not_refused_as_off(bundle: Path) -> None:
    rule = {"name": "r", "sentence": "s", "python": "no_such_entry_point"}
    (bundle / DEFINITION).write_text(yaml.safe_dump({"title": "a", "rules": [rule]}))
    assert "is off" in refusal(forged(bundle))
    assert "is off" not in refusal(bundle, python_rules=("no_such_entry_point",))
