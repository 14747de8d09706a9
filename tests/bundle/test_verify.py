"""Verification and signatures of bundles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bundle_examples import write_manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signing_examples import key_files

from erniekit_adapter.bundle.counters import remember
from erniekit_adapter.bundle.signing import sign
from erniekit_adapter.bundle.verify import verify
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import read_json, sha256, write_json
from erniekit_adapter.project.model_folder import model_fingerprint

TENSORS = "peft/adapter_model.safetensors"


@pytest.fixture
def bundle(tmp_path: Path, good_bundle: Path) -> Path:
    return shutil.copytree(good_bundle, tmp_path / "bundle")


def problems(bundle: Path, **options: Any) -> str:
    given = options if "public_key" in options else {"trust": "unsigned", **options}
    with pytest.raises(AdapterError) as raised:
        verify(bundle, **given)
    return str(raised.value)


def test_accepts_a_good_bundle(bundle: Path) -> None:
    verified = verify(bundle, trust="unsigned")
    assert (verified.files, verified.signature) == (10, "none")
    assert verified.identity == sha256(bundle / "manifest.json")
    files = [path for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert verified.size_bytes == sum(path.stat().st_size for path in files)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_finds_a_flipped_bit_in_any_file(bundle: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in sorted(bundle.rglob("*")) if path.is_file()]))
    content = bytearray(path.read_bytes())
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    content[place] ^= 1 << bit
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        if path.name == "manifest.json":
            # Only a signature protects the manifest. Here, its entries must still match the files.
            identity = sha256(path)
            with suppress(AdapterError):
                assert verify(bundle, trust="unsigned").identity == identity
        else:
            assert str(path) in problems(bundle)
    finally:
        path.write_bytes(whole)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_finds_a_flipped_bit_in_a_signed_manifest(bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
    private, public = key_files(tmp_path)
    sign(bundle, key_file=private)
    path = bundle / "manifest.json"
    whole = path.read_bytes()
    content = bytearray(whole)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(content)
        assert "manifest" in problems(bundle, public_key=public)
    finally:
        path.write_bytes(whole)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_link(path: Path) -> None:
    kept = path.rename(path.parent.parent.parent / path.name)
    path.symlink_to(kept)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file is missing": (lambda bundle: (bundle / TENSORS).unlink(), f"{TENSORS}: is missing"),
    "a file is truncated": (lambda bundle: shorten(bundle / TENSORS), "in the manifest"),
    "an additional file": (lambda bundle: (bundle / "peft/run.py").write_text("x"), "run.py: is not in the manifest"),
    "an additional hidden file": (lambda bundle: (bundle / ".x").write_text("x"), ".x: is not in the manifest"),
    "a file is a link": (lambda bundle: replace_by_link(bundle / TENSORS), f"{TENSORS}: is a link"),
    "a folder is a link": (lambda bundle: replace_by_link(bundle / "peft"), "peft: is a link"),
    "a file is a pipe": (lambda bundle: replace_by_pipe(bundle / TENSORS), f"{TENSORS}: is not a regular file"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "manifest.json: no such file"),
    "the manifest is not JSON": (lambda bundle: shorten_twice(bundle / "manifest.json"), "manifest.json: not JSON"),
    "the manifest is an array": (lambda bundle: write_json(bundle / "manifest.json", []), "is not an object"),
}


def shorten_twice(path: Path) -> None:
    shorten(path)
    shorten(path)


@pytest.mark.parametrize("name", CHANGES)
def test_rejects_and_names_the_file(name: str, bundle: Path) -> None:
    change, expected = CHANGES[name]
    change(bundle)
    assert expected in problems(bundle)


@pytest.mark.parametrize("name", ["b" * 5000, "a\0b", "loop", "loop/b", "\udcff"])
def test_rejects_an_invalid_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(AdapterError) as raised:
        verify(tmp_path / name, trust="unsigned")
    str(raised.value).encode()


def test_reports_all_problems(bundle: Path) -> None:
    (bundle / "README.md").write_text("Another card.\n")
    (bundle / "peft" / "adapter_config.json").unlink()
    (bundle / "more").write_text("")
    found = problems(bundle)
    assert all(name in found for name in ("README.md", "adapter_config.json: is missing", "more: is not in"))


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "peft/../README.md", "a\\b", "c:/x", "", "peft//x"])
def test_rejects_paths_outside_the_bundle(name: str, bundle: Path) -> None:
    manifest = read_json(bundle / "manifest.json")
    manifest["files"][name] = {"size_bytes": 1, "sha256": "0" * 64}
    write_json(bundle / "manifest.json", manifest)
    assert "is not a path inside the bundle" in problems(bundle)


@pytest.mark.parametrize("version", [None, 0, 999, "1", True, [1]])
def test_rejects_another_schema_version(version: object, bundle: Path) -> None:
    write_json(bundle / "manifest.json", read_json(bundle / "manifest.json") | {"schema_version": version})
    assert "schema_version" in problems(bundle)


@pytest.mark.parametrize("entry", [None, [], {"size_bytes": -1, "sha256": "0" * 64}, {"size_bytes": 1, "sha256": "x"}])
def test_rejects_entries_without_size_and_hash(entry: object, bundle: Path) -> None:
    manifest = read_json(bundle / "manifest.json")
    manifest["files"]["README.md"] = entry
    write_json(bundle / "manifest.json", manifest)
    assert "expected size_bytes and sha256" in problems(bundle)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("weights.pdparams", "is a pickle"), ("peft/pytorch_model.bin", "is a pickle"), ("notes", "is not a file of")],
)
def test_rejects_a_listed_pickle(name: str, expected: str, bundle: Path) -> None:
    (bundle / name).write_bytes(b"\x80\x04K\x01.")
    write_manifest(bundle)
    assert expected in problems(bundle)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}xx"], ids=["empty", "header", "rest"])
def test_rejects_damaged_safetensors_with_correct_hash(content: bytes, bundle: Path) -> None:
    (bundle / TENSORS).write_bytes(content)
    write_manifest(bundle)
    assert TENSORS in problems(bundle)


def test_accepts_a_link_to_a_bundle(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert verify(tmp_path / "current", trust="unsigned").path == bundle.resolve()


def test_compares_the_base_model_with_its_fingerprint(bundle: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_json(base / "config.json", {"hidden_size": 8})
    name = read_json(bundle / "manifest.json")["base_model"]["name"]
    write_manifest(bundle, base_model={"name": name, "fingerprint": model_fingerprint(base)})
    assert verify(bundle, base_dir=base, trust="unsigned")
    write_json(base / "config.json", {"hidden_size": 9})
    assert "is not the base model" in problems(bundle, base_dir=base)


def test_accepts_a_signature_only_with_its_key(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    assert sign(bundle, key_file=private) == bundle.resolve() / "manifest.sig"
    assert verify(bundle, public_key=public).signature == "checked"
    (tmp_path / "other").mkdir()
    _, other = key_files(tmp_path / "other")
    assert "manifest.sig: is not this manifest's signature" in problems(bundle, public_key=other)


def test_rejects_an_unsigned_bundle_with_a_public_key(bundle: Path, tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    assert "manifest.sig: no such file, and a signature is required" in problems(bundle, public_key=public)


def test_signs_with_a_key_from_the_environment(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = key_files(tmp_path)
    monkeypatch.setenv("SIGNING_KEY", private.read_text())
    sign(bundle, key_variable="SIGNING_KEY")
    assert verify(bundle, public_key=public).signature == "checked"


def test_refuses_to_sign_a_changed_bundle(bundle: Path, tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    (bundle / "README.md").write_text("Another card.\n")
    with pytest.raises(AdapterError, match=r"README\.md"):
        sign(bundle, key_file=private)
    assert not (bundle / "manifest.sig").exists()


def test_rejects_an_invalid_key_without_quoting_it(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UsageError, match="is not an Ed25519 private key") as raised:
        sign(bundle, key_file=tmp_path / "key")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o644, 0o777])
def test_rejects_a_key_file_that_others_can_access(permissions: int, bundle: Path, tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    private.chmod(permissions)
    with pytest.raises(UsageError) as raised:
        sign(bundle, key_file=private)
    (problem,) = raised.value.problems
    assert f"has permissions {permissions:o}" in problem.finding
    assert problem.hint == f"chmod 600 {private}"
    assert not (bundle / "manifest.sig").exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "large"])
def test_rejects_a_key_file_that_is_not_a_small_file(kind: str, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if kind == "folder":
        path.mkdir(mode=0o700)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "large":
        path.write_bytes(b"-" * (16 * 1024 + 1))
        path.chmod(0o600)
    with pytest.raises(UsageError, match=str(path)):
        sign(bundle, key_file=path)


def test_signs_with_a_key_file_that_only_its_owner_reads(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    private.chmod(0o400)
    sign(bundle, key_file=private)
    assert verify(bundle, public_key=public).signature == "checked"


def test_requires_exactly_one_source_of_the_key(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, _ = key_files(tmp_path)
    monkeypatch.setenv("SIGNING_KEY", private.read_text())
    with pytest.raises(UsageError, match="exactly one"):
        sign(bundle)
    with pytest.raises(UsageError, match="exactly one"):
        sign(bundle, key_variable="SIGNING_KEY", key_file=private)
    with pytest.raises(UsageError, match="NO_SUCH_KEY: is not set"):
        sign(bundle, key_variable="NO_SUCH_KEY")


def test_lists_formats_without_a_parity_check(bundle: Path) -> None:
    assert verify(bundle, trust="unsigned").unchecked == ["merged", "native", "peft"]
    results = {"native": {"state": "proven"}, "peft": {"state": "not checked"}, "merged": {"state": "proven"}}
    write_manifest(bundle, proof={"forms": results})
    assert verify(bundle, trust="unsigned").unchecked == ["peft"]


def test_rejects_a_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in problems(tmp_path / "nothing")


def test_unsigned_bundle_needs_trust_unsigned(bundle: Path) -> None:
    with pytest.raises(AdapterError, match=r"manifest\.sig: is missing(.|\n)*--trust unsigned"):
        verify(bundle)


def test_signed_bundle_needs_a_public_key(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    sign(bundle, key_file=private)
    for trust in ("signed", "unsigned"):
        assert "a public key to check it is missing" in problems(bundle, trust=trust)
    with pytest.raises(UsageError, match="give only one of them"):
        verify(bundle, public, trust="unsigned")


def test_rejects_a_link_as_signature(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    sign(bundle, key_file=private).rename(tmp_path / "elsewhere")
    (bundle / "manifest.sig").symlink_to(tmp_path / "elsewhere")
    assert "manifest.sig: is a link" in problems(bundle, public_key=public)


def test_rejects_the_signature_of_another_bundle(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    shutil.copytree(bundle, tmp_path / "other")
    signature = sign(tmp_path / "other", key_file=private, counter=1)
    sign(bundle, key_file=private, counter=2)
    shutil.copy(signature, bundle / "manifest.sig")
    assert "is not this manifest's signature" in problems(bundle, public_key=public)


def test_rejects_an_older_bundle_of_the_same_key(bundle: Path, tmp_path: Path) -> None:
    (private, public), file = key_files(tmp_path), tmp_path / "counters"
    shutil.copytree(bundle, tmp_path / "old")
    sign(tmp_path / "old", key_file=private, counter=5)
    sign(bundle, key_file=private, counter=6)
    new = verify(bundle, public, counter_file=file)
    assert verify(tmp_path / "old", public, counter_file=file), "no counter is stored yet"
    remember(file, new.key, new.manifest["counter"])
    assert "this one is older" in problems(tmp_path / "old", public_key=public, counter_file=file)
    assert verify(tmp_path / "old", public), "without a counter file, older bundles are accepted"


def test_accepts_an_old_bundle_after_a_new_signature(bundle: Path, tmp_path: Path) -> None:
    (private, public), file = key_files(tmp_path), tmp_path / "counters"
    sign(bundle, key_file=private)
    first = verify(bundle, public)
    remember(file, first.key, first.manifest["counter"] + 1)
    sign(bundle, key_file=private, counter=first.manifest["counter"] + 2)
    assert verify(bundle, public, counter_file=file)


def test_each_signature_has_a_higher_counter(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    counters = []
    for _ in range(3):
        sign(bundle, key_file=private)
        counters.append(verify(bundle, public).manifest["counter"])
    assert counters == sorted(set(counters))


@pytest.mark.parametrize("counter", [0, -1, 2**53])
def test_refuses_to_sign_an_invalid_counter(counter: int, bundle: Path, tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    with pytest.raises(UsageError, match="counter"):
        sign(bundle, key_file=private, counter=counter)
