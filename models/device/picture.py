"""The rendered layer placed in a picture whose head moves, and the picture in YUV 4:2:0, for batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.device.sampling import rounded, sample
from models.head_warp import cell_size, grid
from models.still import DETAIL

_CHROMA_RANGE = 224 / 255  # of a byte's range, in video (BT.601)


class MovedPicture(nn.Module):
    """Moves heads and lays the rendered layer over them, as `HeadWarp` and `Placement` do.

    Args:
        size: `(height, width)` of the frames, multiples of 4.
    """

    places: Tensor
    coarse: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        self._cell = cell = cell_size(size[0])
        height, width = (-(-side // cell) + 2 for side in size)
        places = grid(width, height, 1)
        coarse = grid(width, height, cell) - np.float32(cell)
        for name, array in (("places", places), ("coarse", coarse)):
            self.register_buffer(name, torch.from_numpy(array.transpose(2, 0, 1).copy()), persistent=False)

    def forward(
        self,
        picture: Tensor,
        layer: Tensor,
        field: Tensor,
        change: Tensor,
        to_window: Tensor,
        detail: Tensor | None = None,
    ) -> Tensor:
        """Finished frames `[B, 3, H, W]` in whole grey values 0..255.

        Args:
            picture: What lies behind, `detailed`, `[B, 3, 2 H, 2 W]` in 0..255.
            layer: Colour and opacity of the window `[B, 4, h, w]` in 0..255.
            field: See `HeadWarp`, `[B, h, w, 4]`.
            change: See `HeadWarp.change`, `[B, 2, 4]`.
            to_window: From `window_map`, `[B, 2, 3]`.
            detail: For frames that are finer than the crop, see `models.detail`: shift, bare crop and where it is seen
                `[B, 6, h, w]`.
        """
        x, y = self._positions(field, change).unbind(1)
        behind = sample(picture, x, y)
        to_x, to_y = ((row[:, :, None, None]).unbind(1) for row in to_window.unbind(1))
        window_x = to_x[0] * x + to_x[1] * y + to_x[2]
        window_y = to_y[0] * x + to_y[1] * y + to_y[2]
        shown = sample(layer, window_x, window_y, outside="zeros")
        colour = shown[:, :3]
        if detail is not None:
            moved = sample(detail, window_x, window_y, outside="zeros")
            # The inverse of a similarity, which can be captured in a graph and stands rows that show nothing yet.
            size = to_window[:, :, 0].square().sum(1).clamp(min=1e-6)
            to_still = to_window[:, :, :2].transpose(1, 2) / size[:, None, None]
            across, down = torch.einsum("bij,bjhw->bihw", to_still, moved[:, :2]).unbind(1)
            lost = sample(picture, x + across, y + down) - moved[:, 2:5]
            colour = (colour + lost * moved[:, 5:] / 255).clamp(0, 255)
        return rounded(torch.lerp(behind, colour, shown[:, 3:] / 255))

    def _positions(self, field: Tensor, change: Tensor) -> Tensor:
        """Where in the detailed picture each pixel comes from `[B, 2, H, W]`; see `HeadWarp`."""
        height, width = self._size
        forward = torch.einsum("bhwk,bck->bchw", field, change)
        moved = forward
        for _ in range(3):  # the inverse map, by fixed-point iteration
            x, y = (self.places - moved / self._cell).unbind(1)
            moved = sample(forward, x, y)
        fine = F.interpolate(DETAIL * (self.coarse - moved), scale_factor=float(self._cell), mode="bilinear")
        cell = self._cell
        return fine[:, :, cell : cell + height, cell : cell + width]


def i420(rgb: Tensor) -> Tensor:
    """Pictures `[B, 3, H, W]` in 0..255, of even sides, as planes Y, U, V in bytes `[B, 3 H / 2, W]`: `stream.yuv`."""
    batch, _, height, width = rgb.shape
    red, green, blue = rgb.unbind(1)
    luma = 16 + (0.2567882 * red + 0.5041294 * green + 0.0979059 * blue)
    red, green, blue = rounded(F.avg_pool2d(rgb, 2)).unbind(1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = [128 + _CHROMA_RANGE * scale * (part - grey) for part, scale in ((blue, 0.564), (red, 0.713))]
    planes = torch.cat([part.flatten(1) for part in (luma, *chroma)], 1)
    return rounded(planes).to(torch.uint8).view(batch, height * 3 // 2, width)


def doubled(pictures: Tensor) -> Tensor:
    """Pictures `[B, C, H, W]` in 0..255 at twice their size; see `models.still.detailed`."""
    for axis in (2, 3):
        pictures = torch.stack([pictures, _between(pictures, axis)], axis + 1).flatten(axis, axis + 1)
    return rounded(pictures)


def _between(pictures: Tensor, axis: int) -> Tensor:
    """Values halfway to the next pixel along an axis, by a Lanczos kernel of eight taps."""
    places = torch.arange(-3.5, 4.0, device=pictures.device)
    kernel = torch.sinc(places) * torch.sinc(places / 4)
    kernel = (kernel / kernel.sum()).view([1, 1, 8, 1] if axis == 2 else [1, 1, 1, 8])
    channels = pictures.shape[1]
    padded = F.pad(pictures, (0, 0, 3, 4) if axis == 2 else (3, 4, 0, 0), mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, -1, -1, -1), groups=channels)
