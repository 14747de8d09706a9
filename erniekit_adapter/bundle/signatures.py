"""Ed25519 keys and signatures.

Keys are PEM files without a password, as openssl writes them: `openssl genpkey -algorithm ed25519 -out private.pem` and
`openssl pkey -in private.pem -pubout -out public.pem`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from erniekit_adapter.bundle.listed_files import read_small
from erniekit_adapter.errors import UsageError, failure, usage_error
from erniekit_adapter.files import read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAX_KEY_BYTES = 16 * 1024
_SIGNATURE_BYTES = 64
# Arguments of openssl that create a key file of each kind.
_OPENSSL = {
    "private": "genpkey -algorithm ed25519 -out private.pem",
    "public": "pkey -in private.pem -pubout -out public.pem",
}


def check_signature(manifest: bytes, signature_file: Path, public_key: Path) -> str:
    """Check a manifest's signature, and return the public key's fingerprint.

    Args:
        manifest: the manifest's bytes, as read.
        signature_file: the file with the signature in base64.
        public_key: PEM file of the public key.

    Raises:
        AdapterError: the signature is missing, or does not match key and manifest.
        UsageError: the public key cannot be read, or `cryptography` is not installed.
    """
    key = _public_key(public_key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    hint = "sign the bundle again, or check its origin"
    if not os.path.lexists(signature_file):
        raise failure(signature_file, "no such file, and a signature is required", hint)
    try:
        signature = base64.b64decode(read_small(signature_file, 2 * _SIGNATURE_BYTES).strip(), validate=True)
        key.verify(signature, manifest)
    except (binascii.Error, ValueError, InvalidSignature) as error:
        raise failure(signature_file, f"is not this manifest's signature by the key {public_key}", hint) from error
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def private_key(key_variable: str | None, key_file: Path | None) -> Ed25519PrivateKey:
    """Read a private key from an environment variable or a file. Its text appears in no message.

    Args:
        key_variable: the environment variable with the PEM text.
        key_file: the PEM file, which only its owner can read; pass exactly one of the two.

    Raises:
        UsageError: not exactly one is given, the variable is not set, the file is missing, not regular or accessible to
            others, the text is not an Ed25519 key, or `cryptography` is not installed.
    """
    if (key_file is None) == (key_variable is None):
        raise usage_error("private key", "expected either --key-file or --key-variable", "give exactly one of them")
    _check_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    location = str(key_file or key_variable)
    pem = _read_private(key_file) if key_file else os.environ.get(key_variable or "", "").encode()
    if not pem and key_file is None:
        raise usage_error(
            location or "--key-variable", "is not set", "set this environment variable to the private key's PEM text"
        )
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        # Without the cause: its message may contain the key.
        raise _not_a_key(location, "private") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(location, "private")
    return key


def _read_private(path: Path) -> bytes:
    """Read a key file that only its owner can read."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:  # noqa: PTH123
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise usage_error(path, "is not a regular file", "give the private key's PEM file")
            # Windows has no such permissions.
            if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                finding = (
                    f"has permissions {stat.S_IMODE(status.st_mode):o}: group or others can access the private key"
                )
                raise usage_error(path, finding, f"chmod 600 {shlex.quote(str(path))}")
            if status.st_size > _MAX_KEY_BYTES:
                raise _not_a_key(str(path), "private")
            return stream.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise usage_error(
            path, f"cannot be read: {error.strerror or error}", "give the private key's PEM file"
        ) from error


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


def _not_a_key(location: str, kind: str) -> UsageError:
    finding = f"is not an Ed25519 {kind} key in PEM format without a password"
    return usage_error(location, finding, f"openssl {_OPENSSL[kind]} creates one")


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        hint = "run pip install 'cryptography>=43'"
        raise usage_error("signature", "needs the package cryptography", hint) from error
