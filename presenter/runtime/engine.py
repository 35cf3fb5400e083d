"""The engine: loads the networks once and lends a renderer per live stream."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import half_linear
from models.backends import available, backend
from models.errors import ModelError
from models.generator import Generator
from models.half_linear import use_half_weights
from models.identity import Identity, StyleCode, picture_tensor
from models.painter import Backend, Painter
from models.syncformer import StyleSyncFormer
from presenter.config import AppConfig
from presenter.errors import CapacityError, ConfigError, IdentityDamagedError
from presenter.runtime.backend_choice import fastest
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.networks import Networks, load_networks
from presenter.runtime.renderer import Renderer


class Engine:
    """Weights and slots.

    Args:
        networks: Shared by all streams.
        device: Where networks run.
        slots: How many streams at a time.
        backend: How the generator is computed, or `auto` for what is fastest here.

    Raises:
        ConfigError: If this machine can't compute it the way that it is told to.
    """

    backend: str
    """How the generator is computed, one of `models.backends.BACKENDS`."""

    def __init__(self, networks: Networks, device: torch.device, slots: int, backend: str = "auto") -> None:
        self._syncformer = networks.syncformer.to(device).eval().requires_grad_(False)
        if device.type == "cpu" and half_linear.is_available():
            use_half_weights(self._syncformer)
        self._generator = networks.generator
        self._device = device
        self.backend = _decide(backend, networks.generator, device)
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
        return cls(load_networks(settings), torch.device(settings.device), config.server.max_sessions, settings.backend)

    @property
    def latency_samples(self) -> int:
        """Look-ahead of every renderer, in samples at 16 kHz."""
        return self._syncformer.latency_samples

    @property
    def syncformer(self) -> StyleSyncFormer:
        """Audio to motion, shared by all streams."""
        return self._syncformer

    def renderer(self, stored: StoredIdentity, backend: str = "") -> Renderer:
        """Lend a renderer for an identity; close it to give its slot back.

        Args:
            stored: Whom to show.
            backend: How to compute the generator; empty for the engine's way.

        Raises:
            CapacityError: If all slots are taken.
        """
        with self._lock:
            if self._in_use >= self._slots:
                raise CapacityError(f"all {self._slots} slots are in use")
            self._in_use += 1
        try:
            painter = Painter(stored.identity, self.folded(stored, backend))
            return Renderer(self._syncformer, painter, stored.identity, self._device, self._release)
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        with self._lock:
            self._in_use -= 1

    def folded(self, stored: StoredIdentity, kind: str = "") -> Backend:
        """The generator of an identity, ready to paint; by another backend than the engine's if `kind` says so."""
        generator = _personal(stored.generator) if stored.generator else self._generator
        return backend(generator, style_code(stored.identity, generator), kind or self.backend, self._device)

    def folded_for(self, reference: NDArray[np.uint8]) -> Backend:
        """The base generator for the person in a reference crop `[256, 256, 3]`, ready to paint."""
        with torch.inference_mode():
            style = self._generator.style_code(picture_tensor(reference))[0].clone()
        return backend(self._generator, style, self.backend, self._device)


def _personal(path: Path) -> Generator:
    try:
        return Generator.load(path)
    except (ModelError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise IdentityDamagedError(
            f"the presenter {path.parent.name!r} is damaged ({path.name} is no generator of this version);"
            f" delete it (presenter presenters delete {path.parent.name!r}) and enrol it again"
        ) from error


def style_code(identity: Identity, generator: Generator) -> StyleCode:
    """The identity's W: the stored one, or a new one where the generator has changed since enrolment."""
    if identity.style_of == generator.fingerprint:
        return identity.style_code
    with torch.inference_mode():
        return StyleCode(generator.style_code(picture_tensor(identity.reference))[0].clone())


def _decide(kind: str, generator: Generator, device: torch.device) -> str:
    """The backend that a configuration asks for."""
    if device.type != "cpu":
        return "float32"
    if kind == "auto":
        return fastest(generator)
    if kind not in available():
        raise ConfigError(
            f"engine.backend: expected one of auto, {', '.join(available())} on this machine, got {kind!r}"
        )
    return kind
