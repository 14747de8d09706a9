"""Document types by name or folder: those that are shipped, and a team's own."""

from __future__ import annotations

import copyreg
import difflib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from erniekit_adapter.documents.declared import DEFINITION_FILE, SCHEMA_FILE
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.invoice.document_type import INVOICE
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import similar_path

__all__ = ["INVOICE", "is_folder", "load_document_type", "shipped_names"]

_SHIPPED = Path(__file__).with_name("shipped")


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped document types, `invoice` first."""
    return ("invoice", *sorted(path.parent.name for path in _SHIPPED.glob(f"*/{DEFINITION_FILE}")))


def is_folder(reference: str) -> bool:
    """Return whether a reference in a project file is a folder and not the name of a shipped type."""
    return "/" in reference or reference.startswith((".", "~"))


def load_document_type(reference: str = "invoice", python_rules: tuple[str, ...] = ()) -> DocumentType:
    """Return a document type.

    Args:
        reference: the name of a shipped type, or a folder: relative to the working directory, with a `/` in it.
        python_rules: names of entry points whose rules may be used.

    Raises:
        UsageError: no such type, or its files are wrong; every problem with its file, line and hint.
    """
    if is_folder(reference):
        folder = Path(reference).expanduser().absolute()
        if not folder.exists():
            raise usage_error("document_type", f"{reference}: no such folder", _folder_hint(reference))
        return _from_folder(str(folder), python_rules, _times_of(folder))
    if reference == "invoice":
        if python_rules:
            raise usage_error("python_rules", "the type invoice has no rules in Python", "remove the key")
        return INVOICE
    if reference not in shipped_names():
        raise usage_error("document_type", f"no type {reference!r}", _name_hint(reference))
    return _shipped(reference, python_rules)


def _name_hint(reference: str) -> str:
    if (Path(reference) / SCHEMA_FILE).is_file():
        return f"write the folder with a /: ./{reference}"
    near = difflib.get_close_matches(reference.casefold().replace("_", "-"), shipped_names(), n=1)
    names = f"use one of {', '.join(shipped_names())}, or a folder: ./{reference}"
    return f"did you mean {near[0]}? {names}" if near else names


def _folder_hint(reference: str) -> str:
    near = similar_path(Path(reference).expanduser(), lambda path: (path / SCHEMA_FILE).is_file())
    if near is not None:
        return f"did you mean {near if near.is_absolute() else f'./{near}'}?"
    return f"make it with: erniekit-adapter document-type new NAME --from EXAMPLE.json --output {reference}"


@lru_cache(maxsize=32)
def _shipped(name: str, python_rules: tuple[str, ...]) -> DocumentType:
    return _read(_SHIPPED / name, name, python_rules)


def _times_of(folder: Path) -> tuple[int, ...]:
    """Return times and sizes of the files, so that a changed type is read again."""
    with suppress(OSError):
        found = [(folder / name).stat() for name in (SCHEMA_FILE, DEFINITION_FILE)]
        return tuple(number for each in found for number in (each.st_mtime_ns, each.st_size))
    return ()


@lru_cache(maxsize=32)
def _from_folder(folder: str, python_rules: tuple[str, ...], _: tuple[int, ...]) -> DocumentType:
    return _read(Path(folder), folder, python_rules)


def _read(folder: Path, reference: str, python_rules: tuple[str, ...]) -> DocumentType:
    # The invoice needs none of this, and each worker of a data stage would import it again.
    from erniekit_adapter.documents.declared.folder import read_document_type

    return read_document_type(folder, reference, python_rules)


def _reduced(
    document_type: DocumentType,
) -> tuple[Callable[..., DocumentType], tuple[str, tuple[str, ...]]]:
    return load_document_type, (document_type.reference, document_type.python_rules)


# A type has a model class and functions, which cannot be sent to another process: it is loaded again there.
copyreg.pickle(DocumentType, _reduced)
