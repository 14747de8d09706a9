"""Files that a source names by a path: where they are looked for, and that they never lie anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from data_tools.sources.reading import LeavesFolderError, path_inside, shown

_SHOWN_PLACES = 6


def find_file(name: object, folders: Sequence[Path], *, by_name: Sequence[Path] = ()) -> Path:
    """Give the file that a source names, from the first of several folders that holds it.

    A path whose beginning repeats the end of a folder is not doubled: `images/a.png` in `documents/images` is
    `documents/images/a.png`.

    Args:
        name: the path, as the source spells it.
        folders: where it is looked for, in order; nothing outside of them is ever opened, links included.
        by_name: where a file of that name alone will do, because the folder around it was moved.

    Raises:
        ValueError: no path, a URL, a path that leaves every folder, or no such file; the message lists what was tried.
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
    places = ", ".join(str(path) for path in tried[:_SHOWN_PLACES])
    more = f" and {len(tried) - _SHOWN_PLACES} more" if len(tried) > _SHOWN_PLACES else ""
    raise ValueError(f"{shown(name)}: no such file; tried {places}{more}"[:1500])


def working_folder() -> tuple[Path, ...]:
    """The folder that the command runs in; none where that is the root of the file system, which holds everything."""
    try:
        folder = Path.cwd()
    except OSError:
        return ()
    return (Path(),) if folder != Path(folder.anchor) else ()


def _candidates(name: object, folders: Sequence[Path], by_name: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{shown(name)} is no path")
    # Manifests written on Windows have backslashes.
    spelt = name if "\\" not in name or "/" in name else name.replace("\\", "/")
    for folder in folders:
        yield folder, spelt
        for shorter in _without_repetition(folder, spelt):
            yield folder, shorter
    alone = PurePosixPath(spelt).name
    if alone != spelt:
        for folder in by_name:
            yield folder, alone


def _without_repetition(folder: Path, name: str) -> Iterator[str]:
    """The path without a beginning that is the end of the folder already."""
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
        raise ValueError(f"{shown(name)} is no usable path: {error}"[:300]) from error
