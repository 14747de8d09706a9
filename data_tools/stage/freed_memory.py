"""Memory that a shard frees is kept for the next one: glibc would give it back to the system and ask for it again."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
# A shard's lines come to about 4 MiB, and its texts to a few times that.
_KEPT_BYTES = 16 * 1024 * 1024
_GROWTH_BYTES = 4 * 1024 * 1024


@cache
def keep_freed_memory() -> None:
    """Let this process keep up to 16 MiB of freed memory: a tenth of the time. Without glibc nothing happens."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)
        mallopt(_M_TOP_PAD, _GROWTH_BYTES)
