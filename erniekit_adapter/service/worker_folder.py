"""The temporary folder of a service's workers: logs and a converted base model, removed when its service has ended."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from erniekit_adapter.backends.leftovers import has_ended, this_process

PREFIX = "ernie-vlm-service-"
# Identifies the process that made the folder.
OWNER_FILE = "owner"
_MAX_OWNER_BYTES = 1024


def make_folder() -> Path:
    """Make a folder for this process's workers; it is removed at the end of the process, unless that is killed."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / OWNER_FILE).write_text(this_process())
    atexit.register(remove, folder, os.getpid())
    return folder


def remove(folder: Path, process: int) -> None:
    """Remove a folder in the process that made it alone: one forked off it ends too."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove the folders that services left whose process was killed; returns them.

    A folder stays if it is another user's, is a link, names no owner, or its owner runs or ran on another machine or in
    another container.
    """
    removed = []
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def _is_abandoned(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return False
        with os.fdopen(os.open(folder / OWNER_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as stream:
            return has_ended(stream.read(_MAX_OWNER_BYTES))
    except (OSError, UnicodeDecodeError):
        return False
