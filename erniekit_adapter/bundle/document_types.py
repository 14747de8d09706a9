"""The document type of a bundle: its folder, its entry in the manifest, and the check of both.

A declared type is in the folder `document_type`, so that a service needs nothing but the bundle. The invoice is a part
of this package and has no folder; bundles of earlier versions have no entry and are for invoices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from erniekit_adapter.bundle.allowed_files import TYPE_FILES, TYPE_FOLDER, TYPE_MAX_BYTES
from erniekit_adapter.documents.declared import DEFINITION_FILE
from erniekit_adapter.documents.declared.definition_file import read_definition
from erniekit_adapter.documents.declared.folder import read_document_type
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.file_checks.configs import EXPORT_AGAIN
from erniekit_adapter.files import read_bytes, write_bytes
from erniekit_adapter.project.made_for import type_record
from erniekit_adapter.yaml_files import read_yaml

_NAME = re.compile(r"\w[\w .-]{0,79}")
_DIGEST = re.compile("[0-9a-f]{64}")


def check_can_be_exported(document_type: DocumentType) -> None:
    """Refuse a type that `verify` would refuse in a bundle, before the export begins.

    Raises:
        UsageError: its name has other characters, a pattern can take very long, or a file is too large.
    """
    folder = document_type.folder
    if folder is None:
        return
    problems = list(_forbidden_rules(folder, document_type.python_rules))
    if not _NAME.fullmatch(document_type.name):
        hint = "rename the folder: letters, digits, blanks, points and hyphens"
        problems.append(Problem(str(folder), "cannot be the name of a type in a bundle", hint))
    for name in TYPE_FILES:
        if (size := (folder / name).stat().st_size) > TYPE_MAX_BYTES:
            finding = f"{size:,} bytes, more than the {TYPE_MAX_BYTES:,} of a bundle"
            problems.append(Problem(str(folder / name), finding, "remove what it does not need"))
    if problems:
        raise UsageError(problems)


def write_document_type(document_type: DocumentType, bundle: Path) -> None:
    """Copy the two files of a declared type into a bundle; the invoice has none.

    Raises:
        AdapterError: a file is missing or too large.
    """
    if document_type.folder is None:
        return
    for name in TYPE_FILES:
        write_bytes(bundle / TYPE_FOLDER / name, read_bytes(document_type.folder / name, TYPE_MAX_BYTES))


def entry_problems(location: str, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a manifest's `document_type`, and of the names of the files that belong to it.

    Args:
        location: the manifest's file, for messages.
        manifest: its content, with valid `files`.
    """
    found = {name for name in manifest["files"] if name.startswith(f"{TYPE_FOLDER}/")}
    entry = manifest.get("document_type", INVOICE.record)
    place = f"{location} document_type"
    if not isinstance(entry, dict) or entry.keys() != {"name", "digest"}:
        yield Problem(place, "expected name and digest", EXPORT_AGAIN)
        return
    name, digest = entry["name"], entry["digest"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Problem(f"{place}.name", "expected letters, digits, blanks, points and hyphens", EXPORT_AGAIN)
    if entry == INVOICE.record:
        if found:
            finding = f"is the invoice, but the bundle has {min(found)}"
            yield Problem(place, finding, EXPORT_AGAIN)
    elif not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        yield Problem(f"{place}.digest", "expected 64 hexadecimal digits", EXPORT_AGAIN)
    elif missing := sorted({f"{TYPE_FOLDER}/{file}" for file in TYPE_FILES} - found):
        yield Problem(f"{location} files", f"lacks {missing[0]}, which defines the document type", EXPORT_AGAIN)


def read_bundled_type(root: Path, manifest: Mapping[str, Any], python_rules: Sequence[str] = ()) -> DocumentType:
    """Return the document type of a bundle; its files are data and are never run.

    Args:
        root: the bundle's folder.
        manifest: its manifest, without problems.
        python_rules: entry points whose rules may be used.

    Raises:
        AdapterError: the files are not a document type, name another Python rule, have a pattern that can take very
            long, or are not those of the digest in the manifest; all problems at once.
    """
    entry = type_record(manifest)
    if entry == INVOICE.record:
        return INVOICE
    folder = root / TYPE_FOLDER
    try:
        if problems := list(_forbidden_rules(folder, python_rules)):
            raise AdapterError(problems)
        found = read_document_type(folder, str(folder), tuple(python_rules))
    except AdapterError as error:
        raise AdapterError(error.problems) from error  # a bad bundle is not a wrong use
    except Exception as error:  # hostile files must not end a service
        finding = f"cannot be read as a document type: {type(error).__name__}: {error}"
        raise AdapterError(Problem(str(folder), finding[:300], EXPORT_AGAIN)) from error
    if found.digest != entry["digest"]:
        finding = "is not the document type in the manifest: its digest differs"
        raise AdapterError(Problem(str(folder), finding, EXPORT_AGAIN))
    return replace(found, name=entry["name"])


def _forbidden_rules(folder: Path, python_rules: Sequence[str]) -> Iterator[Problem]:
    """Yield the Python rules of a type that are not allowed. Other problems are found when the type is loaded."""
    file = read_yaml(folder / DEFINITION_FILE, "definition of a document type")
    definition = read_definition(file)
    for index, rule in enumerate(definition.rules if definition else ()):
        if rule.python is not None and rule.python not in python_rules:
            name = rule.python[:100]
            hint = f"remove the rule, or, if {name} is yours, name it: python_rules: [{name}]"
            yield Problem(file.location(("rules", index, "python")), f"the Python rule {name!r} is off", hint)
