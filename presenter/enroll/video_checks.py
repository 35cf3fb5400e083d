"""Checks of a video for enrolment: each error says what to do; what may reduce quality is a warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from presenter.enroll.checks import MIN_UNIT, Warn, check_exposure
from presenter.enroll.video import DecodedVideo
from presenter.errors import EnrollError
from presenter.video.face_track import FaceTrack
from stream.media import FPS

MIN_SECONDS, GOOD_SECONDS = 3, 10
_MISSING, _FEW_MISSING = 0.2, 0.03  # shares of frames without a face that can be used
_BYSTANDER = 0.4  # a face smaller than this share of the largest is ignored
_OTHERS = 0.2  # share of seconds with another face
_HOW = (
    "video 10 to 60 seconds: first look into the camera with closed lips for five, breathing and blinking as usual,"
    " then talk"
)


class VideoFacts:
    """What is noted of a video once a second."""

    def __init__(self) -> None:
        """Nothing noted yet."""
        self._looks = 0
        self._several = 0
        self._last: NDArray[np.uint8] | None = None

    def note(self, rgb: NDArray[np.uint8], sides: list[float]) -> None:
        """Note a frame `[H, W, 3]` and the sizes of the faces in it."""
        self._looks += 1
        self._several += sum(side > _BYSTANDER * max(sides) for side in sides) > 1
        self._last = rgb

    def check(self) -> None:
        """Refuse videos with several people.

        Raises:
            EnrollError: If there are.
        """
        if self._several > _OTHERS * self._looks:
            raise EnrollError(
                f"expected one face, found several in {self._several} of {self._looks} frames looked at;"
                " video the person alone"
            )

    def check_light(self) -> None:
        """Say whether a video is too dark or too bright to show a face.

        Raises:
            EnrollError: If it is.
        """
        if self._last is not None:
            check_video_exposure(self._last)


def check_video_exposure(rgb: NDArray[np.uint8]) -> None:
    """`check_exposure` for a frame of a video.

    Raises:
        EnrollError: If it is nearly black, white or without detail.
    """
    try:
        check_exposure(rgb)
    except EnrollError as error:
        raise EnrollError(str(error).replace("photo", "video")) from error


def check_video(track: FaceTrack, facts: VideoFacts, video: DecodedVideo, warn: Warn) -> None:
    """Refuse or warn by length, frames without a face, several faces and size.

    Raises:
        EnrollError: If the video can't be used; states what was measured and what to do.
    """
    seconds = len(track.faces) / FPS
    if seconds < MIN_SECONDS:
        raise EnrollError(f"the video is too short: expected at least {MIN_SECONDS} s, found {seconds:.1f}; {_HOW}")
    if seconds < GOOD_SECONDS:
        warn(f"the video is short ({seconds:.1f} s); best: {_HOW}")
    if video.was_cut:
        warn(f"only the first {seconds:.0f} s of the video are used")
    facts.check()
    missing = sum(track.unchanged.values()) / len(track.faces)
    if missing > _MISSING:
        facts.check_light()
        why = ", ".join(f"{count / len(track.faces):.0%} {reason}" for reason, count in track.unchanged.items())
        raise EnrollError(
            f"the face can't be used in {missing:.0%} of the frames ({why}): expected at most {_MISSING:.0%};"
            " keep the whole face in the picture and look into the camera"
        )
    if missing > _FEW_MISSING:
        warn(f"the face can't be used in {missing:.0%} of the frames; best is one that is always in the picture")
    unit = float(np.median([face.pose.scale for face in track.faces if face is not None]))
    if unit < MIN_UNIT:
        raise EnrollError(
            f"the face is too small: expected at least {MIN_UNIT:.0f} pixels between the eyes, found {unit:.0f};"
            " video from nearer, or with a higher resolution"
        )


def without_stretch() -> str:
    """Why a presenter does not move by itself, and what to do."""
    return (
        "found no second with closed lips and the head to the front: the presenter gets a still picture, whose head is"
        f" moved by the program; for one that moves as the person does, {_HOW}"
    )
