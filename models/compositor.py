"""From a mesh displacement to a finished frame: rasterise, generate, move the head, composite the rendered face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import Window, crop_points, crop_rasteriser, crop_transform, cut_crop, to_crop
from models.detail import Mouth, detail_of
from models.head_motion import AT_REST, HeadPose
from models.identity import Identity, picture_tensor
from models.layer import Layer, Planes
from models.live_inputs import masked_target, planes_of
from models.mesh import NUM_VERTICES, Floats
from models.mouth_interior import interior_look
from models.raster import Drawn
from models.references import Mixer, References
from models.rest_error import laid_over, rest_error
from models.scene import scene_of
from models.template import TemplateFrame
from models.upper_face import UpperFace

Picture = NDArray[np.uint8]
_ELSEWHERE = 2.0  # pixels by which a face in a film lies elsewhere in its crop from frame to frame


class Backend(Protocol):
    """A folded generator, however it is computed; see `models.backends`."""

    window: Window
    """The part of the crop that it renders."""
    painted_interior: bool
    """Whether its live inputs are to show a painted mouth interior; see `GeneratorConfig`."""

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features of a masked template `[1, 3, 256, 256]`, to be computed once."""

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """The layer of the window `[h, w, 4]` from those features and live inputs `[256, 256, 6]`."""


class FrameCompositor:
    """Composes the frames of one identity.

    What depends only on a template frame is computed once for a photo, and when it is shown for a video; a frame costs
    one rasterisation and one pass of the folded generator on top. Call it from one thread.

    Args:
        identity: The presenter whose frames are composed.
        backend: The folded generator.
    """

    def __init__(self, identity: Identity, backend: Backend) -> None:
        self._backend = backend
        self._rasteriser = crop_rasteriser()
        self.scene = scene_of(identity, backend.window)
        """What of the frames is not the rendered mouth."""
        first = Prepared(self.scene.template(0), backend.encode_target)
        self._look = (
            interior_look(first.reference, first.source, identity.sunk_teeth) if backend.painted_interior else None
        )
        self._prepared = 0, first
        self._error = first.correct(self.layer(first.own_displacement), backend.window)
        self._references = identity.references
        first.mix_with(self._references)

    def points(self, displacement: Floats, number: int = 0) -> Floats:
        """The extended mesh in the crop `[514, 3]` for a displacement `[478, 3]` from neutral; see `frame`."""
        return self._at(number).points(displacement)

    def planes(self, displacement: Floats, number: int = 0) -> Planes:
        """The generator's live inputs `[256, 256, 6]` for a displacement; see `frame`."""
        return self._drawn(displacement, self._at(number))[1]

    def layer(self, displacement: Floats, number: int = 0) -> Layer:
        """Colour and opacity of the rendered window of the crop `[h, w, 4]`; see `frame`."""
        return self.mouth(displacement, number).layer

    def mouth(self, displacement: Floats, number: int = 0) -> Mouth:
        """The rendered mouth; see `frame`."""
        prepared = self._at(number)
        drawn, planes = self._drawn(displacement, prepared)
        window = self._backend.window
        with torch.inference_mode():
            layer = self._backend.render(prepared.target, planes)
        detail = detail_of(drawn, prepared.reference, planes, window) if self.scene.is_fine else None
        return Mouth(laid_over(layer, drawn.moved(prepared.base), planes, window), detail)

    def frame(self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0, number: int = 0) -> Picture:
        """A finished frame `[H, W, 3]`, newly allocated.

        Args:
            displacement: Of the mesh from its neutral `[478, 3]`, inter-ocular distances.
            pose: Of the head.
            eyelids: Level of closure, 0 for open eyes to `EYES_CLOSED`; a video has its own.
            number: Of the frame in its stream: it says which frame of a video is shown.
        """
        return self.compose(self.mouth(displacement, number), pose, eyelids, number)

    def compose(
        self, mouth: Mouth, pose: HeadPose, eyelids: int, number: int = 0, upper: UpperFace | None = None
    ) -> Picture:
        """The frame `[H, W, 3]` that shows a rendered mouth; `upper` moves brows and irises of a still."""
        return self.scene.compose(mouth, self.scene.index(number), pose, eyelids, upper, cutout=False)[0]

    def frame_and_cutout(
        self, displacement: Floats, pose: HeadPose = AT_REST, eyelids: int = 0, number: int = 0
    ) -> tuple[Picture, Picture]:
        """A finished frame `[H, W, 3]`, and the same without its background `[H, W, 4]`: colour and straight alpha.

        Args as of `frame`, errors as of `prepare_cutout`.
        """
        return self.compose_with_cutout(self.mouth(displacement, number), pose, eyelids, number)

    def compose_with_cutout(
        self, mouth: Mouth, pose: HeadPose, eyelids: int, number: int = 0, upper: UpperFace | None = None
    ) -> tuple[Picture, Picture]:
        """`frame_and_cutout` of a rendered mouth, `upper` as of `compose`."""
        plain, cutout = self.scene.compose(mouth, self.scene.index(number), pose, eyelids, upper, cutout=True)
        return plain, cutout

    def prepare_cutout(self) -> None:
        """Compute what frames without a background need; see `Scene.prepare_cutout`."""
        self.scene.prepare_cutout()

    def _drawn(self, displacement: Floats, prepared: Prepared) -> tuple[Drawn, Planes]:
        points = prepared.points(displacement)
        mix = prepared.mixer.mix(points)
        drawn = self._rasteriser.draw_mix(points, mix)
        return drawn, planes_of(drawn, points, mix.gap, self._look)

    def _at(self, number: int) -> Prepared:
        index = self.scene.index(number)
        if self._prepared[0] != index:
            prepared = Prepared(self.scene.template(index), self._backend.encode_target, self._error)
            prepared.mix_with(self._references)
            self._prepared = index, prepared
        return self._prepared[1]


