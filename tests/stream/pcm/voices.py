"""Something like a voice, as samples and as files of real encoders."""

from __future__ import annotations

import io
import wave

import av
import numpy as np

RATE = 24_000


def audio(seconds: float = 1.0, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """Something like speech: a swelling buzz with noise, `[N]` float."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    return level * np.sin(2 * np.pi * 3 * t) ** 2 * (np.sin(2 * np.pi * 180 * t) + noise)


def int16(samples: np.ndarray) -> np.ndarray:
    return np.round(samples * 32_767).astype(np.int16)


def wav(samples: np.ndarray, rate: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1 if samples.ndim == 1 else samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def encoded(container: str, codec: str, rate: int = RATE, sample_format: str = "s16") -> bytes:
    """A second of voice in a container, by FFmpeg."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(int16(audio(1.0, rate))[None], "s16", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format or sample_format, "mono", rate)
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))
    return buffer.getvalue()
