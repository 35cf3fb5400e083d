"""The engine: loads the networks once and lends a renderer per live stream."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from models.generator import FoldedGenerator, Generator
from models.graphs import graphed
from models.identity import Identity, StyleCode, picture_tensor
from models.painter import Painter
from presenter.config import AppConfig
from presenter.errors import CapacityError, ConfigError
from presenter.identities import StoredIdentity
from presenter.networks import Networks, load_networks
from presenter.renderer import Renderer


class Engine:
    """Weights and slots.

    Args:
        networks: Shared by all streams.
        device: Where networks run.
        slots: How many streams at a time.
    """

    def __init__(self, networks: Networks, device: torch.device, slots: int) -> None:
        self._syncformer = networks.syncformer.to(device).eval().requires_grad_(False)
        self._generator = networks.generator
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
        return cls(load_networks(settings), torch.device(settings.device), config.server.max_sessions)

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
        folded = generator.fold(style_code(stored.identity, generator)).to(self._device)
        return Painter(stored.identity, self._on_device(folded.encode_target), self._paint(folded))

    def _on_device(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: function(tensor.to(self._device))

    def _paint(self, folded: FoldedGenerator) -> Callable[[Tensor, Tensor], Tensor]:
        step = graphed(folded, self._device)

        def paint(target: Tensor, live: Tensor) -> Tensor:
            live = live.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            return step(target, live)

        return paint


def style_code(identity: Identity, generator: Generator) -> StyleCode:
    """The identity's W: the stored one, or a new one where the generator has changed since enrolment."""
    if identity.style_of == generator.fingerprint:
        return identity.style_code
    with torch.inference_mode():
        return StyleCode(generator.style_code(picture_tensor(identity.reference))[0].clone())
