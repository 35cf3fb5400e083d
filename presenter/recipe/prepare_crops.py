"""Face crops for the generator, cut from tracked clips and from still portraits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.crop import CROP_SIZE, crop_points, crop_transform, cut_crop
from models.mesh import NUM_VERTICES, Floats, aperture, canonicalise
from models.tracker import FaceTracker
from models.training.splits import is_held_out
from presenter.recipe.prepare import iter_shards, poses_of
from stream.files.reader import iter_video
from stream.media import FPS

_FRAMES_PER_CLIP = {
    "grid_s1": 6,
    "styletalk": 70,
    "vidtimit_fadg0": 30,
    "mcgurk": 20,
    "style_clips": 30,
    "lipreading_silent": 10,
}
Picture = NDArray[np.uint8]
_POINTS = NUM_VERTICES + 36
_MAX_YAW = 35.0


def _spread(opening: Floats, count: int) -> list[int]:
    """Frames that cover the range of mouth openings evenly."""
    order = np.argsort(opening)
    picks = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return sorted({int(i) for i in picks})


def _clip_crops(tracks: Path) -> Iterator[tuple[Picture, Floats, dict[str, object]]]:
    for name, fields in iter_shards(tracks):
        corpus, clip = name.split("/")
        picks = set(_spread(aperture(fields["mesh"]), _FRAMES_PER_CLIP[corpus]))
        poses = poses_of(fields)
        speaker = str(fields["speaker"])
        held_out = is_held_out(corpus, clip, speaker)
        for i, rgb in enumerate(iter_video(Path(str(fields["video"])), fps=FPS)):
            if i not in picks or abs(poses[i].yaw_degrees) > _MAX_YAW:
                continue
            transform = crop_transform(poses[i])
            points = crop_points(fields["mesh"][i], fields["neutral"], poses[i], transform)
            about = {"corpus": corpus, "clip": clip, "speaker": speaker, "held_out": held_out}
            yield cut_crop(rgb, transform), points, about


def _still_crops(data: Path) -> Iterator[tuple[Picture, Floats, dict[str, object]]]:
    with FaceTracker(video=False) as tracker:
        for path in sorted((data / "faces").glob("*.jpg")):
            bgr = cv2.imread(str(path))
            if bgr is None:
                continue
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)
            faces = tracker.track(rgb)
            if len(faces) != 1:
                continue
            mesh, pose = canonicalise(faces[0])
            if abs(pose.yaw_degrees) > _MAX_YAW:
                continue
            transform = crop_transform(pose)
            points = crop_points(mesh, mesh, pose, transform)
            held_out = is_held_out("faces", path.stem, path.stem)
            about = {"corpus": "faces", "clip": path.stem, "speaker": path.stem}
            yield cut_crop(rgb, transform), points, {**about, "held_out": held_out}


def prepare_crops(data: Path, tracks: Path, out: Path) -> int:
    """Cut the generator's training crops.

    Args:
        data: Folder that holds the corpora.
        tracks: Shards of `prepare_tracks`.
        out: Folder for `images.npy` `[N, 256, 256, 3]`, `points.npy` `[N, 514, 3]`, `about.json`.

    Returns:
        How many crops were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    images, points, about = [], [], []
    sources = [_clip_crops(tracks), _still_crops(data)]
    for source in sources:
        for image, mesh, facts in tqdm(source, desc="cutting crops", unit="crop"):
            images.append(image)
            points.append(mesh)
            about.append(facts)
    np.save(out / "images.npy", np.stack(images).reshape(-1, CROP_SIZE, CROP_SIZE, 3))
    np.save(out / "points.npy", np.stack(points).reshape(-1, _POINTS, 3))
    (out / "about.json").write_text(json.dumps(about))
    return len(images)
