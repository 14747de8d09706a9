"""Verification of a bundle: every byte matches the manifest, and the files contain data only.

Every byte is read once. A file is used only after its hash was checked. Nothing is unpickled or run, and links are
refused.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.bundle.agreement import disagreements, manifest_problems
from erniekit_adapter.bundle.allowed_files import FORMAT_FILES, MANIFEST, SIGNATURE, TYPE_FOLDER, name_problem
from erniekit_adapter.bundle.counters import check_counter
from erniekit_adapter.bundle.document_types import entry_problems, read_bundled_type
from erniekit_adapter.bundle.listed_files import COPY_AGAIN, read_listed, read_small
from erniekit_adapter.bundle.signatures import check_signature
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError, Problem, failure, usage_error
from erniekit_adapter.parity.comparison import CHECKED
from erniekit_adapter.strict_json import parse_strict

READ_SCHEMA_VERSIONS = (1,)
Trust = Literal["signed", "unsigned"]

_MAX_FILES = 10_000
_MAX_MANIFEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """A verified bundle.

    Attributes:
        path: its folder, with links resolved.
        manifest: content of its manifest.
        identity: the SHA-256 of the manifest, which identifies the whole bundle.
        files: number of files in the manifest.
        size_bytes: size of all files.
        signature: `checked` with a public key, or `none` for an unsigned bundle.
        key: the SHA-256 of the public key of the signature; empty for an unsigned bundle.
        document_type: the type of its documents.
    """

    path: Path
    manifest: dict[str, Any]
    identity: str
    files: int
    size_bytes: int
    signature: Literal["checked", "none"]
    key: str = ""
    document_type: DocumentType = INVOICE

    @property
    def unchecked(self) -> list[str]:
        """Formats without a parity check."""
        parity = self.manifest.get("proof")
        checks = parity.get("forms") if isinstance(parity, dict) else None
        found = checks if isinstance(checks, dict) else {}
        states = {name: each.get("state") for name, each in found.items() if isinstance(each, dict)}
        return [name for name, state in states.items() if name in FORMAT_FILES and state != CHECKED]


def verify(
    bundle: Path,
    public_key: Path | None = None,
    base_dir: Path | None = None,
    *,
    trust: Trust = "signed",
    counter_file: Path | None = None,
    python_rules: Sequence[str] = (),
) -> Verified:
    """Check the signature of a bundle, that every file matches the manifest, and that the files contain data only.

    Args:
        bundle: its folder, or a link to it; links in it are refused.
        public_key: PEM file of the Ed25519 key that signed the manifest.
        base_dir: the base model's folder, for a comparison with the manifest's fingerprint; None to skip it.
        trust: `unsigned` accepts a bundle without a signature. A signed bundle always needs the public key.
        counter_file: file with the highest counter of each key; an older bundle is refused. It is only read here, see
            `counters.remember`.
        python_rules: entry points that the rules of its document type may name; they are loaded.

    Raises:
        AdapterError: the bundle is unsigned, wrongly signed or older than one that was used; a file is missing, changed
            or additional, or has another kind than its name; the document type is not valid; or the base model is
            another one; all at once.
        UsageError: the public key or the counter file cannot be read, `cryptography` is not installed, or both a
            public key and `unsigned` are given.
    """
    if public_key and trust == "unsigned":
        finding = f"{public_key} requires a signature, but trust: unsigned accepts a bundle without one"
        raise usage_error("public key", finding, "give only one of them")
    root, content = _read(bundle)
    # The manifest is parsed only after its signature was checked.
    key = _signer(root, content, public_key, trust)
    manifest = _parsed(root / MANIFEST, content)
    if counter_file:
        check_counter(counter_file, key, manifest.get("counter"), root / MANIFEST)
    return verify_files(root, content, manifest, base_dir, key, python_rules)


def _signer(root: Path, content: bytes, public_key: Path | None, trust: Trust) -> str:
    """Check the signature, and return the key's fingerprint; empty for an accepted unsigned bundle."""
    if public_key:
        return check_signature(content, root / SIGNATURE, public_key)
    if os.path.lexists(root / SIGNATURE):
        hint = "give the signer's public key: --public-key FILE, in a service public_key: FILE"
        raise failure(root / SIGNATURE, "exists, but a public key to check it is missing", hint)
    if trust == "signed":
        finding = "is missing, so the origin of the bundle is unknown"
        hint = "sign it and give the public key, or accept it with --trust unsigned, in a service trust: unsigned"
        raise failure(root / SIGNATURE, finding, hint)
    return ""


def read_manifest(bundle: Path) -> tuple[Path, bytes, dict[str, Any]]:
    """Read a bundle's manifest.

    Returns:
        The bundle's folder with links resolved, and bytes and content of the manifest.

    Raises:
        AdapterError: the bundle is missing, or the manifest is damaged or of another version; all problems at once.
    """
    root, content = _read(bundle)
    return root, content, _parsed(root / MANIFEST, content)


