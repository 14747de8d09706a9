"""Whether a bundle is what its manifest says: every byte of it, read once.

Nothing in the bundle is believed before its hash is right, nothing is unpickled, and no link is followed.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import orjson

from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import read_bytes

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
READ_SCHEMA_VERSIONS = (1,)

_AGAIN = "copy the bundle again, or export it anew"
_MAX_FILES = 100_000
_CHUNK_BYTES = 4 * 1024 * 1024
_PICKLES = frozenset(
    (
        *(".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"),
        *(".pdmodel", ".pdopt", ".pdparams", ".pdstates"),
    )
)
# Pickle's protocols 2 to 5, and the zip that torch.save wraps around one.
_PICKLE_START = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04")


@dataclass(frozen=True)
class Verified:
    """A bundle whose every file is right.

    Attributes:
        path: its folder, every link resolved.
        manifest: what it says of itself.
        identity: the SHA-256 of the manifest, and so of the whole bundle.
        files: how many files the manifest lists.
        size_bytes: how long they are together.
        signature: checked, or not checked as no public key was given, or none where there is nothing to check.
    """

    path: Path
    manifest: dict[str, Any]
    identity: str
    files: int
    size_bytes: int
    signature: Literal["checked", "not checked", "none"]

    @property
    def unproven(self) -> list[str]:
        """The forms of which the manifest says that they were not checked."""
        proof = self.manifest.get("proof")
        forms = proof.get("forms") if isinstance(proof, dict) else None
        found = forms if isinstance(forms, dict) else {}
        return [form for form, each in found.items() if isinstance(each, dict) and each.get("state") != "proven"]


def verify(bundle: Path, public_key: Path | None = None, base_dir: Path | None = None) -> Verified:
    """Hold a bundle against its manifest.

    Args:
        bundle: its folder; this may be a link, what lies in it may not.
        public_key: PEM file of the Ed25519 key that must have signed the manifest; None asks for no signature.
        base_dir: the base model's folder, to be held against the manifest's fingerprint; None where it is not at hand.

    Raises:
        AdapterError: a file is missing, changed, too many, a link, a pickle or a damaged safetensors file, the
            signature is wrong, or the base model is another one; all at once, each with the file's name.
        UsageError: the public key cannot be read, or `cryptography` is not installed.
    """
    root = bundle.resolve()
    if not root.is_dir():
        raise fail(bundle, "no such folder" if not root.exists() else "is a file, expected a bundle's folder")
    problems, content = _manifest(root)
    if public_key:
        problems += _signature(root, content, public_key)
    manifest: dict[str, Any] = orjson.loads(content) if not problems else {}
    if problems:
        raise AdapterError(problems)
    listed: dict[str, dict[str, Any]] = manifest["files"]
    problems += _names_agree(root, listed)
    names = [name for name in listed if not any(problem.where == str(root / name) for problem in problems)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for found in threads.map(lambda name: _file(root / name, listed[name]), _largest_first(names, listed)):
            problems += found
    if base_dir:
        problems += _base(manifest, base_dir)
    if problems:
        raise AdapterError(sorted(problems, key=lambda problem: problem.where))
    return Verified(
        root,
        manifest,
        hashlib.sha256(content).hexdigest(),
        len(listed),
        sum(entry["size_bytes"] for entry in listed.values()),
        "checked" if public_key else "not checked" if (root / SIGNATURE).exists() else "none",
    )


def _manifest(root: Path) -> tuple[list[Problem], bytes]:
    path = root / MANIFEST
    if path.is_symlink():
        return [Problem(str(path), "is a link", _AGAIN)], b""
    try:
        content = read_bytes(path)
        manifest = orjson.loads(content)
    except AdapterError as error:
        return list(error.problems), b""
    except orjson.JSONDecodeError as error:
        return [Problem(str(path), f"not JSON: {error}", _AGAIN)], content
    if not isinstance(manifest, dict):
        return [Problem(str(path), "is no object", _AGAIN)], content
    if (version := manifest.get("schema_version")) not in READ_SCHEMA_VERSIONS or type(version) is not int:
        read = ", ".join(map(str, READ_SCHEMA_VERSIONS))
        what = f"schema_version {str(version)[:40]}; this version of erniekit-adapter reads {read}"
        return [Problem(str(path), what, "install the version that made it, or export it anew")], content
    return list(_wrong_entries(path, manifest.get("files"))), content


def _wrong_entries(path: Path, files: object) -> Iterator[Problem]:
    if not isinstance(files, dict) or not files:
        yield Problem(f"{path} files", "lists no files", _AGAIN)
        return
    for name, entry in files.items():
        # A name with two spellings, or one that another system reads as a path, would be checked here and read there.
        parts = name.split("/")
        if not name or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts) or ":" in parts[0]:
            yield Problem(f"{path} files {name!r}", "is no path inside the bundle", _AGAIN)
        elif name in (MANIFEST, SIGNATURE):
            yield Problem(f"{path} files {name!r}", "cannot be listed by itself", _AGAIN)
        elif not _is_entry(entry):
            yield Problem(f"{path} files {name!r}", "expected size_bytes and sha256", _AGAIN)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    size, digest = entry.get("size_bytes"), entry.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))


def _signature(root: Path, content: bytes, public_key: Path) -> list[Problem]:
    from erniekit_adapter.adapters.signing import check_signature
    from erniekit_adapter.errors import UsageError

    try:
        check_signature(content, root / SIGNATURE, public_key)
    except UsageError:
        raise
    except AdapterError as error:
        return list(error.problems)
    return []


def _names_agree(root: Path, listed: dict[str, Any]) -> list[Problem]:
    problems, present = [], set()
    for count, (path, what) in enumerate(_walk(root)):
        if count == _MAX_FILES:
            raise fail(root, f"holds more than {_MAX_FILES:,} files", _AGAIN)
        name = path.relative_to(root).as_posix()
        if what:
            problems.append(Problem(str(path), what, _AGAIN))
        elif name not in listed and name not in (MANIFEST, SIGNATURE):
            problems.append(Problem(str(path), "is not in the manifest", "remove it, or export the bundle anew"))
        present.add(name)
    problems += [Problem(str(root / name), "is missing", _AGAIN) for name in listed if name not in present]
    problems += [
        Problem(str(root / name), "is a pickle by its name; a bundle holds safetensors alone", "export it anew")
        for name in listed
        if Path(name).suffix.lower() in _PICKLES
    ]
    return problems


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each entry that is no folder, with what is wrong with it; links are not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"cannot be read: {error.strerror or error}"
        return
    for entry in entries:
        if entry.is_symlink():
            yield Path(entry.path), "is a link"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path), "" if entry.is_file(follow_symlinks=False) else "is not a regular file"


def _largest_first(names: list[str], listed: dict[str, Any]) -> list[str]:
    return sorted(names, key=lambda name: (-listed[name]["size_bytes"], name))


def _file(path: Path, entry: dict[str, Any]) -> list[Problem]:
    """Size, hash and kind of one file, read once."""
    try:
        with open(path, "rb", buffering=0, opener=_unless_link) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                return [Problem(str(path), "is not a regular file", _AGAIN)]
            if about.st_size != entry["size_bytes"]:
                what = f"{about.st_size:,} bytes, and {entry['size_bytes']:,} in the manifest"
                return [Problem(str(path), what, _AGAIN)]
            start, digest = _digest(stream)
    except OSError as error:
        return [Problem(str(path), f"cannot be read: {error.strerror or error}")]
    if digest != entry["sha256"]:
        return [Problem(str(path), "was changed: its SHA-256 is not the manifest's", _AGAIN)]
    if path.suffix == ".safetensors":
        return _tensors(path)
    if _PICKLE_START.match(start):
        return [Problem(str(path), "is a pickle or a zip by its first bytes", "export the bundle anew")]
    return []


def _unless_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _digest(stream: FileIO) -> tuple[bytes, str]:
    """The first bytes and the SHA-256 of a file."""
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK_BYTES)
    view, start = memoryview(buffer), b""
    while count := stream.readinto(buffer):
        start = start or bytes(view[:4])
        digest.update(view[:count])
    return start, digest.hexdigest()


def _tensors(path: Path) -> list[Problem]:
    from erniekit_adapter.tensor_files import list_tensors

    try:
        tensors = list(list_tensors(path).values())
    except AdapterError as error:
        return list(error.problems)
    gaps = [after.name for before, after in pairwise(tensors) if before.start + before.size_bytes != after.start]
    if gaps:
        return [Problem(f"{path} {gaps[0]}", "its data does not follow on the tensor before it", "export it anew")]
    end = tensors[-1].start + tensors[-1].size_bytes if tensors else None
    if end != path.stat().st_size:
        what = "holds data that belongs to no tensor" if tensors else "holds no tensor"
        return [Problem(str(path), what, "export it anew")]
    return []


def _base(manifest: dict[str, Any], base_dir: Path) -> list[Problem]:
    from erniekit_adapter.project.model_folder import model_fingerprint

    base = manifest.get("base_model")
    wanted = base.get("fingerprint") if isinstance(base, dict) else None
    if not wanted:
        return [Problem(MANIFEST, "holds no fingerprint of the base model", "export the bundle anew")]
    if not base_dir.is_dir():
        return [Problem(str(base_dir), "no such folder", "give the base model's folder")]
    if model_fingerprint(base_dir) != wanted:
        return [Problem(str(base_dir), "is not the base model that was trained on", "get that one")]
    return []
