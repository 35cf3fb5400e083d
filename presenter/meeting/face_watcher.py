"""Pictures of a webcam with the one face in each, for a while: what a swapped face is made of."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from models.mesh import Floats, canonicalise
from models.tracker import FaceTracker
from presenter.meeting.status import Swap
from presenter.meeting.webcam_watcher import WebcamWatcher
from presenter.video.face_track import Face, smoothed, unusable
from stream.camera.webcam import Webcam, WebcamPicture
from stream.clock import samples
from stream.media import ByteArray

_REMEMBERED = 16  # pictures: more than the delay of a frame
_STALE = samples(250)  # the newest picture may be so old
_WHY_NOT = {"turned too far away": Swap.TURNED, "too small": Swap.SMALL}


class Seen(NamedTuple):
    """A picture of the user.

    Attributes:
        time: When it arrived, samples of the session's clock.
        rgb: `[H, W, 3]`.
        landmarks: Of the only face, `[478, 3]`, pixels; None if it can't be used.
        problem: Why it can't be.
    """

    time: int
    rgb: ByteArray
    landmarks: Floats | None
    problem: Swap | None


class FaceWatcher(WebcamWatcher):
    """Tracks every picture of a webcam in a thread of its own, and remembers the last ones."""

    def __init__(self, webcam: Webcam, *, tracker: FaceTracker | None = None) -> None:
        """Begin to watch.

        Args:
            webcam: the caller closes it, after this.
            tracker: of at least three faces; closed by `close`; a new one when None.
        """
        self.hidden = False
        """Whether the user is not to be shown, even with another face."""
        self.shows = Swap.LEARNING
        """What the last frame shows, or why it shows no face of the user's; set by who renders."""
        self._seen: deque[Seen] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        # Three, so that where a face was lost two others are still seen to be two.
        super().__init__(webcam, tracker or FaceTracker(video=True, max_faces=3), "face tracking")

    def at(self, moment: int) -> tuple[Seen, Face] | Swap:
        """The picture that shows a moment, with its face; or why there is none.

        Landmarks are smoothed over the pictures before and after it, as many as there are yet.
        """
        with self._lock:
            known = list(self._seen)
        index = max((k for k, seen in enumerate(known) if seen.time <= moment), default=-1)
        if index < 0 or moment - known[index].time > _STALE:
            return Swap.STOPPED
        seen = known[index]
        points = smoothed([each.landmarks for each in known], index)
        if points is None:
            return seen.problem or Swap.NOBODY
        return seen, Face(*canonicalise(points))

    def _watch(self, picture: WebcamPicture) -> None:
        faces = self._tracker.track(picture.rgb)
        problem = Swap.NOBODY if not faces else Swap.SEVERAL if len(faces) > 1 else _problem(faces[0])
        seen = Seen(picture.time, picture.rgb, None if problem else faces[0], problem)
        with self._lock:
            self._seen.append(seen)


def _problem(landmarks: Floats) -> Swap | None:
    return _WHY_NOT.get(unusable(landmarks))
