"""From a mesh displacement to a finished frame: rasterise, generate, paste, blink, move the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import crop_points, crop_rasteriser, to_crop
from models.head_motion import AT_REST, HeadPose
from models.head_warp import HeadWarp
from models.identity import Identity, picture_tensor
from models.live_inputs import live_planes, masked_target
from models.matting import Cutout, draw_matte
from models.mesh import NUM_VERTICES, Floats
from models.still import DETAIL, Paster, detailed

# (target features [1, C, 64, 64], live inputs [1, 6, 256, 256]) -> colour and blend mask [1, 4, 256, 256]
Paint = Callable[[Tensor, Tensor], Tensor]


class Painter:
    """Paints the frames of one identity.

    What depends only on the identity is computed here once; a frame costs one rasterisation and one
    pass of the folded generator.

    Args:
        identity: Whom to paint.
        encode_target: The folded generator's target branch.
        paint: The folded generator, on any backend.
    """

    def __init__(self, identity: Identity, encode_target: Callable[[Tensor], Tensor], paint: Paint) -> None:
        self._identity = identity
        self._paint = paint
        transform = identity.transform
        self._reference = identity.reference
        with torch.inference_mode():
            self._target = encode_target(masked_target(picture_tensor(self._reference)))
        self._source = crop_points(identity.mesh, identity.neutral, identity.pose, transform)
        self._opening = identity.neutral - identity.mesh
        self._to_crop = to_crop(identity.pose.scale * identity.pose.rotation.T, _without_offset(transform))
        self._rasteriser = crop_rasteriser()
        self._template = detailed(identity.frame)
        self._overlays = [detailed(overlay) for overlay in identity.blinks.overlays]
        height, width = identity.frame.shape[:2]
        self._paster = Paster((DETAIL * height, DETAIL * width), (transform / [DETAIL, DETAIL, 1]).astype(np.float32))
        landmarks = identity.pose.project(identity.mesh)
        self._warp = HeadWarp((height, width), landmarks, identity.pose.scale)
        self._cutout: Cutout | None = None

    def points(self, displacement: Floats) -> Floats:
        """The extended mesh in the crop `[514, 3]` for a displacement `[478, 3]` from neutral."""
        points = self._source.copy()
        points[:NUM_VERTICES] += (self._opening + displacement) @ self._to_crop
        return points

    def crop(self, displacement: Floats) -> Floats:
        """Colour and blend mask of the face crop `[4, 256, 256]`, 0..1."""
        planes = live_planes(self._rasteriser, self.points(displacement), self._reference, self._source)
        with torch.inference_mode():
            painted = self._paint(self._target, picture_tensor(planes))
        return painted[0].cpu().numpy()

    def frame(self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0) -> NDArray[np.uint8]:
        """A finished frame `[H, W, 3]`.

        Args:
            displacement: Of the mesh from its neutral `[478, 3]`, inter-ocular distances.
            pose: Of the head.
            eyelids: Level of closure, 0 for open eyes to `EYES_CLOSED`.
        """
        return self._warp.apply(self._still(displacement, eyelids), pose)

    def frame_and_cutout(
        self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A finished frame `[H, W, 3]`, and the same without its background `[H, W, 4]`: colour and straight alpha.

        Args and errors as of `frame` and `cut_out`.
        """
        still = self._still(displacement, eyelids)
        positions = self._warp.positions(pose)
        return self._warp.move(still, positions), self._warp.move(self.cut_out().apply(still), positions)

    def cut_out(self) -> Cutout:
        """What `frame_and_cutout` needs, `detailed`; computed at the first call, and kept.

        A presenter that was enrolled without a matte gets one here, which takes a second or two.

        Raises:
            MattingError: If the presenter has no matte and none can be made.
        """
        if self._cutout is None:
            frame, stored = self._identity.frame, self._identity.matte
            cutout = Cutout.of(frame, draw_matte(frame) if stored is None else stored)
            self._cutout = Cutout(detailed(cutout.matte), detailed(cutout.colours))
        return self._cutout

    def _still(self, displacement: Floats, eyelids: int) -> NDArray[np.uint8]:
        """The painted `detailed` picture before the head moves."""
        picture = self._template.copy()
        self._paster.paste(picture, self.crop(displacement))
        if eyelids:
            top, left = (DETAIL * place for place in self._identity.blinks.box)
            overlay = self._overlays[eyelids - 1]
            picture[top : top + overlay.shape[0], left : left + overlay.shape[1]] = overlay
        return picture


def _without_offset(transform: Floats) -> Floats:
    """The linear part of an affine map `[2, 3]`, for differences of points."""
    return np.concatenate([transform[:, :2], np.zeros((2, 1), np.float32)], 1)
