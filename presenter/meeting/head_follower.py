"""Motion of the presenter from a webcam: the user's head, blinks and, if wanted, mouth; idle motion while away."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from typing import NamedTuple

import numpy as np

from models.head_motion import EYES_CLOSED, FPS, Handover, HeadPose, IdleMotion, follow_lids
from models.mesh import Floats
from models.tracker import FaceTracker
from models.user_head import AWAY_S, UserHead, UserMove
from models.user_mouth import UserMouth
from presenter.meeting.moments import DELAY_MS, Moments
from presenter.meeting.webcam_watcher import WebcamWatcher
from stream.camera.webcam import Webcam, WebcamPicture
from stream.clock import SessionClock, samples
from stream.media import SAMPLE_RATE

_PERIOD = samples(62)  # every second frame of 30 a second, even if it comes a little early; a mouth needs every one
_REMEMBERED = 64  # moves: two seconds at least
_MOUTH_HELD = samples(200)  # a mouth that was not seen for so long is the sound's again
_MOUTH_SHARE = 0.25  # of the way from the sound's mouth to the user's or back, per frame
_LEAVING_FRAMES, _RETURNING_FRAMES = FPS, FPS // 2
_AWAY_SAMPLES = int(AWAY_S * SAMPLE_RATE)


class _Seen(NamedTuple):
    """A tracked pose of the user and its time, in samples of the session's clock; the mouth once it is known."""

    time: int
    move: UserMove
    mouth: Floats | None


class HeadFollower(WebcamWatcher):
    """A head motion for `Renderer.motion` that is the user's own.

    A thread tracks the newest frames, at most 15 a second, or all of them if the mouth is wanted too. Frames take the
    pose of a moment in the past, in step with their sound; between tracked frames it is interpolated. While the user is
    away, or the webcam is lost, idle motion replaces it, and the sound moves the mouth.

    Only one thread may call `at` and `mouth`.
    """

    def __init__(
        self,
        webcam: Webcam,
        clock: SessionClock,
        *,
        delay_ms: float = DELAY_MS,
        mouth: bool = False,
        tracker: FaceTracker | None = None,
    ) -> None:
        """Begin to follow.

        Args:
            webcam: its clock is `clock`; the caller closes it, after this.
            clock: the session's.
            delay_ms: from the moment that a frame shows to its rendering.
            mouth: whether the user's mouth moves the presenter's, and not the sound.
            tracker: closed by `close`; a new one when None.
        """
        self._moments = Moments(clock, delay_ms)
        self._user = UserHead()
        self._user_mouth = UserMouth() if mouth else None
        self._mouth_shape: Floats | None = None  # what was shown last
        self._mouth_weight = 0.0
        self._seen: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._idle = IdleMotion()
        self._handover = Handover()
        self._appeared: float | None = None
        self._frame = 0
        self._eyelids = 0
        self._shutting = False
        self._due = 0  # when a picture is to be tracked again
        super().__init__(webcam, tracker or FaceTracker(video=True, max_faces=1), "head tracking")

    @property
    def following(self) -> bool:
        """Whether the frames requested last are moved by the user."""
        return self._appeared is not None

    def at(self, frame: int) -> tuple[HeadPose, int]:
        """Advance to a frame that is rendered now; returns its pose and eyelid level, see `HeadMotion`."""
        passed = max(frame - self._frame, 1)
        self._frame = frame
        was_cut = self._moments.advance(frame)
        move = self._move_at(self._moments.now)
        pose, eyelids = self._idle.at(frame) if move is None else (move.pose, EYES_CLOSED * move.eyes_closed)
        appeared = None if move is None else move.appeared
        changed, self._appeared = appeared != self._appeared, appeared
        if changed or was_cut:
            self._handover.begin(frame, pose, _RETURNING_FRAMES if self.following else _LEAVING_FRAMES)
        return self._handover.apply(frame, pose), self._lids(eyelids, passed)

    def mouth(self, spoken: Floats) -> Floats:
        """The user's mouth at the moment of the frame that was asked for last, or the sound's; see `HeadMotion`."""
        seen = self._mouth_at(self._moments.now)
        step = _MOUTH_SHARE if seen is not None else -_MOUTH_SHARE
        self._mouth_weight = min(max(self._mouth_weight + step, 0.0), 1.0)
        self._mouth_shape = self._mouth_shape if seen is None else seen
        if self._mouth_shape is None:
            return spoken
        return np.asarray(spoken + np.float32(self._mouth_weight) * (self._mouth_shape - spoken))

    # ---- watching ----

    def _watch(self, picture: WebcamPicture) -> None:
        if picture.time < self._due:
            return
        self._due = picture.time + _PERIOD if self._user_mouth is None else 0
        faces = self._tracker.track(picture.rgb)
        if not faces:
            return
        time_s = picture.time / SAMPLE_RATE
        move = self._user.follow(faces[0], time_s)
        mouth = None if self._user_mouth is None else self._user_mouth.follow(faces[0], time_s)
        if move is not None:
            with self._lock:
                self._seen.append(_Seen(picture.time, move, mouth))

    # ---- asking ----

    def _move_at(self, moment: int) -> UserMove | None:
        """The user's pose at a moment; None if no face was tracked then."""
        before, after = self._around(moment)
        if before is None or moment - before.time > _AWAY_SAMPLES:
            return None
        if after is None or after.move.appeared != before.move.appeared:
            return before.move
        # Eyelids take two frames to close: they begin when the next frame shows them closed.
        closed = before.move.eyes_closed or after.move.eyes_closed
        share = (moment - before.time) / (after.time - before.time)
        pose = np.add(before.move.pose, share * np.subtract(after.move.pose, before.move.pose))
        return UserMove(HeadPose(*(float(value) for value in pose)), closed, before.move.appeared)

    def _mouth_at(self, moment: int) -> Floats | None:
        """The user's mouth at a moment; None if it was not seen about then."""
        before, after = self._around(moment)
        if before is None or before.mouth is None or moment - before.time > _MOUTH_HELD:
            return None
        if after is None or after.mouth is None or after.time - before.time > _MOUTH_HELD:
            return before.mouth
        share = np.float32((moment - before.time) / (after.time - before.time))
        return np.asarray(before.mouth + share * (after.mouth - before.mouth))

    def _around(self, moment: int) -> tuple[_Seen | None, _Seen | None]:
        """What was tracked last before a moment, and first after it."""
        with self._lock:
            later = bisect_right(self._seen, moment, key=lambda seen: seen.time)
            before = self._seen[later - 1] if later else None
            return before, self._seen[later] if later < len(self._seen) else None

    def _lids(self, wanted: int, frames: int) -> int:
        """Move the eyelids towards a level at a limited rate; a blink that began is completed."""
        self._shutting = self._eyelids < EYES_CLOSED and (self._shutting or wanted == EYES_CLOSED) and self.following
        if self._shutting:
            wanted = EYES_CLOSED
        self._eyelids = follow_lids(self._eyelids, wanted, frames)
        return self._eyelids
