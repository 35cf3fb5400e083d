"""A remote end for real WebRTC on this machine: it records what a browser would align by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from fractions import Fraction
from typing import Any, TypeVar

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtcpSrPacket

from stream.rtc.aiortc_internals import patch_process_host_addresses

T = TypeVar("T")
RATES = {"audio": 48_000, "video": 90_000}


class Microphone(MediaStreamTrack):
    """A microphone that plays an array in real time: int16 mono at 48 kHz, 20 ms packets."""

    kind = "audio"

    def __init__(self, voice: np.ndarray) -> None:
        super().__init__()
        self._voice = voice
        self._at = 0
        self._start = 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time()
        await asyncio.sleep(max(0.0, self._start + self._at / 48_000 - loop.time()))
        packet = np.zeros(960, np.int16)
        piece = self._voice[self._at : self._at + 960]
        packet[: len(piece)] = piece
        frame = av.AudioFrame.from_ndarray(packet[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._at, Fraction(1, 48_000)
        self._at += 960
        return frame


class Remote:
    """An aiortc client that keeps decoded media, RTP timestamps and sender reports.

    With `channel=False` its offer is a viewer's, as WHEP clients send it: media to receive, nothing else.
    """

    def __init__(
        self,
        microphone: Microphone | None = None,
        *,
        kinds: tuple[str, ...] = ("audio", "video"),
        channel: bool = True,
        codec: str | None = None,
    ) -> None:
        patch_process_host_addresses()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self.first_rtp: dict[str, int] = {}
        self.reports: dict[str, list[tuple[int, int]]] = {"audio": [], "video": []}
        """(NTP, RTP) of each sender report."""
        self._tasks: list[asyncio.Task[None]] = []
        if microphone is not None:
            self.pc.addTrack(microphone)
        elif "audio" in kinds:
            self.pc.addTransceiver("audio", direction="recvonly")
        if "video" in kinds:
            video = self.pc.addTransceiver("video", direction="recvonly")
            if codec is not None:
                capabilities = RTCRtpReceiver.getCapabilities("video").codecs
                video.setCodecPreferences([c for c in capabilities if c.mimeType == f"video/{codec}"])
        self.messages: list[str] = []
        if channel:
            self.channel = self.pc.createDataChannel("control")
            self.channel.on("message", self.messages.append)
        self.pc.on("track", self._collect)

    async def connect(self, answer: Callable[[str], Awaitable[str]]) -> None:
        """Offer, let `answer` turn the offer into an answer, and take it."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp = await answer(self.pc.localDescription.sdp)
        for transceiver in self.pc.getTransceivers():
            self._watch(transceiver.kind, transceiver.receiver)
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def until(self, condition: Callable[[], bool], seconds: float = 8.0) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  conditions are about lists that only grow
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def seconds(self, kind: str, rtp: float) -> float:
        """NTP seconds of an RTP timestamp (relative to the first), by the last sender report."""
        ntp, reported = self.reports[kind][-1]
        ticks = (self.first_rtp[kind] + round(rtp) - reported + (1 << 31)) % (1 << 32) - (1 << 31)
        return ntp / (1 << 32) + ticks / RATES[kind]

    def _watch(self, kind: str, receiver: Any) -> None:
        on_rtp, on_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

        async def rtp(packet: Any, arrival_time_ms: int) -> None:
            self.first_rtp.setdefault(kind, packet.timestamp)
            await on_rtp(packet, arrival_time_ms=arrival_time_ms)

        async def rtcp(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                self.reports[kind].append((info.ntp_timestamp, info.rtp_timestamp))
            await on_rtcp(packet)

        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = rtp, rtcp

    def _collect(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            try:
                while True:
                    self.frames[track.kind].append(await track.recv())
            except MediaStreamError:
                pass

        self._tasks.append(asyncio.create_task(read()))


@pytest.fixture(scope="session")
def remote() -> type[Remote]:
    return Remote


@pytest.fixture(scope="session")
def microphone() -> type[Microphone]:
    return Microphone


@pytest.fixture(scope="session")
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a scenario in its own loop, bounded in time."""

    def run_bounded(scenario: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(asyncio.wait_for(scenario, 20))

    return run_bounded
