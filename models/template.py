"""A living template: a filmed stretch of a person with closed lips, shown there and back without end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats, Pose, topology

Picture = NDArray[np.uint8]

MAX_FRAMES = 300
"""Of a template, 12 s at 25 frames a second: about 20 MB as they are kept."""
_QUALITY = 95  # of the JPEGs, without chroma subsampling: 40 to 46 dB


@dataclass(frozen=True, eq=False)
class TemplateFrame:
    """A picture in which the mouth is moved. A photo is a template of one.

    Attributes:
        picture: `[H, W, 3]`.
        mesh: The face in it, canonical `[478, 3]`.
        rest: The same with the person's closed lips `[478, 3]`; displacements start here.
        pose: From canonical space to the picture's pixels.
    """

    picture: Picture
    mesh: Floats
    rest: Floats
    pose: Pose


@dataclass(frozen=True, eq=False)
class LivingTemplate:
    """The stretch. Pictures stay compressed: decoding one takes a millisecond, all of them would take 240 MB.

    Attributes:
        pictures: JPEGs of one size, at 25 frames a second, at most `MAX_FRAMES`.
        mattes: Where in each the person is, JPEGs; empty without.
        meshes: The faces in them, canonical `[T, 478, 3]`.
        poses: Of the faces.
        neutral: The person's closed-mouth mesh `[478, 3]`.
    """

    pictures: list[bytes]
    mattes: list[bytes]
    meshes: Floats
    poses: list[Pose]
    neutral: Floats

    def __len__(self) -> int:
        return len(self.pictures)

    def index(self, number: int) -> int:
        """Which picture is frame `number` of a stream: they go there and back, so that no step is larger than one."""
        last = len(self) - 1
        return last - abs(last - number % (2 * last)) if last else 0

    def frame(self, index: int) -> TemplateFrame:
        """A picture with its face."""
        coded = cv2.imdecode(np.frombuffer(self.pictures[index], np.uint8), cv2.IMREAD_COLOR)
        picture = cv2.cvtColor(coded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        return TemplateFrame(picture, self.meshes[index], self._rests[index], self.poses[index])

    def matte(self, index: int) -> Picture:
        """Where the person is in a picture `[H, W]`, 0 to 255."""
        coded = cv2.imdecode(np.frombuffer(self.mattes[index], np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(coded, np.uint8)

    @cached_property
    def _rests(self) -> Floats:
        return at_rest(self.meshes, self.neutral)


def at_rest(meshes: Floats, neutral: Floats) -> Floats:
    """Meshes `[..., 478, 3]` with the lips of another `[478, 3]`; what speech does not move stays as it is."""
    rest: Floats = meshes + topology().lower_face[:, None] * (neutral - meshes)
    return rest


def compress(picture: Picture) -> bytes:
    """A picture `[H, W, 3]` or matte `[H, W]` as `LivingTemplate` keeps it."""
    shown = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    how = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", shown, how)[1].tobytes()
