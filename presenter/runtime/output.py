"""The output of a command: format by name, confirmation before overwriting, never over an input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from presenter.errors import PresenterError
from stream.files.movie import MOVIE_SUFFIXES, MovieWriter, SoundFormat
from stream.files.output import OutputExistsError, check_output
from stream.files.pictures import PictureWriter, is_picture_pattern

STDOUT = "-"
_LONG_S = 3600.0  # the index of an MP4 takes 10 MB of memory an hour until it is written


@dataclass(frozen=True)
class Output:
    """A checked output."""

    path: Path | None
    """None for standard output."""
    overwrite: bool

    def __str__(self) -> str:
        """The name that users gave."""
        return "standard output" if self.path is None else str(self.path)

    def open_film(
        self, size: tuple[int, int], audio: SoundFormat, duration_s: float | None, *, alpha: bool = False
    ) -> MovieWriter | PictureWriter:
        """Return the writer of a film, not entered yet.

        Args:
            size: (height, width) of the frames.
            audio: the sound.
            duration_s: how long it will be, as far as is known.
            alpha: whether frames carry an alpha channel.
        """
        if self.path is None:
            return MovieWriter(binary_stdout(), size, audio=audio)
        if is_picture_pattern(self.path):
            return PictureWriter(self.path, overwrite=self.overwrite)
        endless = (duration_s or 0) > _LONG_S
        return MovieWriter(self.path, size, audio=audio, overwrite=self.overwrite, endless=endless, alpha=alpha)


def prepare_output(
    name: str,
    inputs: Iterable[Path] = (),
    *,
    overwrite: bool = False,
    others: tuple[str, ...] = (),
    confirm: Callable[[str], bool] = lambda what: False,
) -> Output:
    """Check a name before any work is done.

    Args:
        name: as the user gave it: a file, a folder with a slash at its end, a pattern, or `-`.
        inputs: files that are read.
        overwrite: whether the user allowed it beforehand.
        others: suffixes that the command accepts besides those of films.
        confirm: asks whether an existing file may be replaced, told what is wrong with the name.

    Raises:
        PresenterError: if the suffix is unknown, or standard output is a terminal.
        MediaFileError: if the path can't be used.
    """
    if name == STDOUT:
        if sys.stdout.isatty():
            raise PresenterError("expected standard output to be a file or a program, got a terminal; name a file")
        return Output(None, overwrite)
    path = Path(name)
    if name.endswith(("/", os.sep)):
        path = path / "%06d.png"
    elif path.suffix.lower() not in (*MOVIE_SUFFIXES, *others) and not is_picture_pattern(path):
        if path.is_dir():
            raise PresenterError(f"{name}: is a folder; name a file in it, or end in / to get pictures")
        known = ", ".join((*MOVIE_SUFFIXES, *others))
        raise PresenterError(f"{name}: expected a name in {known}, or pictures (frames/ or frame_%05d.png)")
    try:
        _check(path, inputs, overwrite)
    except OutputExistsError as error:
        if not confirm(str(error)):
            raise
        overwrite = True
        _check(path, inputs, overwrite)
    return Output(path, overwrite)


def _check(path: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    if is_picture_pattern(path):
        PictureWriter(path, overwrite=overwrite)
    else:
        check_output(path, inputs, overwrite=overwrite)


def binary_stdout() -> IO[bytes]:
    """Standard output as bytes, apart from Python's own, which would flush again at the end."""
    sys.stdout.flush()
    return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
