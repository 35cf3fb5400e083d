"""Networks side by side in one run: what a frame costs by ours, unoptimised or not, and by published ones.

The others are built from their public descriptions with random weights, see `wav2lip_sized` and `musetalk_sized`: what
is compared is processor time, not pictures.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.backends import available
from models.crop import CROP_SIZE
from models.generator import Generator, LiveInputs
from presenter.bench.musetalk_sized import AUDIO_SHAPE, LATENT, MuseTalkSized
from presenter.bench.stopwatch import Stopwatch
from presenter.bench.wav2lip_sized import FACE_SIZE, MEL_SHAPE, Wav2LipSized

_ROUNDS = 15
_LARGE_ROUNDS = 3  # of what takes seconds a frame
_SPREAD = 0.02  # of random weights: small, so that nothing overflows; not so small that numbers become subnormal


class _Peer(NamedTuple):
    name: str
    size: int
    network: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    rounds: int


def peer_costs(ours: dict[str, float], generator: Generator, *, large: bool) -> dict[str, Any]:
    """Processor time of a frame by other networks, in one thread, and how many times ours it is.

    Each peer is timed in float32, and in bfloat16 where this processor computes it, with nothing cached but what does
    not change from frame to frame by its own design.

    Args:
        ours: what a frame costs by our generator as it runs live, ms (min, p50, p95).
        generator: ours, on a CPU.
        large: include the network that takes seconds a frame and 3.5 GB of memory.

    Returns:
        Of each, milliseconds (min, p50, p95), how many times ours its median is, the same per pixel, the side of its
        pictures and its parameters in millions.
    """
    parameters = _parameters(generator)
    found = [("ours", CROP_SIZE, ours, parameters)]
    found.append(("ours unfolded, uncached, float32", CROP_SIZE, _unfolded(generator), parameters))
    peers = [_Peer("Wav2Lip-sized", FACE_SIZE, Wav2LipSized, ((6, FACE_SIZE, FACE_SIZE), (1, *MEL_SHAPE)), _ROUNDS)]
    if large:
        inputs = ((8, LATENT, LATENT), AUDIO_SHAPE)
        peers.append(_Peer("MuseTalk-sized", 8 * LATENT, MuseTalkSized, inputs, _LARGE_ROUNDS))
    for peer in peers:
        for number_format, times, count in _time(peer):
            found.append((f"{peer.name}, {number_format}", peer.size, times, count))
        gc.collect()  # before the next is made
    return {
        name: {
            **times,
            "times_ours": (ratio := times["p50"] / ours["p50"]),
            "per_pixel": ratio * (CROP_SIZE / size) ** 2,
            "size": size,
            "parameters_m": count / 1e6,
        }
        for name, size, times, count in found
    }


def random_network(make: Callable[[], nn.Module]) -> nn.Module:
    """A network with small random weights, made without the time and the memory that initialisation takes."""
    with torch.device("meta"):
        network = make()
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    source = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.uniform_(-_SPREAD, _SPREAD, generator=source)
    return network


def _time(peer: _Peer) -> Iterator[tuple[str, dict[str, float], int]]:
    network = random_network(peer.network)
    for dtype in (torch.float32, *([torch.bfloat16] if "bfloat16" in available() else [])):
        network = network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        inputs = [torch.rand(1, *shape, dtype=dtype) for shape in peer.inputs]
        yield str(dtype).removeprefix("torch."), _times(network, inputs, peer.rounds), _parameters(network)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _unfolded(generator: Generator) -> dict[str, float]:
    """Style, modulation and the template's features computed anew for every frame."""
    picture = torch.rand(1, 3, CROP_SIZE, CROP_SIZE)
    plane = torch.rand(1, 1, CROP_SIZE, CROP_SIZE)
    live = LiveInputs(picture, plane, plane, plane)

    def frame(reference: Tensor) -> Tensor:
        return generator(reference, live, generator.style_code(reference))

    return _times(frame, [picture], _ROUNDS)


def _times(function: Callable[..., Any], inputs: list[Tensor], rounds: int) -> dict[str, float]:
    watch = Stopwatch()
    with torch.inference_mode():
        for _ in range(1 + rounds):
            watch(function, *inputs)
    return watch.summary(skip=1)
