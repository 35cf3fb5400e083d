"""The camera's status, and the same as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Shows(StrEnum):
    """What the camera shows."""

    LIVE = "LIVE"
    """The presenter, driven by the microphone."""
    IDLE = "IDLE"
    """The presenter, with idle motion only."""
    STILL = "STILL"
    """One frame, repeated."""


class Webcam(StrEnum):
    """Where the presenter's head motion comes from."""

    FOLLOWING = "following you"
    """The user."""
    AWAY = "you are away"
    """Idle motion: the user is not in the webcam's frame."""


class Swap(StrEnum):
    """Whether the user is shown with another face, or else why the presenter's still is."""

    SWAPPED = "face swapped"
    """The user, with the presenter's face."""
    LEARNING = "learning you"
    """The user appeared a moment ago."""
    NOBODY = "no face"
    SEVERAL = "two faces"
    TURNED = "turned away"
    """The head is turned further than a face can be swapped."""
    SMALL = "too far away"
    COVERED = "face covered"
    """Too much is before the face."""
    STOPPED = "no webcam"
    """The webcam gives no pictures any more."""
    OFF = "webcam off"
    """The user doesn't want to be shown."""


@dataclass(frozen=True, slots=True)
class Status:
    """All figures of the status line; None for what is not known yet."""

    presenter: str
    """The name."""
    shows: Shows = Shows.LIVE
    """What the camera shows."""
    muted: bool = False
    """Whether the microphone is muted."""
    speaking: bool = False
    """Whether speech is detected."""
    level_dbfs: float | None = None
    """Loudest sample of the microphone since the last status, in dB below full scale; None if it is gone."""
    clipped: bool = False
    """Whether a sample of the microphone was clipped since the last status."""
    delay_ms: float | None = None
    """From the microphone to the camera and the virtual microphone, in milliseconds."""
    fps: float | None = None
    """New frames per second that reach the camera."""
    dropped: int = 0
    """Frames that were dropped since the start."""
    skew_ms: float | None = None
    """How much later sound is played than its frame is sent, in milliseconds."""
    drift_ppm: float | None = None
    """How much faster the microphone's clock is than the session's, in parts per million."""
    webcam: Webcam | Swap | None = None
    """Source of head motion, or whose face is shown; None without a webcam."""


def plain(status: Status) -> str:
    """Return a status as one line of text, without what is not known."""
    level = "microphone is gone" if status.level_dbfs is None else f"microphone {status.level_dbfs:.0f} dBFS"
    words = [
        status.presenter,
        "MUTED" if status.muted else "",
        status.shows if status.shows is not Shows.LIVE or not status.muted else "",
        "speaking" if status.speaking else "",
        level + (" CLIPPED" if status.clipped else ""),
        "" if status.delay_ms is None else f"delay {status.delay_ms:.0f} ms",
        "" if status.fps is None else f"{status.fps:.1f} fps",
        f"{status.dropped} dropped",
        "" if status.skew_ms is None else f"A/V {status.skew_ms:+.0f} ms",
        "" if status.drift_ppm is None else f"drift {status.drift_ppm:+.0f} ppm",
        status.webcam or "",
    ]
    return ", ".join(filter(None, words))
