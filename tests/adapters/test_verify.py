"""A bundle is accepted when every byte of it is the manifest's, or refused with the names of all wrong files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bundle_examples import write_manifest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erniekit_adapter.adapters.counters import remember
from erniekit_adapter.adapters.signing import sign
from erniekit_adapter.adapters.verify import verify
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


def key_files(folder: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_bundle_that_is_what_its_manifest_says_is_accepted(bundle: Path) -> None:
    verified = verify(bundle, trust="unsigned")
    assert (verified.files, verified.signature) == (10, "none")
    assert verified.identity == sha256(bundle / "manifest.json")
    files = [path for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert verified.size_bytes == sum(path.stat().st_size for path in files)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_anywhere_is_found_and_named(bundle: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in sorted(bundle.rglob("*")) if path.is_file()]))
    content = bytearray(path.read_bytes())
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    content[place] ^= 1 << bit
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        if path.name == "manifest.json":
            # The manifest vouches for itself by its signature alone; what it says of files still has to be true.
            identity = sha256(path)
            with suppress(AdapterError):
                assert verify(bundle, trust="unsigned").identity == identity
        else:
            assert str(path) in problems(bundle)
    finally:
        path.write_bytes(whole)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_of_a_signed_manifest_is_found(bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
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
    "a file is cut": (lambda bundle: shorten(bundle / TENSORS), "in the manifest"),
    "a file is too many": (lambda bundle: (bundle / "peft/run.py").write_text("x"), "run.py: is not in the manifest"),
    "a hidden file is too many": (lambda bundle: (bundle / ".x").write_text("x"), ".x: is not in the manifest"),
    "a file is a link": (lambda bundle: replace_by_link(bundle / TENSORS), f"{TENSORS}: is a link"),
    "a folder is a link": (lambda bundle: replace_by_link(bundle / "peft"), "peft: is a link"),
    "a file is a pipe": (lambda bundle: replace_by_pipe(bundle / TENSORS), f"{TENSORS}: is not a regular file"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "manifest.json: no such file"),
    "the manifest is no JSON": (lambda bundle: shorten_twice(bundle / "manifest.json"), "manifest.json: not JSON"),
    "the manifest is an array": (lambda bundle: write_json(bundle / "manifest.json", []), "is not an object"),
}


def shorten_twice(path: Path) -> None:
    shorten(path)
    shorten(path)


@pytest.mark.parametrize("name", CHANGES)
def test_a_bundle_is_refused_by_the_file_when(name: str, bundle: Path) -> None:
    change, expected = CHANGES[name]
    change(bundle)
    assert expected in problems(bundle)


@pytest.mark.parametrize("name", ["b" * 5000, "a\0b", "loop", "loop/b", "\udcff"])
def test_a_path_that_cannot_be_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(AdapterError) as raised:
        verify(tmp_path / name, trust="unsigned")
    str(raised.value).encode()


def test_all_problems_are_told_at_once(bundle: Path) -> None:
    (bundle / "README.md").write_text("Another card.\n")
    (bundle / "peft" / "adapter_config.json").unlink()
    (bundle / "more").write_text("")
    found = problems(bundle)
    assert all(name in found for name in ("README.md", "adapter_config.json: is missing", "more: is not in"))


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "peft/../README.md", "a\\b", "c:/x", "", "peft//x"])
def test_a_path_that_leaves_the_bundle_is_refused_and_not_read(name: str, bundle: Path) -> None:
    manifest = read_json(bundle / "manifest.json")
    manifest["files"][name] = {"size_bytes": 1, "sha256": "0" * 64}
    write_json(bundle / "manifest.json", manifest)
    assert "is not a path inside the bundle" in problems(bundle)


@pytest.mark.parametrize("version", [None, 0, 999, "1", True, [1]])
def test_another_schema_version_is_refused(version: object, bundle: Path) -> None:
    write_json(bundle / "manifest.json", read_json(bundle / "manifest.json") | {"schema_version": version})
    assert "schema_version" in problems(bundle)


@pytest.mark.parametrize("entry", [None, [], {"size_bytes": -1, "sha256": "0" * 64}, {"size_bytes": 1, "sha256": "x"}])
def test_an_entry_without_size_and_hash_is_refused(entry: object, bundle: Path) -> None:
    manifest = read_json(bundle / "manifest.json")
    manifest["files"]["README.md"] = entry
    write_json(bundle / "manifest.json", manifest)
    assert "expected size_bytes and sha256" in problems(bundle)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("weights.pdparams", "is a pickle"), ("peft/pytorch_model.bin", "is a pickle"), ("notes", "is not a file of")],
)
def test_a_pickle_is_refused_even_when_the_manifest_lists_it(name: str, expected: str, bundle: Path) -> None:
    (bundle / name).write_bytes(b"\x80\x04K\x01.")
    write_manifest(bundle)
    assert expected in problems(bundle)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}xx"], ids=["empty", "header", "rest"])
def test_a_damaged_safetensors_file_is_refused_even_when_its_hash_is_right(content: bytes, bundle: Path) -> None:
    (bundle / TENSORS).write_bytes(content)
    write_manifest(bundle)
    assert TENSORS in problems(bundle)


def test_the_bundle_itself_may_be_reached_through_a_link(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle)
    assert verify(tmp_path / "current", trust="unsigned").path == bundle.resolve()


def test_the_base_model_is_held_against_the_fingerprint(bundle: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_json(base / "config.json", {"hidden_size": 8})
    name = read_json(bundle / "manifest.json")["base_model"]["name"]
    write_manifest(bundle, base_model={"name": name, "fingerprint": model_fingerprint(base)})
    assert verify(bundle, base_dir=base, trust="unsigned")
    write_json(base / "config.json", {"hidden_size": 9})
    assert "is not the base model" in problems(bundle, base_dir=base)


def test_a_signed_bundle_is_accepted_with_its_key_and_refused_with_another(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    assert sign(bundle, key_file=private) == bundle.resolve() / "manifest.sig"
    assert verify(bundle, public_key=public).signature == "checked"
    (tmp_path / "other").mkdir()
    _, other = key_files(tmp_path / "other")
    assert "manifest.sig: is not this manifest's signature" in problems(bundle, public_key=other)


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(bundle: Path, tmp_path: Path) -> None:
    _, public = key_files(tmp_path)
    assert "manifest.sig: no such file, and a signature is required" in problems(bundle, public_key=public)


def test_the_signing_key_may_come_from_the_environment(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = key_files(tmp_path)
    monkeypatch.setenv("SIGNING_KEY", private.read_text())
    sign(bundle, key_variable="SIGNING_KEY")
    assert verify(bundle, public_key=public).signature == "checked"


def test_a_changed_bundle_is_not_signed(bundle: Path, tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    (bundle / "README.md").write_text("Another card.\n")
    with pytest.raises(AdapterError, match=r"README\.md"):
        sign(bundle, key_file=private)
    assert not (bundle / "manifest.sig").exists()


def test_a_key_that_is_none_is_refused_without_being_quoted(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="holds no Ed25519 private key") as raised:
        sign(bundle, key_file=tmp_path / "key")
    assert "secret" not in str(raised.value)


def test_a_bundle_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert "no such folder" in problems(tmp_path / "nothing")


def test_a_bundle_without_signature_needs_trust_unsigned(bundle: Path) -> None:
    with pytest.raises(AdapterError, match=r"manifest\.sig: is missing(.|\n)*--trust unsigned"):
        verify(bundle)


def test_a_signature_that_cannot_be_checked_is_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    sign(bundle, key_file=private)
    for trust in ("signed", "unsigned"):
        assert "no public key to check it" in problems(bundle, trust=trust)
    with pytest.raises(UsageError, match="give one of the two"):
        verify(bundle, public, trust="unsigned")


def test_a_signature_behind_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    sign(bundle, key_file=private).rename(tmp_path / "elsewhere")
    (bundle / "manifest.sig").symlink_to(tmp_path / "elsewhere")
    assert "manifest.sig: is a link" in problems(bundle, public_key=public)


def test_a_signature_of_another_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    private, public = key_files(tmp_path)
    shutil.copytree(bundle, tmp_path / "other")
    signature = sign(tmp_path / "other", key_file=private, counter=1)
    sign(bundle, key_file=private, counter=2)
    shutil.copy(signature, bundle / "manifest.sig")
    assert "is not this manifest's signature" in problems(bundle, public_key=public)


def test_an_older_bundle_under_the_same_key_is_refused(bundle: Path, tmp_path: Path) -> None:
    (private, public), file = key_files(tmp_path), tmp_path / "counters"
    shutil.copytree(bundle, tmp_path / "old")
    sign(tmp_path / "old", key_file=private, counter=5)
    sign(bundle, key_file=private, counter=6)
    new = verify(bundle, public, counter_file=file)
    assert verify(tmp_path / "old", public, counter_file=file), "nothing was used yet"
    remember(file, new.key, new.manifest["counter"])
    assert "this one is older" in problems(tmp_path / "old", public_key=public, counter_file=file)
    assert verify(tmp_path / "old", public), "without a file of counters nothing is remembered"


def test_going_back_takes_another_signature(bundle: Path, tmp_path: Path) -> None:
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
def test_a_counter_that_cannot_be_is_not_signed(counter: int, bundle: Path, tmp_path: Path) -> None:
    private, _ = key_files(tmp_path)
    with pytest.raises(UsageError, match="counter"):
        sign(bundle, key_file=private, counter=counter)
