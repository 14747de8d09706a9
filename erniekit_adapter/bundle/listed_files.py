"""Check of each file that a bundle's manifest lists: size, hash and content, in one read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any

from erniekit_adapter.bundle.allowed_files import kind_of_file, max_bytes
from erniekit_adapter.bundle.weights import read_weights
from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.file_checks.configs import EXPORT_AGAIN
from erniekit_adapter.file_checks.content import FileKind, check_content
from erniekit_adapter.tensor_files import StoredTensor

COPY_AGAIN = "copy the bundle again, or export it again"


@dataclass(frozen=True)
class ReadFile:
    """A file of a bundle after its check.

    Attributes:
        name: its name in the bundle.
        problems: its problems.
        value: the parsed content of a JSON file.
        tensors: the tensors of a safetensors file, by name.
    """

    name: str
    problems: list[Problem]
    value: Any = None
    tensors: Mapping[str, StoredTensor] = field(default_factory=dict)


def open_regular(path: Path) -> tuple[FileIO, os.stat_result]:
    """Open a regular file for reading. The file has only one name, and the path is not a link.

    Raises:
        AdapterError: the path is not such a file.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    stream = FileIO(path, opener=lambda name, given: os.open(name, given | flags))
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        stream.close()
        raise failure(path, "is not a regular file", COPY_AGAIN)
    if status.st_nlink > 1:
        stream.close()
        finding = f"has {status.st_nlink} names (hard links), and can be changed through another one"
        raise failure(path, finding, "copy the bundle: cp -r BUNDLE COPY")
    return stream, status


def read_small(path: Path, limit_bytes: int) -> bytes:
    """Read a regular file completely.

    Raises:
        AdapterError: it is missing, is not a regular file with one name, exceeds the limit, or cannot be read.
    """
    try:
        stream, status = open_regular(path)
        with stream:
            if status.st_size > limit_bytes:
                raise failure(path, f"{status.st_size:,} bytes, more than the limit of {limit_bytes:,}")
            return stream.read(limit_bytes)
    except FileNotFoundError as error:
        raise failure(path, "no such file", COPY_AGAIN) from error
    except OSError as error:
        raise failure(
            path, "is a link" if path.is_symlink() else f"cannot be read: {error.strerror or error}"
        ) from error


def read_listed(root: Path, name: str, entry: Mapping[str, Any]) -> ReadFile:
    """Read a file that the manifest lists, and check its size, hash, kind and content.

    Args:
        root: the bundle's folder.
        name: the file's name in the bundle.
        entry: its entry in the manifest.
    """
    path, kind = root / name, kind_of_file(name)
    if kind is None:
        return ReadFile(name, [Problem(str(path), "is not a file of a bundle", "remove it")])
    try:
        stream, before = open_regular(path)
        with stream:
            if before.st_size != entry["size_bytes"]:
                finding = f"{before.st_size:,} bytes, but {entry['size_bytes']:,} in the manifest"
                return ReadFile(name, [Problem(str(path), finding, COPY_AGAIN)])
            found, digest = _read(path, name, kind, stream, before.st_size)
            after = os.fstat(stream.fileno())
    except AdapterError as error:
        return ReadFile(name, list(error.problems))
    except OSError as error:
        return ReadFile(name, [Problem(str(path), f"cannot be read: {error.strerror or error}")])
    if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
        return ReadFile(name, [Problem(str(path), "was changed while it was read", COPY_AGAIN)])
    if digest and digest != entry["sha256"]:
        return ReadFile(name, [Problem(str(path), "was changed: its SHA-256 is not the manifest's", COPY_AGAIN)])
    return found


def _read(path: Path, name: str, kind: FileKind, stream: FileIO, size_bytes: int) -> tuple[ReadFile, str]:
    """Return the checked file and its SHA-256; an empty one for a file that exceeds the limit."""
    if kind == "weights":
        weights = read_weights(path, stream, size_bytes)
        return ReadFile(name, weights.problems, tensors=weights.tensors), weights.sha256
    if size_bytes > (limit := max_bytes(name, kind)):
        finding = f"{size_bytes:,} bytes, more than the limit of {limit:,}"
        return ReadFile(name, [Problem(str(path), finding, EXPORT_AGAIN)]), ""
    content = stream.readall()
    found = ReadFile(name, *check_content(str(path), PurePosixPath(name).name, kind, content))
    return found, hashlib.sha256(content).hexdigest()
