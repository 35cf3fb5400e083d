"""Which backend computes the generator fastest on this machine: measured once, and cached.

The cached choice depends on the processor, on the instruction sets that its libraries may use, on PyTorch and on the
weights; where one of them changes it is measured again, which takes a second.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch

from models.backends import available, backend, cost
from models.generator import Generator

_log = logging.getLogger(__name__)
_ISA_VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def fastest(generator: Generator, folder: Path | None = None) -> str:
    """The name of the fastest backend on this CPU.

    Args:
        generator: To be measured.
        folder: Where to cache it; `cache_dir()` if None.
    """
    path = (folder or cache_dir()) / f"backend-{fingerprint(generator)}.json"
    known = _known(path)
    if known is None:
        costs = measured(generator)
        known = min(costs, key=costs.__getitem__)
        write_facts(path, {"backend": known, "ms": costs, "processor": processor()})
    return known


def measured(generator: Generator) -> dict[str, float]:
    """Processor time of a frame by each backend, ms."""
    names, style = available(), torch.ones(generator.config.style_dim)
    cpu = torch.device("cpu")
    return dict(zip(names, cost([backend(generator, style, name, cpu) for name in names]), strict=True))


def cache_dir() -> Path:
    """Where this user's caches belong (XDG Base Directory Specification)."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "presenter"


def processor() -> str:
    """The model name of this machine's processor."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def fingerprint(generator: Generator) -> str:
    """Names a machine and weights: where it is the same, what was measured holds."""
    facts = [
        processor(),
        _cpuinfo().get("flags", ""),  # virtual machines of one name may run on different processors
        torch.backends.cpu.get_cpu_capability(),
        *(os.environ.get(name, "") for name in _ISA_VARIABLES),
        torch.__version__,
        str(torch.get_num_threads()),
        ",".join(available()),
        generator.fingerprint,
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _cpuinfo() -> dict[str, str]:
    """The first processor's entry in `/proc/cpuinfo`; empty on systems other than Linux."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _known(path: Path) -> str | None:
    """The backend that a file names; None if there is no such file or it is damaged."""
    name = read_facts(path).get("backend")
    return name if name in available() else None


def read_facts(path: Path) -> dict[str, Any]:
    """What a file of the cache says; empty if there is no such file or it is damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_facts(path: Path, facts: dict[str, object]) -> None:
    """Write a file atomically; if it can't be written, the next start measures again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as partial:
            json.dump(facts, partial)
        os.replace(partial.name, path)
    except OSError as error:
        _log.warning("what was measured can't be remembered in %s: %s", path.parent, error)
