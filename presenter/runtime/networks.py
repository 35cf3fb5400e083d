"""The networks that a configuration names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelError
from models.generator import Generator
from models.syncformer import StyleSyncFormer
from models.weights import generator_path, syncformer_path
from presenter.config import EngineConfig
from presenter.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Networks:
    """Audio to motion, and the base generator for identities without their own."""

    syncformer: StyleSyncFormer
    generator: Generator


def load_networks(config: EngineConfig) -> Networks:
    """Load the configured checkpoints, or those that ship.

    Raises:
        ConfigError: If one is missing, damaged, or of another kind.
    """
    try:
        return Networks(
            StyleSyncFormer.load(Path(config.syncformer) if config.syncformer else syncformer_path()),
            Generator.load(Path(config.generator) if config.generator else generator_path()),
        )
    except ModelError as error:
        raise ConfigError(f"engine: {error}") from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:  # settings or shapes of another version
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"engine: expected checkpoints of this version's networks: {reason}") from error
