"""Settings: the environment overrides the configuration, secrets come only from it, and errors name the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.errors import UsageError
from erniekit_adapter.service import ServiceSettings

GIVEN = {"vllm_server_url": "http://127.0.0.1:8000/v1", "model_name": "base"}


def read(more: dict[str, Any] | None = None, **environment: str) -> ServiceSettings:
    return ServiceSettings.read({"ernie_vl": GIVEN | (more or {})}, environment)


def test_environment_overrides_the_configuration() -> None:
    settings = read(
        {"timeout": 10},
        ERNIE_FINETUNED_PATH="bundles/a",
        ERNIE_VLLM_URL="https://models.example/v1/",
        ERNIE_MODEL_NAME="tuned",
        ERNIE_TIMEOUT="30",
    )
    assert settings.fine_tuned_model_path == Path("bundles/a")
    assert (settings.vllm_server_url, settings.model_name) == ("https://models.example/v1", "tuned")
    assert settings.timeout == 30


def test_empty_variable_counts_as_not_set() -> None:
    assert read({"timeout": 10}, ERNIE_TIMEOUT="", ERNIE_FINETUNED_PATH="").timeout == 10


def test_settings_from_the_environment_only() -> None:
    assert ServiceSettings.read({}, {"ERNIE_VLLM_URL": "http://a/v1", "ERNIE_MODEL_NAME": "b"}).max_attempts == 5


def test_secret_is_never_shown() -> None:
    settings = read(ERNIE_API_KEY="k-123")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "k-123"
    assert "k-123" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"api_key": "k-123"}, "ernie_vl.api_key: secrets must not be in the configuration"),
        ({"vllm_server_url": "http://me:k-123@a/v1"}, "holds a user or password"),
        ({"vllm_server_url": "ftp://a/v1"}, "expected a URL"),
        ({"vllm_server_url": None}, "ernie_vl.vllm_server_url or ERNIE_VLLM_URL"),
        ({"timeoutt": 3}, "ernie_vl.timeoutt"),
        ({"timeout": 0}, "ernie_vl.timeout or ERNIE_TIMEOUT"),
        ({"lora": "yes"}, "ernie_vl.lora"),
        ({"lora": "load"}, "needs fine_tuned_model_path"),
        ({"lora": "named", "fine_tuned_model_path": "a"}, "needs adapter_name"),
        ({"trust": "anybody"}, "ernie_vl.trust or ERNIE_TRUST"),
        ({"trust": "unsigned", "public_key": "a.pem"}, "trust: unsigned checks no signature"),
        ({"counter_file": "a"}, "counter_file needs public_key"),
        ({"when_bundle_is_bad": "fallback"}, "needs fallback_url and fallback_model_name"),
        ({"adapter_form": "../x"}, "ernie_vl.adapter_form"),
    ],
)
def test_rejects_invalid_settings_with_their_key(more: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(more)
    assert expected in str(raised.value)
    assert "k-123" not in str(raised.value)


def test_reports_all_problems_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        read({"timeout": 0, "max_tokens": 0, "api_key": "x"})
    assert len(raised.value.problems) == 3


def test_docs_name_every_setting() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("## Switch")[0] + page.partition("## Start a server")[2]
    secrets = {"api_key", "fallback_api_key"}
    assert not [name for name in ServiceSettings.model_fields if name not in secrets and f"`{name}`" not in table]