def _read(bundle: Path) -> tuple[Path, bytes]:
    root, finding = bundle, ""
    try:
        root = bundle.resolve()
        if not root.is_dir():
            finding = "no such folder" if not root.exists() else "is a file, expected the folder of a bundle"
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # path too long, zero byte, loop of links
        finding = f"is not a valid path: {error}"[:300]
    if finding:
        raise AdapterError(_printable(Problem(str(bundle)[:300], finding)))
    return root, read_small(root / MANIFEST, _MAX_MANIFEST_BYTES)


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    manifest = parse_strict(path, content)
    if not isinstance(manifest, dict):
        raise failure(path, "is not an object", COPY_AGAIN)
    if (version := manifest.get("schema_version")) not in READ_SCHEMA_VERSIONS or type(version) is not int:
        read = ", ".join(map(str, READ_SCHEMA_VERSIONS))
        finding = f"schema_version {ascii(version)[:40]}; this version of erniekit-adapter supports {read}"
        raise failure(path, finding, "install the version that wrote it, or export it again")
    if problems := list(_wrong_entries(path, manifest.get("files"))):
        raise AdapterError(map(_printable, problems))
    return manifest


def verify_files(
    root: Path,
    content: bytes,
    manifest: dict[str, Any],
    base_dir: Path | None = None,
    key: str = "",
    python_rules: Sequence[str] = (),
) -> Verified:
    """Check every file of a bundle, without its signature; the first arguments are the results of `read_manifest`.

    Raises:
        AdapterError: see `verify`.
    """
    listed: dict[str, dict[str, Any]] = manifest["files"]
    location = str(root / MANIFEST)
    problems = [*manifest_problems(location, manifest), *entry_problems(location, manifest)]
    problems += _names_agree(root, listed)
    wrong = {problem.location for problem in problems}
    names = [name for name in _largest_first(listed) if str(root / name) not in wrong]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        files = list(threads.map(lambda name: read_listed(root, name, listed[name]), names))
    problems += [problem for file in files for problem in file.problems]
    document_type = INVOICE
    if not problems:
        problems += disagreements(root, manifest, {file.name: file for file in files})
        try:
            document_type = read_bundled_type(root, manifest, python_rules)
        except AdapterError as error:
            problems += error.problems
    if base_dir:
        problems += _base(manifest, base_dir)
    if problems:
        raise AdapterError(sorted(map(_printable, problems), key=lambda problem: problem.location))
    size_bytes = sum(entry["size_bytes"] for entry in listed.values())
    identity = hashlib.sha256(content).hexdigest()
    signature: Literal["checked", "none"] = "checked" if key else "none"
    return Verified(root, manifest, identity, len(listed), size_bytes, signature, key, document_type)


def _wrong_entries(path: Path, files: object) -> Iterator[Problem]:
    if not isinstance(files, dict) or not 0 < len(files) <= _MAX_FILES:
        yield Problem(f"{path} files", f"expected 1 to {_MAX_FILES:,} files", COPY_AGAIN)
        return
    for name, entry in files.items():
        if finding := name_problem(name):
            yield Problem(f"{path} files {name!r}", finding, "remove it, or export the bundle again")
        elif not _is_entry(entry):
            yield Problem(f"{path} files {name!r}", "expected size_bytes and sha256", COPY_AGAIN)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    size, digest = entry.get("size_bytes"), entry.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))


def _names_agree(root: Path, listed: Mapping[str, Any]) -> list[Problem]:
    problems, present = [], set()
    for count, (name, finding) in enumerate(_walk(root, "")):
        if count == _MAX_FILES:
            raise failure(root, f"has more than {_MAX_FILES:,} files", COPY_AGAIN)
        if finding:
            problems.append(Problem(f"{root}/{name}", finding, COPY_AGAIN))
        elif name not in listed and name not in (MANIFEST, SIGNATURE):
            hint = "remove it, or export the bundle again"
            problems.append(Problem(f"{root}/{name}", "is not in the manifest", hint))
        present.add(name)
    return [*problems, *(Problem(f"{root}/{name}", "is missing", COPY_AGAIN) for name in listed if name not in present)]


def _walk(folder: Path, above: str) -> Iterator[tuple[str, str]]:
    """Yield name and problem of each entry of a bundle, without the folders of formats; the problem can be empty."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield above or ".", f"cannot be read: {error.strerror or error}"
        return
    for entry in entries:
        name = f"{above}{entry.name}"
        if entry.is_symlink():
            yield name, "is a link"
        elif not entry.is_dir(follow_symlinks=False):
            yield name, "" if entry.is_file(follow_symlinks=False) else "is not a regular file"
        elif above or entry.name not in (*FORMAT_FILES, TYPE_FOLDER):
            yield name, "is a folder, but not the folder of a bundle format or document type"
        elif not any(os.scandir(entry.path)):
            yield name, "is an empty folder"
        else:
            yield from _walk(Path(entry.path), f"{name}/")


def _largest_first(listed: Mapping[str, dict[str, Any]]) -> list[str]:
    return sorted(listed, key=lambda name: (-listed[name]["size_bytes"], name))


def _base(manifest: Mapping[str, Any], base_dir: Path) -> list[Problem]:
    from erniekit_adapter.project.model_folder import model_fingerprint

    base = manifest.get("base_model")
    expected = base.get("fingerprint") if isinstance(base, dict) else None
    if not expected:
        return [Problem(MANIFEST, "has no fingerprint of the base model", "export the bundle again")]
    if not base_dir.is_dir():
        return [Problem(str(base_dir), "no such folder", "give the base model's folder")]
    if model_fingerprint(base_dir) != expected:
        return [Problem(str(base_dir), "is not the base model that was trained on", "give that base model")]
    return []


def _printable(problem: Problem) -> Problem:
    """Return the problem with control characters escaped: names may come from an attacker, and may not be UTF-8."""
    shown = (
        re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda found: ascii(found[0])[1:-1], text)
        for text in (problem.location, problem.finding, problem.hint)
    )
    return Problem(*(text.encode(errors="backslashreplace").decode() for text in shown))
