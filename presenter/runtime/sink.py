"""Where a session's audio and video go, and the events that its subscribers get."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stream.clock import SessionClock
from stream.media import AudioChunk, VideoFrame
from stream.playout.playout import PlayoutStats, Tick
from stream.playout.progress import WordBegins
from stream.wire import EventOut


@dataclass(frozen=True, slots=True)
class Flush:
    """Sound released before `unix_ms` (on the server's clock) must not be played any more."""

    unix_ms: float


SessionEvent = EventOut | WordBegins | Flush


class Sink(Protocol):
    """A queue of audio with its frames that a consumer empties: `stream.playout.pump.PlayoutPump` in the server."""

    clock: SessionClock
    real_time: bool
    """Whether audio is released by the clock, so that frames that would be late are not rendered."""

    @property
    def matte_wanted(self) -> bool:
        """Whether a subscriber needs frames without their background as well."""

    @property
    def queued_ms(self) -> float:
        """Sound that was put and is not released yet."""

    @property
    def shown_pts(self) -> int | None:
        """`pts` of the frame on the screen, or None before the first."""

    async def run(self) -> None:
        """Release audio and frames until cancelled."""

    def observe(self, function: Callable[[Tick], None]) -> None:
        """Call a function with every tick of 20 ms that is released."""

    def has_room(self) -> bool:
        """Whether a chunk can be put."""

    def put_now(self, chunk: AudioChunk, frame: VideoFrame | None = None, *, elastic: bool = True) -> None:
        """Queue audio; while it is quiet, `elastic` audio may be dropped or delayed."""

    def attach(self, frame: VideoFrame, *, late: bool = False) -> bool:
        """Attach a frame to queued audio; see `stream.playout.playout.Playout.attach`."""

    def first_unrendered(self, ahead_ms: float, stride: int = 1) -> int | None:
        """Return the pts of the next chunk to render a frame for; see `stream.playout.playout.Playout`."""

    def hold(self, ahead_ms: float) -> None:
        """Keep so much audio queued that a frame which takes `ahead_ms` to render is ready in time."""

    def clear(self) -> None:
        """Drop what is not released yet."""

    def cut_pause(self, keep_ms: float) -> None:
        """Shorten the pause at the end of the queue."""

    def stats(self) -> PlayoutStats:
        """Return counters."""
