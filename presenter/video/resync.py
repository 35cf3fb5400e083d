"""Lip-sync of a video to a recording or a driver, and face swap, in two passes; continued if interrupted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from models.face_swap import FaceSwap
from presenter.errors import MediaError
from presenter.runtime.engine import Engine
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.progress import Progress, tracked
from presenter.video.ahead import ahead
from presenter.video.face_compositor import FaceCompositor
from presenter.video.face_track import FaceTrack, Picture, track_face
from presenter.video.motion import MouthMotion
from presenter.video.played import frames_without, played
from presenter.video.swap import LABEL, labelled, prepare_swap
from presenter.video.track_file import load_track, save_track
from stream.files.movie import MovieWriter, SoundFormat
from stream.files.output import errors_of
from stream.files.reader import Sound, TimedFrame, VideoFormat, iter_frames, video_format
from stream.files.segments import MovieJoiner, UnfinishedFilm
from stream.media import FloatArray

FADE_FRAMES = 3
COVERED = "with something before the mouth"
"""Why a frame with a face is left as it is."""
SEGMENT_FRAMES = 125
"""What is lost at the most when a film is interrupted, and how far its key frames lie apart."""
MAX_LOOPED_FPS = 250
"""On average: a video of three frames within a microsecond would be played for days to fill a second."""
_TRACKING = 0.3  # share of the time that the first pass takes


class Resynced(NamedTuple):
    """A film that was made of a video.

    Attributes:
        frames: How many it has.
        unchanged: Frames of the video that stay as they are, by reason.
        continued_from: How many an interrupted run had made.
    """

    frames: int
    unchanged: dict[str, int]
    continued_from: int


def resync_video(
    engine: Engine,
    video: Path,
    motion: MouthMotion | None,
    sound: Sound,
    out: Path,
    key: str,
    *,
    face: StoredIdentity | None = None,
    face_index: int | None = None,
    loop: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Resynced:
    """Lip-sync the person in a video; size, times and orientation of its frames are kept.

    If it is interrupted, another call with the same arguments continues and makes the same film.

    Args:
        engine: Its generator renders the mouth.
        video: What is shown.
        motion: Of the mouth; None leaves it as it is.
        sound: Of the film.
        out: The film to write, `.mp4`, `.mov` or `.webm`; appears only when complete.
        key: Stands for all inputs and options; what an interrupted call with another one has left is not used.
        face: Whose face the person gets, with a visible label; None for their own.
        face_index: Which face, counted from 0 by size; None for the largest.
        loop: Where the motion is longer than the video, play the video backwards and forwards until it
            ends; else the film ends with the video.
        overwrite: Whether a film of that name is replaced.
        progress: Called after each frame; None draws a bar on the terminal.
        span: The part of the whole work that this is.

    Raises:
        MediaError: If the video shows no face that can be used.
        MediaFileError: If a file can't be read or written.
    """
    with UnfinishedFilm(out, key) as unfinished:
        return _resync(
            engine, video, motion, sound, unfinished, out,
            face=face, face_index=face_index, loop=loop, overwrite=overwrite, progress=progress, span=span,
        )  # fmt: skip


def _resync(
    engine: Engine,
    video: Path,
    motion: MouthMotion | None,
    sound: Sound,
    unfinished: UnfinishedFilm,
    out: Path,
    *,
    face: StoredIdentity | None,
    face_index: int | None,
    loop: bool,
    overwrite: bool,
    progress: Progress | None,
    span: tuple[float, float],
) -> Resynced:
    timing = video_format(video)
    half = span[0] + _TRACKING * (span[1] - span[0])
    tracking = unfinished.folder / "track.npz"
    if tracking.exists():
        track = load_track(tracking)
    else:
        passes = tracked(ahead(iter_frames(video)), timing.frames, "tracking", progress, (span[0], half))
        try:
            track = track_face(passes, face_index)
        except MediaError as error:
            raise MediaError(f"{video}: {error}") from error
        with errors_of(out):
            save_track(tracking, track)
    length = _end(track, timing)
    if loop and (len(track.times) - 1) > MAX_LOOPED_FPS * track.times[-1]:
        raise MediaError(
            f"{video}: expected a video of at most {MAX_LOOPED_FPS} frames a second to be looped, got more"
        )
    if loop and motion is not None:
        length = max(length, motion.duration)
    swap = None if face is None else prepare_swap(video, track, face)
    height, width = track.size
    size = height + height % 2, width + width % 2
    total = len(track.times) if not loop else int(length * timing.rate)
    done = SEGMENT_FRAMES * len(unfinished.segments)
    frames = resync_frames(engine, video, track, motion, length if loop else None, swap, skip=done)
    share = half + (span[1] - half) * min(done / max(total, 1), 1.0)
    shown = tracked(ahead(frames), max(total - done, 0), out.name, progress, (share, span[1]))
    while first := next(shown, None):
        start = round(first.time / timing.time_base)
        part = unfinished.next_segment(start)
        with MovieWriter(part, size, timing.rate, time_base=timing.time_base) as writer:
            for rgb, time in itertools.chain([first], itertools.islice(shown, SEGMENT_FRAMES - 1)):
                writer.write(_even(rgb, size), time - start * timing.time_base)
    pieces = SoundUntil(sound, length)
    comment = "" if swap is None else LABEL
    audio = SoundFormat(sound.rate, sound.channels)
    segments = unfinished.segments
    count = 0
    with MovieJoiner(out, segments[0].path, size, audio, overwrite=overwrite, comment=comment) as joined:
        for segment in segments:
            begin = segment.start * timing.time_base
            for piece in pieces.up_to(begin + SEGMENT_FRAMES / timing.rate + 1):
                joined.write_sound(piece)
            count += joined.append(segment.path, begin)
        for piece in pieces.up_to(length):
            joined.write_sound(piece)
    unchanged = track.unchanged if motion is None else track.unchanged + Counter({COVERED: int(track.covered.sum())})
    return Resynced(count, dict(unchanged), min(done, count))


def resync_frames(
    engine: Engine,
    video: Path,
    track: FaceTrack,
    motion: MouthMotion | None,
    length: Fraction | None = None,
    swap: FaceSwap | None = None,
    skip: int = 0,
) -> Iterator[TimedFrame]:
    """The frames of a video with another mouth or another face, at their own times.

    Args:
        engine: Its generator renders them.
        video: The file that was tracked.
        track: Of all its frames.
        motion: Of the mouth; None leaves it as it is.
        length: Seconds to fill by playing the video there and back; None to play it once.
        swap: Puts another face there, and a label; None for the person's own.
        skip: How many frames are not rendered, because they are there already.
    """
    compositor = None
    if motion is not None:
        compositor = FaceCompositor(track, engine.folded_for(track.references[0].resized(1)))
    seen = [face is not None for face in track.faces]
    weights = fade_weights(seen)
    mouth_weights = fade_weights([there and not hidden for there, hidden in zip(seen, track.covered, strict=True)])
    begin = min(skip, len(track.times)) if length is None else 0
    for number, (index, rgb, time) in enumerate(frames_without(track, begin, played(video, track, length, begin))):
        face, weight, mouth_weight = track.faces[index], weights[index], mouth_weights[index]
        if number < skip:
            if face is not None and mouth_weight > 0 and compositor is not None:
                compositor.follow(face)
            continue
        assert rgb is not None
        if face is not None and weight > 0:
            mesh = face.mesh
            if motion is not None and compositor is not None and mouth_weight > 0:
                displacement = motion.at(time)
                rgb = compositor.compose(rgb, face, displacement, mouth_weight)
                mesh = mesh + np.float32(mouth_weight) * (compositor.mesh(face, displacement) - mesh)
            if swap is not None:
                rgb = swap.swap(rgb, mesh, face.pose, weight)
        yield TimedFrame(rgb if swap is None else labelled(rgb), time)


def fade_weights(usable: list[bool]) -> list[float]:
    """How much of the new mouth each frame shows: none without a face, rising with the distance from such frames."""
    weights = [float(FADE_FRAMES + 1)] * len(usable)
    for indices in (range(len(usable)), range(len(usable) - 1, -1, -1)):
        since = FADE_FRAMES + 1  # at the ends of a video nothing is faded
        for i in indices:
            since = since + 1 if usable[i] else 0
            weights[i] = min(weights[i], since)
    return [weight / (FADE_FRAMES + 1) for weight in weights]


def _end(track: FaceTrack, timing: VideoFormat) -> Fraction:
    """When the last frame has been shown, seconds."""
    return track.times[-1] + 1 / timing.rate


class SoundUntil:
    """Yields a recording in step with frames, to a given end.

    Args:
        sound: The recording.
        end: Seconds.
    """

    def __init__(self, sound: Sound, end: Fraction) -> None:
        self._pieces = sound.pieces()
        self._rate = sound.rate
        self._left = round(end * sound.rate)
        self._given = 0

    def up_to(self, time: Fraction) -> Iterator[FloatArray]:
        """Yield pieces until the time, in seconds, is reached."""
        while self._left > 0 and self._given < time * self._rate:
            piece = next(self._pieces, None)
            if piece is None:
                return
            piece = piece[:, : self._left]
            self._left -= piece.shape[1]
            self._given += piece.shape[1]
            yield piece


def _even(rgb: Picture, size: tuple[int, int]) -> Picture:
    """A frame with its last row and column repeated where a side is odd: 4:2:0 video has none."""
    height, width = rgb.shape[:2]
    if (height, width) == size:
        return rgb
    padded = cv2.copyMakeBorder(rgb, 0, size[0] - height, 0, size[1] - width, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(padded, np.uint8)