class Prepared:
    """What the generator needs of a template frame, whatever its mouth does."""

    def __init__(
        self, frame: TemplateFrame, encode_target: Callable[[Tensor], Tensor], error: Floats | None = None
    ) -> None:
        """Prepare a frame.

        Args:
            frame: Of the template.
            encode_target: The generator's, see `Backend`.
            error: From `correct` of another frame of the template.
        """
        transform = crop_transform(frame.pose)
        self.reference = cut_crop(frame.picture, transform, sharp=True)
        self.base = self.reference.astype(np.float32) - (0 if error is None else error)
        """What the generator's residual is laid over `[256, 256, 3]`; see `models.rest_error`."""
        with torch.inference_mode():
            self.target = encode_target(masked_target(picture_tensor(self.reference)))
        self.source = crop_points(frame.mesh, frame.rest, frame.pose, transform)
        self.mix_with(None)
        self.own_displacement = frame.mesh - frame.rest
        """That of the frame itself `[478, 3]`."""
        self._to_crop = to_crop(frame.pose.scale * frame.pose.rotation.T, _without_offset(transform))

    def mix_with(self, references: References | None) -> None:
        """Mix the frame's own crop with the person's references from now on, if there are any."""
        self.mixer = Mixer(self.reference, self.source, references)

    def correct(self, layer: Layer, window: Window) -> Floats:
        """Take away what the generator changes in this frame at rest.

        Args:
            layer: Rendered of `own_displacement`, before this.
            window: Of the layer.

        Returns:
            The error for the template's other frames `[256, 256, 3]`, blurred, since they lie a little elsewhere.
        """
        error = rest_error(layer, self.reference, self.source, window)
        self.base -= error
        return np.asarray(cv2.GaussianBlur(error, (0, 0), _ELSEWHERE), np.float32)

    def points(self, displacement: Floats) -> Floats:
        """The extended mesh in the crop `[514, 3]` for a displacement `[478, 3]` from rest."""
        points = self.source.copy()
        points[:NUM_VERTICES] += (displacement - self.own_displacement) @ self._to_crop
        return points


def _without_offset(transform: Floats) -> Floats:
    """The linear part of an affine map `[2, 3]`, for differences of points."""
    return np.concatenate([transform[:, :2], np.zeros((2, 1), np.float32)], 1)
