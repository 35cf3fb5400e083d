"""MediaPipe's own operators of the attention mesh, expressed in ONNX.

The mesh finds lips and eyes coarsely, cuts its features there (turned upright, 16 x 16) and finds them again in the
cut. Sources: mediapipe/util/tflite/operations/{landmarks_to_transform_matrix,transform_tensor_bilinear,
transform_landmarks}.cc, version 2 of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]


class Emit:
    """Collects ONNX nodes and constants; calling it adds a node and gives the name of its value."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def __call__(self, kind: str, *values: str, **attributes: Any) -> str:
        """Add a node."""
        return self.named(kind, f"value{len(self.nodes)}", *values, **attributes)

    def named(self, kind: str, name: str, *values: str, **attributes: Any) -> str:
        """Add a node whose value has this name."""
        self.nodes.append(helper.make_node(kind, list(values), [name], **attributes))
        return name

    def constant(self, array: Array) -> str:
        """A constant; half precision is kept in the file and cast to single precision."""
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return self("Cast", name, to=onnx.TensorProto.FLOAT) if array.dtype == np.float16 else name

    def floats(self, *numbers: float) -> str:
        """A constant `[n]`, or a scalar."""
        return self.constant(np.array(numbers[0] if len(numbers) == 1 else numbers, np.float32))

    def stack(self, *values: str) -> str:
        """Scalars as `[n]`."""
        one = self.constant(np.array([1]))
        return self("Concat", *(self("Reshape", value, one) for value in values), axis=0)


def _matrix(emit: Emit, values: Sequence[str], options: dict[str, Any], shape: Sequence[int]) -> str:
    """`[1, 4, 4]` from pixels of the cut to where they lie, from landmarks `[1, N, 3]`.

    The cut is upright along the line between two landmarks and holds a set of landmarks with room around them.
    """
    flat = emit("Reshape", values[0], emit.constant(np.array([-1, 3])))

    def pick(indices: Any, axis: int) -> str:
        chosen = emit("Gather", flat, emit.constant(np.array(indices)), axis=0)
        return emit("Gather", chosen, emit.constant(np.array(axis)), axis=-1)

    across = [
        emit("Sub", pick(options["right_rotation_idx"], k), pick(options["left_rotation_idx"], k)) for k in (0, 1)
    ]
    length = emit("Sqrt", emit("Add", *(emit("Mul", side, side) for side in across)))
    cosine, sine = (emit("Div", side, length) for side in across)
    x, y = (pick(options["subset_idxs"], k) for k in (0, 1))
    # Turned so that the line lies flat; options["target_rotation_radians"] is 0 in all uses.
    turned_x = emit("Add", emit("Mul", x, cosine), emit("Mul", y, sine))
    turned_y = emit("Sub", emit("Mul", y, cosine), emit("Mul", x, sine))
    half, middles, scales = emit.floats(0.5), [], []
    for turned, side in ((turned_x, "x"), (turned_y, "y")):
        most = emit("ReduceMax", turned, keepdims=0)
        least = emit("ReduceMin", turned, keepdims=0)
        size = options["output_width" if side == "x" else "output_height"]
        middles.append(emit("Mul", emit("Add", most, least), half))
        scales.append(emit("Mul", emit("Sub", most, least), emit.floats(options[f"scale_{side}"] / size)))
    centre_x = emit("Sub", emit("Mul", middles[0], cosine), emit("Mul", middles[1], sine))
    centre_y = emit("Add", emit("Mul", middles[0], sine), emit("Mul", middles[1], cosine))
    xx, xy = emit("Mul", cosine, scales[0]), emit("Neg", emit("Mul", sine, scales[1]))
    yx, yy = emit("Mul", sine, scales[0]), emit("Mul", cosine, scales[1])
    back = [emit.floats(options[f"output_{side}"] / 2) for side in ("width", "height")]
    shift_x = emit("Sub", centre_x, emit("Add", emit("Mul", xx, back[0]), emit("Mul", xy, back[1])))
    shift_y = emit("Sub", centre_y, emit("Add", emit("Mul", yx, back[0]), emit("Mul", yy, back[1])))
    none, one = emit.floats(0.0), emit.floats(1.0)
    rows = (xx, xy, none, shift_x), (yx, yy, none, shift_y), (none, none, one, none), (none, none, none, one)
    cells = emit.stack(*(cell for row in rows for cell in row))
    return emit("Reshape", cells, emit.constant(np.array([1, 4, 4])))


def _cut(emit: Emit, values: Sequence[str], options: dict[str, Any], shape: Sequence[int]) -> str:
    """Features `[1, C, H, W]` at the pixels of the cut, between neighbours; 0 outside. `shape` is `[1, H, W, C]`."""
    height, width = options["output_height"], options["output_width"]
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5  # pixel centres
    pixels = np.stack([x, y, np.zeros_like(x), np.ones_like(x)]).reshape(1, 4, -1)
    places = emit("MatMul", values[1], emit.constant(pixels))
    places = emit("Slice", places, *(emit.constant(np.array([k])) for k in (0, 2, 1)))
    places = emit("Sub", places, emit.floats(0.5))
    last = np.array([shape[2] - 1, shape[1] - 1], np.float32).reshape(1, 2, 1)
    unit = emit("Sub", emit("Mul", places, emit.constant(2 / last)), emit.floats(1.0))  # -1 to 1
    grid = emit("Transpose", unit, perm=(0, 2, 1))
    grid = emit("Reshape", grid, emit.constant(np.array([1, height, width, 2])))
    cut = emit("GridSample", values[0], grid, mode="bilinear", padding_mode="border", align_corners=1)
    largest = emit("ReduceMax", emit("Abs", grid), axes=[3], keepdims=0)
    inside = emit("Cast", emit("LessOrEqual", largest, emit.floats(1.0)), to=onnx.TensorProto.FLOAT)
    return emit("Mul", cut, emit("Unsqueeze", inside, emit.constant(np.array([1]))))


def _move(emit: Emit, values: Sequence[str], options: dict[str, Any], shape: Sequence[int]) -> str:
    """Landmarks `[1, N, 2]` from the cut to where they lie, by a matrix `[1, 4, 4]`."""
    zero, two, four = (emit.constant(np.array([k])) for k in (0, 2, 4))
    rows = emit("Slice", values[1], zero, two, emit.constant(np.array([1])))
    turn = emit("Slice", rows, zero, two, two)
    shift = emit("Slice", rows, emit.constant(np.array([3])), four, two)
    moved = emit("MatMul", values[0], emit("Transpose", turn, perm=(0, 2, 1)))
    return emit("Add", moved, emit("Transpose", shift, perm=(0, 2, 1)))


ATTENTION: dict[str, Callable[[Emit, Sequence[str], dict[str, Any], Sequence[int]], str]] = {
    "Landmarks2TransformMatrix": _matrix,
    "TransformTensorBilinear": _cut,
    "TransformLandmarks": _move,
}
