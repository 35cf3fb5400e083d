"""The weights that ship."""

from __future__ import annotations

from pathlib import Path


def syncformer_path() -> Path:
    """Checkpoint of the audio-to-motion model."""
    return Path(__file__).with_name("syncformer.safetensors")


def generator_path() -> Path:
    """Checkpoint of the base generator."""
    return Path(__file__).with_name("generator.safetensors")
