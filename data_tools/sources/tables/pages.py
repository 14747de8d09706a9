"""The page files of a document that a table names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from posixpath import basename, splitext

from data_tools.sources.files.json_values import shown
from data_tools.sources.files.paths import path_inside, refuse_folder
from erniekit_adapter.errors import failure
from erniekit_adapter.files import is_inside

PDF_SUFFIXES = frozenset({".pdf"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
_SUFFIXES = PDF_SUFFIXES | IMAGE_SUFFIXES
_KINDS = "PDF, PNG, JPEG, WebP or TIFF"
MAX_FILES = 200_000
_SEVERAL = re.compile(r"[;|]")
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:)?/")
# A URL, or a path that may lead out of the folder.
_LEAVES = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:|(?:^|/)\.\.(?:/|$)")
# Characters that file names cannot contain; people replace them by a dash or leave them out.
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|]')
_SHOWN_FILES = 3


@dataclass
class PageFolder:
    """The pages in a folder and its subfolders, found by path, by name, or by name without extension.

    Attributes:
        folder: the folder.
        files: every page, as a path relative to it, in order.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    _by_key: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str) -> None:
        """Add a file under each name that a table may have for it."""
        self.files.append(name)
        whole, last = splitext(name)[0], basename(name)
        for key in {name, whole, last, splitext(last)[0]}:
            self._by_key[key.casefold()].append(name)

    def called(self, name: str) -> list[str]:
        """Return the files that a name may mean; upper and lower case matter only if they decide between several."""
        found = self._by_key.get(name.casefold(), [])
        same = [each for each in found if name in (each, splitext(each)[0])] if len(found) > 1 else []
        return same if len(same) == 1 else found


def list_pages(folder: Path) -> PageFolder:
    """List the pages in a folder and its subfolders, without hidden ones and links to folders.

    Raises:
        AdapterError: the folder does not exist, cannot be read, or has too many files.
    """
    if not folder.is_dir():
        raise failure(
            folder, "no such folder" if not folder.exists() else "is not a folder", "set documents to the pages' folder"
        )
    pages = PageFolder(folder)
    for current, folders, names in os.walk(folder, onerror=refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(current).relative_to(folder).as_posix()
        for name in sorted(names):
            if not name.startswith(".") and splitext(name)[1].lower() in _SUFFIXES:
                pages.add(name if below == "." else f"{below}/{name}")
        if len(pages.files) > MAX_FILES:
            raise failure(folder, f"has more than {MAX_FILES:,} pages", "set documents to a folder with fewer")
    return pages


def find_files(pages: PageFolder, named: str) -> list[str]:
    """Find the files that a cell of the file column names: one, or several separated by `;` or `|`, in order.

    Raises:
        ValueError: a file does not exist, is ambiguous, or leaves the folder; the message lists the tried names.
    """
    try:
        return [_find(pages, named.strip())]
    except ValueError:
        parts = [part.strip() for part in _SEVERAL.split(named) if part.strip()]
        if len(parts) < 2:
            raise
    return [_find(pages, part) for part in parts]


def find_by_number(pages: PageFolder, number: str, number_name: str = "invoice number") -> list[str]:
    """Find the one file whose name without extension is the number of a document.

    Raises:
        ValueError: no file has this name, or several do; the message lists the names that were tried.
    """
    tried = [number, *(_NOT_IN_NAMES.sub(by, number) for by in ("-", "_", ""))]
    for name in dict.fromkeys(tried):
        found = pages.called(name)
        if found:
            return [_only(found, number)]
    raise ValueError(
        f"no file with the name {shown(number)} (the {number_name}) in {pages.folder}; "
        f"tried {' and '.join(dict.fromkeys(tried))} with each extension of {_KINDS}; name it in a column `file`"
    )


def _find(pages: PageFolder, named: str) -> str:
    name = named.replace("\\", "/")
    # A path of another machine is matched by its file name; only files found in the folder are opened.
    if not _ABSOLUTE.match(name) and _LEAVES.search(name):
        path_inside(pages.folder, name)
    if found := pages.called(name):
        return _only(found, named)
    plain = PurePosixPath(name)
    within = [str(PurePosixPath(*plain.parts[1:]))] if plain.parts[:1] == (pages.folder.name,) else []
    tried = [*dict.fromkeys((str(plain), *within, plain.name))]
    for candidate in tried:
        if found := pages.called(candidate):
            return _only(found, named)
    if plain.suffix and plain.suffix.lower() not in _SUFFIXES and (pages.folder / plain.name).is_file():
        raise ValueError(f"{shown(named)} is not a page: give {_KINDS}")
    listed = ", ".join(f"{pages.folder}/{candidate}" for candidate in tried)
    raise ValueError(
        f"{shown(named)}: no such page ({_KINDS}); tried {listed}, in upper and lower case, and in its subfolders"
    )


def _only(found: Sequence[str], named: str) -> str:
    if len(found) > 1:
        some = ", ".join(found[:_SHOWN_FILES])
        raise ValueError(f"{shown(named)} matches {len(found)} files: {some}; write the path with its extension")
    return found[0]


def as_pages(folder: Path, files: Sequence[str]) -> tuple[tuple[Path, ...], Path | None]:
    """Return images in their order, or the one PDF, of files that were listed in a folder.

    Raises:
        ValueError: the files are several PDFs or a mixture, or one is a link that leaves the folder.
    """
    paths = [folder / name for name in files]
    for path in paths:
        try:
            # Links to folders are not listed, so only the file itself can be a link.
            inside = path.is_file() and (not path.is_symlink() or is_inside(folder, path))
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise ValueError(f"{shown(str(path))} is a link that leaves the folder {folder}, or not a regular file")
    pdfs = [path for path in paths if path.suffix.lower() in PDF_SUFFIXES]
    if not pdfs:
        return tuple(paths), None
    if len(paths) > 1:
        raise ValueError(f"{', '.join(files)[:300]}: a document is one PDF, or images in their order")
    return (), pdfs[0]
