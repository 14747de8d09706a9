"""What tests of bundles share."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_examples import exported, trained

from erniekit_adapter.adapters.readers import Readers, Unread
from erniekit_adapter.project.schema import Form


def _nothing(forms: list[Form], *machine: object) -> Readers:
    reason = Unread("there is no toolkit here: /home/somebody lacks it", "install one")
    return Readers({}, dict.fromkeys(forms, reason), "cpu")


@pytest.fixture
def nothing_to_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without toolkits: forms are proven in tests/toolkit, where the real ones read them."""
    monkeypatch.setattr("erniekit_adapter.adapters.bundle.find_readers", _nothing)


@pytest.fixture(scope="session")
def good_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the forms native, peft and merged, as the export stage writes it; to be copied, not changed."""
    project = trained(tmp_path_factory.mktemp("good"), forms=("native", "peft", "merged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("erniekit_adapter.adapters.bundle.find_readers", _nothing)
        exported(project)
    return project.bundle_dir
