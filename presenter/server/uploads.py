"""Folders of uploads that are arriving, waiting or being worked on: limited in number, always removed."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from presenter.errors import CapacityError

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_OWNED = re.compile(r"(\d+)-.*")
_STALE_S = 24 * 3600.0


class Uploads:
    """Paths to write uploads to, each in a folder of its own, named after this process."""

    def __init__(self, root: Path, name: str, limit: int, busy: str) -> None:
        """Delete leftovers of processes that have ended.

        Args:
            root: shared by all servers of a user; made with the first upload.
            name: of each file, in a folder of its own.
            limit: how many there may be at a time.
            busy: what a client is told when there are as many.
        """
        self._root = root
        self._name = name
        self.limit = limit
        """How many there may be at a time."""
        self._busy = busy
        self._paths: set[Path] = set()
        self._closed = False
        for folder in root.iterdir() if root.is_dir() else ():
            if _is_left_over(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def check_room(self, finished: int = 0) -> None:
        """Raise `CapacityError` if there are as many uploads as there may be, or the server is shutting down.

        Args:
            finished: how many of them do not count.
        """
        self.check_open()
        if len(self._paths) - finished >= self.limit:
            raise CapacityError(self._busy)

    def refuse(self) -> None:
        """Accept no more, and keep those that there are until they are discarded."""
        self._closed = True

    def check_open(self) -> None:
        """Raise `CapacityError` if the server is shutting down: what was uploaded is deleted, or about to be."""
        if self._closed:
            raise CapacityError("The server is shutting down.")

    def open(self, filename: str, finished: int = 0) -> Path:
        """Return a new path to write to, until `discard`.

        Args:
            filename: the user's, of which only the extension is taken.
            finished: how many uploads do not count.

        Raises:
            CapacityError: if there are as many uploads as there may be, or the server is shutting down.
            OSError: if the folder can't be written to.
        """
        self.check_room(finished)
        suffix = Path(filename).suffix.lower()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._root, prefix=f"{os.getpid()}-"))
        path = folder / (self._name + (suffix if _SUFFIX.fullmatch(suffix) else ""))
        self._paths.add(path)
        return path

    def discard(self, path: Path) -> None:
        """Delete an upload and its folder; nothing happens when they are gone."""
        shutil.rmtree(path.parent, ignore_errors=True)
        self._paths.discard(path)

    def close(self) -> None:
        """Delete all of them and accept no more; safe twice."""
        self.refuse()
        for path in tuple(self._paths):
            self.discard(path)
        with contextlib.suppress(OSError):  # it does not exist, or another server uses it
            self._root.rmdir()


def _is_left_over(folder: Path) -> bool:
    """Whether the process that made a folder has ended; on Windows, which can't tell, whether it is a day old."""
    owner = _OWNED.fullmatch(folder.name)
    try:
        if owner is None or sys.platform == "win32":
            return time.time() - folder.stat().st_mtime > _STALE_S
        os.kill(int(owner[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # another user's process, or the folder is gone
        return False
    return False
