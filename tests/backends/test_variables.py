"""Environment variables of the processes that run a toolkit."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.backends.environments.hugging_face import Transformers
from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.backends.environments.variables import without_secrets


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "ERNIE_API_KEY", "ERNIE_APIKEY", "apikey", "SIGNING_KEY", "API_KEY_2", "AWS_ACCESS_KEY_ID"),
        *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "GITHUB_TOKEN", "client_secret", "SECRET_SANTA"),
        *("PGPASSWORD", "DB_PASSWORD", "SSHPASS", "MYSQL_PWD", "SSH_PASSPHRASE", "GOOGLE_APPLICATION_CREDENTIALS"),
        *("SLURM_JWT", "GH_PAT", "REGISTRY_AUTH"),
    ],
)
def test_removes_names_that_look_like_secrets(name: str) -> None:
    assert without_secrets({name: "x"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PWD", "OLDPWD", "HOME", "LANG", "LD_LIBRARY_PATH", "TOKENIZERS_PARALLELISM", "MAX_TOKENS"),
        *("CUDA_VISIBLE_DEVICES", "PADDLE_MASTER", "PADDLE_TRAINER_ENDPOINTS", "MASTER_ADDR", "SLURM_JOB_ID"),
        *("NCCL_IB_PKEY", "UCX_IB_PKEY", "FLAGS_selected_gpus", "SSH_AUTH_SOCK", "KEYBOARD", "KMP_BYPASS"),
    ],
)
def test_keeps_names_that_a_toolkit_may_need(name: str) -> None:
    assert without_secrets({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("value", "stays"),
    [
        ("http://user:word@proxy:3128", False),
        ("postgres://:word@host/db", False),
        ("https://token@host/simple", False),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB", False),
        ("http://proxy:3128", True),
        ("tcp://10.0.0.1:80/a@b", True),
        ("user@host", True),
    ],
)
def test_removes_values_that_contain_secrets(value: str, stays: bool) -> None:
    assert ("NAME" in without_secrets({"NAME": value})) is stays


def test_toolkit_variables_contain_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted")
    toolkit = Toolkit(Path("/usr/bin/python3"), "1.0.1", "PATH")
    environments = toolkit.environment(on_cpu=True), Transformers(Path("/usr/bin/python3"), "4.1", "0.1").environment()

    assert not [each for each in environments if "planted" in each.values()]
