"""Benchmark of what runs on a GPU: captured steps beside eager ones. Written for a GPU; not measured yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch

from models.crop import crop_points
from models.device.compositor import DeviceCompositor
from models.device.frame_step import live_numbers
from models.device.slots import BATCHES, DeviceFrames, Request
from models.identity import Identity
from models.live_motion import flat_step
from models.references import Mixer
from presenter.runtime.engine import FRAME_SIZE, Engine
from presenter.runtime.identity_folder import StoredIdentity
from stream.media import CHUNK_SAMPLES, FPS, VideoFrame
from stream.rtc.encoders import VideoEncoder
from stream.rtc.h264 import live_encoder

_ROUNDS, _WARM_UP = 300, 3
_STREAMS = 4
_BITRATE = 1_500_000


def gpu_figures(engine: Engine, stored: StoredIdentity) -> dict[str, Any]:
    """Milliseconds of wall time per step on the GPU, as a CUDA graph and eager, and what a stream needs.

    Args:
        engine: On a CUDA device, with any number of slots; it has made a renderer.
        stored: Who is shown, by the base generator.

    Returns:
        `motion_ms`: `p50` and `p99` of the motion's step, captured and eager; `frame_ms`: see `frame_times`; `streams`,
        as many as the captured steps leave time for at 25 frames per second, one motion after the other and frames in
        batches; `mb_per_stream`, a renderer's; `h264_ms`: of one frame, and which `encoder` it is.
    """
    device, network = engine.device, engine.syncformer
    pcm = np.zeros(CHUNK_SAMPLES, np.float32)
    stream = engine.motion_streams.take()
    with torch.inference_mode():
        eager = flat_step(network, network.init_state(1))
        samples = torch.zeros(1, CHUNK_SAMPLES, device=device)
        motion = {
            "graph": _times(lambda: stream.step(pcm, network.null_style)),
            "eager": _times(lambda: eager(samples, network.null_style)),
        }
    engine.motion_streams.give_back(stream)
    frame = frame_times(DeviceFrames(engine.generator, FRAME_SIZE, BATCHES[-1], device), stored.identity)
    step_ms = motion["graph"]["p50"] + min(each["graph"]["p50"] / int(size) for size, each in frame.items())
    return {
        "motion_ms": motion,
        "frame_ms": frame,
        "streams": int(1000 / FPS / step_ms),
        "mb_per_stream": _megabytes_per_stream(engine, stored),
        "h264_ms": h264_times(stored.identity),
    }


def frame_times(
    frames: DeviceFrames, identity: Identity, rounds: int = _ROUNDS
) -> dict[str, dict[str, dict[str, float]]]:
    """Times of whole frames by the number of streams in a batch, in ms of the batch.

    Returns:
        For each number, `p50` and `p99` of the captured step with all copies from and to the host (`graph`), and of the
        eager step on what lies on the device (`eager`).
    """
    DeviceCompositor(identity, frames.free[0], identity.style_code)
    points = crop_points(identity.mesh, identity.neutral, identity.pose, identity.transform)
    mixer = Mixer(identity.reference, points, identity.references)
    live = live_numbers(points, np.zeros((2, 4), np.float32), mixer)
    there = torch.from_numpy(live).to(frames.device)
    times = {}
    for size, batch in frames.batches.items():
        rows = torch.zeros(size, dtype=torch.int64, device=frames.device)
        requests, numbers = [Request(0, live)] * size, there.expand(size, -1)
        with torch.inference_mode():
            times[str(size)] = {
                "graph": _times(partial(batch.run, requests), rounds),
                "eager": _times(partial(frames.step, rows, numbers), rounds),
            }
    return times


def h264_times(identity: Identity, rounds: int = _ROUNDS) -> dict[str, Any]:
    """Wall time of encoding a frame that never changes, `p50` and `p99`, and the `encoder`'s name."""
    encoder, frame, pts = VideoEncoder.of("H264"), VideoFrame(identity.frame, 0), count(0, CHUNK_SAMPLES)
    times = _times(lambda: encoder.encode(next(pts), frame, keyframe=False, bitrate=_BITRATE), rounds)
    return {"encoder": live_encoder(), **times}


def _megabytes_per_stream(engine: Engine, stored: StoredIdentity) -> float:
    """GPU memory of a further renderer with its captured steps, as the driver counts it; others are there already."""
    free, _ = torch.cuda.mem_get_info(engine.device)
    renderers = [engine.renderer(stored) for _ in range(_STREAMS)]
    left, _ = torch.cuda.mem_get_info(engine.device)
    for renderer in renderers:
        renderer.close()
    return (free - left) / _STREAMS / 1e6


def _times(run: Callable[[], object], rounds: int = _ROUNDS) -> dict[str, float]:
    times = []
    for number in range(_WARM_UP + rounds):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number >= _WARM_UP:
            times.append(1000 * (time.perf_counter() - started))
    return {"p50": float(np.median(times)), "p99": float(np.percentile(times, 99))}
