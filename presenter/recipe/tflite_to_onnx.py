"""From a TensorFlow Lite file to the same network as ONNX: the operators that the face tracker's networks use.

TensorFlow Lite keeps pictures as `[1, H, W, C]`, ONNX as `[1, C, H, W]`. Every value is made in the layout that its
operator likes, and transposed (once) where another one wants the other layout. Half-precision weights stay so in the
file and are cast as they are loaded; ONNX Runtime folds the casts away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tflite
from flatbuffers import flexbuffers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from presenter.recipe.attention_operators import ATTENTION, Emit

Array = NDArray[Any]
_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}
_DTYPES |= {tflite.TensorType.INT32: np.int32}
_SAME_NAME = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "SQRT": "Sqrt", "NEG": "Neg", "RELU": "Relu"}
_ELEMENTWISE = _SAME_NAME | {"LOGISTIC": "Sigmoid", "HARD_SWISH": "HardSwish"}
_ACTIVATIONS = {tflite.ActivationFunctionType.RELU: "Relu", tflite.ActivationFunctionType.NONE: ""}
_OPSET = 17


class Conversion:
    """One network on its way; `emit` adds ONNX nodes, `value` says under which name a tensor is to be had."""

    def __init__(self, network: bytes) -> None:
        """Read the file and convert every operator, in order."""
        self._model = tflite.Model.GetRootAs(network, 0)
        self._graph = self._model.Subgraphs(0)
        self.emit = Emit()
        self._constants: dict[int, Array] = {}
        self._names: dict[tuple[int, bool], str] = {}  # by tensor and whether the channels come first
        for index in range(self._graph.TensorsLength()):
            tensor = self._graph.Tensors(index)
            data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
            if not isinstance(data, int):
                self._constants[index] = data.view(_DTYPES[tensor.Type()]).reshape(self.shape(index))
        for index in self._graph.InputsAsNumpy():
            self._names[index, False] = self._name(index)
        for number in range(self._graph.OperatorsLength()):
            self._convert(self._graph.Operators(number))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape as TensorFlow Lite has it."""
        tensor_ = self._graph.Tensors(tensor)
        return tuple(int(tensor_.Shape(axis)) for axis in range(tensor_.ShapeLength()))

    def value(self, tensor: int, *, channels_first: bool = False) -> str:
        """The ONNX name of a tensor in a layout."""
        if tensor in self._constants:
            constant = self._constants[tensor]
            if channels_first and constant.ndim:
                constant = constant.reshape((1,) * (4 - constant.ndim) + constant.shape).transpose(_TO_CHANNELS_FIRST)
            return self.emit.constant(constant)
        if (tensor, channels_first) not in self._names:
            order = _TO_CHANNELS_FIRST if channels_first else _TO_CHANNELS_LAST
            other = self._names[tensor, not channels_first]
            self._names[tensor, channels_first] = self.emit("Transpose", other, perm=order)
        return self._names[tensor, channels_first]

    def finish(self, outputs: Mapping[str, tuple[str, Sequence[int]]]) -> onnx.ModelProto:
        """The ONNX network; `outputs` gives each output's value and shape."""
        for name, (value, shape) in outputs.items():
            self.emit.named("Reshape", name, value, self.emit.constant(np.array(shape, np.int64)))
        graph = helper.make_graph(
            self.emit.nodes,
            "network",
            [self._info(self._name(index), self.shape(index)) for index in self._graph.InputsAsNumpy()],
            [self._info(name, shape) for name, (_, shape) in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.emit.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return model

    def outputs(self) -> list[int]:
        """The tensors that TensorFlow Lite gives."""
        return [int(index) for index in self._graph.OutputsAsNumpy()]

    def _info(self, name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def _name(self, tensor: int) -> str:
        return "input" if tensor in self._graph.InputsAsNumpy() else f"tensor{tensor}"

    def _convert(self, operator: Any) -> None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        output = int(operator.OutputsAsNumpy()[0])
        if kind == "DEQUANTIZE":
            self._constants[output] = self._constants[inputs[0]]
            return
        if kind == "CUSTOM":
            name, channels_first = self._custom(code.CustomCode().decode(), operator, inputs, output)
        elif kind in _ELEMENTWISE or kind in ("SQUARED_DIFFERENCE", "RSQRT"):
            name, channels_first = self._elementwise(kind, inputs, operator)
        else:
            name, channels_first = getattr(self, f"_{kind.lower()}")(operator, inputs, output)
        self._names[output, channels_first] = name

    def _custom(self, kind: str, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        if kind == "Convolution2DTransposeBias":  # its only use has stride and kernel 2, so no padding
            weights = self.emit.constant(self._constants[inputs[1]].transpose(3, 0, 1, 2))
            picture, bias = self.value(inputs[0], channels_first=True), self.value(inputs[2])
            return self.emit("ConvTranspose", picture, weights, bias, strides=[2, 2]), True
        raw = operator.CustomOptionsAsNumpy()
        options = flexbuffers.Loads(bytes(raw)) if operator.CustomOptionsLength() else {}
        channels_first = kind == "TransformTensorBilinear"
        values = [self.value(inputs[0], channels_first=channels_first), *map(self.value, inputs[1:])]
        return ATTENTION[kind](self.emit, values, options, self.shape(inputs[0])), channels_first

    def _elementwise(self, kind: str, inputs: list[int], operator: Any) -> tuple[str, bool]:
        moving = [index for index in inputs if index not in self._constants]
        first = len(self.shape(moving[0])) == 4 and any((index, True) in self._names for index in moving)
        values = [self.value(index, channels_first=first) for index in inputs]
        if kind == "SQUARED_DIFFERENCE":
            difference = self.emit("Sub", *values)
            return self.emit("Mul", difference, difference), first
        if kind == "RSQRT":
            return self.emit("Reciprocal", self.emit("Sqrt", *values)), first
        name = self.emit(_ELEMENTWISE[kind], *values)
        if kind in ("ADD", "SUB", "MUL", "DIV"):
            options = self._options(
                operator, {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}[kind] + "Options"
            )
            name = self._activate(name, options)
        return name, first

    def _options(self, operator: Any, kind: str) -> Any:
        options = getattr(tflite, kind)()
        table = operator.BuiltinOptions()
        if table is None:
            return None
        options.Init(table.Bytes, table.Pos)
        return options

    def _activate(self, value: str, options: Any) -> str:
        fused = _ACTIVATIONS[options.FusedActivationFunction()] if options is not None else ""
        return self.emit(fused, value) if fused else value

    def _window(self, options: Any) -> dict[str, Any]:
        same = options.Padding() == tflite.Padding.SAME
        return {
            "auto_pad": "SAME_UPPER" if same else "VALID",
            "strides": [options.StrideH(), options.StrideW()],
        }

    def _conv_2d(self, operator: Any, inputs: list[int], output: int, depthwise: bool = False) -> tuple[str, bool]:
        options = self._options(operator, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
        order = (3, 0, 1, 2) if depthwise else _TO_CHANNELS_FIRST
        weights = self.emit.constant(self._constants[inputs[1]].transpose(order))
        values = [self.value(inputs[0], channels_first=True), weights, *map(self.value, inputs[2:])]
        group = self.shape(inputs[0])[3] if depthwise else 1
        return self._activate(self.emit("Conv", *values, group=group, **self._window(options)), options), True

    def _depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        return self._conv_2d(operator, inputs, output, depthwise=True)

    def _pool(self, kind: str, operator: Any, inputs: list[int]) -> tuple[str, bool]:
        options = self._options(operator, "Pool2DOptions")
        size = [options.FilterHeight(), options.FilterWidth()]
        picture = self.value(inputs[0], channels_first=True)
        return self._activate(self.emit(kind, picture, kernel_shape=size, **self._window(options)), options), True

    def _max_pool_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        return self._pool("MaxPool", operator, inputs)

    def _average_pool_2d(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        return self._pool("AveragePool", operator, inputs)

    def _prelu(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        """`slope * x + (1 - slope) * max(x, 0)`, both products as convolutions: the mesh takes half the time.

        ONNX Runtime computes PRelu element by element, and only in the plain layout: it would turn pictures out of its
        blocked layout before and back into it after each one.
        """
        picture = self.value(inputs[0], channels_first=True)
        slope = self._constants[inputs[1]].astype(np.float32).reshape(-1, 1, 1, 1)
        positive = self._scaled(self.emit("Relu", picture), 1 - slope)
        return self.emit("Add", self._scaled(picture, slope), positive), True

    def _scaled(self, picture: str, scales: Array) -> str:
        return self.emit("Conv", picture, self.emit.constant(scales), group=len(scales))

    def _pad(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        pads = self._constants[inputs[1]][list(_TO_CHANNELS_FIRST)].T.reshape(-1).astype(np.int64)
        return self.emit("Pad", self.value(inputs[0], channels_first=True), self.emit.constant(pads)), True

    def _resize_bilinear(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        options = self._options(operator, "ResizeBilinearOptions")
        half = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if options.AlignCorners() else half
        batch, height, width, channels = self.shape(output)
        sizes = self.emit.constant(np.array([batch, channels, height, width], np.int64))
        picture = self.value(inputs[0], channels_first=True)
        return self.emit("Resize", picture, "", "", sizes, mode="linear", coordinate_transformation_mode=mode), True

    def _reshape(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        shape = self.emit.constant(np.array(self.shape(output), np.int64))
        return self.emit("Reshape", self.value(inputs[0]), shape), False

    def _concatenation(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        axis = self._options(operator, "ConcatenationOptions").Axis()
        return self.emit("Concat", *map(self.value, inputs), axis=axis), False

    def _transpose(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        return self.emit("Transpose", self.value(inputs[0]), perm=self._constants[inputs[1]].tolist()), False

    def _mean(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        axes = [int(axis) for axis in np.atleast_1d(self._constants[inputs[1]])]
        keep = int(self._options(operator, "ReducerOptions").KeepDims())
        return self.emit("ReduceMean", self.value(inputs[0]), axes=axes, keepdims=keep), False

    def _sum(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        axes = self.emit.constant(np.atleast_1d(self._constants[inputs[1]]).astype(np.int64))
        keep = int(self._options(operator, "ReducerOptions").KeepDims())
        return self.emit("ReduceSum", self.value(inputs[0]), axes, keepdims=keep), False

    def _strided_slice(self, operator: Any, inputs: list[int], output: int) -> tuple[str, bool]:
        options = self._options(operator, "StridedSliceOptions")
        begin, end, steps = (self._constants[index].astype(np.int64) for index in inputs[1:4])
        for axis, size in enumerate(self.shape(inputs[0])[: len(begin)]):
            begin[axis] = 0 if options.BeginMask() >> axis & 1 else begin[axis]
            end[axis] = size if options.EndMask() >> axis & 1 else end[axis]
            if options.ShrinkAxisMask() >> axis & 1:
                end[axis] = begin[axis] + 1
        axes = np.arange(len(begin))
        name = self.emit("Slice", self.value(inputs[0]), *map(self.emit.constant, (begin, end, axes, steps)))
        shape = self.emit.constant(np.array(self.shape(output), np.int64))
        return self.emit("Reshape", name, shape), False
