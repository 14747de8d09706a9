"""Paths that a source names: the folders to search, and the check that a path stays inside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from data_tools.sources.files.json_values import shown
from erniekit_adapter.errors import failure

_URL = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+://|data:)")
_SHOWN_PATHS = 6


class LeavesFolderError(ValueError):
    """A path that leads out of the folder that must contain it."""


def is_folder(path: Path, hint: str) -> bool:
    """Return whether a source is a folder; False for a file.

    Raises:
        AdapterError: the path does not exist or cannot be read.
    """
    try:
        if not path.exists():
            raise failure(path, "no such file or folder", hint)
        return path.is_dir()
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error


def refuse_folder(error: OSError) -> None:
    """Raise an error of os.walk as an AdapterError that names the folder."""
    raise failure(error.filename, f"cannot be read: {error.strerror or error}") from error


def path_inside(folder: Path, name: object) -> Path:
    """Return the path that a source names, relative to `folder`, without opening a file.

    Raises:
        LeavesFolderError: the path leaves the folder.
        ValueError: the name is not a path, or is a URL.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{shown(name)} is not a path")
    if _URL.match(name):
        raise ValueError(f"{shown(name)} is a URL: only local files are read")
    try:
        path = folder / name
        inside = path.resolve().is_relative_to(_resolved(folder.absolute()))
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{shown(name)} is not a usable path: {error}"[:300]) from error
    if not inside:
        raise LeavesFolderError(f"{shown(name)} leaves the folder {folder}")
    return path


@lru_cache(maxsize=64)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def file_inside(folder: Path, name: object) -> Path:
    """Return the file that a source names, relative to `folder`.

    Raises:
        ValueError: the name is not a path, is a URL, leaves the folder, or the file does not exist.
    """
    path = path_inside(folder, name)
    if not _is_file(path, name):
        raise ValueError(f"{shown(name)}: no such file in {folder}")
    return path


def image_inside(folder: Path, name: object) -> Path | None:
    """Return the image that a log names if it is a file in the log's folder; other files are never opened."""
    # Most logs name images that were deleted long ago: one system call finds that out.
    if not isinstance(name, str) or not os.path.isfile(os.path.join(folder, name)):  # noqa: PTH113, PTH118
        return None
    try:
        return file_inside(folder, name)
    except ValueError:
        return None


def find_file(name: object, folders: Sequence[Path], *, by_name: Sequence[Path] = ()) -> Path:
    """Return the file that a source names, from the first of several folders that contains it.

    If a path begins with the end of a folder, that part is not repeated: `images/a.png` in `documents/images` is
    `documents/images/a.png`.

    Args:
        name: the path, as the source spells it.
        folders: where to search, in order; nothing outside of them is opened, links included.
        by_name: folders in which the file name without its path is enough, for example after a folder was moved.

    Raises:
        ValueError: the name is not a path, is a URL, leaves every folder, or the file does not exist; the message
            lists the paths that were tried.
    """
    tried: list[Path] = []
    left: LeavesFolderError | None = None
    for folder, path in _candidates(name, folders, by_name):
        try:
            inside = path_inside(folder, path)
        except LeavesFolderError as error:
            left = left or error
            continue
        if inside not in tried:
            tried.append(inside)
            if _is_file(inside, name):
                return inside
    if left and not _is_relative(name):
        raise left
    if left and len(tried) < len(folders):
        raise left
    paths = ", ".join(str(path) for path in tried[:_SHOWN_PATHS])
    more = f" and {len(tried) - _SHOWN_PATHS} more" if len(tried) > _SHOWN_PATHS else ""
    raise ValueError(f"{shown(name)}: no such file; tried {paths}{more}"[:1500])


def working_folder() -> tuple[Path, ...]:
    """Return the working folder; empty if it is the root of the file system, which contains every file."""
    try:
        folder = Path.cwd()
    except OSError:
        return ()
    return (Path(),) if folder != Path(folder.anchor) else ()


def _candidates(name: object, folders: Sequence[Path], by_name: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{shown(name)} is not a path")
    # Manifests written on Windows have backslashes.
    path = name if "\\" not in name or "/" in name else name.replace("\\", "/")
    for folder in folders:
        yield folder, path
        for shorter in _without_repetition(folder, path):
            yield folder, shorter
    file_name = PurePosixPath(path).name
    if file_name != path:
        for folder in by_name:
            yield folder, file_name


def _without_repetition(folder: Path, name: str) -> Iterator[str]:
    """Yield the path without each beginning that repeats the end of the folder."""
    parts, ends = PurePosixPath(name).parts, folder.absolute().parts
    for count in range(min(len(parts) - 1, len(ends)), 0, -1):
        if parts[:count] == ends[-count:]:
            yield str(PurePosixPath(*parts[count:]))


def _is_relative(name: object) -> bool:
    return isinstance(name, str) and not name.startswith("/")


def _is_file(path: Path, name: object) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown(name)} is not a usable path: {error}"[:300]) from error
