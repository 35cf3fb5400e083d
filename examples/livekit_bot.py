"""A LiveKit agent with a presenter: it speaks a recording and leaves. No vendor's key.

    python examples/livekit_bot.py speech.wav --dry-run     # no server: prints what a room would have received
    LIVEKIT_URL=ws://localhost:7880 LIVEKIT_TOKEN=... python examples/livekit_bot.py speech.wav

The token is one for a participant that may join and publish (`lk token create --join ...`). A real agent has an LLM
and a TTS in its `AgentSession`; the lines that add the presenter are the same three.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.room_io import RoomOptions

from presenter.integrations.livekit import PresenterAvatarSession
from stream.files.reader import AudioFile, read_audio


async def as_frames(recording: AudioFile) -> AsyncIterator[rtc.AudioFrame]:
    """The recording as a TTS yields it: mono, 20 ms at a time."""
    pcm = np.round(np.clip(recording.samples.mean(axis=0), -1, 1) * 32767).astype(np.int16)
    step = recording.rate // 50
    for at in range(0, len(pcm), step):
        part = pcm[at : at + step]
        yield rtc.AudioFrame(part.tobytes(), recording.rate, 1, len(part))


async def run_bot(room: rtc.Room, recording: AudioFile, presenter: str, **start: Any) -> None:
    """Speak the recording in a room."""
    session = AgentSession()
    avatar = PresenterAvatarSession(presenter)
    await avatar.start(session, room=room)
    await session.start(Agent(instructions="Say what the recording says."), **start)
    await session.say("", audio=as_frames(recording))
    await session.aclose()
    await avatar.aclose()


class DryRoom(rtc.EventEmitter[str]):
    """A room in this process, with one subscriber that counts what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures, self.sound_s, self.size = 0, 0.0, (0, 0)
        self.name, self.remote_participants = "dry run", {}
        self.local_participant = SimpleNamespace(identity="bot", track_publications={}, publish_track=self._publish)
        self._tasks: list[asyncio.Task[None]] = []

    def isconnected(self) -> bool:
        """Always."""
        return True

    async def _publish(self, track: rtc.Track, options: rtc.TrackPublishOptions) -> SimpleNamespace:
        count = self._count_audio if track.kind == rtc.TrackKind.KIND_AUDIO else self._count_video
        self._tasks.append(asyncio.create_task(count(track)))
        return SimpleNamespace(kind=track.kind, wait_for_subscription=lambda: asyncio.sleep(0))

    async def _count_audio(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track):
            self.sound_s += event.frame.duration if any(event.frame.data) else 0.0

    async def _count_video(self, track: rtc.Track) -> None:
        async for event in rtc.VideoStream(track):
            self.pictures += 1
            self.size = (event.frame.width, event.frame.height)


async def main() -> None:
    """Run the bot in a real room or in none."""
    parser = argparse.ArgumentParser(description="A LiveKit agent with a presenter that speaks a recording.")
    parser.add_argument("recording", help="any file with speech in it")
    parser.add_argument("--presenter", default="default", help="the presenter's name (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="without a server")
    options = parser.parse_args()
    recording = read_audio(options.recording)
    if options.dry_run:
        dry = DryRoom()
        await run_bot(dry, recording, options.presenter)
        print(f"{dry.pictures} pictures of {dry.size[0]} x {dry.size[1]}, {dry.sound_s:.2f} s of sound")
        return
    if missing := [name for name in ("LIVEKIT_URL", "LIVEKIT_TOKEN") if name not in os.environ]:
        sys.exit(f"expected {' and '.join(missing)} in the environment, or --dry-run")
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    # The presenter publishes the voice, so RoomIO must not.
    await run_bot(room, recording, options.presenter, room=room, room_options=RoomOptions(audio_output=False))
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
