"""Checkpoints: safetensors files whose metadata holds the configuration that rebuilds the model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.errors import CheckpointError

_CONFIG_KEY = "config"


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Write tensors and their configuration; the file appears whole or not at all.

    Args:
        path: Where to write, usually `*.safetensors`.
        tensors: Named tensors of any dtype.
        config: JSON-serialisable settings, stored as metadata.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={_CONFIG_KEY: json.dumps(config)})
    partial.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(partial, path)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Returns:
        The tensors as stored and the configuration.

    Raises:
        CheckpointError: If there is no such file, it is damaged, or no checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint, found no file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file: {error}") from error
    if _CONFIG_KEY not in metadata:
        raise CheckpointError(f"{path}: expected a checkpoint with a configuration, found none")
    try:
        return tensors, json.loads(metadata[_CONFIG_KEY])
    except ValueError as error:
        raise CheckpointError(f"{path}: expected a configuration in JSON: {error}") from error
