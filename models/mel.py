"""Causal log-mel spectrogram; streaming and whole-file are one piece of code."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.streaming import State

SAMPLE_RATE = 16000
HOP = 160  # 10 ms
WINDOW = 400  # 25 ms
FFT = 512
FLOOR = 1e-7  # mean power of a mel band under which everything is silence, about -70 dB of full scale


@dataclass(slots=True)
class MelState(State):
    """The samples before the next hop that its window still needs."""

    tail: Tensor  # [B, WINDOW - HOP]


def mel_filters(bands: int, low_hz: float = 40.0, high_hz: float = 7600.0) -> Tensor:
    """Triangular mel filters `[FFT // 2 + 1, bands]`, each of unit sum, on the HTK mel scale."""

    def to_mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    points = torch.linspace(to_mel(low_hz), to_mel(high_hz), bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (points / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    narrow = filters.sum(0) == 0  # the lowest bands may fall between two bins: give them the nearest one
    nearest = (bins - edges[1:-1]).abs().argmin(0)
    filters[nearest[narrow], narrow] = 1.0
    return (filters / filters.sum(0)).float()


class LogMel(nn.Module):
    """16 kHz samples to natural-log mel bands every 10 ms; a window never looks past its own hop."""

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int = 80) -> None:
        """Precompute the window and the filters for `bands` mel bands."""
        super().__init__()
        self.bands = bands
        window = torch.hann_window(WINDOW, periodic=True)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("filters", mel_filters(bands), persistent=False)

    def init_state(self, batch_size: int = 1) -> MelState:
        """Return the state of a stream that begins after silence."""
        return MelState(torch.zeros(batch_size, WINDOW - HOP, device=self.window.device))

    def step(self, pcm: Tensor, state: MelState) -> Tensor:
        """Turn the next samples into mel frames, updating `state` in place.

        Args:
            pcm: samples `[B, HOP * n]`, float32 in -1..1.
            state: from `init_state`.

        Returns:
            Log-mel `[B, n, bands]`; frame i covers the 25 ms that end with hop i.

        Raises:
            ValueError: if the number of samples is not a multiple of the hop.
        """
        if pcm.shape[1] % HOP:
            raise ValueError(f"expected a multiple of {HOP} samples, got {pcm.shape[1]}; the caller buffers")
        samples = torch.cat([state.tail, pcm], 1)
        state.tail.copy_(samples[:, -state.tail.shape[1] :].detach())
        frames = samples.unfold(1, WINDOW, HOP) * self.window
        spectrum = torch.fft.rfft(frames, FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(power @ self.filters + FLOOR)

    def forward(self, pcm: Tensor) -> Tensor:
        """Return the log-mel of a whole clip: `step` over a fresh state."""
        return self.step(pcm, self.init_state(pcm.shape[0]))
