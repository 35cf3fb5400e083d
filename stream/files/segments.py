"""A film that is made in segments: continued where it was interrupted, put together without encoding again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import av

from stream.errors import MediaFileError
from stream.files.movie import MovieWriter, SoundFormat
from stream.files.output import errors_of

_KEY, _LOCK = "key", "lock"

_log = logging.getLogger(__name__)


class Segment(NamedTuple):
    """A part of a film, complete: frames without sound.

    Attributes:
        path: Its file, in which it begins at 0.
        start: When its first frame is shown in the film, in units of the film's time base.
    """

    path: Path
    start: int


class UnfinishedFilm:
    """A context manager around the folder of a film's segments, hidden beside it.

    The folder is deleted when the block is left, but for an interruption (Ctrl-C, a signal, a crash) and a full disk:
    then the next one that is made with the same key continues.
    """

    def __init__(self, target: Path, key: str) -> None:
        """Touch nothing yet.

        Args:
            target: The film's final name.
            key: Stands for all that the film is made of and how; segments of another one are not used.
        """
        self._target = target
        self.folder = target.absolute().parent / f".presenter-{target.name}.parts"
        """For whatever else is worth keeping."""
        self._key = key
        self._lock: int | None = None

    def __enter__(self) -> UnfinishedFilm:
        """Lock the folder, and empty it unless it is of the same film.

        Raises:
            MediaFileError: If it can't be written, or another process makes this film.
        """
        with errors_of(self._target):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT)
            try:
                self._take_lock()
                self._prepare()
            except BaseException:
                self._release()
                raise
        return self

    def _take_lock(self) -> None:
        with contextlib.suppress(ImportError):  # Windows refuses by itself what another process has open
            import fcntl

            assert self._lock is not None
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise MediaFileError(
                    f"{self._target}: is being written by another process; choose another name"
                ) from error

    def _prepare(self) -> None:
        mark = self.folder / _KEY
        is_same = mark.is_file() and mark.read_text() == self._key
        if mark.is_file() and not is_same:
            _log.warning("%s: an earlier run left a part that was made otherwise; it is begun anew", self._target)
        for left in self.folder.iterdir():
            is_part = left.name.startswith((".", "partial-"))  # of what was being written when it was killed
            if left.name != _LOCK and (is_part or not is_same):
                left.unlink()
        mark.write_text(self._key)

    @property
    def segments(self) -> list[Segment]:
        """Those that are complete, from the first on."""
        found: list[Segment] = []
        for path in sorted(self.folder.glob(f"[0-9]*{self._target.suffix}")):
            number, _, start = path.stem.partition("_")
            if int(number) != len(found):
                break
            found.append(Segment(path, int(start)))
        return found

    def next_segment(self, start: int) -> Path:
        """The name under which the next segment is to appear, complete; it begins at `start`."""
        return self.folder / f"{len(self.segments):06}_{start}{self._target.suffix}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the folder, or leave it for the next run."""
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        if not is_interrupted and not _is_disk_full(error):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC:
            return True
        error = error.__cause__
    return False


class MovieJoiner(MovieWriter):
    """Puts segments together, their pictures copied as they were encoded; sound is added as to any film."""

    def __init__(
        self,
        target: Path,
        first: Path,
        size: tuple[int, int],
        audio: SoundFormat,
        *,
        overwrite: bool = True,
        comment: str = "",
    ) -> None:
        """Describe the film; arguments as those of `MovieWriter`, but for `first`: a segment, whose coding all have."""
        super().__init__(target, size, audio=audio, overwrite=overwrite, comment=comment)
        self._first = first
        self._last_dts: int | None = None

    def _add_video_stream(self) -> None:
        with av.open(os.fspath(self._first)) as part:
            self._video = self._container.add_stream_from_template(part.streams.video[0])
            self._video.time_base = part.streams.video[0].time_base

    def append(self, segment: Path, start: Fraction) -> int:
        """Add a segment whose first frame is shown at `start`, seconds; returns how many frames it has.

        Raises:
            MediaFileError: If it can't be read, or the disk is full.
        """
        count = 0
        with errors_of(self._path), av.open(os.fspath(segment)) as part:
            stream = part.streams.video[0]
            assert stream.time_base is not None
            offset = round(start / stream.time_base)
            for packet in part.demux(stream):
                if packet.dts is None or packet.pts is None:  # the end
                    continue
                packet.pts += offset
                # Each segment's decoding begins before its first frame: where the last one's ends later, it is pushed.
                dts = packet.dts + offset
                packet.dts = self._last_dts = dts if self._last_dts is None else max(dts, self._last_dts + 1)
                packet.stream = self._video
                self._container.mux(packet)
                count += 1
        return count

    def _finish(self) -> None:
        self._finish_sound()
