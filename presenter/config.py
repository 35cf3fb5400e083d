"""Configuration: YAML files read into frozen, typed objects.

An unknown key or a value of the wrong type is an error that names the key, so that a typing mistake
never silently runs with a default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from presenter.errors import ConfigError

T = TypeVar("T")
_BACKENDS = ("float32", "winograd", "bfloat16", "int8")  # as in models.backends, which would import torch here
_PRESETS = Path(__file__).resolve().parents[1] / "configs"  # beside this package, installed or not


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The HTTP side.

    Attributes:
        host: Address to bind; anything but loopback requires `token`.
        port: TCP port.
        token: Bearer token that every request must carry; empty for none.
        max_sessions: Live streams at a time.
        max_speech_s: Speech that one session buffers, in seconds, when a bot sends it faster than it is said.
        max_upload_mb: Largest photo that can be uploaded.
        public_origin: `https://host` of the page behind a reverse proxy that changes the Host header; else empty.
        ice_servers: STUN and TURN URLs for servers behind NAT; none are needed on a machine with its own address.
        ice_username: For TURN.
        ice_credential: For TURN.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    max_sessions: int = 2
    max_speech_s: int = 300
    max_upload_mb: int = 20
    public_origin: str = ""
    ice_servers: tuple[str, ...] = ()
    ice_username: str = ""
    ice_credential: str = ""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The networks.

    Attributes:
        device: `cpu` or `cuda`.
        threads: Threads per operation on a CPU.
        backend: How the generator is computed on a CPU: `float32`, `winograd`, `bfloat16`, `int8`, or `auto` for the
            fastest one here, measured once.
        syncformer: Checkpoint of the audio-to-motion model; empty means the one that ships.
        generator: Checkpoint of the base generator; empty means the one that ships.
    """

    device: str = "cpu"
    threads: int = 1
    backend: str = "auto"
    syncformer: str = ""
    generator: str = ""


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """`presenter camera`: devices by their names, by unique parts of them, or by number.

    Attributes:
        microphone: What is said; empty for the system's default.
        voice: Where the delayed voice goes; `auto` for the virtual microphone, which is made where the system lets us,
            `off` for none.
        device: The virtual camera; empty for the first.
        size: `720p` or `1080p`.
        background: `own`, a colour, or an image.
        place: Where the presenter stands: `left`, `centre` or `right`.
        webcam: The camera that watches the user's head: its number or a video file; empty for none.
        gate_dbfs: Sound below this level is silenced; 0 for no gate.
        offset_ms: How much later than its voice the picture leaves, for programs that delay one of them.
    """

    microphone: str = ""
    voice: str = "auto"
    device: str = ""
    size: str = "720p"
    background: str = "own"
    place: str = "centre"
    webcam: str = ""
    gate_dbfs: float = 0.0
    offset_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """Everything that a preset file can set.

    Attributes:
        server: The HTTP side.
        engine: The networks.
        camera: The way into meetings.
        presenters: Folder for presenters that users enrol; `~` is the home folder.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    presenters: str = "~/.local/share/presenter"

    @property
    def presenters_dir(self) -> Path:
        """`presenters` as a path."""
        return Path(self.presenters).expanduser()


def presets() -> list[str]:
    """Names of the configurations that ship."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_config(source: str = "cpu") -> AppConfig:
    """Read a preset by name or a YAML file by path.

    Raises:
        ConfigError: If there is no such preset or file, or a key or value is wrong.
    """
    if source in presets():
        text = _read(_PRESETS / f"{source}.yaml")
    elif Path(source).is_file():
        text = _read(Path(source))
    else:
        raise ConfigError(f"expected a preset ({', '.join(presets())}) or a YAML file, found no {source!r}")
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    config = from_dict(AppConfig, data, source)
    check_config(config)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a readable UTF-8 file: {error}") from error


def check_config(config: AppConfig) -> None:
    """Check what types can't say.

    Raises:
        ConfigError: Naming the key and what it may be.
    """
    if config.engine.device not in ("cpu", "cuda"):
        raise ConfigError(f"engine.device: expected one of cpu, cuda, got {config.engine.device!r}")
    kinds = ("auto", *_BACKENDS) if config.engine.device == "cpu" else ("auto", "float32")
    if config.engine.backend not in kinds:
        raise ConfigError(
            f"engine.backend: expected one of {', '.join(kinds)} on {config.engine.device}, "
            f"got {config.engine.backend!r}"
        )
    if not 0 <= config.server.port <= 65535:
        raise ConfigError(f"server.port: expected 0..65535, got {config.server.port}")
    choices = {"size": ("720p", "1080p"), "place": ("left", "centre", "right")}
    for key, possible in choices.items():
        if getattr(config.camera, key) not in possible:
            got = getattr(config.camera, key)
            raise ConfigError(f"camera.{key}: expected one of {', '.join(possible)}, got {got!r}")
    if not -90 <= config.camera.gate_dbfs <= 0:
        raise ConfigError(f"camera.gate_dbfs: expected -90..0 dBFS, got {config.camera.gate_dbfs:g}")
    if abs(config.camera.offset_ms) > 500:
        raise ConfigError(f"camera.offset_ms: expected -500..500, got {config.camera.offset_ms:g}")
    counts = {
        "server.max_sessions": config.server.max_sessions,
        "server.max_speech_s": config.server.max_speech_s,
        "engine.threads": config.engine.threads,
    }
    for key, number in counts.items():
        if number < 1:
            raise ConfigError(f"{key}: expected at least 1, got {number}")


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build a dataclass from plain data, strictly.

    Args:
        kind: A dataclass of strings, numbers, booleans, tuples and further dataclasses.
        data: What YAML gave.
        where: Names the place in errors.

    Raises:
        ConfigError: For an unknown key or a value of another type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; expected one of {', '.join(sorted(known))}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value, where)
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        return tuple(_convert(hint.__args__[0], item, where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
