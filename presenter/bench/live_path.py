"""Benchmark of the live path: time per stage, share of real time, and ratios measured in the same run."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch

from models import winograd
from models.generator import LiveInputs
from models.head_motion import sway
from models.painter import Painter
from presenter.config import AppConfig
from presenter.errors import ConfigError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.runtime.networks import load_networks
from stream.media import CHUNK_SAMPLES, FPS, SAMPLE_RATE, VOICE_RATE, VOICE_SAMPLES, AudioChunk

_FRAME_MS = 1000 / FPS


def run_bench(config: AppConfig, seconds: float) -> dict[str, Any]:
    """Measure on this machine.

    Returns:
        Milliseconds per frame (p50, p95) of the whole stream and its stages, and ratios.
    """
    if seconds < 1:
        raise ConfigError(f"--seconds: expected at least 1, got {seconds:g}")
    stored = IdentityStore(config.presenters_dir).load(DEFAULT)
    engine = Engine.load(config)
    renderer = engine.renderer(stored)
    stream = _time_stream(renderer.push, renderer.size, seconds)
    renderer.close()
    return {
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "convolution": engine.convolution,
        "latency": {
            "chunk_ms": 1000 * CHUNK_SAMPLES / SAMPLE_RATE,
            "look_ahead_ms": 1000 * renderer.latency_samples / SAMPLE_RATE,
            "sum_with_render_p50_ms": 1000 * (CHUNK_SAMPLES + renderer.latency_samples) / SAMPLE_RATE
            + stream["render_ms"]["p50"],
        },
        "stream": stream,
        "stages_on_cpu": _time_stages(config, engine),
        "ratios": _ratios(config, engine),
    }


def speech_like(seconds: float, seed: int = 0) -> list[AudioChunk]:
    """Syllable-like bursts of noise as chunks; reproducible, for timing only."""
    rng = np.random.default_rng(seed)
    count = int(seconds * FPS)
    t = np.arange(count * CHUNK_SAMPLES) / SAMPLE_RATE
    pcm = (0.1 * rng.standard_normal(len(t)) * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1)).astype(np.float32)
    voice = (np.repeat(pcm, VOICE_RATE // SAMPLE_RATE) * 32767).astype(np.int16)
    return [
        AudioChunk(
            pcm[k * CHUNK_SAMPLES : (k + 1) * CHUNK_SAMPLES],
            voice[k * VOICE_SAMPLES : (k + 1) * VOICE_SAMPLES],
            k * CHUNK_SAMPLES,
        )
        for k in range(count)
    ]


def _percentiles(times_ms: list[float]) -> dict[str, float]:
    kept = times_ms[len(times_ms) // 10 :]  # the first tenth warms up
    return {"p50": float(np.median(kept)), "p95": float(np.percentile(kept, 95)), "max": float(max(kept))}


def _clock(function: Callable[[], Any], repeats: int = 60) -> dict[str, float]:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - started))
    return _percentiles(times)


def _time_stream(push: Callable[[AudioChunk], Any], size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """Render and encode as WebRTC would, as fast as it goes."""
    encoder: Any = av.CodecContext.create("libvpx", "w")
    encoder.height, encoder.width = size
    encoder.pix_fmt, encoder.time_base, encoder.bit_rate = "yuv420p", Fraction(1, FPS), 2_500_000
    encoder.options = {"deadline": "realtime", "cpu-used": "-6", "lag-in-frames": "0"}
    render, encode = [], []
    began = time.perf_counter()
    for chunk in speech_like(seconds):
        started = time.perf_counter()
        pairs = push(chunk)
        rendered = time.perf_counter()
        for _, frame in pairs:
            encoder.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24"))
        render.append(1000 * (rendered - started))
        encode.append(1000 * (time.perf_counter() - rendered))
    spent = time.perf_counter() - began
    whole = [a + b for a, b in zip(render, encode, strict=True)]
    return {
        "render_ms": _percentiles(render),
        "encode_vp8_ms": _percentiles(encode),
        "share_of_real_time": spent / seconds,
        "late_frames_share": float(np.mean([t > _FRAME_MS for t in whole])),
    }


def _time_stages(config: AppConfig, engine: Engine) -> dict[str, Any]:
    stored = IdentityStore(config.presenters_dir).load(DEFAULT)
    syncformer = load_networks(config.engine).syncformer
    folded = engine.folded(stored).cpu()
    painter = Painter(stored.identity, folded.encode_target, folded)
    state = syncformer.init_state(1)
    pcm, style = torch.zeros(1, CHUNK_SAMPLES), syncformer.null_style
    displacement = np.zeros_like(stored.identity.mesh)
    live = torch.rand(1, 6, 256, 256)
    with torch.inference_mode():
        target = folded.encode_target(torch.rand(1, 3, 256, 256))
        return {
            "syncformer_ms": _clock(lambda: syncformer.step(pcm, style, state)),
            "generator_ms": _clock(lambda: folded(target, live)),
            "crop_ms": _clock(lambda: painter.crop(displacement)),
            "frame_ms": _clock(lambda: painter.frame(displacement, sway(0))),
        }


def _ratios(config: AppConfig, engine: Engine) -> dict[str, float]:
    """The folded generator against the modulated one that computes everything, and its two ways to convolve."""
    generator = load_networks(config.engine).generator
    picture = torch.rand(1, 3, 256, 256)
    plane = torch.rand(1, 1, 256, 256)
    inputs = LiveInputs(picture, plane, plane, plane)
    with torch.inference_mode():
        style = generator.style_code(picture)
        folded = generator.fold(style[0], winograd=engine.convolution == "winograd")
        target, live = folded.encode_target(picture), inputs.stacked()
        ratios = {
            "folded_over_modulated": winograd.ratio(
                lambda: folded(target, live),
                lambda: generator(picture, inputs, generator.style_code(picture)),
            )
        }
    if winograd.is_available():
        ratios["winograd_over_direct"] = winograd_ratio(generator)
    return ratios
