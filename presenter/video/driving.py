"""Another person's facial dynamics as motion: video-driven sync.

Source: ReSyncer (ECCV 2024), "video-driven lip-syncing": the mesh comes from a video instead of from audio.
Displacements are taken from the driver's own closed-mouth neutral in canonical space, in inter-ocular distances, and
added to the presenter's neutral, so that the presenter's shape stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from models.compositor import FrameCompositor
from models.head_motion import AT_REST, EYES_CLOSED, HeadPose, IdleMotion, follow_lids
from models.mesh import NUM_VERTICES, Floats, topology
from models.upper_face import UpperFace, read_upper_face
from models.user_head import UserHead, UserMove
from presenter.errors import MediaError
from presenter.runtime.engine import Engine
from presenter.runtime.framing import DEFAULT_FRAMING, Film, Framing
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.output import Output
from presenter.runtime.progress import Progress, tracked
from presenter.video.face_track import FaceTrack, track_face
from presenter.video.motion import MouthMotion
from presenter.video.resync import SoundUntil
from stream.errors import MediaFileError
from stream.files.movie import SoundFormat
from stream.files.reader import Recording, Sound, iter_frames, video_format
from stream.media import CHUNK_SAMPLES, FPS, FloatArray, VideoFrame

HELD_S = 0.2
"""How long the last shape is held where the driver's face is not seen; then it relaxes for as long."""
_BLINK_FRAMES = 2  # next to closed eyes, in which lids hide the irises
_SETTLING_S = 1.0  # in which `UserHead` learns the driver's neutral pose


class DrivenMotion:
    """Motion of a tracked driver, at any time; between frames it is interpolated.

    Args:
        track: Of the driver's video.
    """

    def __init__(self, track: FaceTrack) -> None:
        share = topology().lower_face[:, None]
        self._times = [float(time) for time, face in zip(track.times, track.faces, strict=True) if face is not None]
        seen = [face for face in track.faces if face is not None]
        self._shapes = np.stack([share * (face.mesh - track.neutral) for face in seen]).astype(np.float32)
        self._moves = _moves(self._times, [face.pose.project(face.mesh) for face in seen])
        self._brows, self._gaze = _upper_faces([face.mesh for face in seen], self._moves)
        step = (track.times[-1] - track.times[0]) / max(len(track.times) - 1, 1)
        self.duration: Fraction = track.times[-1] + (step or Fraction(1, FPS))
        """Of the video, seconds."""
        self._eyelids = self._levels()

    def at(self, time: Fraction) -> Floats:
        """Displacement `[478, 3]` from neutral at a time in seconds; without a driver the mouth rests."""
        before, after, share = self._between(float(time))
        weight = self._weight(float(time))
        if not weight:
            return np.zeros((NUM_VERTICES, 3), np.float32)
        shape = self._shapes[before] + np.float32(share) * (self._shapes[after] - self._shapes[before])
        return np.asarray(np.float32(weight) * shape)

    def head_at(self, frame: int) -> tuple[HeadPose, int]:
        """The driver's head pose, relative to how the driver sits, and eyelid level at a frame of 40 ms."""
        time = frame / FPS
        before, after, share = self._between(time)
        moves = self._moves[before], self._moves[after]
        level = self._eyelids[min(frame, len(self._eyelids) - 1)]
        if moves[0] is None or moves[1] is None:
            return AT_REST, level
        pose = np.add(moves[0].pose, share * np.subtract(moves[1].pose, moves[0].pose)) * self._weight(time)
        return HeadPose(*(float(value) for value in pose)), level

    def upper_at(self, frame: int, parts: frozenset[str]) -> UpperFace:
        """By how much brows and irises differ from the driver's usual ones at a frame of 40 ms; 0 if not of `parts`."""
        time = frame / FPS
        before, after, share = self._between(time)
        weight = self._weight(time)
        brows, gaze = (
            weight * (track[before] + share * (track[after] - track[before])) * (part in parts)
            for track, part in ((self._brows, "brows"), (self._gaze, "eyes"))
        )
        return UpperFace(brows, gaze)

    def _between(self, time: float) -> tuple[int, int, float]:
        """The tracked frames before and after a time, and how far it is on the way."""
        after = min(bisect_right(self._times, time), len(self._times) - 1)
        before = max(after - 1, 0)
        span = self._times[after] - self._times[before]
        return before, after, float(np.clip((time - self._times[before]) / span, 0, 1)) if span else 0.0

    def _weight(self, time: float) -> float:
        """1 where the driver is seen, falling to 0 where that is long ago or yet to come."""
        before, after, _ = self._between(time)
        gap = min(abs(time - self._times[before]), abs(self._times[after] - time))
        return float(np.clip(2 - gap / HELD_S, 0, 1).round(9))

    def _levels(self) -> list[int]:
        """Eyelid levels of all frames of 40 ms, which open and close at a limited rate."""
        levels, level = [], 0
        for frame in range(int(self.duration * FPS) + 1):
            _, after, _ = self._between(frame / FPS)
            move = self._moves[after]
            level = follow_lids(level, EYES_CLOSED * bool(move and move.eyes_closed))
            levels.append(level)
        return levels


