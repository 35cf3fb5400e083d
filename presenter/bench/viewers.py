"""Benchmark of many viewers of one presenter: the cost of one shared encoder, and the packet loss."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpreceiver import StreamStatistics

from presenter.errors import ConfigError
from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk, VideoFrame, silence
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.rtc.aiortc_internals import ReceiverInternals, patch_process_host_addresses
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer, PeerConfig

_PICTURE = Path(__file__).resolve().parents[1] / "presenters" / "default" / "frame.png"
_SWAY = 16  # pixels
_BITRATE = 1_000_000
_CONNECT_S = 60.0
_SETTLE_S = 2.0


def run_viewers(viewers: int, seconds: float) -> dict[str, Any]:
    """Send moving frames and noise to viewers in another process, and measure this one.

    Nothing is rendered. The viewers connect by ICE and DTLS, report by RTCP and count; they do not decode.

    Returns:
        `cpu_share`: CPU time of this process over wall time, 1.0 for one core; `frames` that were shown,
        `encodes_per_frame` and `keyframes` among them; `packets` and `lost`: RTP packets that all
        viewers together got and missed.

    Raises:
        ConfigError: if the number of viewers or the duration is not positive.
    """
    if viewers < 1 or seconds < 1:
        raise ConfigError(f"expected at least 1 viewer and 1 second, got {viewers} and {seconds:g}")
    spawn = multiprocessing.get_context("spawn")  # a fork would copy threads that hold locks
    here, there = spawn.Pipe()
    process = spawn.Process(target=_watch, args=(there, viewers), daemon=True)
    process.start()
    there.close()
    try:
        return asyncio.run(_serve(here, viewers, seconds))
    finally:
        here.close()  # the viewers disconnect when their pipe ends
        process.join()


async def _serve(pipe: Connection, viewers: int, seconds: float) -> dict[str, Any]:
    pump = PlayoutPump(Playout(), SessionClock())
    hub = EncoderHub(pump)
    config = PeerConfig(start_bitrate=_BITRATE, max_bitrate=_BITRATE)
    peers = [Peer(hub, config) for _ in range(viewers)]
    tasks = [asyncio.create_task(pump.run()), asyncio.create_task(_act(pump))]
    try:
        for peer in peers:
            pipe.send(await peer.answer(await asyncio.to_thread(pipe.recv)))
        await asyncio.wait_for(asyncio.gather(*(peer.connected.wait() for peer in peers)), _CONNECT_S)
        await asyncio.sleep(_SETTLE_S)
        return {"viewers": viewers, **await _measure(hub, pipe, seconds)}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(peer.close() for peer in peers), return_exceptions=True)


async def _measure(hub: EncoderHub, pipe: Connection, seconds: float) -> dict[str, Any]:
    pipe.send("count")
    shown, encoded = _shown(hub.pump), hub.encodings()["video/vp8"]
    began, spent = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - spent) / (time.perf_counter() - began)
    frames, encoded_after = _shown(hub.pump) - shown, hub.encodings()["video/vp8"]
    pipe.send("stop")
    packets, lost = await asyncio.to_thread(pipe.recv)
    return {
        "cpu_share": share,
        "frames": frames,
        "encodes_per_frame": round((encoded_after.frames - encoded.frames) / frames, 2),
        "keyframes": encoded_after.keyframes - encoded.keyframes,
        "packets": packets,
        "lost": lost,
    }


def _shown(pump: PlayoutPump) -> int:
    stats = pump.stats()
    return stats.shown + stats.held


async def _act(pump: PlayoutPump) -> None:
    """Put frames with head and mouth motion, and noise, as fast as they are played."""
    rng = np.random.default_rng(0)
    with av.open(str(_PICTURE)) as file:
        still = next(file.decode(video=0)).to_ndarray(format="rgb24")
    height, width, _ = still.shape
    mouth = np.s_[height * 6 // 10 : height * 7 // 10, width * 4 // 10 : width * 6 // 10]
    pictures = []
    for k in range(2 * _SWAY):
        picture = np.roll(still, min(k, 2 * _SWAY - k), axis=1)
        picture[mouth] = np.clip(picture[mouth] + rng.normal(0, 30, picture[mouth].shape), 0, 255)
        pictures.append(picture)
    audio = rng.normal(0, 2000, (len(pictures), PLAYOUT_SAMPLES)).astype(np.int16)
    pcm, k = silence(0).pcm, 0
    while True:
        pts, at = k * CHUNK_SAMPLES, k % len(pictures)
        await pump.put(AudioChunk(pcm, audio[at], pts), VideoFrame(pictures[at], pts))
        k += 1


def _watch(pipe: Connection, viewers: int) -> None:
    """Main function of the viewers' process."""
    asyncio.run(_Audience(pipe).watch(viewers))


class _Audience:
    """Viewers that count what they get."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._streams: list[dict[int, StreamStatistics]] = []

    async def watch(self, viewers: int) -> None:
        patch_process_host_addresses()
        connections = [await self._connect() for _ in range(viewers)]
        try:
            await asyncio.to_thread(self._pipe.recv)
            packets, lost = self._counts()
            await asyncio.to_thread(self._pipe.recv)
            packets_after, lost_after = self._counts()
            self._pipe.send((packets_after - packets, lost_after - lost))
            await asyncio.to_thread(self._pipe.recv)
        except EOFError:
            await asyncio.gather(*(pc.close() for pc in connections))

    async def _connect(self) -> RTCPeerConnection:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in ("audio", "video"):
            receiver = ReceiverInternals(pc.addTransceiver(kind, direction="recvonly").receiver)
            self._streams.append(receiver.only_count(90_000))
        await pc.setLocalDescription(await pc.createOffer())
        self._pipe.send(pc.localDescription.sdp)
        answer = await asyncio.to_thread(self._pipe.recv)
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return pc

    def _counts(self) -> tuple[int, int]:
        streams = [stream for by_ssrc in self._streams for stream in by_ssrc.values()]
        return sum(stream.packets_received for stream in streams), sum(stream.packets_lost for stream in streams)
