"""The picture by the plain method: paste the rendered crop into the still at twice its size, then move all of it."""

from __future__ import annotations

import cv2
import numpy as np

from models.compositor import FrameCompositor
from models.head_motion import HeadPose
from models.still import DETAIL, detailed


def frame_by_two_interpolations(
    compositor: FrameCompositor, displacement: np.ndarray, pose: HeadPose, eyelids: int = 0
) -> np.ndarray:
    """What `FrameCompositor.frame` gives, up to interpolation."""
    identity = compositor.scene._identity
    picture = detailed(identity.frame)
    to_crop = identity.transform / [DETAIL, DETAIL, 1]
    window = compositor._backend.window
    to_crop[:, 2] -= [window.left, window.top]
    size = picture.shape[1::-1]
    layer = cv2.warpAffine(
        compositor.layer(displacement),
        cv2.invertAffineTransform(to_crop.astype(np.float64)),
        size,
        flags=cv2.INTER_LINEAR,
    ).astype(np.float32)
    alpha = layer[..., 3:] / 255
    picture = np.rint(alpha * layer[..., :3] + (1 - alpha) * picture).astype(np.uint8)
    if eyelids:
        overlay = detailed(identity.blinks.overlays[eyelids - 1])
        top, left = (DETAIL * edge for edge in identity.blinks.box)
        picture[top : top + overlay.shape[0], left : left + overlay.shape[1]] = overlay
    return compositor.scene.warp.apply(picture, pose)
