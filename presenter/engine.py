"""The engine: loads the networks once and lends a renderer per live stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from models.generator import FoldedGenerator, Generator
from models.graphs import graphed
from models.painter import Painter
from models.syncformer import StyleSyncFormer
from models.weights import generator_path, syncformer_path
from presenter.config import AppConfig
from presenter.errors import CapacityError, ConfigError
from presenter.identities import StoredIdentity
from presenter.renderer import Renderer


class Engine:
    """Weights and slots.

    Args:
        syncformer: Audio to motion, shared by all streams.
        generator: The base generator, for identities without their own.
        device: Where networks run.
        slots: How many streams at a time.
    """

    def __init__(self, syncformer: StyleSyncFormer, generator: Generator, device: torch.device, slots: int) -> None:
        self._syncformer = syncformer.to(device).eval().requires_grad_(False)
        self._generator = generator
        self._device = device
        self._slots = slots
        self._in_use = 0
        self._lock = threading.Lock()

    @classmethod
    def load(cls, config: AppConfig) -> Engine:
        """Load the checkpoints that the configuration names.

        Raises:
            ConfigError: If a checkpoint or the device is missing.
        """
        settings = config.engine
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("engine.device: expected a CUDA device, found none; use 'cpu'")
        if settings.device == "cpu":
            torch.set_num_threads(settings.threads)
        try:
            syncformer = StyleSyncFormer.load(Path(settings.syncformer) if settings.syncformer else syncformer_path())
            generator = Generator.load(Path(settings.generator) if settings.generator else generator_path())
        except FileNotFoundError as error:
            raise ConfigError(f"engine: {error}") from error
        return cls(syncformer, generator, torch.device(settings.device), config.server.max_sessions)

    @property
    def latency_samples(self) -> int:
        """Look-ahead of every renderer, in samples at 16 kHz."""
        return self._syncformer.latency_samples

    def renderer(self, stored: StoredIdentity) -> Renderer:
        """Lend a renderer for an identity; close it to give its slot back.

        Raises:
            CapacityError: If all slots are taken.
        """
        with self._lock:
            if self._in_use >= self._slots:
                raise CapacityError(f"all {self._slots} slots are in use")
            self._in_use += 1
        try:
            return Renderer(self._syncformer, self._painter(stored), stored.identity, self._device, self._release)
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        with self._lock:
            self._in_use -= 1

    def _painter(self, stored: StoredIdentity) -> Painter:
        generator = Generator.load(stored.generator) if stored.generator else self._generator
        folded = generator.fold(stored.identity.style_code).to(self._device)
        return Painter(stored.identity, self._on_device(folded.encode_target), self._paint(folded))

    def _on_device(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: function(tensor.to(self._device))

    def _paint(self, folded: FoldedGenerator) -> Callable[[Tensor, Tensor], Tensor]:
        step = graphed(folded, self._device)

        def paint(target: Tensor, live: Tensor) -> Tensor:
            live = live.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            return step(target, live)

        return paint
