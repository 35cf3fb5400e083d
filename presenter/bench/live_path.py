"""Benchmark of the live path: processor time per stage and of the whole, beside float32 in the same run.

Everything is processor time of this process, so that other load does not change it, and runs in one thread.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from models.compositor import FrameCompositor
from models.head_motion import sway
from presenter.bench.peers import peer_costs
from presenter.bench.rungs import rung_costs
from presenter.bench.sessions import memory_per_session_mb, start_up
from presenter.bench.stopwatch import Stopwatch
from presenter.bench.viewers import run_viewers
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
_VIEWERS = (1, 8)
_VIEWED_S = 3.0
_WARM_UP = 5  # frames that are not counted: the first of a stream are larger and start with cold caches


def run_bench(config: AppConfig, seconds: float, *, peers: bool = False) -> dict[str, Any]:
    """Measure on this machine.

    Args:
        config: which networks.
        seconds: of speech.
        peers: time also what takes seconds a frame and 3.5 GB of memory; see `peer_costs`.

    Returns:
        Milliseconds of one core per frame (min, p50, p95) by stage, core-seconds per second of video, whole and in
        five parts of the stream; the same of other networks; sessions that fit; memory; start-up; viewers.

    Raises:
        ConfigError: if the stream would be too short, or the device is missing.
    """
    if seconds < 1:
        raise ConfigError(f"--seconds: expected at least 1, got {seconds:g}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    store = IdentityStore(config.presenters_dir)
    stored = store.load(DEFAULT)
    engine = Engine.load(config)
    chosen, plain = engine.renderer(stored), engine.renderer(stored, backend="float32")
    live, baseline = _time_streams([chosen, plain], speech_like(seconds))
    for renderer in (chosen, plain):
        renderer.close()
    stages = _time_stages(config, engine, stored)
    look_ahead_ms = 1000 * chosen.latency_samples / SAMPLE_RATE
    return {
        "machine": {
            "processor": processor(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "processors": processors(),
            "threads": 1,
        },
        "backend": engine.backend,
        "look_ahead_ms": look_ahead_ms,
        "chunk_to_frame_ms": 1000 * CHUNK_SAMPLES / SAMPLE_RATE + look_ahead_ms + live["render_ms"]["p50"],
        "live": live,
        "live_float32": baseline,
        "stages_ms": stages,
        "quality_ladder_ms": rung_costs(FrameCompositor(stored.identity, engine.folded(stored))),
        "generator_ms": measured(load_networks(config.engine).generator),
        "memory_per_session_mb": memory_per_session_mb(engine, store),
        "sessions": fitting(live["render_ms"]["p50"] + live["encode_vp8_ms"]["p50"], processors()),
        "start_up_s": start_up(),
        "viewers": {str(count): run_viewers(count, _VIEWED_S) for count in _VIEWERS},
        "side_by_side_ms": peer_costs(stages["generator"], engine.generator, large=peers),
    }


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


def _time_stages(config: AppConfig, engine: Engine, stored: StoredIdentity) -> dict[str, dict[str, float]]:
    """Each stage on its own, in the order of the live path, so that caches are as warm as there."""
    network, state = engine.syncformer, engine.syncformer.init_state(1)
    backend = engine.folded(stored)
    compositor, encoder = FrameCompositor(stored.identity, backend), VideoEncoder.of("VP8")
    names = ("syncformer", "planes", "generator", "compose", "yuv", "vp8")
    watch = {name: Stopwatch() for name in names}
    device = torch.device(config.engine.device)
    with torch.inference_mode():
        target = backend.encode_target(torch.zeros(1, 3, 256, 256))
        for number, chunk in enumerate(speech_like(6)):
            pcm = torch.from_numpy(chunk.pcm)[None].to(device)
            step = watch["syncformer"](engine.live_step, pcm, network.null_style, state)
            moved = network.displacement(step)[0, -1].cpu().numpy()
            planes = watch["planes"](compositor.planes, moved)
            layer = watch["generator"](backend.render, target, planes)
            rgb = watch["compose"](compositor.compose, layer, sway(number), 0)
            watch["yuv"](i420, rgb)
            frame = VideoFrame(rgb, chunk.pts)
            frame.i420()
            watch["vp8"](encoder.encode, frame.pts, frame, keyframe=False, bitrate=_BITRATE)
    return {name: watch[name].summary(_WARM_UP) for name in names}
