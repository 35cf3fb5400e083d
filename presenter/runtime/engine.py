"""The engine: loads the networks once and provides a renderer per live stream.

One engine serves all sessions and `TalkingHead`s of a process, and limits how many there are at a time.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import half_linear
from models.backends import available, backend
from models.compositor import Backend, FrameCompositor
from models.device.compositor import DeviceCompositor
from models.device.slots import DeviceSlot, DeviceSlots
from models.errors import ModelError
from models.generator import Generator
from models.half_linear import use_half_weights
from models.identity import READ_HEIGHT, Identity, StyleCode, picture_tensor
from models.live_motion import MotionStreams
from models.syncformer import StyleSyncFormer
from presenter.config import AppConfig, EngineConfig
from presenter.errors import CapacityError, ConfigError, IdentityDamagedError
from presenter.runtime.backend_choice import fastest
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.networks import Networks, load_networks
from presenter.runtime.renderer import Renderer

FRAME_SIZE = (READ_HEIGHT, READ_HEIGHT)
"""Of frames as they are shown unless another size is asked for; steps of a GPU are captured for it at start-up."""


class Engine:
    """Weights and slots.

    Args:
        networks: Shared by all streams.
        device: Where networks run.
        slots: How many renderers may be in use at a time; None for any number.
        backend: How the generator is computed, or `auto` for what is fastest here.
        head_motion: How far speech moves heads, 0 to 1.

    Raises:
        ConfigError: If the backend is not available on this machine.
    """

    backend: str
    """How the generator is computed, one of `models.backends.BACKENDS`."""

    def __init__(
        self,
        networks: Networks,
        device: torch.device,
        slots: int | None = None,
        backend: str = "auto",
        head_motion: float = EngineConfig.head_motion,
    ) -> None:
        self._syncformer = networks.syncformer.to(device).eval().requires_grad_(False)
        if device.type == "cpu" and half_linear.is_available():
            use_half_weights(self._syncformer)
        self.motion_streams = MotionStreams(self._syncformer, device)
        """The syncformer as live streams run it."""
        self._generator = networks.generator
        self._device_slots = DeviceSlots(networks.generator, device) if device.type != "cpu" else None
        self._device = device
        self.backend = _decide(backend, networks.generator, device)
        self.slots: int | None = slots
        self._head_motion = head_motion
        self._in_use = 0
        self._lock = threading.Lock()  # renderers are made and closed in threads of their own

    @classmethod
    def load(cls, config: AppConfig, slots: int | None = None) -> Engine:
        """Load the checkpoints that the configuration names.

        Args:
            config: Which networks and where.
            slots: How many renderers may be in use at a time; None for any number.

        Raises:
            ConfigError: If a checkpoint or the device is missing.
        """
        settings = config.engine
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("engine.device: expected a CUDA device, found none; use 'cpu'")
        if settings.device == "cpu":
            torch.set_num_threads(settings.threads)
        networks, device = load_networks(settings), torch.device(settings.device)
        return cls(networks, device, slots, settings.backend, settings.head_motion)

    @property
    def latency_samples(self) -> int:
        """Look-ahead of every renderer, in samples at 16 kHz."""
        return self._syncformer.latency_samples

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self._device

    @property
    def syncformer(self) -> StyleSyncFormer:
        """Audio to motion, shared by all streams."""
        return self._syncformer

    @property
    def generator(self) -> Generator:
        """The base generator, for identities without their own."""
        return self._generator

    def reserve(self, slots: int) -> None:
        """Limit how many renderers may be in use at a time, and prepare what each needs at once, before users wait."""
        self.slots = slots
        self.motion_streams.prepare(slots)
        if self._device_slots is not None:
            self._device_slots.prepare(slots + 1, FRAME_SIZE)  # one that changes its presenter has two for a moment

    @property
    def is_full(self) -> bool:
        """Whether every slot is in use now."""
        with self._lock:
            return self._is_full()

    def _is_full(self) -> bool:
        return self.slots is not None and self._in_use >= self.slots

    def renderer(
        self, stored: StoredIdentity, backend: str = "", *, framing: Framing = DEFAULT_FRAMING, replaces: bool = False
    ) -> Renderer:
        """Return a renderer for an identity; closing it frees its slot.

        Args:
            stored: The identity to show.
            framing: How it will be shown: its frames are rendered in that size, if its picture is so fine.
            backend: How to compute the generator on a CPU; empty for the engine's way.
            replaces: Whether another one is about to be closed for it, which frees the slot that it needs.

        Raises:
            CapacityError: If all slots are in use.
        """
        with self._lock:
            if self._is_full() and not replaces:
                raise CapacityError(f"all {self.slots} slots of the engine are in use; try again in a moment")
            self._in_use += 1
        slot: DeviceSlot | None = None
        try:
            identity = framing.shown(stored.identity)
            compositor: FrameCompositor | DeviceCompositor
            if self._device_slots is not None:
                generator, style = self._of(stored)
                rows, columns = identity.frame.shape[:2]
                slot = self._device_slots.take(generator, (rows, columns))
                compositor = DeviceCompositor(identity, slot, style)
            else:
                compositor = FrameCompositor(identity, self.folded(stored, backend))
            release = partial(self._release, slot)
            return Renderer(self.motion_streams, compositor, identity, release, head_motion=self._head_motion)
        except BaseException:
            self._release(slot)
            raise

    def _release(self, slot: DeviceSlot | None) -> None:
        if self._device_slots is not None and slot is not None:
            self._device_slots.give_back(slot)
        with self._lock:
            self._in_use -= 1

    def _of(self, stored: StoredIdentity) -> tuple[Generator, StyleCode]:
        """The generator of an identity, and what to fold it for."""
        generator = _personal(stored.generator) if stored.generator else self._generator
        return generator, style_code(stored.identity, generator)

    def folded(self, stored: StoredIdentity, kind: str = "") -> Backend:
        """The generator of an identity, ready to render; by the backend `kind`, or the engine's."""
        generator, style = self._of(stored)
        return backend(generator, style, kind or self.backend, self._device)

    def folded_for(self, reference: NDArray[np.uint8]) -> Backend:
        """The base generator for the person in a reference crop `[256, 256, 3]`, ready to render."""
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
    """The backend of a configuration."""
    if device.type != "cpu":
        return "float32"
    if kind == "auto":
        return fastest(generator)
    if kind not in available():
        raise ConfigError(
            f"engine.backend: expected one of auto, {', '.join(available())} on this machine, got {kind!r}"
        )
    return kind
