"""Face crops of a shipped presenter with their meshes: what its generator is personalised on.

The head and the camera stand still in all renders, so that the rest pose's tracking holds for every picture; each
lower-face render is composited over the rest frame before tracking.

What the motion network asks of the mesh is not what a tracker finds in renders: an open mouth lies some pixels higher,
because the network learnt from filmed heads whose pose is fitted to a face with an open mouth. So a render is also
shown moved onto meshes that the network emits, by a smooth warp of a few pixels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.crop import CROP_SIZE, crop_points, crop_transform, cut_crop
from models.mesh import LIPS, Floats, Pose, topology
from models.still import Blinks
from models.tracker import FaceTracker
from presenter.errors import MediaError

Picture = NDArray[np.uint8]
SETS = {"crops": "lower_face", "mouths": "mouth", "live": "mouth"}
"""Folders of lower-face renders, the first picture of each at rest, and the names of their boxes."""
_HELD_OUT_EVERY = 10
_FADE = 8  # pixels over which a patch's border fades out
_NEAR, _WIDE = 3.0, 16.0  # pixels: around what moved, and over which light is compared
_NOISE = 2.0  # grey levels by which renders of the same thing differ
_GRID = 4  # pixels of the crop from one node of a warp to the next
_REACH = 7.0  # pixels over which a mesh's movement fades into its surroundings
CHIN = [152, 148, 377, 176, 400, 17, 18, 200, 199, 175]


class Crop(NamedTuple):
    """A face crop.

    Attributes:
        image: `[256, 256, 3]`.
        points: The mesh in it `[514, 3]`, crop pixels.
        number: Of the render it shows; 0 is the rest pose.
        folder: That the render lies in.
    """

    image: Picture
    points: Floats
    number: int
    folder: str

    @property
    def held_out(self) -> bool:
        """Whether it is kept back to judge the generator."""
        return self.number % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1


def read_picture(path: Path) -> Picture:
    """Read a rendered picture as RGB.

    Raises:
        MediaError: If there is none.
    """
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise MediaError(f"expected a rendered picture at {path}, found none")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8)


class Pictures(NamedTuple):
    """The rendered pictures of a presenter at rest.

    Attributes:
        rest: The frame `[S, S, 3]`.
        canvas: The same in the size in which boxes and crops are given `[512, 512, 3]`.
        scale: How many times larger the frame is.
        matte: As rendered: exact where hair meets the background.
        closing: The eyes' box as they close.
        scene: Of `scene.json`.
    """

    rest: Picture
    canvas: Picture
    scale: float
    matte: Picture
    closing: list[Picture]
    scene: dict[str, Any]

    @classmethod
    def read(cls, renders: Path) -> Pictures:
        """Read what `presenter.studio.render` wrote.

        Raises:
            MediaError: If a picture is missing.
        """
        scene = json.loads((renders / "scene.json").read_text())
        rest, size = read_picture(renders / "base_rest.png"), (scene["canvas"], scene["canvas"])
        canvas = cv2.resize(rest, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        _, *closing = map(read_picture, sorted((renders / "blink").glob("*.png")))  # the first one is at rest
        matte = read_picture(renders / "matte.png")[..., 0]
        return cls(rest, canvas, float(scene["frame_scale"]), matte, closing, scene)

    def blinks(self) -> Blinks:
        """Eyelid overlays."""
        top, bottom, left, right = (
            round(self.scale * self.scene["boxes"]["eyes"][edge]) for edge in ("top", "bottom", "left", "right")
        )
        patch = self.rest[top:bottom, left:right]
        # Blended as they are: with lashes in the picture, differences from the rest pose leave bright specks.
        overlays = [blend(patch, picture.astype(np.float32)) for picture in self.closing]
        return Blinks((top, left), np.stack(overlays))


def track(rgb: Picture) -> Floats:
    """Landmarks `[478, 3]` of the rendered face.

    Raises:
        MediaError: If there is none.
    """
    with FaceTracker(video=False, max_faces=1) as tracker:
        faces = tracker.track(rgb)
    if not faces:
        raise MediaError("expected a face in the rendered rest pose, found none")
    return faces[0]


def rendered_crops(renders: Path, scene: dict[str, Any], rest: Picture, mesh: Floats, pose: Pose) -> list[Crop]:
    """Cut every lower-face render into the generator's crop, with its tracked mesh; the rest pose first.

    Args:
        renders: Folder that `presenter.studio.render` wrote.
        scene: Its `scene.json`.
        rest: The rest frame.
        mesh: The face in it, canonical `[478, 3]`.
        pose: From canonical space to its pixels.
    """
    transform = crop_transform(pose)
    scale = float(scene["crop_scale"])
    enlarged = cv2.resize(rest, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    # The enlarged frame's pixel centres: u = scale * (x + 0.5) - 0.5.
    larger = transform.astype(np.float64).copy()
    larger[:, :2] /= scale
    larger[:, 2] += larger[:, :2] @ np.full(2, 0.5 - 0.5 * scale)
    weights = topology().lower_face[:, None]
    crops = [Crop(cut_crop(rest, transform), crop_points(mesh, mesh, pose, transform), 0, next(iter(SETS)))]
    with FaceTracker(video=False, max_faces=1) as tracker:
        for folder, box in SETS.items():
            paths = sorted((renders / folder).glob("[0-9]*[0-9].png"))
            if not paths:
                continue
            top, left = (round(scene["boxes"][box][edge] * scale) for edge in ("top", "left"))
            at_rest = read_picture(paths[0])
            region = np.s_[top : top + at_rest.shape[0], left : left + at_rest.shape[1]]
            for number, path in enumerate(tqdm(paths[1:], desc=f"tracking {folder}"), 1):
                whole = enlarged.copy()
                whole[region] = _onto(enlarged[region], read_picture(path), at_rest)
                faces = tracker.track(whole)
                if not faces:
                    continue
                seen = (faces[0] + [0.5, 0.5, 0.0]) / scale - [0.5, 0.5, 0.0]
                moved = mesh + (pose.unproject(seen.astype(np.float32)) - mesh) * weights
                points = crop_points(moved, mesh, pose, transform)
                crops.append(Crop(cut_crop(whole, larger.astype(np.float32), sharp=True), points, number, folder))
    return crops


def moved_crops(crops: list[Crop], wanted: Floats) -> list[Crop]:
    """Renders moved onto meshes that the motion network emits: for each mesh the render that is most like it.

    Args:
        crops: From `rendered_crops`.
        wanted: Meshes `[N, 514, 3]` in crop pixels.
    """
    shapes = np.stack([_shape(crop.points) for crop in crops])
    moved = []
    for points in wanted:
        # The rest pose is a render like any other here.
        nearest = crops[int(np.square(shapes - _shape(points)).mean((1, 2)).argmin())]
        moved.append(nearest._replace(image=move_crop(nearest.image, nearest.points, points), points=points))
    return moved


def move_crop(image: Picture, points: Floats, wanted: Floats) -> Picture:
    """Warp a crop smoothly so that its mesh comes to lie on another, some pixels away.

    Args:
        image: `[256, 256, 3]`.
        points: The mesh in it `[514, 3]`.
        wanted: Where it shall lie `[514, 3]`.
    """
    nodes = np.arange(0, CROP_SIZE + _GRID, _GRID, dtype=np.float32) + np.float32(0.5 * (_GRID - 1))
    x, y = np.meshgrid(nodes, nodes)
    across, down = x[..., None] - wanted[:, 0], y[..., None] - wanted[:, 1]
    weight = np.exp(-(across**2 + down**2) / np.float32(2 * _REACH**2))
    total = weight.sum(-1) + np.float32(0.05)  # far from every vertex nothing moves
    shift = np.stack([(weight @ (wanted[:, axis] - points[:, axis])) / total for axis in (0, 1)], -1)
    size = shift.shape[0] * _GRID
    dense = cv2.resize(shift.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)[:CROP_SIZE, :CROP_SIZE]
    grid = np.stack(np.meshgrid(*[np.arange(CROP_SIZE, dtype=np.float32)] * 2), -1) - dense
    return cv2.remap(image, grid, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def write_crops(folder: Path, crops: list[Crop], speaker: str) -> None:
    """Write crops as `models.training.crop_dataset.Crops` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", np.stack([crop.image for crop in crops]))
    np.save(folder / "points.npy", np.stack([crop.points for crop in crops]).astype(np.float32))
    whose = {"corpus": speaker, "clip": speaker, "speaker": speaker}
    about = [whose | {"held_out": crop.held_out, "rest": i == 0} for i, crop in enumerate(crops)]
    (folder / "about.json").write_text(json.dumps(about))


