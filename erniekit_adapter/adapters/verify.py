"""Verification that a bundle agrees with its manifest and holds nothing but data: every byte of it, read once.

Nothing in the bundle is used before its hash is checked, nothing is unpickled or run, and no link is followed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.adapters.bundle_agreement import disagreements, manifest_problems
from erniekit_adapter.adapters.bundle_content import AGAIN, read_listed, read_small
from erniekit_adapter.adapters.bundle_layout import FORM_FILES, MANIFEST, SIGNATURE, name_problem
from erniekit_adapter.errors import AdapterError, Problem, fail, misuse
from erniekit_adapter.strict_json import parse_strict

READ_SCHEMA_VERSIONS = (1,)
Trust = Literal["signed", "unsigned"]

_MAX_FILES = 10_000
_MAX_MANIFEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Verified:
    """A bundle whose every file is right.

    Attributes:
        path: its folder, every link resolved.
        manifest: what it says of itself.
        identity: the SHA-256 of the manifest, and so of the whole bundle.
        files: how many files the manifest lists.
        size_bytes: how long they are together.
        signature: checked with a public key, or none if the bundle has none.
        key: the SHA-256 of the public key that the signature was checked with; empty without one.
    """

    path: Path
    manifest: dict[str, Any]
    identity: str
    files: int
    size_bytes: int
    signature: Literal["checked", "none"]
    key: str = ""

    @property
    def unproven(self) -> list[str]:
        """The forms of which the manifest says that they were not checked."""
        proof = self.manifest.get("proof")
        forms = proof.get("forms") if isinstance(proof, dict) else None
        found = forms if isinstance(forms, dict) else {}
        states = {form: each.get("state") for form, each in found.items() if isinstance(each, dict)}
        return [form for form, state in states.items() if form in FORM_FILES and state != "proven"]


def verify(
    bundle: Path,
    public_key: Path | None = None,
    base_dir: Path | None = None,
    *,
    trust: Trust = "signed",
    counter_file: Path | None = None,
) -> Verified:
    """Check a bundle: who signed it, that every file is the manifest's, and that no file holds anything but data.

    Args:
        bundle: its folder; this may be a link, nothing in it may.
        public_key: PEM file of the Ed25519 key that must have signed the manifest.
        base_dir: the base model's folder, to compare with the manifest's fingerprint; None if it is not at hand.
        trust: `unsigned` accepts a bundle that has no signature. One that has a signature needs the public key.
        counter_file: where the highest counter seen under the key is kept; an older bundle is refused. It is only
            read here, see `counters.remember`.

    Raises:
        AdapterError: the bundle is not signed, wrongly signed or older than one that was used; a file is missing,
            changed, superfluous, or not of the kind that its name shows; or the base model is another one. All
            problems at once.
        UsageError: the public key or the counter file cannot be read, `cryptography` is not installed, or both a
            public key and `unsigned` are given.
    """
    if public_key and trust == "unsigned":
        what = f"{public_key} asks for a signature, and trust is unsigned, which accepts a bundle without one"
        raise misuse("public key", what, "give one of the two")
    root, content = _read(bundle)
    # Nothing is parsed before the signature was checked.
    key = _signer(root, content, public_key, trust)
    manifest = _parsed(root / MANIFEST, content)
    if counter_file:
        from erniekit_adapter.adapters.counters import check_counter

        check_counter(counter_file, key, manifest.get("counter"), root / MANIFEST)
    return verify_files(root, content, manifest, base_dir, key)


def _signer(root: Path, content: bytes, public_key: Path | None, trust: Trust) -> str:
    """Check the signature, and return the key's fingerprint; empty for an unsigned bundle that may be one."""
    if public_key:
        from erniekit_adapter.adapters.signing import check_signature

        return check_signature(content, root / SIGNATURE, public_key)
    if os.path.lexists(root / SIGNATURE):
        hint = "give the signer's public key: --public-key FILE, in a service public_key: FILE"
        raise fail(root / SIGNATURE, "is there, and no public key to check it", hint)
    if trust == "signed":
        what = "is missing: nothing shows who made the bundle"
        hint = "sign it and give the public key, or accept it as it is: --trust unsigned, in a service trust: unsigned"
        raise fail(root / SIGNATURE, what, hint)
    return ""


def read_manifest(bundle: Path) -> tuple[Path, bytes, dict[str, Any]]:
    """Read a bundle's manifest, and return the bundle's folder with links resolved, the manifest's bytes and content.

    Raises:
        AdapterError: the bundle is missing, or the manifest is damaged or of another version; all problems at once.
    """
    root, content = _read(bundle)
    return root, content, _parsed(root / MANIFEST, content)


