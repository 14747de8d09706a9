"""Environment variables of the processes that run a toolkit."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Parts of a name between underscores. TOKENIZERS_PARALLELISM, MAX_TOKENS, NCCL_IB_PKEY and PWD are none.
_SECRET_NAME = re.compile(
    r"(^|_)((API|ACCESS|PRIVATE|SECRET|AUTH)?KEY|SECRETS?|TOKEN|JWT|PAT|PASSPHRASE|CREDENTIALS?|(SSH)?PASS"
    r"|[A-Z]*(PASSWD|PASSWORD))(_|$)|_AUTH$|._PWD$",
    re.IGNORECASE,
)
# A URL with a password or a token in it, and a private key in PEM.
_SECRET_VALUE = re.compile(r"://[^\s/@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----")


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables whose name or value does not look like a secret.

    Paddle's launcher writes the whole environment of its process to `erniekit_dist_log/`, and no toolkit needs a
    secret: models and data are read from local folders.
    """
    return {
        name: value
        for name, value in variables.items()
        if not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    }
