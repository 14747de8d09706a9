"""Fixtures of the tests of the train stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_examples import fake_toolkit, write_examples, write_model

from erniekit_adapter.training import stage


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with a fake toolkit, which succeeds unless FAKE_ERNIEKIT is set."""
    monkeypatch.setattr(stage, "find_toolkit", fake_toolkit)
    # The real function starts the Python of an installed toolkit each time.
    monkeypatch.setattr(stage, "toolkit_version", lambda project: (fake_toolkit(project.backend).version, "fake"))
    monkeypatch.delenv("FAKE_ERNIEKIT", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and training examples, in which nothing was trained yet."""
    write_model(tmp_path / "model")
    write_examples(tmp_path / "run" / "data")
    return tmp_path
