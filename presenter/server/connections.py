"""One WebRTC peer of a session, the page or a viewer: messages to and from it, and its packet losses."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeGuard

from presenter.runtime.metrics import Metrics
from presenter.runtime.sink import Flush, SessionEvent
from stream.clock import SessionClock, ms
from stream.playout.progress import WordBegins
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer, PeerConfig, PeerStats
from stream.wire import StateChanged

CONNECT_TIMEOUT_S = 20.0
"""A peer that is not connected after this long is closed, and so is a session without connections."""
SILENT_TIMEOUT_S = 20.0
"""A page whose pings have stopped for this long is taken to be gone (a crashed tab closes nothing)."""

_FAREWELL_S = 1.0  # for the last message to arrive; closing drops what the data channel still holds
_MAX_NUMBER = 1e15  # anything larger, infinite or NaN is not a time in ms
_MAX_PLAYOUT_DELAY_MS = 2000.0  # larger reports come from a wrong clock


class Connection:
    """A peer and the messages on its data channel."""

    def __init__(
        self,
        hub: EncoderHub,
        config: PeerConfig,
        *,
        on_playout_delay: Callable[[], None],
        on_interrupt: Callable[[], object] | None = None,
        receives_microphone: bool = False,
        matte: bool = False,
    ) -> None:
        """Wait for the offer.

        Args:
            hub: what the peer plays, and the clock that stamps it.
            config: codec, bitrates and ICE servers.
            on_playout_delay: called when the peer has reported `playout_delay_ms`.
            on_interrupt: called when it requests an interrupt; None if it may not.
            receives_microphone: take its microphone.
            matte: send the presenter without its background, and to its right its matte.
        """
        self.playout_delay_ms: float | None = None
        """Playout delay there: from the release of sound to its playback, if it reports that."""
        self._clock = hub.clock
        self._on_playout_delay = on_playout_delay
        self._on_interrupt = on_interrupt
        self._counted = PeerStats()  # this peer's losses that the metrics include already
        self._opened_at = asyncio.get_running_loop().time()
        self._pinged_at: float | None = None
        self.peer = Peer(hub, config, self._receive, receives_microphone=receives_microphone, matte=matte)

    def is_over(self) -> bool:
        """Whether the remote end has left, never connected, or does not answer any more."""
        now = asyncio.get_running_loop().time()
        if self._pinged_at is not None and now - self._pinged_at > SILENT_TIMEOUT_S:
            return True
        late = not self.peer.connected.is_set() and now - self._opened_at > CONNECT_TIMEOUT_S
        return late or self.peer.closed.is_set()

    def count_losses(self, metrics: Metrics) -> PeerStats:
        """Return the transport's losses, and add the new ones to the metrics."""
        lost, before = self.peer.stats(), self._counted
        microphone, counted = lost.microphone, before.microphone
        metrics.sound_filled_seconds.inc((microphone.filled_ms - counted.filled_ms) / 1000)
        metrics.sound_lost_seconds.inc((microphone.dropped_ms - counted.dropped_ms) / 1000)
        metrics.sound_lost_seconds.inc((lost.audio_dropped_ms - before.audio_dropped_ms) / 1000)
        metrics.frames_dropped.inc(lost.frames_dropped - before.frames_dropped)
        self._counted = lost
        return lost

    def report(self, figures: dict[str, Any], lost: PeerStats) -> None:
        """Send the session's figures with this peer's losses."""
        microphone = lost.microphone
        self.peer.send(
            figures
            | {
                "lost_ms": round(figures["lost_ms"] + microphone.dropped_ms + lost.audio_dropped_ms, 1),
                "filled_ms": round(microphone.filled_ms, 1),
                "late_packets": microphone.late_packets,
                "frames_dropped": lost.frames_dropped,
            }
        )

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("type") == "ping":
            self._answer_ping(message)
        elif message.get("type") == "interrupt" and self._on_interrupt is not None:
            self._on_interrupt()

    def _answer_ping(self, message: dict[str, Any]) -> None:
        server_ms = self._clock.unix_ms()
        self._pinged_at = asyncio.get_running_loop().time()
        self.peer.send({"type": "pong", "sent_ms": message.get("sent_ms"), "server_ms": server_ms})
        playing_ms, trip_ms = message.get("playing_ms"), message.get("round_trip_ms")
        if _is_number(playing_ms) and _is_number(trip_ms):
            # That was playing half a round trip ago; and a flush takes half a round trip to arrive.
            self.playout_delay_ms = min(max(server_ms - playing_ms - trip_ms, 0.0), _MAX_PLAYOUT_DELAY_MS)
            self._on_playout_delay()

    async def say_goodbye(self, message: str) -> None:
        """Send the page the reason for the session's end and wait up to a second for it to disconnect."""
        if message and self.peer.send({"type": "end", "message": message}):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.peer.closed.wait(), _FAREWELL_S)


def page_message(event: SessionEvent, clock: SessionClock) -> dict[str, Any] | None:
    """Return the message to pages for an event; None for one that they do not show."""
    if isinstance(event, Flush):
        return {"type": "flush", "until_ms": event.unix_ms}
    if isinstance(event, StateChanged):
        return {"type": "state", "state": event.state}
    if isinstance(event, WordBegins):
        begins_ms = clock.unix_ms() + ms(event.time - clock.now())
        ends_ms = begins_ms + event.word.end_ms - event.word.start_ms
        return {"type": "caption", "text": event.word.text, "start_ms": begins_ms, "end_ms": ends_ms}
    return None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) < _MAX_NUMBER
