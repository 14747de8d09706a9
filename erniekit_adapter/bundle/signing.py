"""Signature of a bundle: the signed manifest has the hash of every other file.

The signature is a file beside the manifest, in base64.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from pathlib import Path

from erniekit_adapter.bundle.allowed_files import MANIFEST, SIGNATURE
from erniekit_adapter.bundle.counters import MAX_COUNTER
from erniekit_adapter.bundle.signatures import private_key
from erniekit_adapter.bundle.verify import read_manifest, verify_files
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import read_bytes, write_bytes, write_json


def sign(
    bundle: Path,
    *,
    key_variable: str | None = None,
    key_file: Path | None = None,
    counter: int | None = None,
    python_rules: Sequence[str] = (),
) -> Path:
    """Verify a bundle, store a counter in its manifest and sign it. An existing signature is replaced.

    Args:
        bundle: the bundle's folder.
        key_variable: the environment variable with the private key's PEM text.
        key_file: the private key's PEM file, which only its owner can read; pass exactly one of the two.
        counter: a number that is higher than that of every bundle signed before with this key; None for the time in
            seconds since 1970, or one more than the bundle's counter if that is higher.
        python_rules: entry points that the rules of its document type may name.

    Returns:
        The signature's file.

    Raises:
        AdapterError: the bundle does not match its manifest; all problems at once.
        UsageError: the key or the counter is not valid, see `private_key`.
    """
    key = private_key(key_variable, key_file)
    root, content, manifest = read_manifest(bundle)
    verify_files(root, content, manifest, python_rules=python_rules)
    old = manifest.get("counter")
    if counter is None:
        counter = max(int(time.time()), old + 1 if type(old) is int else 0)
    if not 0 < counter <= MAX_COUNTER:
        finding = f"{counter} is not between 1 and {MAX_COUNTER}"
        raise usage_error("counter", finding, "omit --counter, or give a number in this range")
    # The old signature does not match the new manifest.
    (root / SIGNATURE).unlink(missing_ok=True)
    write_json(root / MANIFEST, {**manifest, "counter": counter})
    signature = key.sign(read_bytes(root / MANIFEST))
    write_bytes(root / SIGNATURE, base64.b64encode(signature) + b"\n")
    return root / SIGNATURE
