"""What tests with real sound share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from aioice import ice

from presenter.bench.pulse_server import PulseServer, private_server
from stream.errors import DeviceError


@pytest.fixture
def pulse() -> Iterator[PulseServer]:
    """A sound server, and PortAudio looking at it."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(private_server())
        except DeviceError as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture(scope="session")
def pitch() -> Callable[[np.ndarray, int], float]:
    """Return the strongest frequency of float `[N]` at a rate, in Hz."""

    def strongest(pcm: np.ndarray, rate: int) -> float:
        spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 8 * len(pcm)))
        return float(np.argmax(spectrum)) * rate / (8 * len(pcm))

    return strongest


@pytest.fixture(autouse=True)
def no_multicast_dns_of_another_loop() -> None:
    """Let each test's event loop have its own: aioice keeps one per thread, with a lock of the loop that came first."""
    vars(ice._mdns).clear()