def _moves(times: list[float], faces: list[Floats]) -> list[UserMove | None]:
    """Head pose and eyes of every tracked frame; the first second is followed twice, to know how the driver sits."""
    user = UserHead()
    first = [k for k, time in enumerate(times) if time - times[0] <= _SETTLING_S]
    for k in first:
        user.follow(faces[k], times[k] - _SETTLING_S - 1 / FPS)
    return [user.follow(face, time) for face, time in zip(faces, times, strict=True)]


def _upper_faces(meshes: list[Floats], moves: list[UserMove | None]) -> tuple[Floats, Floats]:
    """Brows `[T, 10, 2]` and gaze `[T, 2]` from their medians; while lids hide the irises the gaze is interpolated."""
    faces = [read_upper_face(mesh) for mesh in meshes]
    brows, gaze = np.stack([face.brows for face in faces]), np.stack([face.gaze for face in faces])
    closed = np.array([bool(move and move.eyes_closed) for move in moves])
    hidden = np.convolve(closed, np.ones(2 * _BLINK_FRAMES + 1), "same") > 0
    if hidden.all():
        return (brows - np.median(brows, 0)).astype(np.float32), np.zeros_like(gaze)
    seen = np.flatnonzero(~hidden)
    gaze = np.stack([np.interp(np.arange(len(gaze)), seen, axis[seen]) for axis in gaze.T], -1)
    away = brows - np.median(brows[seen], 0), gaze - np.median(gaze[seen], 0)
    return away[0].astype(np.float32), away[1].astype(np.float32)


def track_driver(clip: Path, progress: Progress | None = None, span: tuple[float, float] = (0.0, 1.0)) -> DrivenMotion:
    """Track the largest face of a video as a driver.

    Raises:
        MediaError: If it shows no face that can be used.
        MediaFileError: If it can't be read.
    """
    frames = tracked(iter_frames(clip), video_format(clip).frames, f"tracking {clip.name}", progress, span)
    try:
        return DrivenMotion(track_face(frames))
    except MediaError as error:
        raise MediaError(f"{clip}: {error}") from error


def render_driven(
    engine: Engine,
    stored: StoredIdentity,
    motion: DrivenMotion,
    sound: Sound,
    out: Output,
    *,
    parts: frozenset[str] = frozenset({"lips"}),
    mouth: MouthMotion | None = None,
    progress: Progress | None = None,
    span: tuple[float, float] = (0.0, 1.0),
    framing: Framing = DEFAULT_FRAMING,
) -> int:
    """Render a presenter whose face a driver moves, at 25 frames per second.

    Args:
        engine: Its generator renders the mouth.
        stored: The presenter.
        motion: Of the driver.
        sound: Of the film.
        out: The output; a file is written atomically.
        parts: What the driver moves, of `lips`, `brows`, `eyes` and `head`; head and eyelids are idle else. A presenter
            in a video keeps its own brows and eyes.
        mouth: What moves the mouth, where the driver's lips are not of `parts`; the film lasts as long as what does.
        progress: Called after each frame; None draws a bar on the terminal.
        span: The part of the whole work that this is.
        framing: How the presenter is shown.

    Returns:
        How many frames were written.

    Raises:
        MediaFileError: If the sound can't be decoded or the film can't be written.
    """
    identity = framing.shown(stored.identity)
    compositor = FrameCompositor(identity, engine.folded(stored))
    idle = IdleMotion()
    mouth = mouth or motion
    count = int(mouth.duration * FPS)
    pieces = SoundUntil(sound, mouth.duration)
    name = "stdout" if out.path is None else out.path.name
    height, width = identity.frame.shape[:2]
    audio = SoundFormat(sound.rate, sound.channels)
    with Film(out, framing, (height, width), audio, float(mouth.duration), compositor.prepare_cutout) as film:
        for frame in tracked(range(count), count, name, progress, span):
            time = Fraction(frame, FPS)
            for piece in pieces.up_to(time + 1):
                film.write_sound(piece)
            (own, lids), (pose, eyelids) = idle.at(frame), motion.head_at(frame)
            if "head" not in parts:
                pose = own if identity.template is None else AT_REST  # a film has its own idle motion
            if "eyes" not in parts:
                eyelids = lids
            upper = motion.upper_at(frame, parts) if parts & {"brows", "eyes"} else None
            rendered, cutout = compositor.mouth(mouth.at(time), frame), None
            if film.needs_cutout:
                rgb, cutout = compositor.compose_with_cutout(rendered, pose, eyelids, frame, upper)
            else:
                rgb = compositor.compose(rendered, pose, eyelids, frame, upper)
            film.write(VideoFrame(rgb, frame * CHUNK_SAMPLES, cutout))
        for piece in pieces.up_to(mouth.duration):
            film.write_sound(piece)
    return count


def sound_of(clip: Path, duration: Fraction | None = None) -> Sound:
    """The sound of a video, from its first frame on; silence where it has none.

    Args:
        clip: The video.
        duration: Seconds of silence; None for as long as the header says.
    """
    try:
        return Recording(clip, from_first_frame=True)
    except MediaFileError:
        timing = video_format(clip)
        return _Silence(float(duration or (timing.frames or 0) / timing.rate))


class _Silence:
    rate, channels = 16_000, 1

    def __init__(self, duration_s: float) -> None:
        self.duration_s: float | None = duration_s
        self._left = round(duration_s * self.rate)

    def pieces(self) -> Iterator[FloatArray]:
        for begin in range(0, self._left, self.rate):
            yield np.zeros((1, min(self.rate, self._left - begin)), np.float32)