def blend(patch: Picture, picture: Floats) -> Picture:
    """A picture in the middle of a patch, faded out towards the patch's border."""
    height, width = patch.shape[:2]
    y, x = np.minimum(np.arange(height), np.arange(height)[::-1]), np.minimum(np.arange(width), np.arange(width)[::-1])
    fade = np.clip(np.minimum(y[:, None], x[None, :]) / _FADE, 0, 1)[..., None]
    blended = patch + fade * (picture - patch)
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def _onto(patch: Picture, picture: Picture, rest: Picture) -> Picture:
    """Lay what moved in a picture since the rest pose over a patch.

    Where nothing moved the patch stays as it is. Where something did, the picture itself is laid over it, in the light
    of the patch: adding differences would leave the seam of the closed lips on skin and teeth that are now in its
    place, because one is sharper than the other.
    """
    change = np.abs(picture.astype(np.float32) - rest).max(-1)
    moved = np.clip((cv2.GaussianBlur(change, (0, 0), _NEAR) - _NOISE) / _NOISE, 0, 1)[..., None]
    light = cv2.GaussianBlur(patch.astype(np.float32) - rest, (0, 0), _WIDE)
    return blend(patch, patch + moved * (picture + light - patch))


def _shape(points: Floats) -> Floats:
    """Lips and chin `[50, 2]`, wherever they lie."""
    outline: Floats = points[[*LIPS, *CHIN], :2]
    return outline - outline.mean(0)
