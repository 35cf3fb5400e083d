"""Slots for streams on a device: steps that are captured before anyone connects, and streams that share a batch."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.device.frame_step import LIVE_NUMBERS, FrameStep, Shown
from models.device.picture import doubled
from models.generator import Generator
from models.graphs import graphed
from models.layer import Layer
from models.mesh import Floats
from models.references import References

Bytes = NDArray[np.uint8]

BATCHES = (1, 2, 4, 8)
"""For so many streams a step is captured; what is ready at the same time is filled up to the next of these."""


class Rendered(NamedTuple):
    """A frame of one stream."""

    planes: Bytes
    """In YUV 4:2:0 `[3 H / 2, W]`."""
    layer: Layer


@dataclass(eq=False)
class Request:
    """A frame that a stream waits for."""

    row: int
    live: Floats
    done: Future[Rendered] = field(default_factory=Future)


class Batch:
    """The step for a number of streams, and the memory through which it is told what to do and tells what it did."""

    def __init__(self, step: FrameStep, count: int, device: torch.device, pool: Any) -> None:
        self._step = graphed(step, device, pool)
        self._device = device
        on_gpu = device.type == "cuda"  # the driver copies from and to pinned memory beside what else is done
        self._rows = torch.zeros(count, dtype=torch.int64, pin_memory=on_gpu)
        self._live = torch.zeros(count, LIVE_NUMBERS, pin_memory=on_gpu)
        self._made = [torch.empty_like(each, device="cpu", pin_memory=on_gpu) for each in self._launch()]

    def _launch(self) -> tuple[Tensor, Tensor]:
        planes, layers = self._step(
            self._rows.to(self._device, non_blocking=True), self._live.to(self._device, non_blocking=True)
        )
        return planes, layers

    def run(self, requests: list[Request]) -> list[Rendered]:
        """Render; rows of the batch that nobody wants repeat the first."""
        for number in range(len(self._rows)):
            request = requests[number if number < len(requests) else 0]
            self._rows[number] = request.row
            self._live[number] = torch.from_numpy(request.live)
        for made, there in zip(self._made, self._launch(), strict=True):
            made.copy_(there, non_blocking=True)
        if self._device.type == "cuda":
            done = torch.cuda.Event(blocking=True)
            done.record()
            done.synchronize()
        return [Rendered(*(made[number].numpy().copy() for made in self._made)) for number in range(len(requests))]


class DeviceFrames:
    """Renders the frames of streams that share a generator: those that are ready at the same time in one batch.

    While a batch is rendered, whoever wants a frame waits, and the next batch is all of them: nothing waits for others
    to come. May be called from any thread.

    Args:
        generator: In float32.
        size: `(height, width)` of the frames, multiples of 4.
        slots: For how many streams.
        device: Where they are rendered.
    """

    def __init__(self, generator: Generator, size: tuple[int, int], slots: int, device: torch.device) -> None:
        self.generator, self.size = generator.fingerprint, size
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.device = device
        self.step = FrameStep(generator, size, slots, device, dtype)
        self.free = [DeviceSlot(self, row) for row in range(slots)]
        """Slots that nobody uses."""
        pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        with torch.inference_mode():
            self.batches = {count: Batch(self.step, count, device, pool) for count in BATCHES if count < 2 * slots}
        """By the number of streams."""
        self._waiting: deque[Request] = deque()
        self._running = threading.Lock()

    def render(self, row: int, live: Floats) -> Rendered:
        """Render the frame of a slot's row from `live_numbers`."""
        request = Request(row, live)
        self._waiting.append(request)
        with self._running:
            while not request.done.done():
                self._run_batch()
        return request.done.result()

    def _run_batch(self) -> None:
        """Render what waits, as much as one batch holds; only one thread is here at a time."""
        requests = [self._waiting.popleft() for _ in range(min(len(self._waiting), max(self.batches)))]
        count = next(count for count in self.batches if count >= len(requests))
        try:
            with torch.inference_mode():
                frames = self.batches[count].run(requests)
        except BaseException as error:
            for request in requests:
                request.done.set_exception(error)
            return
        for request, frame in zip(requests, frames, strict=True):
            request.done.set_result(frame)


class DeviceSlot:
    """One stream's place in `DeviceFrames`."""

    def __init__(self, frames: DeviceFrames, row: int) -> None:
        self.frames = frames
        self._row = row

    def show(self, shown: Shown) -> None:
        """Show this from the next frame on."""
        with torch.inference_mode():
            for mine, given in zip(self.frames.step.shown.tensors(), shown.tensors(), strict=True):
                mine[self._row].copy_(self._uploaded(given), non_blocking=True)

    def show_references(self, references: References) -> None:
        """Have these at hand from the next frame on."""
        step, count = self.frames.step, len(references)
        with torch.inference_mode():
            pictures = torch.from_numpy(np.ascontiguousarray(references.pictures.transpose(0, 3, 1, 2)))
            step.references[self._row, :count].copy_(self._uploaded(pictures))
            step.sources[self._row, :count].copy_(self._uploaded(torch.from_numpy(references.points[..., :2].copy())))

    def show_picture(self, picture: Bytes) -> None:
        """Let this lie behind the layer from the next frame on: `detailed`, `[2 H, 2 W, C]`, or a frame `[H, W, C]`."""
        with torch.inference_mode():
            there = self._uploaded(torch.from_numpy(picture)).permute(2, 0, 1)[None, :3]
            if picture.shape[:2] == self.frames.size:
                there = doubled(there.float())
            self.frames.step.pictures[self._row].copy_(there[0])

    def render(self, live: Floats) -> Rendered:
        """Render a frame from `live_numbers`."""
        return self.frames.render(self._row, live)

    def _uploaded(self, given: Tensor) -> Tensor:
        if self.frames.device.type == "cuda" and not given.is_cuda:
            given = given.pin_memory()
        return given.to(self.frames.device, non_blocking=True)


class DeviceSlots:
    """Provides slots, each for one renderer at a time.

    Args:
        generator: The base generator.
        device: Where they are.
    """

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self._generator = generator
        self._device = device
        self._made: list[DeviceFrames] = []
        self._lock = threading.Lock()  # renderers are made and closed in threads of their own

    def prepare(self, count: int, size: tuple[int, int]) -> None:
        """Have so many slots of the base generator ready; takes long, so call it before anyone waits."""
        if not any(len(frames.free) >= count for frames in self._made):
            self._made.append(DeviceFrames(self._generator, size, count, self._device))

    def take(self, generator: Generator, size: tuple[int, int]) -> DeviceSlot:
        """One of a generator for frames `(height, width)`; `give_back` it. Captured now only if none is ready."""
        with self._lock:
            for frames in reversed(self._made):  # what was made last has the largest batches
                if (frames.generator, frames.size) == (generator.fingerprint, size) and frames.free:
                    return frames.free.pop()
        frames = DeviceFrames(generator, size, 1, self._device)
        with self._lock:
            self._made.append(frames)
            return frames.free.pop()

    def give_back(self, slot: DeviceSlot) -> None:
        """Let another renderer use it; that of another generator than the base one is dropped."""
        with self._lock:
            slot.frames.free.append(slot)
            if slot.frames.generator != self._generator.fingerprint:
                self._made.remove(slot.frames)
