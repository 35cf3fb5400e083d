"""Output files: checks of the path, and atomic writing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

from av.error import FFmpegError

from stream.errors import MediaFileError


class OutputExistsError(MediaFileError):
    """The file exists already, and overwriting was not requested."""


def check_output(path: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> None:
    """Refuse paths where writing would destroy data.

    Args:
        path: the file to write.
        inputs: files that are read meanwhile; those that don't exist are ignored.
        overwrite: whether a file of that name may be replaced.

    Raises:
        OutputExistsError: if there is such a file.
        MediaFileError: if it is an input, also by another name; a link, a folder or a device.
    """
    if os.name == "nt" and PureWindowsPath(path.name).is_reserved():
        raise MediaFileError(f"{path}: is a device; choose another name")
    if path.is_symlink():
        raise MediaFileError(f"{path}: is a link to {os.readlink(path)}; name a file that is none")
    if not path.exists():
        return
    for read in inputs:
        if read.exists() and read.samefile(path):
            raise MediaFileError(f"{path}: is the file that is read; choose another name for the output")
    if path.is_dir():
        raise MediaFileError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise MediaFileError(f"{path}: is a device; choose the name of a file")
    if not overwrite:
        raise OutputExistsError(f"{path}: exists already; choose another name or add --overwrite")


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Convert errors of libav and the file system to the error of this package."""
    try:
        yield
    except (FFmpegError, OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaFileError(f"{path}: can't be written: {reason}") from error


class PartialFile:
    """A file under a temporary name beside the final one."""

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        """Create it, empty.

        Args:
            path: the final name; its folder is made where it is missing.
            overwrite: whether a file that has appeared there meanwhile is replaced.

        Raises:
            OSError: if it can't be created.
        """
        self.path, self._overwrite = path, overwrite
        folder = path.absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        self.temporary = folder / f".presenter-{secrets.token_hex(6)}.part{path.suffix}"
        self.temporary.touch()

    def commit(self) -> None:
        """Rename it to its final name.

        Raises:
            OutputExistsError: if there is a file of that name by now that may not be replaced.
            OSError: if it can't be renamed.
        """
        move(self.temporary, self.path, overwrite=self._overwrite)

    def discard(self) -> None:
        """Remove what is left under the temporary name; safe after `commit`."""
        self.temporary.unlink(missing_ok=True)


def move(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a file within a folder's file system.

    Raises:
        OutputExistsError: if the target exists and may not be replaced.
        OSError: if it can't be renamed.
    """
    if overwrite:
        os.replace(source, target)
        return
    try:
        os.link(source, target)  # unlike a rename it fails where there is a file
    except FileExistsError as error:
        raise OutputExistsError(f"{target}: has appeared meanwhile, and is kept; choose another name") from error
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise OutputExistsError(f"{target}: has appeared meanwhile, and is kept; choose another name") from None
        os.replace(source, target)
    else:
        source.unlink()
