"""ONNX networks, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats


def open_session(network: bytes, threads: int) -> Any:
    """Open an ONNX network.

    Args:
        network: The file's content.
        threads: How many threads it computes with, the caller's included; they sleep in between.

    Returns:
        An `onnxruntime.InferenceSession`.
    """
    import onnxruntime  # 0.2 s to import, not needed by everyone who imports this

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


class Network:
    """One network of `models/assets`, which ship with the package, with one input.

    Args:
        name: The file's name without its ending.
        threads: See `open_session`.
    """

    def __init__(self, name: str, *, threads: int = 1) -> None:
        network = files("models.assets").joinpath(f"{name}.onnx").read_bytes()
        self._session = open_session(network, threads)

    def run(self, values: NDArray[np.float32]) -> list[Floats]:
        """Compute all outputs."""
        return self._session.run(None, {"input": values})
