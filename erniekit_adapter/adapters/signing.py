"""Ed25519 signatures over a bundle's manifest, which holds the hash of every other file.

The signature lies beside the manifest, as base64. Keys are PEM files without a password, as openssl writes them:
`openssl genpkey -algorithm ed25519 -out private.pem` and `openssl pkey -in private.pem -pubout -out public.pem`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from erniekit_adapter.adapters.bundle_content import read_small
from erniekit_adapter.adapters.bundle_layout import MANIFEST, SIGNATURE
from erniekit_adapter.adapters.counters import MOST
from erniekit_adapter.adapters.verify import read_manifest, verify_files
from erniekit_adapter.errors import UsageError, fail, misuse
from erniekit_adapter.files import read_bytes, write_bytes, write_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAX_KEY_BYTES = 16 * 1024
_SIGNATURE_BYTES = 64


def sign(
    bundle: Path, *, key_file: Path | None = None, key_variable: str | None = None, counter: int | None = None
) -> Path:
    """Verify a bundle, put a counter into its manifest and sign that; a signature that is there is replaced.

    Args:
        bundle: the bundle's folder.
        key_file: the private key's PEM file.
        key_variable: the environment variable that holds the private key's PEM text; one of the two is given.
        counter: a number higher than that of every bundle signed before with this key; None for the time in seconds
            since 1970, or one more than the bundle's own if that is higher.

    Returns:
        the signature's file.

    Raises:
        AdapterError: the bundle is not what its manifest says; all problems at once.
        UsageError: there is no such key, or it is no Ed25519 key, or `cryptography` is not installed.
    """
    key = _private_key(key_file, key_variable)
    root, content, manifest = read_manifest(bundle)
    verify_files(root, content, manifest)
    own = manifest.get("counter")
    if counter is None:
        counter = max(int(time.time()), own + 1 if type(own) is int else 0)
    if not 0 < counter <= MOST:
        raise misuse("counter", f"{counter} is not between 1 and {MOST}", "leave --counter out, or give a lower one")
    # A signature of the manifest without the counter would be a wrong one.
    (root / SIGNATURE).unlink(missing_ok=True)
    write_json(root / MANIFEST, {**manifest, "counter": counter})
    signature = key.sign(read_bytes(root / MANIFEST))
    write_bytes(root / SIGNATURE, base64.b64encode(signature) + b"\n")
    return root / SIGNATURE


def check_signature(manifest: bytes, signature_file: Path, public_key: Path) -> str:
    """Check a manifest's signature, and return the public key's fingerprint.

    Args:
        manifest: the manifest's bytes, as read.
        signature_file: the file that holds the signature.
        public_key: the PEM file of the key that must have signed.

    Raises:
        AdapterError: there is no signature, or it is not of this key and this manifest.
        UsageError: the public key cannot be read, or `cryptography` is not installed.
    """
    key = _public_key(public_key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    hint = "sign the bundle again, or ask where it comes from"
    if not os.path.lexists(signature_file):
        raise fail(signature_file, "no such file, and a signature is required", hint)
    try:
        signature = base64.b64decode(read_small(signature_file, 2 * _SIGNATURE_BYTES).strip(), validate=True)
        key.verify(signature, manifest)
    except (binascii.Error, ValueError, InvalidSignature) as error:
        raise fail(signature_file, f"is not this manifest's signature by the key {public_key}", hint) from error
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def _private_key(key_file: Path | None, key_variable: str | None) -> Ed25519PrivateKey:
    if (key_file is None) == (key_variable is None):
        raise misuse("key", "expected one of a file and an environment variable", "give one")
    _check_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    where = str(key_file or key_variable)
    if key_file:
        pem = read_bytes(key_file, _MAX_KEY_BYTES)
    elif not (pem := os.environ.get(key_variable or "", "").encode()):
        raise misuse(where, "is not set", "put the private key's PEM text into that environment variable")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # its message may quote the key
        raise _not_a_key(where, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(where, "private")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    _check_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(read_bytes(path, _MAX_KEY_BYTES))
    except ValueError as error:
        raise _not_a_key(str(path), "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _not_a_key(str(path), "public")
    return key


def _not_a_key(where: str, kind: str) -> UsageError:
    return misuse(where, f"holds no Ed25519 {kind} key in PEM form without a password", "make one with openssl genpkey")


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise misuse("signature", "needs the package cryptography", "pip install 'erniekit-adapter[sign]'") from error
