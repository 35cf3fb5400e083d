"""Benchmark of what runs on a GPU: captured steps beside eager ones. Written for a GPU; not measured yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.crop import CROP_SIZE
from models.generator_layers import LIVE_CHANNELS
from models.live_motion import flat_step
from presenter.runtime.engine import Engine
from presenter.runtime.identity_folder import StoredIdentity
from stream.media import CHUNK_SAMPLES, FPS

_ROUNDS, _WARM_UP = 300, 20
_STREAMS = 4


def gpu_figures(engine: Engine, stored: StoredIdentity) -> dict[str, Any]:
    """Milliseconds of wall time per step on the GPU, as a CUDA graph and eager, and what a stream needs.

    Args:
        engine: On a CUDA device, with any number of slots; it has made a renderer.
        stored: Whose generator.

    Returns:
        `motion_ms` and `generator_ms`: `p50` and `p99` of each, captured and eager; `streams`, as many as the two
        captured steps leave time for at 25 frames per second, one after the other; `mb_per_stream`, a renderer's.
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
        backend = engine.folded(stored)
        target = backend.encode_target(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE))
        planes = np.zeros((CROP_SIZE, CROP_SIZE, LIVE_CHANNELS), np.uint8)
        folded = engine.generator.fold(stored.identity.style_code).to(device)
        live = torch.zeros(1, LIVE_CHANNELS, CROP_SIZE, CROP_SIZE, device=device)
        generator = {
            "graph": _times(lambda: backend.render(target, planes)),
            "eager": _times(lambda: folded(target, live)),
        }
    engine.motion_streams.give_back(stream)
    step_ms = motion["graph"]["p50"] + generator["graph"]["p50"]
    return {
        "motion_ms": motion,
        "generator_ms": generator,
        "streams": int(1000 / FPS / step_ms),
        "mb_per_stream": _megabytes_per_stream(engine, stored),
    }


def _megabytes_per_stream(engine: Engine, stored: StoredIdentity) -> float:
    """GPU memory of a further renderer with its captured steps, as the driver counts it; others are there already."""
    free, _ = torch.cuda.mem_get_info(engine.device)
    renderers = [engine.renderer(stored) for _ in range(_STREAMS)]
    left, _ = torch.cuda.mem_get_info(engine.device)
    for renderer in renderers:
        renderer.close()
    return (free - left) / _STREAMS / 1e6


def _times(run: Callable[[], object]) -> dict[str, float]:
    times = []
    for number in range(_WARM_UP + _ROUNDS):
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if number >= _WARM_UP:
            times.append(1000 * (time.perf_counter() - started))
    return {"p50": float(np.median(times)), "p99": float(np.percentile(times, 99))}
