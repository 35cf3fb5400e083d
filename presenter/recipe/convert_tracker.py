"""Makes `models/assets/*.onnx` from MediaPipe's networks (Apache-2.0), once, in a throw-away environment.

    pip install tflite onnx
    pip download --no-deps --only-binary=:all: --python-version 311 mediapipe==0.10.21 && unzip mediapipe-*.whl
    python -m presenter.recipe.convert_tracker mediapipe/modules face_blendshapes.tflite models/assets

The blendshapes come out of Google's `face_landmarker_v2_with_blendshapes.task`, which is a zip.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx

from presenter.recipe.tflite_to_onnx import Conversion

# Points of the mesh in the order in which the attention finds them again; the first 16 of an eye are its lids.
_LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409]
_LIPS += [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415]
_LIPS += [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408]
_LIPS += [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407]
_LEFT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24, 23, 22]
_LEFT_EYE += [26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224]
_LEFT_EYE += [223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63]
_LEFT_EYE += [105, 66, 107, 55, 193]
_RIGHT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339, 254, 253]
_RIGHT_EYE += [252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451, 452, 453, 464, 342]
_RIGHT_EYE += [445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465]
_RIGHT_EYE += [383, 300, 293, 334, 296, 336, 285, 417]
_LIDS = 16


def convert_landmarks(network: bytes) -> onnx.ModelProto:
    """The attention mesh: a face `[1, 192, 192, 3]` (0 to 1) in; `landmarks [478, 3]` in its pixels and `presence [1]`.

    What MediaPipe's graph does after the network is part of it: lips and eyes take the place of the mesh's coarse ones,
    irises get the mean depth of the lids, and the presence is squashed to 0..1.
    Source: mediapipe/modules/face_landmark/tensors_to_face_landmarks_with_attention.pbtxt.
    """
    conversion = Conversion(network)
    emit = conversion.emit
    mesh, lips, left_eye, right_eye, left_iris, right_iris, presence = map(conversion.value, conversion.outputs())

    def reshaped(value: str, columns: int) -> str:
        return emit("Reshape", value, emit.constant(np.array([-1, columns])))

    mesh = reshaped(mesh, 3)
    depth = emit("Gather", mesh, emit.constant(np.array([2])), axis=1)
    places = emit("Gather", mesh, emit.constant(np.array([0, 1])), axis=1)
    depths = [depth]
    for indices, found in ((_LIPS, lips), (_LEFT_EYE, left_eye), (_RIGHT_EYE, right_eye)):
        places = emit("ScatterND", places, emit.constant(np.array(indices)[:, None]), reshaped(found, 2))
    for indices in (_LEFT_EYE, _RIGHT_EYE):
        lids = emit("Gather", depth, emit.constant(np.array(indices[:_LIDS])), axis=0)
        mean = emit("ReduceMean", lids, axes=[0], keepdims=1)
        depths.append(emit("Expand", mean, emit.constant(np.array([5, 1]))))
    places = emit("Concat", places, reshaped(left_iris, 2), reshaped(right_iris, 2), axis=0)
    landmarks = emit("Concat", places, emit("Concat", *depths, axis=0), axis=1)
    return conversion.finish({"landmarks": (landmarks, (478, 3)), "presence": (emit("Sigmoid", presence), (1,))})


def convert_plain(network: bytes, *outputs: str) -> onnx.ModelProto:
    """A network as it is, its outputs renamed; the leading 1 of their shapes goes."""
    conversion = Conversion(network)
    found = {}
    for name, index in zip(outputs, conversion.outputs(), strict=False):
        shape = conversion.shape(index)
        found[name] = conversion.value(index), shape[1:] if shape[0] == 1 else shape
    return conversion.finish(found)


def main(modules: Path, blendshapes: Path, out: Path) -> None:
    """Convert all four."""
    detector = (modules / "face_detection" / "face_detection_short_range.tflite").read_bytes()
    landmarks = (modules / "face_landmark" / "face_landmark_with_attention.tflite").read_bytes()
    selfie = (modules / "selfie_segmentation" / "selfie_segmentation.tflite").read_bytes()
    networks = {
        "face_detector": convert_plain(detector, "boxes", "scores"),
        "face_landmarks": convert_landmarks(landmarks),
        "face_blendshapes": convert_plain(blendshapes.read_bytes(), "scores"),
        "selfie_segmentation": convert_plain(selfie, "person"),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, network in networks.items():
        onnx.save(network, out / f"{name}.onnx")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
