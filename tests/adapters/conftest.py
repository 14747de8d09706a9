"""What tests of bundles share."""

from __future__ import annotations

import pytest

from erniekit_adapter.adapters.readers import Readers, Unread
from erniekit_adapter.project.schema import Form


@pytest.fixture
def nothing_to_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without toolkits: forms are proven in tests/toolkit, where the real ones read them."""

    def nothing(forms: list[Form], *machine: object) -> Readers:
        return Readers(
            {},
            {form: Unread("there is no toolkit here: /home/somebody lacks it", "install one") for form in forms},
            "cpu",
        )

    monkeypatch.setattr("erniekit_adapter.adapters.bundle.find_readers", nothing)
