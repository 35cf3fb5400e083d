"""Face swap as it happens: what the offline swap takes from the whole video is learnt from what was seen so far."""

from __future__ import annotations

from dataclasses import replace

from models.face_square import FaceTexture
from models.face_swap import FaceSwap
from models.user_head import AWAY_S
from models.user_mouth import ClosedMouth
from presenter.video.face_track import Face, Picture
from presenter.video.swap import how_turned, square_size

_MAX_SIZE = 576  # pixels of the square around a face, for the sake of time
_ROOM = 1.15  # for a face that comes nearer
_BETTER = 3.0  # degrees by which a frame must show more of the face to become the target's look
_SCALES = (0.67, 1.33)  # a face that was so much larger or smaller when its look was taken
COVERED = 0.4
"""A face of which more than this share is hidden is not shown: it can't be told what covers it."""
_RELEARN_S = 2.0  # a face that stays covered for so long looks like that now


class LiveSwap:
    """Puts one source's face into the frames of whoever is there, one after the other; call it from one thread.

    For a second after somebody appears nothing is returned: their closed mouth and their look are learnt. Later frames
    that show the face better replace the look, and closed mouths refine the neutral shape. One who was away is learnt
    anew, for it may be another person.

    Args:
        source: The face to show.
    """

    def __init__(self, source: FaceTexture) -> None:
        self.covered = False
        """Whether the last frame was not shown because too much of the face is hidden."""
        self._source = source
        self._swap: FaceSwap | None = None
        self._seen = self._uncovered = float("-inf")
        self._forget()

    def _forget(self) -> None:
        self._mouth = ClosedMouth()
        self._best: tuple[Picture, Face] | None = None
        self._look: FaceTexture | None = None
        self.covered = False

    def swap(self, rgb: Picture, face: Face, time_s: float) -> Picture | None:
        """The frame `[H, W, 3]` with the other face, or None while there is nothing that may be shown.

        Args:
            rgb: Not changed.
            face: In it.
            time_s: Not before the frame before, seconds.
        """
        if time_s - self._seen > AWAY_S or (self.covered and time_s - self._uncovered > _RELEARN_S):
            self._forget()
        self._seen = time_s
        look = self._learn(rgb, face, time_s)
        if look is None:
            self._uncovered = time_s
            return None
        if self._swap is None or self._swap.size != len(look.picture):
            self._swap = FaceSwap(self._source, look)
        self._swap.target = look
        made = self._swap.swap(rgb, face.mesh, face.pose)
        self.covered = self._swap.hidden > COVERED
        if self.covered:
            return None
        self._uncovered = time_s
        return made

    def continue_from(self, other: LiveSwap) -> None:
        """Know the target as well as another source's swap; `other` must not be used afterwards."""
        self._mouth, self._best, self._look = other._mouth, other._best, other._look
        self._seen, self._uncovered, self.covered = other._seen, other._uncovered, other.covered

    def _learn(self, rgb: Picture, face: Face, time_s: float) -> FaceTexture | None:
        """The target's look as far as it is known."""
        neutral = self._mouth.follow(face.mesh, time_s)
        is_better = self._best is None or self._replaces(self._best[1], face)
        if is_better:
            self._best = rgb, face
        if neutral is None:
            return None
        if self._look is None or is_better:
            assert self._best is not None
            picture, best = self._best
            size = square_size(_ROOM * best.pose.scale, _MAX_SIZE)
            self._look = FaceTexture.of(picture, best.mesh, neutral, best.pose, size)
        return replace(self._look, neutral=neutral)

    def _replaces(self, best: Face, face: Face) -> bool:
        if self.covered:
            return False  # a hand is no look
        low, high = _SCALES
        same_scale = low < face.pose.scale / best.pose.scale < high
        return not same_scale or how_turned(face) < how_turned(best) - _BETTER
