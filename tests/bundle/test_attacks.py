"""Bundles with a forged manifest and correct hashes, refused because of the content of their files."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_attacks import ADAPTER, ATTACKS, WEIGHTS
from bundle_examples import write_manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erniekit_adapter.bundle.verify import verify
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json, write_json
from erniekit_adapter.tensor_files import read_tensors


@pytest.fixture
def bundle(tmp_path: Path, good_bundle: Path) -> Path:
    return shutil.copytree(good_bundle, tmp_path / "bundle")


def refusal(bundle: Path) -> str:
    with pytest.raises(AdapterError) as raised:
        verify(bundle, trust="unsigned")
    return str(raised.value)


def test_accepts_the_unchanged_bundle(bundle: Path) -> None:
    write_manifest(bundle)
    assert verify(bundle, trust="unsigned").files == 10


@pytest.mark.parametrize("name", ATTACKS)
def test_rejects_the_attack(name: str, bundle: Path) -> None:
    attack = ATTACKS[name]
    attack.make(bundle)
    write_manifest(bundle)
    manifest = read_json(bundle / "manifest.json")
    attack.manifest(manifest)
    write_json(bundle / "manifest.json", manifest)
    assert attack.expected in refusal(bundle)


def test_rejects_a_repeated_key_in_the_manifest(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 1, "schema_version": 1'))
    assert "repeats the key 'schema_version'" in refusal(bundle)


def test_escapes_file_names_that_are_not_utf8(bundle: Path) -> None:
    try:
        (Path(os.fsdecode(os.fsencode(bundle) + b"/\xff\x1b[2J"))).touch()
    except OSError:
        pytest.skip("this file system supports only names in UTF-8")
    found = refusal(bundle)
    found.encode()
    assert "is not in the manifest" in found
    assert "\x1b" not in found


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rejects_mutated_headers_or_reads_the_same(bundle: Path, data: st.DataObject) -> None:
    path = bundle / WEIGHTS
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = bytearray(whole[8 : 8 + length])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(header) - 1))
        header[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    before = {name: np.array(array) for name, array in read_tensors(path).items()}
    try:
        path.write_bytes(struct.pack("<Q", len(header)) + header + whole[8 + length :])
        write_manifest(bundle)
        try:
            verify(bundle, trust="unsigned")
        except AdapterError:
            return
        after = read_tensors(path)
        assert after.keys() == before.keys()
        assert all(array.shape == before[name].shape for name, array in after.items())
    finally:
        path.write_bytes(whole)
        write_manifest(bundle)


@pytest.mark.slow
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rejects_random_json_as_adapter_config(bundle: Path, value: Any) -> None:
    write_json(bundle / ADAPTER, value)
    write_manifest(bundle)
    assert ADAPTER in refusal(bundle)


def test_accepts_a_copy_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    assert verify(tmp_path / "copy", trust="unsigned").identity == verify(bundle, trust="unsigned").identity
