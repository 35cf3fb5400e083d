"""The audio-to-motion network as live streams run it: one state each, and a step without Python between operations.

A step is some 600 small operations, and starting them from Python takes as long as computing them. They are therefore
recorded once, and replayed on the state of each stream: on a CPU by TorchScript, which runs the same operations on the
same weights without the interpreter's lock; on a GPU as a CUDA graph for each stream, since a graph holds addresses.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.graphs import CUDAGraphed
from models.mesh import Floats
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer, SyncFormerState

LiveStep = Callable[[Tensor, Tensor], Tensor]
"""A chunk of one stream `[1, 640]` and its style to the mesh displacement `[478, 3]`; advances the stream's state."""
_WARM_UP = 2  # calls in which TorchScript looks at what it gets and plans: 40 ms each, which no stream should wait


class LiveMotion:
    """The motion of one stream.

    Args:
        step: Computes it.
        state: What `step` advances.
        device: Where.
    """

    def __init__(self, step: LiveStep, state: SyncFormerState, device: torch.device) -> None:
        self._step, self._state, self._device = step, state, device

    def step(self, pcm: Floats, style: Tensor) -> Floats:
        """Mesh displacement `[478, 3]` that is known with the next chunk `[640]`, as of `StyleSyncFormer.step`."""
        with torch.inference_mode():
            moved = self._step(torch.from_numpy(pcm)[None].to(self._device), style)
            return moved.cpu().numpy()

    def reset(self) -> None:
        """Forget what was heard."""
        self._state.reset()


class MotionStreams:
    """Provides the motion of streams; all share the network's weights.

    Args:
        network: In evaluation mode, its weights without gradients and on `device`; they don't change any more.
        device: Where it runs.
    """

    def __init__(self, network: StyleSyncFormer, device: torch.device) -> None:
        self.network = network
        self._device = device
        self._recorded = record(network) if device.type == "cpu" and can_record() else None
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._free: list[LiveMotion] = []
        self._lock = threading.Lock()

    def prepare(self, count: int) -> None:
        """Have so many streams ready, where making one takes long: a CUDA graph is captured for each."""
        if self._pool is not None:
            self._free += [self._make() for _ in range(count - len(self._free))]

    def take(self) -> LiveMotion:
        """A stream of its own; `give_back` it."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return self._make()

    def give_back(self, stream: LiveMotion) -> None:
        """Let another one use it."""
        if self._pool is not None:
            stream.reset()
            with self._lock:
                self._free.append(stream)

    def _make(self) -> LiveMotion:
        state = self.network.init_state(1)
        if self._recorded is not None:
            recorded, tensors = self._recorded, list(state.tensors())
            return LiveMotion(lambda pcm, style: recorded(pcm, style, *tensors), state, self._device)
        step: LiveStep = flat_step(self.network, state)
        if self._pool is not None:
            graph = CUDAGraphed(step, pool=self._pool)
            graph.capture(torch.zeros(1, CHUNK_SAMPLES, device=self._device), self.network.null_style)
            state.reset()
            step = graph
        return LiveMotion(step, state, self._device)


def flat_step(network: StyleSyncFormer, state: SyncFormerState) -> LiveStep:
    """The step of one stream with a state of its own."""

    def step(pcm: Tensor, style: Tensor) -> Tensor:
        return network.displacement(network.step(pcm, style, state))[0, -1]

    return step


def can_record() -> bool:
    """Whether TorchScript is supported here: it is not from Python 3.14 on."""
    return sys.version_info < (3, 14)


def record(network: StyleSyncFormer) -> Any:
    """Record the step of a network on a CPU by TorchScript.

    Returns:
        What takes a chunk, a style and the tensors of a state, as of `LiveStep`, in inference mode.
    """
    pattern = network.init_state(1)

    def step(pcm: Tensor, style: Tensor, *tensors: Tensor) -> Tensor:
        return flat_step(network, pattern.holding(tensors))(pcm, style)

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the trace's own: the shapes it takes as fixed are fixed
        example = torch.zeros(1, CHUNK_SAMPLES), network.null_style, *network.init_state(1).tensors()
        recorded = torch.jit.trace(step, example, check_trace=False)
        for _ in range(_WARM_UP):
            recorded(*example)
    return recorded
