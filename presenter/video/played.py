"""The frames of a video in the order in which they are shown: once, or there and back without end."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from presenter.video.face_track import FaceTrack, Picture
from stream.files.reader import iter_frames

_BLOCK_BYTES = 256 * 2**20  # of frames that are held while a video is played backwards


def frames_without(
    track: FaceTrack, count: int, others: Iterable[tuple[int, Picture, Fraction]]
) -> Iterator[tuple[int, Picture | None, Fraction]]:
    """Yield what `played` would yield, the first frames without their pictures."""
    for index in range(count):
        yield index, None, track.times[index]
    yield from others


def played(
    video: Path, track: FaceTrack, length: Fraction | None, begin: int = 0
) -> Iterator[tuple[int, Picture, Fraction]]:
    """Yield index, picture and time of what is shown, from the frame `begin` on."""
    if begin:
        if begin < len(track.times):
            for index, (rgb, time) in enumerate(iter_frames(video, track.times[begin]), begin):
                yield index, rgb, time
        return
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
