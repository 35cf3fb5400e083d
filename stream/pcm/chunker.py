"""Converts packets of any size, rate and layout to equal chunks; no sample is lost or added.

Two resamplers read the same input: one makes the output (48 kHz int16 mono), one the input of the
model (16 kHz float mono). libswresample's filters have zero phase, so both branches stay
aligned with the input; where the rate is already right the samples pass through bit for bit.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from stream.errors import StreamError
from stream.media import (
    CHUNK_SAMPLES,
    PLAYOUT_RATE,
    PLAYOUT_SAMPLES,
    SAMPLE_RATE,
    AudioChunk,
    FloatArray,
    Int16Array,
)
from stream.pcm.downmix import Downmix, as_table

LEAD_IN_MS = 2
"""Silence in front of a live stream that covers the resampler's look-ahead (see `Chunker`)."""
MIN_RATE, MAX_RATE = 8_000, 192_000
_LAYOUTS = {1: "mono", 2: "stereo"}
# Filter in float: the 16-bit path of libswresample rounds the coefficients to 15 bits.
_SWR = {"internal_sample_fmt": "fltp"}


def silent_like(frame: av.AudioFrame, count: int) -> av.AudioFrame:
    """Return `count` samples of silence in the format, layout and rate of `frame`."""
    quiet = av.AudioFrame(frame.format.name, frame.layout.name, count)
    # Unsigned 8-bit audio rests at 128, every other format at zero.
    rest = 0x80 if frame.format.name.startswith("u8") else 0
    for plane in quiet.planes:
        plane.update(bytes([rest]) * plane.buffer_size)
    quiet.sample_rate = frame.sample_rate
    return quiet


