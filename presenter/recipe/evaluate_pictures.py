"""Picture quality: tracked motion rendered from one reference frame, against the clip itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.crop import crop_mask, crop_points, crop_rasteriser, crop_transform, cut_crop
from models.folded import FoldedGenerator
from models.generator import Generator
from models.identity import picture_tensor
from models.layer import Layer, Planes, layer_of_picture
from models.live_inputs import masked_target, match_colour, mouth_gap, planes_of
from models.mesh import Floats, aperture
from models.metrics import mouth_box, psnr, sharpness, ssim
from models.mouth_interior import interior_look
from models.raster import Drawn
from models.rest_error import laid_over, rest_error
from models.still import Paster
from presenter.recipe import face_identity
from presenter.recipe.tracked_clip import TrackedClip

Picture = NDArray[np.uint8]
_STEP = 5  # every fifth frame is rendered
_EMBEDDED = 3  # of those, so many are compared by the slow face recognition network


class PictureJudge:
    """Compares what a generator renders with what was filmed.

    Args:
        generator: The base generator; it gets one frame of each clip, the most closed mouth.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._rasteriser = crop_rasteriser()
        self._identity = face_identity.FaceIdentity() if face_identity.is_available() else None

    def judge(self, clip: TrackedClip) -> dict[str, float]:
        """Mean figures over every fifth frame, without the reference itself."""
        best = int(aperture(clip.meshes).argmin())
        reference, source = _crop(clip, best)
        with torch.inference_mode():
            folded = self._generator.fold(self._generator.style_code(picture_tensor(reference))[0])
        at_rest = self._layer(folded, reference, source, reference, source)[0]
        error = rest_error(at_rest, reference, source, folded.window)
        rows: list[dict[str, float]] = []
        similar: list[float] = []
        frames = [i for i in range(0, len(clip.frames), _STEP) if i != best]
        for i in frames:
            target, points = _crop(clip, i)
            made, warped = self._render(folded, target, points, match_colour(reference, target), source, error)
            box = mouth_box(points, len(target))
            rows.append(
                {
                    "mouth_psnr_db": psnr(made[box], target[box]),
                    "mouth_psnr_db_warp_only": psnr(warped[box], target[box]),
                    "mouth_ssim": ssim(made[box], target[box]),
                    "mouth_ssim_warp_only": ssim(warped[box], target[box]),
                    "sharpness_ratio": sharpness(made[box]) / max(sharpness(target[box]), 1e-3),
                }
            )
            if self._identity is not None and i in frames[:: max(1, len(frames) // _EMBEDDED)]:
                similar.append(self._similarity(clip, i, made))
        figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return figures | ({"identity_cosine": float(np.mean(similar))} if similar else {})

    def _render(
        self,
        folded: FoldedGenerator,
        target: Picture,
        points: Floats,
        reference: Picture,
        source: Floats,
        error: Floats,
    ) -> tuple[Picture, Picture]:
        """The crop as generated, and as the bare warp of the reference."""
        mask, window = crop_mask()[..., None], folded.window
        layer, planes, drawn = self._layer(folded, target, points, reference, source)
        layer = laid_over(layer, drawn.moved(reference - error), planes, window)
        # The reference is blended over, as live: the target must not be visible.
        made = target * (1 - mask) + reference * mask
        covered = made[window.top : window.bottom, window.left : window.right]
        covered += layer[..., 3:] / np.float32(255) * (layer[..., :3] - covered)
        warped = target * (1 - mask) + planes[..., :3] * mask
        return _to_picture(made), _to_picture(warped)

    def _layer(
        self, folded: FoldedGenerator, target: Picture, points: Floats, reference: Picture, source: Floats
    ) -> tuple[Layer, Planes, Drawn]:
        look = interior_look(reference, source) if folded.painted_interior else None
        drawn = self._rasteriser.draw(points, source, reference)
        planes = planes_of(drawn, points, mouth_gap(source), look)
        with torch.inference_mode():
            encoded = folded.encode_target(masked_target(picture_tensor(target)))
            return layer_of_picture(folded(encoded, picture_tensor(planes)), folded.window), planes, drawn

    def _similarity(self, clip: TrackedClip, i: int, made: Picture) -> float:
        """Cosine between the embeddings of the filmed frame and of the same frame with the rendered crop."""
        assert self._identity is not None
        frame = clip.frames[i].copy()
        layer = np.concatenate([made.astype(np.float32) / 255, np.ones((*made.shape[:2], 1), np.float32)], -1)
        Paster((frame.shape[0], frame.shape[1]), crop_transform(clip.poses[i])).paste(frame, layer.transpose(2, 0, 1))
        landmarks = clip.poses[i].project(clip.meshes[i])
        return float(self._identity.embed(frame, landmarks) @ self._identity.embed(clip.frames[i], landmarks))


def _crop(clip: TrackedClip, i: int) -> tuple[Picture, Floats]:
    transform = crop_transform(clip.poses[i])
    points = crop_points(clip.meshes[i], clip.neutral, clip.poses[i], transform)
    return cut_crop(clip.frames[i], transform), points


def _to_picture(values: NDArray[Any]) -> Picture:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
