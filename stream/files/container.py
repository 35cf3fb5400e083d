"""Opening untrusted media files, and decoding them as far as possible."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from stream.errors import MediaFileError

_DEMUXERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,wav,w64,aiff,au,caf,flac,mp3,aac,ac3,amr,"
    "jpeg_pipe,png_pipe,webp_pipe"
)
"""What may be read, by content: libav's names. Playlists, descriptions and lists of other files are not among them."""
_KINDS = "WAV, MP3, FLAC, Ogg, Opus, M4A or AIFF, or a film in MP4, MOV, MKV, WebM, AVI or MPEG-TS"
_MAX_ERRORS = 50  # in a row, before the rest of a file is skipped

_log = logging.getLogger(__name__)


class MediaInput:
    """A context manager around a file that is being decoded; it warns once, at its end, of damaged parts.

    The file is read through a Python object, so that no part of its name is taken for a protocol, and nothing
    that it refers to can be opened.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a file and read its header.

        Raises:
            MediaFileError: if there is no such file, or it is no audio or video.
        """
        self.path = Path(path)
        self._file = _open_file(self.path)
        self._lost = 0
        self._decoded = 0
        try:
            self.container = av.open(
                _Nameless(self._file), "r", options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
            )
        except (FFmpegError, OSError, ValueError) as error:
            self._file.close()
            raise MediaFileError(_unreadable(self.path)) from error

    def __enter__(self) -> MediaInput:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and warn of what was skipped."""
        self.container.close()
        self._file.close()
        if self._lost and self._decoded:
            _log.warning(
                "%s is damaged: what could not be decoded is left out (errors: %d)", self.path.name, self._lost
            )

    @property
    def length_s(self) -> float | None:
        """How long it says it is, in seconds; None where it does not say."""
        length = self.container.duration
        return length / 1_000_000 if length else None

    def report_damage(self) -> None:
        """Count a piece that is damaged although it could be decoded."""
        self._lost += 1

    def audio_stream(self, number: int | None) -> av.AudioStream:
        """Return the stream with this number, counted from 1, or the one that players choose.

        Raises:
            MediaFileError: if there is none.
        """
        streams = [stream for stream in self.container.streams.audio if stream.codec_context is not None]
        if not streams:
            raise MediaFileError(f"{self.path}: expected an audio stream, got {self._kinds()}")
        if number is None:
            best = self.container.streams.best("audio")
            return best if best in streams else streams[0]
        if not 1 <= number <= len(streams):
            raise MediaFileError(
                f"{self.path}: expected an audio stream from 1 to {len(streams)}, got {number}; there are "
                + ", ".join(f"{k} ({_describe(stream)})" for k, stream in enumerate(streams, 1))
            )
        return streams[number - 1]

    def video_stream(self) -> av.VideoStream | None:
        """Return the first stream that is a video, else a cover picture, else None."""
        streams = [stream for stream in self.container.streams.video if stream.codec_context is not None]
        moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
        return next(iter([*moving, *streams]), None)

    def need_video(self) -> av.VideoStream:
        """Return the video stream.

        Raises:
            MediaFileError: if there is none.
        """
        stream = self.video_stream()
        if stream is None:
            raise MediaFileError(f"{self.path}: expected a video stream, got {self._kinds()}")
        return stream

    def decode(self, stream: Any) -> Iterator[Any]:
        """Yield the frames of a stream; what can't be decoded is skipped, as players do.

        Raises:
            MediaFileError: if nothing can be decoded.
        """
        errors = 0
        for packet in self._packets(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                self._lost += 1
                errors += 1
                continue
            self._decoded += len(frames)
            errors = 0
            yield from frames
        if self._lost and not self._decoded:
            raise MediaFileError(f"{self.path}: the file is damaged and nothing of it can be decoded; get it anew")

    def _packets(self, stream: Any) -> Iterator[av.Packet]:
        for _ in range(_MAX_ERRORS):
            try:
                yield from self.container.demux(stream)
            except (FFmpegError, OSError):
                self._lost += 1  # after an error libav continues behind the damage
            else:
                return

    def _kinds(self) -> str:
        names = (
            stream.type if stream.codec_context is not None or stream.type not in ("audio", "video") else "damaged ones"
            for stream in self.container.streams
        )
        return ", ".join(names) or "no streams"


class _Nameless:
    """A file without its name, by which libav would guess a format."""

    name = ""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.read, self.tell = file.read, file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek; -1 if the position is invalid, such as one before the beginning in a damaged header."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _open_file(path: Path) -> IO[bytes]:
    if path.is_dir():
        raise MediaFileError(f"{path}: expected a file, got a folder")
    if not path.is_file():
        raise MediaFileError(f"{path}: expected a file, got nothing there; check the name")
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaFileError(f"{path}: can't be read ({error.strerror}); check its permissions") from error


def _unreadable(path: Path) -> str:
    if path.stat().st_size == 0:
        return f"{path}: expected audio or video, got an empty file"
    return f"{path}: expected audio or video, got a file that is damaged, incomplete or of another kind; give {_KINDS}"


def _describe(stream: av.AudioStream) -> str:
    language = stream.metadata.get("language") or stream.metadata.get("title")
    channels = {1: "mono", 2: "stereo"}.get(stream.channels, f"{stream.channels} channels")
    return f"{language}, {channels}" if language else channels
