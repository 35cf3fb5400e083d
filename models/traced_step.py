"""One live step of the audio-to-motion network without Python between its operations.

A step is some 600 small operations; on a CPU half of its time is Python that starts them. TorchScript records them
once and then runs the same operations, on the same weights and the state that is passed, in half the time and without
the interpreter's lock.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer, SyncFormerState

LiveStep = Callable[[Tensor, Tensor, SyncFormerState], Tensor]
"""`StyleSyncFormer.step` for one chunk of one stream: `[1, 640]`, style and state to coefficients `[1, 1, K]`."""

_WARM_UP = 2  # calls in which TorchScript looks at what it gets and plans: 40 ms each, which no stream should wait


def is_available() -> bool:
    """Whether TorchScript is supported here: it is not from Python 3.14 on."""
    return sys.version_info < (3, 14)


def record(network: StyleSyncFormer) -> LiveStep:
    """Record the step of a network whose weights don't change any more.

    Args:
        network: In evaluation mode, on a CPU, its weights without gradients.

    Returns:
        What computes `network.step` for one chunk and a state of `network.init_state(1)`, in inference mode.
    """
    pattern = network.init_state(1)

    def step(pcm: Tensor, style: Tensor, *tensors: Tensor) -> Tensor:
        return network.step(pcm, style, pattern.holding(tensors))

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the trace's own: the shapes it takes as fixed are fixed
        example = torch.zeros(1, CHUNK_SAMPLES), network.null_style, *network.init_state(1).tensors()
        traced = torch.jit.trace(step, example, check_trace=False)
        for _ in range(_WARM_UP):
            traced(*example)

    def live_step(pcm: Tensor, style: Tensor, state: SyncFormerState) -> Tensor:
        coefficients: Tensor = traced(pcm, style, *state.tensors())
        return coefficients

    return live_step
