"""Renders a shipped presenter's picture material; resumable, most important files first.

    python -m presenter.studio.render --character NAME --geometry ict_facekit.npz --out DIR

Under ``DIR``:

- ``base_rest.png``: the rest pose at ``FRAME_SCALE`` times the canvas, the frame that everything is pasted onto.
- ``matte.png``: how opaque the person is in it.
- ``scene.json``: canvas size, boxes, camera, and the weights of every picture.
- ``geometry.npz``: rest vertices and faces of the face, landmark vertices, the camera as a matrix.
- ``blink/NNN.png``: the eyes' box of that frame with the lids closed by NNN percent.
- ``tracking/NAME.png``: full frames of key expressions.
- ``crops/NNN.png``: the lower face's box at ``CROP_SCALE`` times the canvas in speech-like poses.
- ``mouths/NNN.png``, with ``--mouths``: a box around mouth and chin in the poses of the crops: half the cost.
- ``live/NNN.png``, with ``--poses``: that box in the poses of that file, the first at rest.
- beside each of these pictures an ``.npz``: ``vertices [9409, 3]`` of the face in centimetres, ``projected [9409, 2]``
  in canvas pixels (origin at the top left corner), ``names`` and ``values`` of its blendshape weights.

The rendered surface is the Catmull-Clark limit of these vertices, some hundredths of a centimetre inside them.
Needs ``bpy==4.2.0``, ``scipy`` and ``opencv-python-headless``; bpy is GPL and is not needed to run the presenter.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from presenter.studio.character import CHARACTERS, Character
from presenter.studio.geometry import EYES, FACE, LANDMARKS, FloatArray
from presenter.studio.scene import CANVAS, Box, Studio
from presenter.studio.shapes import REST, TRACKING, blink, speech_poses

FRAME_SCALE = 2
CROP_SCALE = 1.25  # with boxes in multiples of four, every box edge falls on a whole pixel
BLINKS = (REST["eyeBlink"], 0.25, 0.5, 0.75, 1.0)  # the first is the rest pose, with this box's own noise
MARGIN = 8  # canvas pixels around the moving region of a box
LOWER_LIDS = (40, 41, 46, 47)  # of the 68 landmarks
JAW_LINE = slice(0, 17)


class Session:
    """One run of the renderer over an output directory."""

    def __init__(self, studio: Studio, out: Path) -> None:
        self.studio, self.out = studio, out
        self._started = time.monotonic()

    def picture(
        self, name: str, weights: Mapping[str, float], *, samples: int, resolution: int = CANVAS, box: Box | None = None
    ) -> None:
        """Render one picture with its geometry unless it is there already."""
        path = self.out / f"{name}.png"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        vertices = self.studio.pose(weights)[slice(*FACE.vertices)]
        np.savez_compressed(
            path.with_suffix(".npz"),
            vertices=vertices,
            projected=self.studio.project(vertices),
            names=np.array(list(weights)),
            values=np.array(list(weights.values()), np.float32),
        )
        self.studio.render(path, samples=samples, resolution=resolution, box=box)
        now = time.monotonic()
        print(f"{now - self._started:7.0f} s  {name}  {now - begin:.1f} s", flush=True)


def lower_face_box(studio: Studio) -> Box:
    """A square from the lower eyelids down to the collar, as wide as the jaw line: the neck moves with the jaw."""
    marks = _landmarks(studio, REST)
    sides, top = marks[JAW_LINE, 0], marks[LOWER_LIDS, 1].max() + 1
    box = _outward(sides.min() - MARGIN, top, sides.max() + MARGIN, top)
    return replace(box, bottom=box.top + box.right - box.left)


def mouth_box(studio: Studio) -> Box:
    """From under the eyes to under the chin, without hair and collar, which cost most to render."""
    face = lower_face_box(studio)
    marks = _landmarks(studio, REST)
    sides, chin = marks[JAW_LINE, 0], marks[JAW_LINE, 1].max()
    return _outward(sides.min() + 2 * MARGIN, face.top + MARGIN, sides.max() - 2 * MARGIN, chin + 2 * MARGIN)


def eyes_box(studio: Studio) -> Box:
    """Both eyes with everything that a blink moves."""
    open_eyes, closed = (studio.head.posed(blink(amount))[slice(*FACE.vertices)] for amount in (REST["eyeBlink"], 1.0))
    moving = np.linalg.norm(closed - open_eyes, axis=1) > 0.02
    points = np.concatenate(
        [studio.project(open_eyes[moving]), studio.project(closed[moving]), _landmarks(studio, REST)[EYES[0]]]
    )
    low, high = points.min(0) - MARGIN / 2, points.max(0) + MARGIN / 2
    return _outward(low[0], low[1], high[0], high[1])


def describe(
    studio: Studio, character: Character, boxes: Mapping[str, Box], crops: list[dict[str, float]]
) -> dict[str, object]:
    """Everything a reader of the pictures needs to know, as JSON."""
    camera = studio.scene.camera
    return {
        "canvas": CANVAS,
        "frame_scale": FRAME_SCALE,
        "crop_scale": CROP_SCALE,
        "boxes": {name: asdict(box) for name, box in boxes.items()},
        "character": asdict(character),
        "camera": {
            "world": [list(row) for row in camera.matrix_world],
            "focal_mm": camera.data.lens,
            "sensor_mm": camera.data.sensor_width,
        },
        "rest": REST,
        "blink": {f"{round(100 * amount):03d}": blink(amount) for amount in BLINKS},
        "tracking": TRACKING,
        "crops": crops,
    }


def save_geometry(studio: Studio, path: Path) -> None:
    """Write the face's rest mesh, so that landmarks can be computed without Blender."""
    rest = studio.head.posed(REST)
    face = slice(*FACE.vertices)
    np.savez_compressed(
        path,
        rest=rest,
        neutral=studio.head.base,
        rest_projected=studio.project(rest[face]),
        quads=studio.head.quads[slice(*FACE.faces)],
        landmarks68=LANDMARKS,
        camera_world=np.array(studio.scene.camera.matrix_world),
    )


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description="Render a shipped presenter's picture material.")
    parser.add_argument("--character", choices=CHARACTERS, default="default", help="who (default: %(default)s)")
    parser.add_argument("--geometry", type=Path, required=True, help="ict_facekit.npz")
    parser.add_argument("--out", type=Path, required=True, help="output directory; existing pictures are kept")
    parser.add_argument("--crops", type=int, default=220, help="number of lower-face crops (default: %(default)s)")
    parser.add_argument("--mouths", type=int, default=0, help="number of pictures of the mouth (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=8, help="samples per pixel of the crops (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="renderer threads (default: %(default)s)")
    parser.add_argument("--poses", type=Path, help="poses.json of `presenter train shipped-poses`, rendered as well")
    options = parser.parse_args()

    character = CHARACTERS[options.character]
    studio = Studio(options.geometry, character, options.threads)
    boxes = {"lower_face": lower_face_box(studio), "eyes": eyes_box(studio), "mouth": mouth_box(studio)}
    crops = speech_poses(max(options.crops, options.mouths))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scene.json").write_text(json.dumps(describe(studio, character, boxes, crops), indent=1))
    save_geometry(studio, options.out / "geometry.npz")

    session = Session(studio, options.out)
    large = FRAME_SCALE * CANVAS
    for amount in BLINKS:
        name = f"blink/{round(100 * amount):03d}"
        session.picture(name, blink(amount), samples=32, resolution=large, box=boxes["eyes"])
    session.picture("base_rest", REST, samples=48, resolution=large)
    if not (options.out / "matte.png").exists():
        studio.pose(REST)
        studio.render_matte(options.out / "matte.png", samples=16, resolution=large)
    poses = [REST, *json.loads(options.poses.read_text())] if options.poses else []
    sets = [
        ("mouths", "mouth", crops[: options.mouths]), ("live", "mouth", poses),
        ("crops", "lower_face", crops[: options.crops]),
    ]  # fmt: skip
    resolution = round(CANVAS * CROP_SCALE)
    # In turns, so that what there is after any time is a little of each.
    for index in range(max(len(chosen) for _, _, chosen in sets)):
        for folder, box, chosen in sets:
            if index < len(chosen):
                session.picture(
                    f"{folder}/{index:03d}", chosen[index], samples=options.samples, resolution=resolution,
                    box=boxes[box],
                )  # fmt: skip
    for name, weights in TRACKING.items():
        session.picture(f"tracking/{name}", weights, samples=16)


def _landmarks(studio: Studio, weights: Mapping[str, float]) -> FloatArray:
    return studio.project(studio.head.posed(weights)[LANDMARKS])


def _outward(left: float, top: float, right: float, bottom: float) -> Box:
    """Grow to multiples of four canvas pixels: whole pixels at ``CROP_SCALE`` too."""
    return Box(int(left // 4 * 4), int(top // 4 * 4), int(-(-right // 4) * 4), int(-(-bottom // 4) * 4))


if __name__ == "__main__":
    main()
