"""Fixtures for tests of bundles."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_examples import exported, find_no_readers, trained


@pytest.fixture
def no_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without toolkits. The tests in tests/toolkit check formats with the real readers."""
    monkeypatch.setattr("erniekit_adapter.bundle.export.find_readers", find_no_readers)


@pytest.fixture(scope="session")
def good_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with the formats native, peft and merged. Tests copy it and do not change it."""
    project = trained(tmp_path_factory.mktemp("good"), formats=("native", "peft", "merged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("erniekit_adapter.bundle.export.find_readers", find_no_readers)
        exported(project)
    return project.bundle_dir
