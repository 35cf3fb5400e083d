"""How someone moves the mouth while speaking, from the tracked frames of a film."""

from __future__ import annotations

import numpy as np
import torch

from models.identity import SpeakingStyle
from models.mesh import NUM_VERTICES, Floats, aperture, topology
from models.syncformer import StyleSyncFormer
from models.training.motion_data import to_coefficients
from presenter.video.face_track import Face
from stream.media import FPS

MIN_FRAMES = 2 * FPS
"""Of speech; less says little about how someone speaks."""
_TALKS = 0.01  # standard deviation of the lip opening within a second of speech, inter-ocular distances


def speaking_style(faces: list[Face | None], neutral: Floats, syncformer: StyleSyncFormer) -> SpeakingStyle | None:
    """The code of how a person speaks; None if less than `MIN_FRAMES` of the film show speech.

    Args:
        faces: Of each frame, 25 a second.
        neutral: The person's closed-mouth mesh `[478, 3]`.
        syncformer: Its encoder makes the code, and its basis the motion.
    """
    talking = _talking(faces)
    if len(talking) < MIN_FRAMES:
        return None
    displacement = (talking - neutral) * topology().lower_face[:, None]
    motion = to_coefficients(displacement, syncformer.basis.cpu().numpy())
    with torch.inference_mode():
        device = next(syncformer.parameters()).device
        return SpeakingStyle(syncformer.encode_style(torch.from_numpy(motion)[None].to(device))[0].cpu().clone())


def _talking(faces: list[Face | None]) -> Floats:
    """Meshes `[T, 478, 3]` of the seconds in which the lips move."""
    spoken: list[Floats] = []
    for start in range(0, len(faces), FPS):
        meshes = [face.mesh for face in faces[start : start + FPS] if face is not None]
        if len(meshes) > FPS // 2 and float(np.std(aperture(np.stack(meshes)))) > _TALKS:
            spoken += meshes
    return np.stack(spoken) if spoken else np.zeros((0, NUM_VERTICES, 3), np.float32)
