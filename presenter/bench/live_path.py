"""Benchmark of the live path: processor time per stage and of the whole, beside float32 in the same run.

Everything is processor time of this process, so that other load does not change it, and runs in one thread.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from models.compositor import FrameCompositor
from models.detail import Mouth
from models.head_motion import sway
from models.identity import READ_HEIGHT
from presenter.bench.gpu import gpu_figures
from presenter.bench.peers import peer_costs
from presenter.bench.rungs import rung_costs
from presenter.bench.stopwatch import Stopwatch
from presenter.config import AppConfig
from presenter.errors import ConfigError
from presenter.runtime.backend_choice import measured, processor
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.networks import load_networks
from presenter.runtime.renderer import Renderer
from presenter.server.capacity import fitting, processors
from stream.media import CHUNK_SAMPLES, FPS, PLAYOUT_RATE, PLAYOUT_SAMPLES, SAMPLE_RATE, AudioChunk, VideoFrame
from stream.rtc.encoders import VideoEncoder
from stream.yuv import i420

_FRAME_MS = 1000 / FPS
_BITRATE = 1_500_000
_PARTS = 5  # of the stream, to see whether its cost grows
_WARM_UP = 5  # frames that are not counted: the first of a stream are larger and start with cold caches


def run_bench(config: AppConfig, seconds: float, *, peers: bool = False) -> dict[str, Any]:
    """Measure on this machine.

    Args:
        config: Whose engine.
        seconds: Of speech.
        peers: Beside ours, time also what takes seconds a frame and 4 GB of memory; see `peer_costs`.

    Returns:
        Milliseconds of one core per frame (min, p50, p95) by stage, and core-seconds per second of video, whole and in
        fifths of the stream; the same of other networks, sessions that fit; on a GPU its figures instead.

    Raises:
        ConfigError: If the stream would be too short, or the device is missing.
    """
    if seconds < 1:
        raise ConfigError(f"--seconds: expected at least 1, got {seconds:g}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    stored = IdentityStore(config.presenters_dir).load(DEFAULT).shrunk(READ_HEIGHT)
    engine = Engine.load(config)
    chosen, plain = engine.renderer(stored), engine.renderer(stored, backend="float32")
    live, baseline = _time_streams([chosen, plain], speech_like(seconds))
    look_ahead_ms = 1000 * chosen.latency_samples / SAMPLE_RATE
    report = {
        "machine": {"processor": processor(), "instructions": torch.backends.cpu.get_cpu_capability(), "threads": 1},
        "backend": engine.backend,
        "look_ahead_ms": look_ahead_ms,
        "chunk_to_frame_ms": 1000 * CHUNK_SAMPLES / SAMPLE_RATE + look_ahead_ms + live["render_ms"]["p50"],
        "live": live,
        "live_float32": baseline,
        "stages_ms": _time_stages(engine, stored),
        "quality_ladder_ms": rung_costs(FrameCompositor(stored.identity, engine.folded(stored))),
    }
    if config.engine.device == "cpu":
        report["generator_ms"] = measured(load_networks(config.engine).generator)
        fitting_ms = live["core_seconds_per_second"] * _FRAME_MS
        report["sessions_that_fit"] = fitting(fitting_ms, processors())
        report["side_by_side_ms"] = peer_costs(report["stages_ms"]["generator"], engine.generator, large=peers)
    else:
        report["gpu"] = gpu_figures(engine, stored)
    for renderer in (chosen, plain):
        renderer.close()
    return report


def speech_like(seconds: float, seed: int = 0) -> list[AudioChunk]:
    """Syllable-like bursts of noise as chunks; reproducible, for timing only."""
    rng = np.random.default_rng(seed)
    count = int(seconds * FPS)
    t = np.arange(count * CHUNK_SAMPLES) / SAMPLE_RATE
    pcm = (0.1 * rng.standard_normal(len(t)) * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1)).astype(np.float32)
    audio = (np.repeat(pcm, PLAYOUT_RATE // SAMPLE_RATE) * 32767).astype(np.int16)
    return [
        AudioChunk(
            pcm[k * CHUNK_SAMPLES : (k + 1) * CHUNK_SAMPLES],
            audio[k * PLAYOUT_SAMPLES : (k + 1) * PLAYOUT_SAMPLES],
            k * CHUNK_SAMPLES,
        )
        for k in range(count)
    ]


def _time_streams(renderers: list[Renderer], chunks: list[AudioChunk]) -> list[dict[str, Any]]:
    """Render and encode the same speech by each renderer, chunk by chunk in turns, from samples to packets."""
    render, encode = ([Stopwatch() for _ in renderers] for _ in range(2))
    encoders = [VideoEncoder.of("VP8") for _ in renderers]
    for chunk in chunks:
        for k, renderer in enumerate(renderers):
            for _, frame in render[k](renderer.push, chunk):
                encode[k](encoders[k].encode, frame.pts, frame, keyframe=False, bitrate=_BITRATE)
    reports = []
    for rendering, encoding in zip(render, encode, strict=True):
        whole = np.add(rendering.times[-len(encoding.times) :], encoding.times)[_WARM_UP:]
        reports.append(
            {
                "core_seconds_per_second": float(whole.mean()) / _FRAME_MS,
                "by_fifth": [round(float(part.mean()) / _FRAME_MS, 3) for part in np.array_split(whole, _PARTS)],
                "render_ms": rendering.summary(_WARM_UP),
                "encode_vp8_ms": encoding.summary(_WARM_UP),
            }
        )
    return reports


def _time_stages(engine: Engine, stored: StoredIdentity) -> dict[str, dict[str, float]]:
    """Each stage on its own, in the order of the live path, so that caches are as warm as there."""
    style, stream = engine.syncformer.null_style, engine.motion_streams.take()
    backend = engine.folded(stored)
    compositor, encoder = FrameCompositor(stored.identity, backend), VideoEncoder.of("VP8")
    names = ("syncformer", "planes", "generator", "compose", "yuv", "vp8")
    watch = {name: Stopwatch() for name in names}
    with torch.inference_mode():
        target = backend.encode_target(torch.zeros(1, 3, 256, 256))
        for number, chunk in enumerate(speech_like(6)):
            moved = watch["syncformer"](stream.step, chunk.pcm, style)
            planes = watch["planes"](compositor.planes, moved)
            layer = watch["generator"](backend.render, target, planes)
            rgb = watch["compose"](compositor.compose, Mouth(layer), sway(number), 0)
            watch["yuv"](i420, rgb)
            frame = VideoFrame(rgb, chunk.pts)
            frame.i420()
            watch["vp8"](encoder.encode, frame.pts, frame, keyframe=False, bitrate=_BITRATE)
    return {name: watch[name].summary(_WARM_UP) for name in names}
