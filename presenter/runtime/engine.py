"""The engine: loads the networks once and lends a renderer per live stream.

One engine serves any number of sessions and `TalkingHead`s of a process; it alone counts how many at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

from models import winograd
from models.crop import CROP_SIZE
from models.generator import LIVE_CHANNELS, FoldedGenerator, Generator
from models.graphs import graphed
from models.identity import Identity, StyleCode, picture_tensor
from models.painter import Painter
from presenter.config import AppConfig
from presenter.errors import CapacityError, ConfigError
from presenter.runtime.identities import StoredIdentity
from presenter.runtime.networks import Networks, load_networks
from presenter.runtime.renderer import Renderer


class Engine:
    """Weights and slots.

    Args:
        networks: Shared by all streams.
        device: Where networks run.
        slots: How many renderers it lends at a time; None for any number.
        convolution: `direct`, `winograd`, or `auto` for the faster one.

    Raises:
        ConfigError: If this machine can't do Winograd convolutions and is told to.
    """

    def __init__(
        self, networks: Networks, device: torch.device, slots: int | None = None, convolution: str = "auto"
    ) -> None:
        self._syncformer = networks.syncformer.to(device).eval().requires_grad_(False)
        self._generator = networks.generator
        self._device = device
        self._winograd = _decide(convolution, networks.generator, device)
        self.slots = slots
        self._in_use = 0
        self._lock = threading.Lock()  # renderers are made and closed in threads of their own

    @classmethod
    def load(cls, config: AppConfig, slots: int | None = None) -> Engine:
        """Load the checkpoints that the configuration names.

        Args:
            config: Which networks and where.
            slots: How many renderers it lends at a time; None for any number.

        Raises:
            ConfigError: If a checkpoint or the device is missing.
        """
        settings = config.engine
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("engine.device: expected a CUDA device, found none; use 'cpu'")
        if settings.device == "cpu":
            torch.set_num_threads(settings.threads)
        return cls(load_networks(settings), torch.device(settings.device), slots, settings.convolution)

    @property
    def convolution(self) -> str:
        """How the generator convolves, `direct` or `winograd`."""
        return "winograd" if self._winograd else "direct"

    @property
    def latency_samples(self) -> int:
        """Look-ahead of every renderer, in samples at 16 kHz."""
        return self._syncformer.latency_samples

    @property
    def is_full(self) -> bool:
        """Whether every slot is taken now."""
        with self._lock:
            return self._is_full()

    def _is_full(self) -> bool:
        return self.slots is not None and self._in_use >= self.slots

    def renderer(self, stored: StoredIdentity) -> Renderer:
        """Lend a renderer for an identity; close it to give its slot back.

        Raises:
            CapacityError: If all slots are taken.
        """
        with self._lock:
            if self._is_full():
                raise CapacityError(f"all {self.slots} slots of the engine are in use; try again in a moment")
            self._in_use += 1
        try:
            return Renderer(self._syncformer, self._painter(stored), stored.identity, self._device, self._release)
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        with self._lock:
            self._in_use -= 1

    def folded(self, stored: StoredIdentity) -> FoldedGenerator:
        """The generator of an identity, ready to render."""
        generator = Generator.load(stored.generator) if stored.generator else self._generator
        return generator.fold(style_code(stored.identity, generator), winograd=self._winograd).to(self._device)

    def _painter(self, stored: StoredIdentity) -> Painter:
        folded = self.folded(stored)
        return Painter(stored.identity, self._on_device(folded.encode_target), self._step(folded))

    def _on_device(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: function(tensor.to(self._device))

    def _step(self, folded: FoldedGenerator) -> Callable[[Tensor, Tensor], Tensor]:
        step = graphed(folded, self._device)

        def render(target: Tensor, live: Tensor) -> Tensor:
            return step(target, live.to(self._device, non_blocking=True))

        return render


def style_code(identity: Identity, generator: Generator) -> StyleCode:
    """The identity's W: the stored one, or a new one where the generator has changed since enrolment."""
    if identity.style_of == generator.fingerprint:
        return identity.style_code
    with torch.inference_mode():
        return StyleCode(generator.style_code(picture_tensor(identity.reference))[0].clone())


def winograd_ratio(generator: Generator) -> float:
    """Time of the folded generator by Winograd convolutions over that by direct ones, here and now."""
    live, style = torch.rand(1, LIVE_CHANNELS, CROP_SIZE, CROP_SIZE), torch.ones(generator.config.style_dim)
    with torch.inference_mode():
        fast, plain = generator.fold(style, winograd=True), generator.fold(style)
        target = plain.encode_target(live[:, :3])
        return winograd.ratio(lambda: fast(target.contiguous(), live), lambda: plain(target, live))


def _decide(convolution: str, generator: Generator, device: torch.device) -> bool:
    """Whether to convolve by Winograd."""
    possible = device.type == "cpu" and winograd.is_available()
    if convolution == "winograd" and not possible:
        raise ConfigError("engine.convolution: expected direct or auto, as Winograd convolutions can't be done here")
    if convolution == "auto":
        return possible and winograd_ratio(generator) < 1
    return convolution == "winograd"
