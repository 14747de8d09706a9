"""The highest counter seen under each key: what stops an older bundle with a good signature from coming back.

As in The Update Framework, the signer numbers what it signs and the reader remembers the last number that it trusted.
Here the number is in the signed manifest, and the memory is one small file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from erniekit_adapter.errors import AdapterError, UsageError, fail, misuse
from erniekit_adapter.files import read_json, write_json

MOST = 2**53 - 1  # every JSON parser keeps integers up to here
_MAX_BYTES = 1024 * 1024


def check_counter(file: Path, key: str, counter: object, manifest: Path) -> None:
    """Refuse a bundle whose counter is lower than one that was used under the same key.

    Args:
        file: where counters are kept; if it does not exist yet, every counter is accepted.
        key: the public key's fingerprint.
        counter: the value in the manifest.
        manifest: the manifest's file, for messages.

    Raises:
        AdapterError: the counter is missing or lower.
        UsageError: the file cannot be read.
    """
    if type(counter) is not int or not 0 < counter <= MOST:
        raise fail(
            f"{manifest} counter", "is missing, so an older bundle could not be recognised", "sign the bundle again"
        )
    if counter < (seen := _read(file).get(key, 0)):
        what = f"{counter}, and a bundle with {seen} was used already under this key: this one is older"
        # Without --counter it would be the time, which a mistaken counter may be far ahead of.
        back = f"sign this one again with --counter {seen + 1}" if seen < MOST else "sign it with another key"
        raise fail(f"{manifest} counter", what, f"use the newer one; to go back to this one, {back}")


def remember(file: Path, key: str, counter: int) -> None:
    """Keep a counter if it is the highest yet; processes that share the file wait for one another.

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
        what = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        hint = "set ernie_vl.counter_file (or ERNIE_COUNTER_FILE) to a file that only this process may write"
        raise misuse(file, what, hint) from error


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    import fcntl  # the service has to be importable on Windows

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
        what = "is not a file of counters"
    except AdapterError as error:
        what = error.problems[0].what
    except (KeyError, TypeError, AttributeError):
        what = "is not a file of counters"
    raise misuse(file, what, "put it back from a backup; without it, older bundles are accepted again")
