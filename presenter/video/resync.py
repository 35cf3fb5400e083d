"""Lip-sync of a video to a recording or a driver, and face swap: two passes over its frames, none of which is kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

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
from presenter.video.swap import LABEL, labelled, prepare_swap
from stream.files.movie import MovieWriter, SoundFormat
from stream.files.reader import Sound, TimedFrame, VideoFormat, iter_frames, video_format
from stream.media import FloatArray

FADE_FRAMES = 3
MAX_LOOPED_FPS = 250
"""On average: a video of three frames within a microsecond would be played for days to fill a second."""
_TRACKING = 0.3  # share of the time that the first pass takes
_BLOCK_BYTES = 256 * 2**20  # of frames that are held while a video is played backwards


def resync_video(
    engine: Engine,
    video: Path,
    motion: MouthMotion | None,
    sound: Sound,
    out: Path,
    *,
    face: StoredIdentity | None = None,
    face_index: int | None = None,
    loop: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[int, dict[str, int]]:
    """Lip-sync the person in a video; size, times and orientation of its frames are kept.

    Args:
        engine: Its generator renders the mouth.
        video: What is shown.
        motion: Of the mouth; None leaves it as it is.
        sound: Of the film.
        out: The film to write, `.mp4`, `.mov` or `.webm`; appears only when complete.
        face: Whose face the person gets, with a visible label; None for their own.
        face_index: Which face, counted from 0 by size; None for the largest.
        loop: Where the motion is longer than the video, play the video backwards and forwards until it
            ends; else the film ends with the video.
        overwrite: Whether a film of that name is replaced.
        progress: Called after each frame; None draws a bar on the terminal.
        span: The part of the whole work that this is.

    Returns:
        How many frames were written, and of the video's frames those left as they are, by reason.

    Raises:
        MediaError: If the video shows no face that can be used.
        MediaFileError: If a file can't be read or written.
    """
    timing = video_format(video)
    half = span[0] + _TRACKING * (span[1] - span[0])
    passes = tracked(ahead(iter_frames(video)), timing.frames, "tracking", progress, (span[0], half))
    try:
        track = track_face(passes, face_index)
    except MediaError as error:
        raise MediaError(f"{video}: {error}") from error
    length = _end(track, timing)
    if loop and (len(track.times) - 1) > MAX_LOOPED_FPS * track.times[-1]:
        raise MediaError(
            f"{video}: expected a video of at most {MAX_LOOPED_FPS} frames a second to be looped, got more"
        )
    if loop and motion is not None:
        length = max(length, motion.duration)
    swap = None if face is None else prepare_swap(video, track, face)
    frames = resync_frames(engine, video, track, motion, length if loop else None, swap)
    height, width = track.size
    size = height + height % 2, width + width % 2
    total = len(track.times) if not loop else int(length * timing.rate)
    pieces = SoundUntil(sound, length)
    count = 0
    with MovieWriter(
        out,
        size,
        timing.rate,
        SoundFormat(sound.rate, sound.channels),
        overwrite=overwrite,
        time_base=timing.time_base,
        comment="" if swap is None else LABEL,
    ) as writer:
        for rgb, time in tracked(ahead(frames), total, out.name, progress, (half, span[1])):
            for piece in pieces.up_to(time + 1):
                writer.write_sound(piece)
            writer.write(_even(rgb, size), time)
            count += 1
        for piece in pieces.up_to(length):
            writer.write_sound(piece)
    return count, dict(track.unchanged)


def resync_frames(
    engine: Engine,
    video: Path,
    track: FaceTrack,
    motion: MouthMotion | None,
    length: Fraction | None = None,
    swap: FaceSwap | None = None,
) -> Iterator[TimedFrame]:
    """The frames of a video with another mouth or another face, at their own times.

    Args:
        engine: Its generator renders them.
        video: The file that was tracked.
        track: Of all its frames.
        motion: Of the mouth; None leaves it as it is.
        length: Seconds to fill by playing the video there and back; None to play it once.
        swap: Puts another face there, and a label; None for the person's own.
    """
    compositor = None
    if motion is not None:
        compositor = FaceCompositor(track, engine.folded_for(track.references[0].resized(1)))
    weights = fade_weights([face is not None for face in track.faces])
    for index, rgb, time in _played(video, track, length):
        face, weight = track.faces[index], weights[index]
        if face is not None and weight > 0:
            mesh = face.mesh
            if motion is not None and compositor is not None:
                displacement = motion.at(time)
                rgb = compositor.compose(rgb, face, displacement, weight)
                mesh = mesh + np.float32(weight) * (compositor.mesh(face, displacement) - mesh)
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


def _played(video: Path, track: FaceTrack, length: Fraction | None) -> Iterator[tuple[int, Picture, Fraction]]:
    """Yield index, picture and time of what is shown."""
    for index, rgb, time in _forwards(video, Fraction(0)):
        if length is not None and time >= length:
            return
        yield index, rgb, time
    if length is None:
        return
    last = track.times[-1]
    turn = shown = last
    while last and turn < length:
        for index, rgb, since in itertools.chain(_backwards(video, track), _forwards(video, last)):
            if turn + since >= length:
                return
            if turn + since > shown:  # the frame at which it turns is not shown twice
                shown = turn + since
                yield index, rgb, shown
        turn += 2 * last


def _forwards(video: Path, offset: Fraction) -> Iterator[tuple[int, Picture, Fraction]]:
    """Yield index, picture and time of the whole video, `offset` seconds later."""
    for index, (rgb, time) in enumerate(iter_frames(video)):
        yield index, rgb, offset + time


def _backwards(video: Path, track: FaceTrack) -> Iterator[tuple[int, Picture, Fraction]]:
    """Yield index, picture and time since the last frame, from the last to the first; decoded in blocks."""
    height, width = track.size
    block = max(8, _BLOCK_BYTES // (3 * height * width))
    for end in range(len(track.times), 0, -block):
        begin = max(end - block, 0)
        held: list[Picture] = []
        for rgb, _ in iter_frames(video, track.times[begin]):
            held.append(rgb)
            if len(held) == end - begin:
                break
        while held:
            index = begin + len(held) - 1
            yield index, held.pop(), track.times[-1] - track.times[index]


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