def _read(bundle: Path) -> tuple[Path, bytes]:
    root, what = bundle, ""
    try:
        root = bundle.resolve()
        if not root.is_dir():
            what = "no such folder" if not root.exists() else "is a file, expected a bundle's folder"
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, links in a circle
        what = f"cannot be a folder: {error}"[:300]
    if what:
        raise AdapterError(_printable(Problem(str(bundle)[:300], what)))
    return root, read_small(root / MANIFEST, _MAX_MANIFEST_BYTES)


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    manifest = parse_strict(path, content)
    if not isinstance(manifest, dict):
        raise fail(path, "is not an object", AGAIN)
    if (version := manifest.get("schema_version")) not in READ_SCHEMA_VERSIONS or type(version) is not int:
        read = ", ".join(map(str, READ_SCHEMA_VERSIONS))
        what = f"schema_version {ascii(version)[:40]}; this version of erniekit-adapter reads {read}"
        raise fail(path, what, "install the version that made it, or export it again")
    if problems := list(_wrong_entries(path, manifest.get("files"))):
        raise AdapterError(map(_printable, problems))
    return manifest


def verify_files(
    root: Path, content: bytes, manifest: dict[str, Any], base_dir: Path | None = None, key: str = ""
) -> Verified:
    """Check every file of a bundle, whoever signed it; arguments are those that `read_manifest` returns.

    Raises:
        AdapterError: as `verify` does, for all but the signature.
    """
    listed: dict[str, dict[str, Any]] = manifest["files"]
    problems = [*manifest_problems(str(root / MANIFEST), manifest), *_names_agree(root, listed)]
    wrong = {problem.where for problem in problems}
    names = [name for name in _largest_first(listed) if str(root / name) not in wrong]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        files = list(threads.map(lambda name: read_listed(root, name, listed[name]), names))
    problems += [problem for file in files for problem in file.problems]
    if not problems:
        problems += disagreements(root, manifest, {file.name: file for file in files})
    if base_dir:
        problems += _base(manifest, base_dir)
    if problems:
        raise AdapterError(sorted(map(_printable, problems), key=lambda problem: problem.where))
    size_bytes = sum(entry["size_bytes"] for entry in listed.values())
    identity = hashlib.sha256(content).hexdigest()
    return Verified(root, manifest, identity, len(listed), size_bytes, "checked" if key else "none", key)


def _wrong_entries(path: Path, files: object) -> Iterator[Problem]:
    if not isinstance(files, dict) or not 0 < len(files) <= _MAX_FILES:
        yield Problem(f"{path} files", f"expected 1 to {_MAX_FILES:,} files", AGAIN)
        return
    for name, entry in files.items():
        if what := name_problem(name):
            yield Problem(f"{path} files {name!r}", what, "remove it, or export the bundle again")
        elif not _is_entry(entry):
            yield Problem(f"{path} files {name!r}", "expected size_bytes and sha256", AGAIN)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    size, digest = entry.get("size_bytes"), entry.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))


def _names_agree(root: Path, listed: Mapping[str, Any]) -> list[Problem]:
    problems, present = [], set()
    for count, (name, what) in enumerate(_walk(root, "")):
        if count == _MAX_FILES:
            raise fail(root, f"holds more than {_MAX_FILES:,} files", AGAIN)
        if what:
            problems.append(Problem(f"{root}/{name}", what, AGAIN))
        elif name not in listed and name not in (MANIFEST, SIGNATURE):
            hint = "remove it, or export the bundle again"
            problems.append(Problem(f"{root}/{name}", "is not in the manifest", hint))
        present.add(name)
    return [*problems, *(Problem(f"{root}/{name}", "is missing", AGAIN) for name in listed if name not in present)]


def _walk(folder: Path, above: str) -> Iterator[tuple[str, str]]:
    """Each entry of the bundle by its name in it, with what is wrong with it; folders of forms are not among them."""
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
        elif above or entry.name not in FORM_FILES:
            yield name, "is a folder, and not that of a form"
        elif not any(os.scandir(entry.path)):
            yield name, "is an empty folder"
        else:
            yield from _walk(Path(entry.path), f"{name}/")


def _largest_first(listed: Mapping[str, dict[str, Any]]) -> list[str]:
    return sorted(listed, key=lambda name: (-listed[name]["size_bytes"], name))


def _base(manifest: Mapping[str, Any], base_dir: Path) -> list[Problem]:
    from erniekit_adapter.project.model_folder import model_fingerprint

    base = manifest.get("base_model")
    wanted = base.get("fingerprint") if isinstance(base, dict) else None
    if not wanted:
        return [Problem(MANIFEST, "holds no fingerprint of the base model", "export the bundle again")]
    if not base_dir.is_dir():
        return [Problem(str(base_dir), "no such folder", "give the base model's folder")]
    if model_fingerprint(base_dir) != wanted:
        return [Problem(str(base_dir), "is not the base model that was trained on", "get that one")]
    return []


def _printable(problem: Problem) -> Problem:
    """The problem with names as a terminal can show them: they are an attacker's, and may not be UTF-8."""
    shown = (
        re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda found: ascii(found[0])[1:-1], text)
        for text in (problem.where, problem.what, problem.remedy)
    )
    return Problem(*(text.encode(errors="backslashreplace").decode() for text in shown))
