"""What is before a face: a network that compares a frame with the person's own look.

A hand, a microphone or a cup before the mouth looks like nothing that the mesh could do to the face. The network sees
the square around the face, the person's own look warped by the mesh to the same pose and expression, and the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint import load_checkpoint
from models.face_square import FACE_SIDE, FaceTexture
from models.mesh import FACE_OVAL, Floats
from models.raster import MeshRasteriser

Picture = NDArray[np.uint8]

SIZE = 96
"""Side of the square in which the network works, pixels; 26 between the eyes."""
WEIGHTS = Path(__file__).with_name("weights") / "occlusion.safetensors"
_PLANES = 8  # frame, own look, shade of the mesh, mouth interior
_GAIN = (0.3, 3.0)
_EDGE_RADIUS = 0.12  # inter-ocular distances over which the mask's edge moves to the picture's
_EDGE_SMOOTHNESS = 3e-3  # variance of the picture, 0..1, that counts as an edge


class OcclusionNetwork(nn.Module):
    """A U-Net that begins at half the square's size.

    Source: Ronneberger et al., "U-Net", MICCAI 2015.
    """

    def __init__(self, widths: Sequence[int] = (24, 32, 48, 64)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.first = _Pair(4 * _PLANES, widths[0])
        self.down = nn.ModuleList(_Pair(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.up = nn.ModuleList(_Pair(a + b, a) for a, b in zip(widths, widths[1:], strict=False))
        self.last = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 1, 96, 96]` of planes `[B, 8, 96, 96]`, -1..1."""
        levels = [self.first(F.pixel_unshuffle(x, 2))]
        for down in self.down:
            levels.append(down(F.avg_pool2d(levels[-1], 2)))
        y = levels.pop()
        for up in reversed(self.up):
            y = up(torch.cat([levels.pop(), F.interpolate(y, scale_factor=2.0)], 1))
        return F.pixel_shuffle(self.last(y), 2)


class _Pair(nn.Sequential):
    """Two convolutions."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, 3, padding=1), nn.LeakyReLU(0.1),
            nn.Conv2d(outside, outside, 3, padding=1), nn.LeakyReLU(0.1),
        )  # fmt: skip


class OcclusionFinder:
    """Finds what is before faces; call it from one thread."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        tensors, config = load_checkpoint(weights)
        self._network = OcclusionNetwork(config["widths"])
        self._network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        self._network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._rasteriser = square_rasteriser()

    def mask(self, picture: Picture, points: Floats, look: FaceTexture) -> Floats:
        """How likely each pixel is not the face's own `[96, 96]`, 0..1; not reliable beside the face.

        Args:
            picture: The square around the face `[96, 96, 3]`.
            points: The extended mesh in it `[514, 3]`.
            look: The person's own look, 96 pixels wide.
        """
        planes = planes_of(self._rasteriser, picture, points, look)
        with torch.inference_mode():
            found: Floats = self._network(to_inputs(torch.from_numpy(planes[None]))).sigmoid()[0, 0].numpy()
        return found


def square_rasteriser() -> MeshRasteriser:
    """A rasteriser for squares of the network's size."""
    return MeshRasteriser(SIZE, (0, SIZE, 0, SIZE))


def planes_of(rasteriser: MeshRasteriser, picture: Picture, points: Floats, look: FaceTexture) -> Picture:
    """What the network sees `[8, 96, 96]`, uint8; see `OcclusionFinder.mask`."""
    drawn = rasteriser.draw(points, look.points, look.picture)
    own = drawn.warped
    face = face_area(points) > 0
    # The median is not moved by what covers less than half of the face.
    gain = (np.median(picture[face], 0) + 4) / (np.median(own[face], 0) + 4) if face.any() else np.ones(3)
    lit = np.clip(own * np.clip(gain, *_GAIN), 0, 255).astype(np.uint8)
    return np.concatenate([picture, lit, drawn.shade[..., None], drawn.interior[..., None]], -1).transpose(2, 0, 1)


def to_inputs(planes: Tensor) -> Tensor:
    """Planes `[B, 8, 96, 96]`, uint8, as the network takes them."""
    return (planes.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def face_area(points: Floats) -> Floats:
    """Where the face is in the square `[96, 96]`, 0 or 1."""
    area = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(area, [np.rint(points[FACE_OVAL, :2]).astype(np.int32)], 1)
    return area.astype(np.float32)


def own_look(faces: Sequence[FaceTexture]) -> FaceTexture:
    """What a person looks like with nothing before them: the median of some frames, in the first one's pose.

    Args:
        faces: Squares of the network's size; what is before the face in more than half of them stays.
    """
    first = faces[0]
    rasteriser = square_rasteriser()
    own = [first.picture] + [rasteriser.warp(first.points, (each.points, each.picture))[0] for each in faces[1:]]
    face = face_area(first.points) > 0
    means = np.stack([np.median(picture[face], 0) for picture in own]) + 4
    gains = np.median(means, 0) / means
    lit = np.stack([picture * gain for picture, gain in zip(own, gains, strict=True)])
    return FaceTexture(np.clip(np.median(lit, 0), 0, 255).astype(np.uint8), first.points, first.neutral)


def refined(mask: Floats, picture: Picture) -> Floats:
    """A mask `[96, 96]` as large as the square that it is of `[S, S, 3]`, with the picture's edges.

    Source: He et al., "Guided image filtering", 2013, with one grey guide.
    """
    size = len(picture)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    large = cv2.resize(mask, (size, size))
    side = 2 * round(_EDGE_RADIUS * size / FACE_SIDE) + 1
    mean_x, mean_y, mean_xy, mean_xx = (
        cv2.blur(each, (side, side)) for each in (grey, large, grey * large, grey * grey)
    )
    slope = (mean_xy - mean_x * mean_y) / (mean_xx - mean_x * mean_x + _EDGE_SMOOTHNESS)
    lift = mean_y - slope * mean_x
    refined_mask = cv2.blur(slope, (side, side)) * grey + cv2.blur(lift, (side, side))
    return np.clip(refined_mask, 0, 1).astype(np.float32)
