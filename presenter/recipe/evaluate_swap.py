"""Evaluation of the face swap: whose face it is then, and whether pose and expression stay the target's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.face_square import FaceTexture
from models.face_swap import FaceSwap
from models.mesh import Floats, aperture, canonicalise
from models.tracker import FaceTracker
from presenter.config import AppConfig
from presenter.enroll.photo import close_lips
from presenter.errors import MediaError
from presenter.recipe.face_identity import FaceIdentity, is_available
from presenter.runtime.networks import load_networks
from presenter.video.face_track import FaceTrack, track_face
from presenter.video.swap import target_texture
from stream.errors import StreamError
from stream.files.reader import TimedFrame, iter_frames

_PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}
_SIZE = 512
_STEP = 5  # every so many frames are embedded
_FRAMES = 100  # of a clip at most


def evaluate_swaps(config: AppConfig, clips: list[Path], faces: Path, each: int = 3) -> dict[str, Any]:
    """Put photographed faces on filmed people.

    Args:
        config: Names the networks.
        clips: Videos of one person each.
        faces: Folder of photos, one face each.
        each: How many of them every clip gets, in turn.

    Returns:
        Means over all frames: cosine of dlib's embeddings to source and target, share of frames that are nearer to the
        source, pose error in degrees, and over clips the correlation of the lip opening with the target's.

    Raises:
        MediaError: If no clip or no photo can be used, or dlib is missing.
    """
    if not is_available():
        raise MediaError("the face swap is judged with dlib, which is not installed: pip install -e '.[train]'")
    photos = sorted(path for path in faces.rglob("*") if path.suffix.lower() in _PHOTOS)
    if not photos:
        raise MediaError(f"{faces}: expected photos ({', '.join(sorted(_PHOTOS))}), found none")
    network = FaceIdentity()
    movements = load_networks(config.engine).syncformer.movements()
    rows: list[dict[str, float]] = []
    turn = 0
    for path in tqdm(clips, desc="swapping", unit="clip"):
        try:
            frames = [frame for frame, _ in zip(iter_frames(path), range(_FRAMES), strict=False)]
            track = track_face(frames)
        except (MediaError, StreamError):
            continue
        for _ in range(each):
            photo = photos[(turn * 97) % len(photos)]
            turn += 1
            source = _photographed(network, photo, movements)
            if source is not None:
                rows.append(_judge(network, frames, track, *source))
    if not rows:
        raise MediaError("expected videos that show a face from the front, could use none")
    return {"pairs": len(rows)} | {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def _photographed(network: FaceIdentity, photo: Path, movements: Floats) -> tuple[FaceTexture, Floats] | None:
    """A photo's face as an enrolled one is, and its embedding; None if there is no face."""
    bgr = cv2.imread(str(photo))
    if bgr is None:
        return None
    with FaceTracker(video=False, max_faces=1) as tracker:
        rgb = np.ascontiguousarray(bgr[..., ::-1])
        found = tracker.track(rgb)
    if not found:
        return None
    mesh, pose = canonicalise(found[0])
    return FaceTexture.of(rgb, mesh, close_lips(mesh, movements), pose, _SIZE).bared(), network.embed(rgb, found[0])


def _judge(
    network: FaceIdentity, frames: list[TimedFrame], track: FaceTrack, source: FaceTexture, wanted: Floats
) -> dict[str, float]:
    swap = FaceSwap(source, target_texture(frames, track))
    to_source, to_target, errors, openings = [], [], [], []
    with FaceTracker(video=True, max_faces=1) as tracker:
        for k, (frame, face) in enumerate(zip(frames, track.faces, strict=True)):
            if face is None:
                continue
            made: NDArray[np.uint8] = swap.swap(frame.rgb, face.mesh, face.pose)
            found = tracker.track(made)
            if not found:
                continue
            mesh, pose = canonicalise(found[0])
            openings.append((float(aperture(face.mesh)), float(aperture(mesh))))
            errors.append(
                np.abs([pose.yaw_degrees - face.pose.yaw_degrees, pose.pitch_degrees - face.pose.pitch_degrees])
            )
            if k % _STEP == 0:
                embedded = network.embed(made, found[0])
                own = network.embed(frame.rgb, face.pose.project(face.mesh))
                to_source.append(float(embedded @ wanted))
                to_target.append(float(embedded @ own))
    nearer = np.mean(np.array(to_source) > np.array(to_target))
    yaw, pitch = np.mean(errors, 0)
    return {
        "cosine to source": float(np.mean(to_source)),
        "cosine to target": float(np.mean(to_target)),
        "nearer to source": float(nearer),
        "yaw error, degrees": float(yaw),
        "pitch error, degrees": float(pitch),
        "aperture r to target": float(np.corrcoef(np.array(openings).T)[0, 1]),
    }
