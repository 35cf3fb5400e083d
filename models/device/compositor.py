"""The frames of one identity, composed on a device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.compositor import Prepared
from models.crop import crop_rasteriser
from models.detail import Mouth, detail_of
from models.device.frame_step import Shown, live_numbers
from models.device.mouth import mouth_look
from models.device.slots import DeviceSlot
from models.head_motion import AT_REST, HeadPose
from models.identity import Identity, StyleCode
from models.layer import Layer
from models.live_inputs import mouth_gap, planes_of
from models.mesh import NUM_VERTICES, Floats
from models.mouth_interior import interior_look
from models.scene import scene_of
from models.still import window_map
from models.upper_face import UpperFace

Picture = NDArray[np.uint8]


class DeviceCompositor:
    """`FrameCompositor` on a device: a photo crosses once, a video's frames and eyelids when they change.

    Pictures without a background are composed on the CPU, from the device's layer. Call it from one thread.

    Args:
        identity: The presenter whose frames are composed.
        slot: Where; used by nobody else meanwhile.
        style: The identity's W of the slot's generator.
    """

    def __init__(self, identity: Identity, slot: DeviceSlot, style: StyleCode) -> None:
        self._slot = slot
        self._style = style
        self._window = slot.frames.step.window
        self.scene = scene_of(identity, self._window)
        """What of the frames is not the rendered mouth."""
        first = Prepared(self.scene.template(0), slot.frames.step.encode_target)
        self._look = interior_look(first.reference, first.source, identity.sunk_teeth)
        self._show(0, first)
        self._error = first.correct(self.layer(first.own_displacement), self._window)
        self._references = identity.references
        if self._references is not None:
            slot.show_references(self._references)
        first.mix_with(self._references)
        self._show(0, first)
        self._behind = -1, 0

    def frame(self, displacement: Floats, pose: HeadPose, eyelids: int, number: int = 0) -> Picture:
        """A finished frame in YUV 4:2:0 `[3 H / 2, W]`; see `FrameCompositor.frame`."""
        behind = self.scene.index(number), eyelids
        if behind != self._behind:
            self._slot.show_picture(self.scene.behind(*behind))
            self._behind = behind
        return self._slot.render(self._live(displacement, pose, behind[0])).planes

    def layer(self, displacement: Floats, number: int = 0) -> Layer:
        """Colour and opacity of the rendered window of the crop `[h, w, 4]`; see `FrameCompositor.frame`."""
        return self._slot.render(self._live(displacement, AT_REST, self.scene.index(number))).layer

    def mouth(self, displacement: Floats, number: int = 0) -> Mouth:
        """The rendered mouth, for pictures without a background; see `FrameCompositor.frame`."""
        layer = self.layer(displacement, number)
        if not self.scene.is_fine:
            return Mouth(layer)
        prepared = self._prepared
        points = prepared.points(displacement)
        drawn = crop_rasteriser().draw(points, prepared.source, prepared.reference)
        planes = planes_of(drawn, points, mouth_gap(prepared.source), None)
        return Mouth(layer, detail_of(drawn, prepared.reference, planes, self._window))

    def compose_with_cutout(
        self, mouth: Mouth, pose: HeadPose, eyelids: int, number: int = 0, upper: UpperFace | None = None
    ) -> tuple[Picture, Picture]:
        """See `FrameCompositor`."""
        plain, cutout = self.scene.compose(mouth, self.scene.index(number), pose, eyelids, upper, cutout=True)
        return plain, cutout

    def prepare_cutout(self) -> None:
        """See `FrameCompositor`."""
        self.scene.prepare_cutout()

    def _prepare(self, index: int) -> Prepared:
        prepared = Prepared(self.scene.template(index), self._slot.frames.step.encode_target, self._error)
        prepared.mix_with(self._references)
        return prepared

    def _live(self, displacement: Floats, pose: HeadPose, index: int) -> Floats:
        if index != self._index:
            self._show(index, self._prepare(index))
        prepared = self._prepared
        return live_numbers(prepared.points(displacement), self.scene.warp.change(pose), prepared.mixer)

    def _show(self, index: int, prepared: Prepared) -> None:
        """Show a template frame from now on."""
        at_rest = prepared.points(np.zeros((NUM_VERTICES, 3), np.float32))
        to_window = window_map(self.scene.transform(index), self._window)
        self._slot.show(
            Shown(
                style=self._style,
                target=prepared.target[0],
                reference=torch.from_numpy(prepared.reference.transpose(2, 0, 1)),
                base=torch.from_numpy(prepared.base.transpose(2, 0, 1)),
                source=torch.from_numpy(prepared.source[:, :2]),
                field=torch.from_numpy(self.scene.warp.field),
                to_window=torch.from_numpy(to_window),
                look=mouth_look(self._look, at_rest),
            )
        )
        self._prepared, self._index = prepared, index
