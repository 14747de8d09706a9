"""Environment variables of the processes that run a toolkit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

# Parts of a name between underscores; TOKENIZERS_PARALLELISM, MAX_TOKENS, NCCL_IB_PKEY and PWD do not match.
_SECRET_NAME = re.compile(
    r"(^|_)((API|ACCESS|PRIVATE|SECRET|AUTH)?KEY|SECRETS?|TOKEN|JWT|PAT|PASSPHRASE|CREDENTIALS?|(SSH)?PASS"
    r"|[A-Z]*(PASSWD|PASSWORD))(_|$)|_AUTH$|._PWD$",
    re.IGNORECASE,
)
# A URL that contains a password or token, and a private key in PEM.
_SECRET_VALUE = re.compile(r"://[^\s/@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----")

# Runs a worker without this package's parent folder on the path; its docstring explains why.
_START = Path(__file__).resolve().parents[2] / "workers" / "start.py"


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables whose name or value does not look like a secret.

    Paddle's launcher writes its whole environment to `erniekit_dist_log/`, and no toolkit needs a secret: models and
    data are read from local folders.
    """
    return {
        name: value
        for name, value in variables.items()
        if not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    }


def toolkit_variables(home: Path | None = None) -> dict[str, str]:
    """Return the variables that every process of a toolkit gets, and also the probe that reads its versions.

    PYTHONPATH contains a checkout of ERNIEKit, if there is one, and the folders that the user set, as absolute paths.
    It contains no folder of ours: in an installed copy that would be site-packages, whose numpy would replace the
    toolkit's.

    Args:
        home: the checkout of ERNIEKit, if one is used.
    """
    variables = without_secrets(os.environ)
    given = variables.pop("PYTHONPATH", "").split(os.pathsep)
    folders = [*([str(home)] if home else []), *(os.path.abspath(each) for each in given if each)]  # noqa: PTH100
    if folders:
        variables["PYTHONPATH"] = os.pathsep.join(folders)
    return variables | {"PYTHONUNBUFFERED": "1"}


def worker_command(python: Path, name: str, *arguments: str) -> list[str]:
    """Return the command line that runs a worker of this package with a toolkit's interpreter."""
    return [str(python), str(_START), name, *arguments]
