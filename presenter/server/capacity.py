"""How many sessions this machine serves in full quality: from the processor time of the live path, measured once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from presenter.runtime.backend_choice import cache_dir, fingerprint, read_facts, write_facts
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from stream.media import CHUNK_SAMPLES, FPS, PLAYOUT_SAMPLES, AudioChunk
from stream.rtc.encoders import VideoEncoder

SHARE = 0.85
"""Of the processors' time that sessions may take; the rest is for connections, and for a machine's other work."""
_FRAME_MS = 1000 / FPS
_FRAMES = 4
_WARM_UP = 3  # the look-ahead, and a key frame, which costs more
_BITRATE = 1_500_000
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def fitting(chunk_ms: float, processors: float) -> int:
    """How many sessions fit, at least one.

    Args:
        chunk_ms: processor time of 40 ms of a session.
        processors: how many there are; a container may have a part of one.
    """
    return max(1, int(SHARE * processors * _FRAME_MS / chunk_ms))


def sessions_that_fit(engine: Engine, store: IdentityStore, folder: Path | None = None) -> int:
    """How many sessions with the default presenter this machine serves at 25 frames per second.

    Measured at the first start, which takes a third of a second; the cached figure depends on what the choice of a
    backend depends on, and on the backend.

    Args:
        engine: with a free slot.
        store: has the default presenter.
        folder: where to cache it; `cache_dir()` if None.
    """
    stored = store.load(DEFAULT)
    key = f"{fingerprint(engine.generator)} {engine.backend} {engine.device} {stored.identity.frame.shape}"
    path = (folder or cache_dir()) / f"capacity-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    known = read_facts(path).get("chunk_ms")
    if not (isinstance(known, float) and known > 0):
        known = chunk_cost(engine, store)
        write_facts(path, {"chunk_ms": known})
    return fitting(known, processors())


def chunk_cost(engine: Engine, store: IdentityStore) -> float:
    """Processor time of 40 ms of a session, from samples to an encoded frame, in ms: the median of a few."""
    renderer, encoder = engine.renderer(store.load(DEFAULT)), VideoEncoder.of("VP8")
    rng, audio = np.random.default_rng(0), np.zeros(PLAYOUT_SAMPLES, np.int16)
    costs = []
    try:
        for number in range(_WARM_UP + _FRAMES):
            pcm = 0.1 * rng.standard_normal(CHUNK_SAMPLES, np.float32)
            started = time.process_time()
            for _, frame in renderer.push(AudioChunk(pcm, audio, number * CHUNK_SAMPLES)):
                encoder.encode(frame.pts, frame, keyframe=False, bitrate=_BITRATE)
            costs.append(1000 * (time.process_time() - started))
    finally:
        renderer.close()
    return float(median(costs[_WARM_UP:]))


def processors() -> float:
    """How many processors this process may use: those of its affinity, or fewer where its control group has a quota."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = _CPU_MAX.read_text(encoding="ascii").split()
        return min(count, int(quota) / int(period))
    except (OSError, ValueError):  # no control groups, or "max": no quota
        return count
