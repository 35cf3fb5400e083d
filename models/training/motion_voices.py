"""Other voices from recorded ones: pitch and formants moved together, timing kept."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

_FFT = 1024
_HOP = 128


def shift_voice(pcm: NDArray[np.int16], factor: float) -> NDArray[np.int16]:
    """Scale pitch and formants by `factor` with a phase vocoder and resampling; the length stays.

    Args:
        pcm: mono audio `[N]`.
        factor: above 1 is a smaller, higher voice.
    """
    wave = torch.from_numpy(pcm.astype(np.float32) / 32768)
    longer = _stretch(wave, factor).numpy()
    higher = resample_poly(longer, 100, round(100 * factor))
    fitted = np.zeros(len(pcm), np.float32)
    fitted[: len(higher)] = higher[: len(pcm)]
    return np.asarray(np.clip(fitted * 32768, -32768, 32767), np.int16)


def _stretch(wave: Tensor, factor: float) -> Tensor:
    """Make audio `factor` times as long at the same pitch. Source: Flanagan and Golden 1966, phase vocoder."""
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(wave, _FFT, _HOP, window=window, return_complex=True)  # [F, T]
    at = torch.arange(0, spectrum.shape[1] - 1, 1 / factor)
    low = at.floor().long()
    magnitude = spectrum.abs()
    magnitude = torch.lerp(magnitude[:, low], magnitude[:, low + 1], at - low)
    step = spectrum[:, low + 1].angle() - spectrum[:, low].angle()
    phase = torch.cumsum(torch.cat([spectrum[:, :1].angle(), step[:, :-1]], 1).double(), 1)
    return torch.istft(torch.polar(magnitude, phase.float()), _FFT, _HOP, window=window)
