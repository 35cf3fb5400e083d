"""What of a frame is not the rendered mouth: a still picture whose head moves, or a video of a quiet person."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from models.crop import Window, crop_transform
from models.detail import Mouth
from models.head_motion import AT_REST, HeadPose
from models.head_warp import HeadWarp
from models.identity import READ_HEIGHT, Identity
from models.matting import Cutout, MattingError, draw_matte
from models.mesh import Floats
from models.still import DETAIL, LivingStill, Paster, Picture, Placement, blended, detailed
from models.template import LivingTemplate, TemplateFrame
from models.upper_face import UpperFace, UpperFaceWarp


class Scene(Protocol):
    """Frames without a mouth of their own; called from one thread."""

    warp: HeadWarp
    """How its head moves."""
    is_fine: bool
    """Whether its frames are finer than the crop, so that mouths need their `Detail`."""

    def index(self, number: int) -> int:
        """Which template frame is shown as frame `number` of a stream."""

    def template(self, index: int) -> TemplateFrame:
        """A template frame, as the generator reads it."""

    def transform(self, index: int) -> Floats:
        """The affine map `[2, 3]` from a frame as it is shown to the crop."""

    def behind(self, index: int, eyelids: int) -> Picture:
        """What lies behind the layer: `detailed` `[2 H, 2 W, 4]`, or a frame `[H, W, 3]`; not to be kept or changed."""

    def prepare_cutout(self) -> None:
        """Compute what frames without a background need.

        Raises:
            MattingError: If there is no matte and none can be made.
        """

    def compose(
        self, mouth: Mouth, index: int, pose: HeadPose, eyelids: int, upper: UpperFace | None = None, *, cutout: bool
    ) -> list[Picture]:
        """The frame that shows a mouth on a template frame `[H, W, 3]`, and if asked the same cut out `[H, W, 4]`.

        Args:
            mouth: The rendered mouth.
            index: Of the template frame.
            pose: Of the head.
            eyelids: Level of closure.
            upper: By how much brows and irises move; a video has its own.
            cutout: Whether it is asked.
        """


class StillScene:
    """A still picture: the head moves as it is told, and eyelids are laid over it.

    Args:
        identity: Whose picture.
        window: What of the crop is rendered.
    """

    def __init__(self, identity: Identity, window: Window) -> None:
        self._identity = identity
        self._read = identity.read
        self.is_fine = identity.frame.shape[0] > READ_HEIGHT
        self._placement = Placement(identity.transform, window)
        self.warp = _head_warp(identity)
        self._still = LivingStill(detailed(identity.frame), identity.blinks)
        self._cutout: LivingStill | None = None
        self._upper_warp: UpperFaceWarp | None = None

    def index(self, number: int) -> int:
        """See `Scene`: there is but one."""
        return 0

    def template(self, index: int) -> TemplateFrame:
        """See `Scene`."""
        identity = self._read
        return TemplateFrame(identity.frame, identity.mesh, identity.neutral, identity.pose)

    def transform(self, index: int) -> Floats:
        """See `Scene`."""
        return self._identity.transform

    def behind(self, index: int, eyelids: int) -> Picture:
        """See `Scene`."""
        return self._still.with_eyes(eyelids)

    def prepare_cutout(self) -> None:
        """See `Scene`; a presenter without a stored matte gets one, which takes a second or two."""
        self.cut_out()

    def cut_out(self) -> LivingStill:
        """The still without its background, colour and straight alpha; computed at the first call, and kept.

        Raises:
            MattingError: If the presenter has no matte and none can be made.
        """
        if self._cutout is None:
            frame, stored = self._identity.frame, self._identity.matte
            cutout = Cutout.of(frame, draw_matte(frame) if stored is None else stored)
            twice = Cutout(detailed(cutout.matte), detailed(cutout.colours))
            self._cutout = LivingStill(twice.apply(detailed(frame)), self._identity.blinks)
        return self._cutout

    def compose(
        self, mouth: Mouth, index: int, pose: HeadPose, eyelids: int, upper: UpperFace | None = None, *, cutout: bool
    ) -> list[Picture]:
        """See `Scene`."""
        shifts = self.warp.shifts(pose)
        positions = self.warp.positions(shifts)
        if upper is not None:
            self._upper().move(positions, shifts, self.warp.box, upper, eyelids)
        face = self._placement.region(shifts, self.warp.box)
        colour, opacity = self._placement.place(mouth, positions[face], self._still.with_eyes(eyelids))
        frames = []
        for still in [self._still, self.cut_out()] if cutout else [self._still]:
            frame = still.frame.copy()
            moved = still.moved(eyelids, positions)
            moved[face] = blended(colour, opacity, moved[face])
            frame[self.warp.box] = moved
            frames.append(frame)
        return frames

    def _upper(self) -> UpperFaceWarp:
        """Computed when it is first used: most presenters only speak."""
        if self._upper_warp is None:
            identity = self._identity
            self._upper_warp = UpperFaceWarp(identity.pose.project(identity.mesh), identity.pose.scale)
        return self._upper_warp


class FilmedScene:
    """A living template: head, eyes and breath are the video's own; a pose that is asked for is added to them.

    Args:
        identity: Who it shows.
        film: Its template.
        window: What of the crop is rendered.
    """

    def __init__(self, identity: Identity, film: LivingTemplate, window: Window) -> None:
        self.is_fine = False
        self._film = film
        self._window = window
        self.warp = _head_warp(identity)
        self._last = 0, film.frame(0)

    def index(self, number: int) -> int:
        """See `Scene`."""
        return self._film.index(number)

    def template(self, index: int) -> TemplateFrame:
        """See `Scene`; the last one is kept."""
        if self._last[0] != index:
            self._last = index, self._film.frame(index)
        return self._last[1]

    def transform(self, index: int) -> Floats:
        """See `Scene`."""
        return crop_transform(self.template(index).pose)

    def behind(self, index: int, eyelids: int) -> Picture:
        """See `Scene`; eyelids are the video's own."""
        return self.template(index).picture

    def prepare_cutout(self) -> None:
        """See `Scene`: mattes are drawn at enrolment."""
        if not self._film.mattes:
            raise MattingError("the presenter's video shows no person before a background; enrol another one")

    def compose(
        self, mouth: Mouth, index: int, pose: HeadPose, eyelids: int, upper: UpperFace | None = None, *, cutout: bool
    ) -> list[Picture]:
        """See `Scene`; eyelids are the video's own."""
        shown = self.template(index)
        height, width = shown.picture.shape[:2]
        paster = Paster((height, width), self.transform(index), self._window)
        frames = [shown.picture.copy()]
        if cutout:
            frames.append(Cutout.of(shown.picture, self._film.matte(index)).apply(shown.picture))
        positions = None if pose == AT_REST else self.warp.positions(self.warp.shifts(pose)) / np.float32(DETAIL)
        for frame in frames:
            paster.paste_layer(frame, mouth.layer)
            if positions is not None:
                frame[self.warp.box] = cv2.remap(
                    frame, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
                )
        return frames


def scene_of(identity: Identity, window: Window) -> Scene:
    """The scene of an identity: its video if it has one, else its picture."""
    if identity.template is None:
        return StillScene(identity, window)
    return FilmedScene(identity, identity.template, window)


def _head_warp(identity: Identity) -> HeadWarp:
    height, width = identity.frame.shape[:2]
    return HeadWarp((height, width), identity.pose.project(identity.mesh), identity.pose.scale)
