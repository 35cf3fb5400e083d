"""Reading pictures at computed places, and small filters, for batches."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def sample(pictures: Tensor, x: Tensor, y: Tensor, *, outside: str = "border", cubic: bool = False) -> Tensor:
    """Pictures `[B, C, H, W]` at places in pixels `[B, h, w]`, interpolated linearly or cubically: `cv2.remap`.

    Args:
        pictures: Float.
        x: Columns; pixel centres are whole numbers.
        y: Rows.
        outside: `border` repeats the outermost pixels, `zeros` sees black.
        cubic: With OpenCV's and PyTorch's kernel, whose parameter is -0.75.
    """
    height, width = pictures.shape[-2:]
    grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], -1)
    mode = "bicubic" if cubic else "bilinear"
    return F.grid_sample(pictures, grid, mode=mode, padding_mode=outside, align_corners=True)


def gaussian(sigma: float, size: int, room: int) -> Tensor:
    """OpenCV's Gaussian kernel of a size, with zeros around it `[room]`; sigma 0 follows the size."""
    kernel = cv2.getGaussianKernel(size, sigma)[:, 0].astype(np.float32)
    return F.pad(torch.from_numpy(kernel), [(room - size) // 2] * 2)


def blur(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Pictures `[B, C, H, W]` filtered along both axes by a kernel each `[B, K]`, zero beyond their borders."""
    batch, channels, height, width = pictures.shape
    taps = kernels.shape[-1]
    weights = kernels.repeat_interleave(channels, 0)[:, None]
    flat = pictures.reshape(1, batch * channels, height, width)
    groups = batch * channels
    flat = F.conv2d(flat, weights[..., None], padding=(taps // 2, 0), groups=groups)
    flat = F.conv2d(flat, weights[:, :, None], padding=(0, taps // 2), groups=groups)
    return flat.reshape(pictures.shape)


def rounded(values: Tensor) -> Tensor:
    """To whole grey values in 0..255, which stay floats."""
    return (values + 0.5).floor().clamp(0, 255)