class Resampler:
    """Stateful conversion of one stream to mono at another rate, with exact sample accounting.

    The output of pushing a stream in pieces equals the output of pushing it whole, and after
    `flush` its length is exactly `ceil(samples_in * rate / input_rate)`.
    """

    def __init__(self, rate: int, sample_format: str) -> None:
        """Set the output: `rate` in Hz, `sample_format` "s16" or "flt" (libav's names)."""
        self.rate = rate
        self._format = sample_format
        self._dtype = np.int16 if sample_format == "s16" else np.float32
        self._restart()

    def _restart(self) -> None:
        self._swr: av.AudioResampler | None = None
        self._in_rate = 0
        self._samples_in = 0
        self._samples_out = 0

    def push(self, frame: av.AudioFrame) -> npt.NDArray[np.generic]:
        """Convert one frame; returns what is ready now, `[N]`, possibly empty."""
        if self._swr is None:
            self._swr = av.AudioResampler(self._format, "mono", self.rate, options=_SWR)
            self._in_rate = frame.sample_rate
        # The graph warns about gaps in pts; packets are contiguous by definition here.
        frame.pts, frame.time_base = self._samples_in, Fraction(1, self._in_rate)
        self._samples_in += frame.samples
        return self._collect(self._swr.resample(frame))

    def flush(self) -> npt.NDArray[np.generic]:
        """Return the tail, cut or zero-padded to the exact length, and start afresh."""
        if self._swr is None:
            return np.zeros(0, self._dtype)
        before = self._samples_out
        tail = self._collect(self._swr.resample(None))
        wanted = -(-self._samples_in * self.rate // self._in_rate) - before
        self._restart()
        out = np.zeros(wanted, self._dtype)
        out[: len(tail)] = tail[:wanted]
        return out

    def _collect(self, frames: list[av.AudioFrame]) -> npt.NDArray[np.generic]:
        # A resampler with nothing to do hands its input back, at the end of the stream too: None.
        arrays = [frame.to_ndarray().reshape(-1) for frame in frames if frame is not None]
        joined = np.concatenate(arrays) if arrays else np.zeros(0, self._dtype)
        self._samples_out += len(joined)
        return joined


class Chunker:
    """Cut a stream of audio packets into `AudioChunk`s of 40 ms.

    A chunk is complete only when the resampling filter has seen about a millisecond past its
    end. Live, that would add the wait for one more packet; `lead_in_ms` of silence in front of
    the stream (in both branches alike) provides that millisecond instead.
    """

    def __init__(self, *, lead_in_ms: int = 0, pts: int = 0) -> None:
        """Start at `pts` (samples at 16 kHz); live sources pass `lead_in_ms=2`."""
        self._lead_in_ms = lead_in_ms
        self._pts = pts
        self._rate: int | None = None
        self._layout = ""
        self._downmix: Downmix | None = None
        self._to_playout = Resampler(PLAYOUT_RATE, "s16")
        self._to_model = Resampler(SAMPLE_RATE, "flt")
        self._audio: Int16Array = np.zeros(0, np.int16)
        self._model: FloatArray = np.zeros(0, np.float32)

    @property
    def pts(self) -> int:
        """Position of the next chunk, in samples at 16 kHz."""
        return self._pts

    def push(self, pcm: npt.NDArray[np.generic], rate: int) -> list[AudioChunk]:
        """Add one packet and return the chunks it completes.

        Args:
            pcm: int16, or float32 in -1..1; `[N]` mono or `[N, C]` with C of 1 or 2. Any N.
            rate: samples per second, 8000..192000; the same for the whole stream.

        Raises:
            StreamError: if the type, shape or rate can't be used, or the format changes.
        """
        if pcm.dtype not in (np.int16, np.float32):
            raise StreamError(f"audio packet: expected int16 or float32, got {pcm.dtype.name}")
        table = pcm[:, None] if pcm.ndim == 1 else pcm
        if table.ndim != 2 or table.shape[1] not in _LAYOUTS:
            raise StreamError(f"audio packet: expected [N], [N, 1] or [N, 2], got {list(pcm.shape)}")
        if not len(table):
            return []
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(table).reshape(1, -1),
            format="s16" if pcm.dtype == np.int16 else "flt",
            layout=_LAYOUTS[table.shape[1]],
        )
        frame.sample_rate = rate
        return self.push_frame(frame)

    def push_frame(self, frame: av.AudioFrame) -> list[AudioChunk]:
        """Add one libav frame of any sample format and layout; its pts is overwritten.

        Raises:
            StreamError: if the rate can't be used, or the format changed within the stream.
        """
        if self._rate is None:
            self._start(frame)
        self._check_format(frame)
        self._feed(frame)
        return self._take()

    def flush(self) -> list[AudioChunk]:
        """End the utterance: return what is left, the last chunk padded with silence.

        The chunker can be used again afterwards; its timeline continues.
        """
        self._append(self._to_playout.flush(), self._to_model.flush())
        self._rate = None
        chunks = -(-len(self._audio) // PLAYOUT_SAMPLES)
        self._audio = np.pad(self._audio, (0, chunks * PLAYOUT_SAMPLES - len(self._audio)))
        # Two roundings up (48 kHz, 16 kHz) can't differ by a chunk, only by a sample.
        self._model = np.pad(self._model, (0, CHUNK_SAMPLES))[: chunks * CHUNK_SAMPLES]
        return self._take()

    def _start(self, frame: av.AudioFrame) -> None:
        if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
            raise StreamError(f"audio rate: expected {MIN_RATE}..{MAX_RATE} Hz, got {frame.sample_rate} Hz")
        self._rate, self._layout = frame.sample_rate, frame.layout.name
        self._downmix = Downmix(self._rate) if len(frame.layout.channels) == 2 else None
        lead_in = self._rate * self._lead_in_ms // 1000
        if lead_in:
            self._feed(silent_like(frame, lead_in))

    def _check_format(self, frame: av.AudioFrame) -> None:
        if (frame.sample_rate, frame.layout.name) != (self._rate, self._layout):
            raise StreamError(
                f"audio packet: expected {self._rate} Hz {self._layout} as before, "
                f"got {frame.sample_rate} Hz {frame.layout.name}; flush the chunker first"
            )

    def _feed(self, frame: av.AudioFrame) -> None:
        if self._downmix is not None:
            mono = av.AudioFrame.from_ndarray(self._downmix.push(as_table(frame))[None], format="flt", layout="mono")
            mono.sample_rate = frame.sample_rate
            frame = mono
        self._append(self._to_playout.push(frame), self._to_model.push(frame))

    def _append(self, audio: npt.NDArray[np.generic], model: npt.NDArray[np.generic]) -> None:
        self._audio = np.concatenate([self._audio, audio.astype(np.int16, copy=False)])
        self._model = np.concatenate([self._model, model.astype(np.float32, copy=False)])

    def _take(self) -> list[AudioChunk]:
        count = min(len(self._audio) // PLAYOUT_SAMPLES, len(self._model) // CHUNK_SAMPLES)
        chunks = []
        for k in range(count):
            pcm = self._model[k * CHUNK_SAMPLES : (k + 1) * CHUNK_SAMPLES].copy()
            audio = self._audio[k * PLAYOUT_SAMPLES : (k + 1) * PLAYOUT_SAMPLES].copy()
            chunks.append(AudioChunk(pcm, audio, self._pts))
            self._pts += CHUNK_SAMPLES
        self._model = self._model[count * CHUNK_SAMPLES :]
        self._audio = self._audio[count * PLAYOUT_SAMPLES :]
        return chunks
