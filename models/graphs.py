"""CUDA graphs: record a step once, replay it with one launch. On a CPU the step runs as it is.

Written for a GPU and tested against eager execution there by `tests/models/test_graphs.py`, which
is skipped where no CUDA device exists; not measured yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

Step = Callable[..., Any]
"""Takes tensors and returns one or some."""


class CUDAGraphed:
    """A step whose kernels are captured for fixed input shapes.

    The step may change tensors that it holds (streaming state) in place; it must not read tensors
    back to the host, allocate by data, or count in Python.

    Args:
        step: Takes and returns tensors on one CUDA device.
        warmup: Eager calls before capture, on a side stream.
        pool: Memory that it shares with other graphs (`torch.cuda.graph_pool_handle`); None for its own. Graphs that
            share one must not run at the same time.
    """

    def __init__(self, step: Step, warmup: int = 3, pool: Any = None) -> None:
        self._step = step
        self._pool = pool
        self._warmup = warmup
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._output: Any = None

    def capture(self, *example: Tensor) -> None:
        """Record the step for inputs shaped like `example`; state changes while warming up."""
        self._inputs = [tensor.clone() for tensor in example]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(self._warmup):
                self._step(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: only calls of this one could spoil the capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            self._output = self._step(*self._inputs)
        self._graph = graph

    def __call__(self, *inputs: Tensor) -> Any:
        """Replay; the result is overwritten by the next call.

        Raises:
            ValueError: If an input has another shape than the captured one.
        """
        if self._graph is None:
            self.capture(*inputs)
        for static, given in zip(self._inputs, inputs, strict=True):
            if static.shape != given.shape:
                raise ValueError(f"expected {tuple(static.shape)} as captured, got {tuple(given.shape)}")
            static.copy_(given)
        cast(torch.cuda.CUDAGraph, self._graph).replay()
        return self._output


def graphed(step: Step, device: torch.device, pool: Any = None) -> Step:
    """The step as a CUDA graph on a GPU, in the memory `pool` or its own; the step itself elsewhere."""
    return CUDAGraphed(step, pool=pool) if device.type == "cuda" else step
