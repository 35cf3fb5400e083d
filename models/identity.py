"""An identity: everything that is constant while one presenter is live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NewType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import crop_transform, cut_crop
from models.eyelids import draw_blinks
from models.matting import Matte
from models.mesh import Floats, Pose
from models.references import References
from models.still import Blinks
from models.template import LivingTemplate

StyleCode = NewType("StyleCode", Tensor)  # W of the generator, [style_dim]
READ_HEIGHT = 512
"""Of the picture that the generator's crop is cut from: there a face is as fine as the crop."""
SpeakingStyle = NewType("SpeakingStyle", Tensor)  # the code injected in the Transformer, [S]


@dataclass(frozen=True, eq=False)
class WholePhoto:
    """The whole photo that a frame was cut from.

    Attributes:
        picture: `[H, W, 3]`, sides multiples of 4.
        box: `(left, top, side)` of the square that the frame shows, pixels.
    """

    picture: NDArray[np.uint8]
    box: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Identity:
    """One presenter.

    Attributes:
        name: What users call it.
        frame: The picture that is animated `[H, W, 3]`, mouth closed; also the generator's reference.
        mesh: The face in the frame, canonical `[478, 3]`.
        neutral: The same with closed lips `[478, 3]`; displacements start here.
        pose: From canonical space to the frame's pixels.
        style_code: W, computed once at enrolment.
        style_of: Fingerprint of the generator whose W it is.
        speaking_style: How this presenter moves; None for the neutral style.
        blinks: Eyelid overlays.
        matte: Where in the frame the person is `[H, W]`; None if it was enrolled without.
        template: The video of the person that is animated instead of the frame; None if there is but the frame.
        references: Other mouths of the person, to be shown where they are nearest; None without.
        sunk_teeth: How much lower than on the mean head the lower teeth are painted; see `InteriorLook`.
        photo: What the frame was cut from, if that shows more.
        head: What the generator reads where the frame shows more than head and shoulders; None for the frame.
    """

    name: str
    frame: NDArray[np.uint8]
    mesh: Floats
    neutral: Floats
    pose: Pose
    style_code: StyleCode
    style_of: str
    speaking_style: SpeakingStyle | None
    blinks: Blinks
    matte: Matte | None
    template: LivingTemplate | None = None
    references: References | None = None
    sunk_teeth: float = 0.0
    photo: WholePhoto | None = None
    head: Identity | None = None

    @property
    def read(self) -> Identity:
        """As the generator reads it."""
        return (self.head or self).shrunk(READ_HEIGHT)

    def whole(self) -> Identity:
        """The same with the whole photo as its frame, if there is one; its eyelids are drawn there."""
        if self.photo is None:
            return self
        (left, top, side), picture = self.photo.box, self.photo.picture
        pose = self.pose.enlarged(side / self.frame.shape[0])
        pose = replace(pose, translation=pose.translation + np.array([left, top, 0], np.float32))
        blinks = draw_blinks(picture, pose.project(self.mesh))
        return replace(self, frame=picture, pose=pose, blinks=blinks, matte=None, photo=None, head=self)

    def shrunk(self, height: int) -> Identity:
        """The same with a picture that is no higher than `height` pixels; a video stays as it is."""
        rows = self.frame.shape[0]
        if rows <= height or self.template is not None:
            return self

        def smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return _shrunk(picture, height)

        return replace(
            self,
            frame=smaller(self.frame),
            pose=self.pose.enlarged(height / rows),
            blinks=self.blinks.resized(self.frame, smaller),
            matte=None if self.matte is None else smaller(self.matte),
        )

    @property
    def transform(self) -> Floats:
        """Affine map `[2, 3]` from frame to crop pixels."""
        return crop_transform(self.pose)

    @property
    def reference(self) -> NDArray[np.uint8]:
        """The face crop `[256, 256, 3]`."""
        read = self.read
        return read_crop(read.frame, read.pose)


def read_crop(frame: NDArray[np.uint8], pose: Pose) -> NDArray[np.uint8]:
    """The face crop `[256, 256, 3]` as the generator reads it from a frame `[H, W, 3]` of any size."""
    factor = min(READ_HEIGHT / frame.shape[0], 1.0)
    read = _shrunk(frame, READ_HEIGHT) if factor < 1 else frame
    return cut_crop(read, crop_transform(pose.enlarged(factor)))


def _shrunk(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    rows, columns = picture.shape[:2]
    size = (round(columns * height / rows), height)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def picture_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """A picture `[H, W, 3]` as a tensor `[1, 3, H, W]` in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float().div_(255)
