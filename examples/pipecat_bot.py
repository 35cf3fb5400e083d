"""A Pipecat bot with a presenter, in your browser: it speaks a recording at each connection. No key, no account.

    python examples/pipecat_bot.py speech.wav               # then open http://localhost:7860

A real bot has STT, LLM and TTS services in its pipeline; the presenter is between the TTS and the transport's output,
as here.
"""

from __future__ import annotations

import argparse
import asyncio

import numpy as np
from aiohttp import web
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner

from presenter.integrations.pipecat import PresenterVideoService
from stream.files.reader import AudioFile, read_audio
from stream.rtc.ice import without_end_of_candidates

PAGE = """<!doctype html><meta charset="utf-8"><title>Bot</title>
<video id="bot" autoplay playsinline controls></video>
<script type="module">
const peer = new RTCPeerConnection(), stream = new MediaStream();
peer.ontrack = ({track}) => { stream.addTrack(track); bot.srcObject = stream; };
peer.addTransceiver("audio");
peer.addTransceiver("video");
await peer.setLocalDescription();
while (peer.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 50));
const {sdp, type} = peer.localDescription;
const answer = await fetch("/offer", {method: "POST", body: JSON.stringify({sdp, type})});
await peer.setRemoteDescription(await answer.json());
</script>"""


def as_tts(recording: AudioFile) -> list[Frame]:
    """The recording as a TTS service yields it."""
    pcm = np.round(np.clip(recording.samples.mean(axis=0), -1, 1) * 32767).astype(np.int16)
    step = recording.rate // 50
    parts = [pcm[at : at + step] for at in range(0, len(pcm), step)]
    audio = [TTSAudioRawFrame(part.tobytes(), recording.rate, 1) for part in parts]
    return [TTSStartedFrame(), *audio, TTSStoppedFrame()]


def make_bot(connection: SmallWebRTCConnection, recording: AudioFile, presenter: str) -> PipelineWorker:
    """One call, until the visitor leaves; the presenter is idle when the recording is over."""
    params = TransportParams(audio_out_enabled=True, video_out_enabled=True, video_out_width=512, video_out_height=512)
    transport = SmallWebRTCTransport(connection, params)
    pipeline = Pipeline([transport.input(), PresenterVideoService(presenter), transport.output()])
    worker = PipelineWorker(pipeline, params=PipelineParams(audio_out_sample_rate=48_000), enable_rtvi=False)

    @transport.event_handler("on_client_connected")
    async def speak(transport: SmallWebRTCTransport, client: SmallWebRTCConnection) -> None:
        await worker.queue_frames(as_tts(recording))

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: SmallWebRTCTransport, client: SmallWebRTCConnection) -> None:
        await worker.cancel()

    return worker


async def run(worker: PipelineWorker) -> None:
    """Run one bot to its end."""
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    """Serve the page and a bot for each visitor."""
    parser = argparse.ArgumentParser(description="A Pipecat bot with a presenter that speaks a recording.")
    parser.add_argument("recording", help="any file with speech in it")
    parser.add_argument("--presenter", default="default", help="the presenter's name (%(default)s)")
    parser.add_argument("--port", type=int, default=7860)
    options = parser.parse_args()
    recording = read_audio(options.recording)
    calls: dict[asyncio.Task[None], PipelineWorker] = {}

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def offer(request: web.Request) -> web.Response:
        body = await request.json()
        connection = SmallWebRTCConnection()
        # Firefox hides its addresses from a page without a microphone, and says that no others follow.
        await connection.initialize(sdp=without_end_of_candidates(body["sdp"]), type=body["type"])
        worker = make_bot(connection, recording, options.presenter)
        call = asyncio.create_task(run(worker))
        calls[call] = worker
        call.add_done_callback(calls.pop)
        return web.json_response(connection.get_answer())

    async def hang_up(app: web.Application) -> None:
        running = dict(calls)
        for worker in running.values():
            await worker.cancel()
        await asyncio.gather(*running)

    app = web.Application()
    app.on_shutdown.append(hang_up)
    app.add_routes([web.get("/", page), web.post("/offer", offer)])
    web.run_app(app, host="localhost", port=options.port)


if __name__ == "__main__":
    main()
