"""From a mesh displacement to a finished frame: rasterise, generate, move the head, composite the rendered face."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import Window, crop_points, crop_rasteriser, to_crop
from models.head_motion import AT_REST, HeadPose
from models.head_warp import HeadWarp
from models.identity import Identity, picture_tensor
from models.layer import Layer, Planes
from models.live_inputs import live_planes, masked_target
from models.matting import Cutout, draw_matte
from models.mesh import NUM_VERTICES, Floats
from models.still import LivingStill, Placement, blended, detailed

Picture = NDArray[np.uint8]


class Backend(Protocol):
    """A folded generator, however it is computed; see `models.backends`."""

    window: Window
    """The part of the crop that it renders."""

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features of a masked template `[1, 3, 256, 256]`, to be computed once."""

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """The layer of the window `[h, w, 4]` from those features and live inputs `[256, 256, 6]`."""


class FrameCompositor:
    """Composes the frames of one identity.

    What depends only on the identity is computed here once; a frame costs one rasterisation, one
    pass of the folded generator and one interpolation of what can move. Call it from one thread.

    Args:
        identity: The presenter whose frames are composed.
        backend: The folded generator.
    """

    def __init__(self, identity: Identity, backend: Backend) -> None:
        self._identity = identity
        self._backend = backend
        transform = identity.transform
        self._reference = identity.reference
        with torch.inference_mode():
            self._target = backend.encode_target(masked_target(picture_tensor(self._reference)))
        self._source = crop_points(identity.mesh, identity.neutral, identity.pose, transform)
        self._opening = identity.neutral - identity.mesh
        self._to_crop = to_crop(identity.pose.scale * identity.pose.rotation.T, _without_offset(transform))
        self._rasteriser = crop_rasteriser()
        self._placement = Placement(transform, backend.window)
        height, width = identity.frame.shape[:2]
        self._warp = HeadWarp((height, width), identity.pose.project(identity.mesh), identity.pose.scale)
        self._still = LivingStill(detailed(identity.frame), identity.blinks)
        self._cutout: LivingStill | None = None

    def points(self, displacement: Floats) -> Floats:
        """The extended mesh in the crop `[514, 3]` for a displacement `[478, 3]` from neutral."""
        points = self._source.copy()
        points[:NUM_VERTICES] += (self._opening + displacement) @ self._to_crop
        return points

    def planes(self, displacement: Floats) -> Planes:
        """The generator's live inputs `[256, 256, 6]` for a displacement."""
        return live_planes(self._rasteriser, self.points(displacement), self._reference, self._source)

    def layer(self, displacement: Floats) -> Layer:
        """Colour and opacity of the rendered window of the crop `[h, w, 4]`."""
        planes = self.planes(displacement)
        with torch.inference_mode():
            return self._backend.render(self._target, planes)

    def frame(self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0) -> Picture:
        """A finished frame `[H, W, 3]`, newly allocated.

        Args:
            displacement: Of the mesh from its neutral `[478, 3]`, inter-ocular distances.
            pose: Of the head.
            eyelids: Level of closure, 0 for open eyes to `EYES_CLOSED`.
        """
        return self.compose(self.layer(displacement), pose, eyelids)

    def compose(self, layer: Layer, pose: HeadPose, eyelids: int) -> Picture:
        """The frame `[H, W, 3]` that shows a rendered layer."""
        return self._composed(layer, pose, eyelids, [self._still])[0]

    def frame_and_cutout(
        self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0
    ) -> tuple[Picture, Picture]:
        """A finished frame `[H, W, 3]`, and the same without its background `[H, W, 4]`: colour and straight alpha.

        Args and errors as of `frame` and `cut_out`.
        """
        return self.compose_with_cutout(self.layer(displacement), pose, eyelids)

    def compose_with_cutout(self, layer: Layer, pose: HeadPose, eyelids: int) -> tuple[Picture, Picture]:
        """`frame_and_cutout` of a rendered layer."""
        plain, cutout = self._composed(layer, pose, eyelids, [self._still, self.cut_out()])
        return plain, cutout

    def cut_out(self) -> LivingStill:
        """The still without its background, colour and straight alpha; computed at the first call, and kept.

        A presenter that was enrolled without a matte gets one here, which takes a second or two.

        Raises:
            MattingError: If the presenter has no matte and none can be made.
        """
        if self._cutout is None:
            frame, stored = self._identity.frame, self._identity.matte
            cutout = Cutout.of(frame, draw_matte(frame) if stored is None else stored)
            twice = Cutout(detailed(cutout.matte), detailed(cutout.colours))
            self._cutout = LivingStill(twice.apply(detailed(frame)), self._identity.blinks)
        return self._cutout

    def _composed(self, layer: Layer, pose: HeadPose, eyelids: int, stills: list[LivingStill]) -> list[Picture]:
        """The same frame of several stills."""
        shifts = self._warp.shifts(pose)
        positions = self._warp.positions(shifts)
        face = self._placement.region(shifts, self._warp.box)
        colour, opacity = self._placement.place(layer, positions[face])
        frames = []
        for still in stills:
            frame = still.frame.copy()
            moved = self._warp.move(still.with_eyes(eyelids), positions)
            moved[face] = blended(colour, opacity, moved[face])
            frame[self._warp.box] = moved
            frames.append(frame)
        return frames


def _without_offset(transform: Floats) -> Floats:
    """The linear part of an affine map `[2, 3]`, for differences of points."""
    return np.concatenate([transform[:, :2], np.zeros((2, 1), np.float32)], 1)
