"""File with the highest counter of each key: protection against older bundles with a valid signature.

As in The Update Framework, the signer numbers each signature and the reader remembers the last number. Here, the number
is in the signed manifest, and the reader keeps it in one small file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from erniekit_adapter.errors import AdapterError, UsageError, failure, usage_error
from erniekit_adapter.files import read_json, write_json

MAX_COUNTER = 2**53 - 1  # every JSON parser reads integers up to this one exactly
_MAX_BYTES = 1024 * 1024


def check_counter(file: Path, key: str, counter: object, manifest: Path) -> None:
    """Refuse a bundle if a higher counter was used with the same key.

    Args:
        file: the file with the counters; if it does not exist yet, every counter is accepted.
        key: the public key's fingerprint.
        counter: the value in the manifest.
        manifest: the manifest's file, for messages.

    Raises:
        AdapterError: the counter is missing or lower.
        UsageError: the file cannot be read.
    """
    if type(counter) is not int or not 0 < counter <= MAX_COUNTER:
        raise failure(
            f"{manifest} counter", "is missing, so older bundles cannot be recognised", "sign the bundle again"
        )
    if counter < (seen := _read(file).get(key, 0)):
        finding = f"{counter}, but a bundle with {seen} was already used with this key: this one is older"
        # The default for --counter is the time, which can be lower than `seen`.
        back = f"sign this one again with --counter {seen + 1}" if seen < MAX_COUNTER else "sign it with another key"
        raise failure(f"{manifest} counter", finding, f"use the newer one; to go back to this one, {back}")


def remember(file: Path, key: str, counter: int) -> None:
    """Store a counter if it is the highest of its key. Processes that share the file wait for one another.

    Raises:
        UsageError: the file cannot be read or written.
    """
    try:
        with _locked(file):
            seen = _read(file)
            if counter > seen.get(key, 0):
                write_json(file, {"schema_version": 1, "counters": {**seen, key: counter}})
    except UsageError:
        raise
    except (OSError, AdapterError) as error:
        finding = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        hint = "set ernie_vl.counter_file (or ERNIE_COUNTER_FILE) to a file that only this process can write"
        raise usage_error(file, finding, hint) from error


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    import fcntl  # not on Windows, where the service must be importable

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> dict[str, int]:
    if not file.exists():
        return {}
    try:
        content: Any = read_json(file, _MAX_BYTES)
        counters = content["counters"]
        if content["schema_version"] == 1 and all(type(each) is int for each in counters.values()):
            return dict(counters)
        finding = "is not a counter file"
    except AdapterError as error:
        finding = error.problems[0].finding
    except (KeyError, TypeError, AttributeError):
        finding = "is not a counter file"
    raise usage_error(file, finding, "restore it from a backup; without it, older bundles are accepted again")
