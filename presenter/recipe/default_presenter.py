"""Building the default presenter from the pictures that `presenter.studio` renders.

The head and the camera stand still in all of them, so that the rest pose's tracking holds for every
picture; each lower-face render is composited over the rest frame before tracking.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.crop import crop_points, crop_transform, cut_crop
from models.generator import Generator
from models.identity import Identity, StyleCode, picture_tensor
from models.mesh import Floats, Pose, canonicalise, topology
from models.still import Blinks
from models.tracker import FaceTracker
from models.training.generator import GeneratorTraining, train_generator
from models.weights import generator_path
from presenter.errors import MediaError
from presenter.runtime.identities import DEFAULT, shipped_dir
from presenter.runtime.identity_folder import save_identity

Picture = NDArray[np.uint8]
_HELD_OUT_EVERY = 10
_FADE = 8  # pixels over which a patch's border fades out


@dataclass(frozen=True, kw_only=True)
class DefaultPresenter:
    """Settings of the build.

    Attributes:
        renders: Folder that `presenter.studio.render` wrote.
        work: Folder for crops and the training's checkpoints.
        init: Base generator to personalise.
        out: Folder of the presenter.
        steps: Optimiser steps of the personalisation.
    """

    renders: Path
    work: Path = Path("cache/default")
    init: Path = generator_path()
    out: Path = shipped_dir() / DEFAULT
    steps: int = 1500


def build_default(settings: DefaultPresenter) -> None:
    """Track, personalise and write the presenter."""
    rest = _read(settings.renders / "base_rest.png")
    matte = _read(settings.renders / "matte.png")[..., 0]  # as rendered: exact where hair meets the background
    scene = json.loads((settings.renders / "scene.json").read_text())
    landmarks = _track(rest)
    mesh, pose = canonicalise(landmarks)
    _write_crops(settings, scene, rest, mesh, pose)
    training = GeneratorTraining(
        crops=settings.work / "crops",
        out=settings.work / "generator.safetensors",
        init=settings.init,
        personal=True,
        steps=settings.steps,
        sharpen_from=settings.steps // 4,
        learning_rate=3e-4,
        adversarial_weight=0.0,  # a hundred pictures are enough supervision, and it adds noise
    )
    train_generator(training)
    generator = Generator.load(training.out)
    with torch.inference_mode():
        crop = picture_tensor(cut_crop(rest, crop_transform(pose)))
        style = StyleCode(generator.style_code(crop)[0].clone())
    blinks = _read_blinks(settings.renders, rest, scene)
    identity = Identity(DEFAULT, rest, mesh, mesh.copy(), pose, style, generator.fingerprint, None, blinks, matte)
    save_identity(settings.out, identity, training.out)


def _read(path: Path) -> Picture:
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise MediaError(f"expected a rendered picture at {path}, found none")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _track(rgb: Picture) -> Floats:
    with FaceTracker(video=False, max_faces=1) as tracker:
        faces = tracker.track(rgb)
    if not faces:
        raise MediaError("expected a face in the rendered rest pose, found none")
    return faces[0]


def _read_blinks(renders: Path, frame: Picture, scene: dict[str, dict[str, dict[str, int]]]) -> Blinks:
    """Eyelid overlays; the first picture of the set shows the eyes at rest and is skipped."""
    box = scene["boxes"]["eyes"]
    patch = frame[box["top"] : box["bottom"], box["left"] : box["right"]]
    _, *closing = sorted((renders / "blink").glob("*.png"))
    # Blended as they are: with lashes in the picture, differences from the rest pose leave bright specks.
    overlays = [_blend(patch, _read(path).astype(np.float32)) for path in closing]
    return Blinks((box["top"], box["left"]), np.stack(overlays))


def _onto(patch: Picture, picture: Picture, rest: Picture) -> Picture:
    """Lay what a picture changes from the rest pose over a patch.

    Pictures of one set share their noise and their denoiser's habits; only differences carry over.
    """
    return _blend(patch, patch + (picture.astype(np.float32) - rest))


def _blend(patch: Picture, picture: Floats) -> Picture:
    """A picture in the middle of a patch, faded out towards the patch's border."""
    height, width = patch.shape[:2]
    y, x = np.minimum(np.arange(height), np.arange(height)[::-1]), np.minimum(np.arange(width), np.arange(width)[::-1])
    fade = np.clip(np.minimum(y[:, None], x[None, :]) / _FADE, 0, 1)[..., None]
    blended = patch + fade * (picture - patch)
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def _write_crops(
    settings: DefaultPresenter, scene: dict[str, dict[str, dict[str, int]]], rest: Picture, mesh: Floats, pose: Pose
) -> None:
    """Cut every lower-face render into the generator's crop, with its tracked mesh."""
    transform = crop_transform(pose)
    scale = float(scene["crop_scale"])  # type: ignore[arg-type]
    enlarged = cv2.resize(rest, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    box = scene["boxes"]["lower_face"]
    top, left = round(box["top"] * scale), round(box["left"] * scale)
    # The enlarged frame's pixel centres: u = scale * (x + 0.5) - 0.5.
    larger = transform.astype(np.float64).copy()
    larger[:, :2] /= scale
    larger[:, 2] += larger[:, :2] @ np.full(2, 0.5 - 0.5 * scale)
    weights = topology().lower_face[:, None]
    images, points, about = [cut_crop(rest, transform)], [crop_points(mesh, mesh, pose, transform)], [_facts(0)]
    with FaceTracker(video=False, max_faces=1) as tracker:
        paths = sorted((settings.renders / "crops").glob("*.png"))
        at_rest = _read(paths[0])
        region = np.s_[top : top + at_rest.shape[0], left : left + at_rest.shape[1]]
        for number, path in enumerate(tqdm(paths[1:], desc="tracking"), 1):
            whole = enlarged.copy()
            whole[region] = _onto(enlarged[region], _read(path), at_rest)
            faces = tracker.track(whole)
            if not faces:
                continue
            seen = (faces[0] + [0.5, 0.5, 0.0]) / scale - [0.5, 0.5, 0.0]
            moved = mesh + (pose.unproject(seen.astype(np.float32)) - mesh) * weights
            images.append(cut_crop(whole.astype(np.uint8), larger.astype(np.float32)))
            points.append(crop_points(moved, mesh, pose, transform))
            about.append(_facts(number))
    folder = settings.work / "crops"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", np.stack(images))
    np.save(folder / "points.npy", np.stack(points).astype(np.float32))
    (folder / "about.json").write_text(json.dumps(about))


def _facts(number: int) -> dict[str, object]:
    held_out = number % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    facts = {"corpus": DEFAULT, "clip": DEFAULT, "speaker": DEFAULT, "held_out": held_out}
    return facts | {"rest": number == 0}
